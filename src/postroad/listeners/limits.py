"""Limits over all connections of a worker: how many, how many of one client, how much content in memory.

Counting only; who is turned away and in which words is the listener's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Network = IPv4Network | IPv6Network

MAX_CONNECTIONS = 2000
MAX_CONNECTIONS_PER_ADDRESS = 50  # Postfix smtpd_client_connection_count_limit
# Room for five mails of the largest size at once; past it clients are asked to come back, and nothing is
# lost.
MAX_CONTENT_BYTES = 256 * 1024 * 1024
CLIENT_PREFIX = 64  # one IPv6 customer has at least a /64 (RFC 6177)


def client_key(address: str) -> str:
    """Return what a client is counted by: its IPv4 address, or the /64 of its IPv6 address."""
    parsed = parse_client(address)
    if isinstance(parsed, IPv6Address):
        return str(IPv6Address(int(parsed) >> (128 - CLIENT_PREFIX) << (128 - CLIENT_PREFIX)))
    return str(parsed)


def parse_client(address: str) -> IPv4Address | IPv6Address:
    """Return the peer's address without zone; IPv4 written in IPv6 as the IPv4 it is."""
    parsed = ip_address(address.partition("%")[0])
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped
    return parsed


def is_within(address: str, networks: Sequence[Network]) -> bool:
    """Whether the address lies in one of the networks."""
    parsed = parse_client(address)
    return any(parsed in network for network in networks if network.version == parsed.version)


class Connections:
    """Counts open connections, all together and of each client."""

    def __init__(
        self,
        most: int = MAX_CONNECTIONS,
        most_per_client: int = MAX_CONNECTIONS_PER_ADDRESS,
        unlimited: Sequence[Network] = (),
    ) -> None:
        """Clients in `unlimited` have no limit of their own; the limit on all connections is for
        everybody.
        """
        self._most = most
        self._most_per_client = most_per_client
        self._unlimited = tuple(unlimited)
        self._of_client: dict[str, int] = {}
        self.open = 0

    def admit(self, address: str) -> bool:
        """Count a new connection; False, and nothing counted, when there are too many."""
        key = client_key(address)
        count = self._of_client.get(key, 0)
        if self.open >= self._most:
            return False
        if count >= self._most_per_client and not is_within(address, self._unlimited):
            return False
        self._of_client[key] = count + 1
        self.open += 1
        return True

    def release(self, address: str) -> None:
        """Count an admitted connection out."""
        key = client_key(address)
        self.open -= 1
        if self._of_client[key] == 1:
            del self._of_client[key]  # only clients that are here take memory
        else:
            self._of_client[key] -= 1


class ContentBudget:
    """Counts the bytes of content that all sessions hold in memory together."""

    def __init__(self, most_bytes: int = MAX_CONTENT_BYTES) -> None:
        self._most = most_bytes
        self.held = 0

    def change(self, by: int) -> None:
        """Count bytes in (positive) or out (negative)."""
        self.held += by

    def has_room_for(self, size_bytes: int) -> bool:
        """Whether so many bytes more would fit."""
        return self.held + size_bytes <= self._most
