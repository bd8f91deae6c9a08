"""Limits over all connections of a worker: how many, how many of one client, how much content in memory.

Limits are by client first, then over all; a full house asks the idlest to go. In which words somebody is
turned away is the listener's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Protocol

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


class Member(Protocol):
    """A connection that can be asked to make room."""

    @property
    def waiting_since(self) -> float | None:
        """Since when it has waited for its client with nothing in hand; None while it is at work.

        By a clock that all members share.
        """
        ...

    def give_way(self) -> None:
        """Close: somebody else needs the place."""
        ...


class Connections:
    """Counts open connections, all together and of each client, and makes room where idle ones fill it.

    When a worker is full, the client with the most connections gives up the one that has waited longest:
    whoever fills a house with half requests loses them to whoever comes with a whole one.
    """

    def __init__(
        self,
        most: int = MAX_CONNECTIONS,
        most_per_client: int = MAX_CONNECTIONS_PER_ADDRESS,
        unlimited: Sequence[Network] = (),
        *,
        replaces_own: bool = False,
    ) -> None:
        """Clients in `unlimited` have no limit of their own; the limit on all connections is for
        everybody. `replaces_own`: a client at its limit gets a new connection for its idlest one.
        """
        self._most = most
        self._most_per_client = most_per_client
        self._unlimited = tuple(unlimited)
        self._replaces_own = replaces_own
        self._of_client: dict[str, int] = {}
        self._members: dict[str, dict[Member, None]] = {}  # in the order they came
        self._gone: set[Member] = set()  # counted out already, not closed yet
        self.open = 0
        self.gave_way = 0

    def admit(self, address: str) -> bool:
        """Count a new connection; False, and nothing counted, when there are too many."""
        key = client_key(address)
        if (
            self._of_client.get(key, 0) >= self._most_per_client
            and not is_within(address, self._unlimited)
            and not (self._replaces_own and self._make_room(key))
        ):
            return False
        if self.open >= self._most and not self._make_room(self._fullest()):
            return False
        self._of_client[key] = self._of_client.get(key, 0) + 1
        self.open += 1
        return True

    def join(self, address: str, member: Member) -> None:
        """From now on this admitted connection can be asked to make room."""
        self._members.setdefault(client_key(address), {})[member] = None

    def release(self, address: str, member: Member | None = None) -> None:
        """Count an admitted connection out."""
        if member is not None:
            if member in self._gone:
                self._gone.discard(member)
                return
            self._leave(client_key(address), member)
        self._count_out(client_key(address))

    def _fullest(self) -> str:
        """The client with the most connections that can be asked."""
        return max(self._members, key=lambda key: len(self._members[key]), default="")

    def _make_room(self, key: str) -> bool:
        waiting = [
            (since, member)
            for member in self._members.get(key, ())
            if (since := member.waiting_since) is not None
        ]
        if not waiting:
            return False
        _, idlest = min(waiting, key=lambda each: each[0])
        self._leave(key, idlest)
        self._count_out(key)
        self._gone.add(idlest)
        self.gave_way += 1
        idlest.give_way()
        return True

    def _leave(self, key: str, member: Member) -> None:
        members = self._members.get(key)
        if members is not None:
            members.pop(member, None)
            if not members:
                del self._members[key]

    def _count_out(self, key: str) -> None:
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
