"""Limits over all connections of a worker: how many, of one client, of one account.

Limits are by client first, then by account, then over all; a full house asks the idlest to go, and strangers
before those who have signed in. In which words somebody is turned away is the listener's business.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Protocol

Network = IPv4Network | IPv6Network

MAX_CONNECTIONS = 2000
MAX_CONNECTIONS_PER_ADDRESS = 50  # Postfix smtpd_client_connection_count_limit
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


_Members = dict[str, dict[Member, None]]  # of each client, in the order they came


class Connections:
    """Counts open connections, all together and of each client, and makes room where idle ones fill it.

    When a worker is full, the client with the most connections gives up the one that has waited longest:
    whoever fills a house with half requests loses them to whoever comes with a whole one. Those who have
    signed in (`settle`) are asked only when no stranger can be: a mail program that idles all day is what
    the house is for.
    """

    def __init__(
        self,
        most: int = MAX_CONNECTIONS,
        most_per_client: int = MAX_CONNECTIONS_PER_ADDRESS,
        unlimited: Sequence[Network] = (),
        *,
        replaces_own: bool = False,
        most_per_account: int | None = None,
    ) -> None:
        """Clients in `unlimited` have no limit of their own; the limits on all connections and of an
        account are for everybody. `replaces_own`: a client at its limit gets a new connection for its
        idlest one.
        """
        self._most = most
        self._most_per_client = most_per_client
        self._unlimited = tuple(unlimited)
        self._replaces_own = replaces_own
        self._of_client: dict[str, int] = {}
        self._most_per_account = most_per_account
        self._strangers: _Members = {}
        self._settled: _Members = {}
        self._accounts: dict[Member, Hashable] = {}
        self._of_account: Counter[Hashable] = Counter()
        self._gone: set[Member] = set()  # counted out already, not closed yet
        self.open = 0
        self.gave_way = 0

    def admit(self, address: str) -> bool:
        """Count a new connection; False, and nothing counted, when there are too many."""
        key = client_key(address)
        if (
            self._of_client.get(key, 0) >= self._most_per_client
            and not is_within(address, self._unlimited)
            and not (self._replaces_own and self._make_room(key, self._strangers))
        ):
            return False
        if self.open >= self._most and not any(
            self._make_room(_fullest(members), members) for members in (self._strangers, self._settled)
        ):
            return False
        self._of_client[key] = self._of_client.get(key, 0) + 1
        self.open += 1
        return True

    def join(self, address: str, member: Member) -> None:
        """From now on this admitted connection can be asked to make room."""
        self._strangers.setdefault(client_key(address), {})[member] = None

    def settle(self, address: str, member: Member, account: Hashable) -> bool:
        """This connection belongs to somebody now; False, and it stays a stranger's, when that account has
        too many.
        """
        if self._most_per_account is not None and self._of_account[account] >= self._most_per_account:
            return False
        key = client_key(address)
        if member in self._strangers.get(key, ()):
            _leave(self._strangers, key, member)
            self._settled.setdefault(key, {})[member] = None
            self._accounts[member] = account
            self._of_account[account] += 1
        return True

    def release(self, address: str, member: Member | None = None) -> None:
        """Count an admitted connection out."""
        if member is not None:
            if member in self._gone:
                self._gone.discard(member)
                return
            self._leave(client_key(address), member)
        self._count_out(client_key(address))

    def _make_room(self, key: str, members: _Members) -> bool:
        """Ask the idlest of these members of a client to go; False when there is none."""
        waiting = [
            (since, member) for member in members.get(key, ()) if (since := member.waiting_since) is not None
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
        _leave(self._strangers, key, member)
        _leave(self._settled, key, member)
        account = self._accounts.pop(member, None)
        if account is not None:
            self._of_account[account] -= 1
            if not self._of_account[account]:
                del self._of_account[account]

    def _count_out(self, key: str) -> None:
        self.open -= 1
        if self._of_client[key] == 1:
            del self._of_client[key]  # only clients that are here take memory
        else:
            self._of_client[key] -= 1


def _fullest(members: _Members) -> str:
    """The client with the most of these connections."""
    return max(members, key=lambda key: len(members[key]), default="")


def _leave(members: _Members, key: str, member: Member) -> None:
    found = members.get(key)
    if found is not None:
        found.pop(member, None)
        if not found:
            del members[key]
