"""Who asks: the client's address and scheme, through proxies that are trusted and no others."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from starlette.requests import Request

Network = IPv4Network | IPv6Network
MAX_FORWARDED = 1000  # characters of X-Forwarded-For that are read; every hop adds at most 41


def client_address(request: Request, trusted: Sequence[Network]) -> str:
    """The browser's address: the connection's, or the last hop in X-Forwarded-For that is not trusted."""
    peer = request.client.host if request.client else ""
    if not _is_trusted(peer, trusted):
        return peer
    for hop in reversed(request.headers.get("x-forwarded-for", "")[-MAX_FORWARDED:].split(",")):
        address = hop.strip()
        if _parsed(address) is None:
            break
        if not _is_trusted(address, trusted):
            return address
    return peer


def is_secure(request: Request, trusted: Sequence[Network]) -> bool:
    """Whether the browser's own connection is encrypted, so that cookies may be marked Secure."""
    if request.url.scheme == "https":
        return True
    peer = request.client.host if request.client else ""
    return _is_trusted(peer, trusted) and request.headers.get("x-forwarded-proto", "").lower() == "https"


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _is_trusted(text: str, trusted: Sequence[Network]) -> bool:
    address = _parsed(text)
    return address is not None and any(address in network for network in trusted)
