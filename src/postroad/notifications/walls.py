"""Where a webhook may go: public addresses, and what an operator names. Pure.

An address that stands for another one (IPv4 in IPv6, 6to4, NAT64) counts as that one, too. RFC 6890 (special
purposes), RFC 4291, RFC 3056, RFC 6052.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_NAT64 = IPv6Network("64:ff9b::/96")
_COMPATIBLE = IPv6Network("::/96")  # RFC 4291 2.5.5.1, of old


def may_go_to(address: str, allowed: Sequence[IPv4Network | IPv6Network]) -> bool:
    """Whether a connection may be opened to an address."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if any(found in network for network in allowed):
        return True
    meant = list(_meant(found))
    if any(each in network for each in meant for network in allowed):
        return True
    return all(each.is_global and not each.is_multicast and not each.is_reserved for each in meant)


def _meant(address: IPv4Address | IPv6Address) -> Iterator[IPv4Address | IPv6Address]:
    """The address, and those that it stands for."""
    if isinstance(address, IPv4Address):
        yield address
        return
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
        return
    if address in _NAT64:
        yield IPv4Address(int(address) & 0xFFFFFFFF)
        return
    yield address
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    if address in _COMPATIBLE:
        yield IPv4Address(int(address) & 0xFFFFFFFF)
