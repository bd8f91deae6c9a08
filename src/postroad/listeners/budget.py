"""Bytes that a worker holds in memory for its clients: half mails, literals of IMAP, bodies of requests.

One budget over all sessions of all doors. When it is spent, the client that holds most gives up what has
waited longest: whoever fills the memory with half mails loses them to whoever brings a whole one.
"""

from __future__ import annotations

import heapq
from typing import Protocol

from postroad.listeners.limits import client_key

# Room for five mails of the largest size at once; past it clients are asked to come back, and nothing is
# lost.
MAX_CONTENT_BYTES = 256 * 1024 * 1024
_KEPT = 7 / 8  # of the budget once room was made: one look at all sessions for many clients
# What is announced may take the room only of those who have sent nothing for so long: an announcement costs
# nothing.
ANNOUNCED_SECONDS = 10.0


class Holder(Protocol):
    """A session that can be asked to give up what it holds."""

    @property
    def waiting_since(self) -> float | None:
        """Since when it has waited for its client; None while it is at work. All by one clock."""
        ...

    def let_go(self) -> None:
        """Keep nothing of what has come, and tell the client so."""
        ...


class Share:
    """What one session holds."""

    __slots__ = ("_budget", "client", "held", "holder")

    def __init__(self, budget: ContentBudget, client: str, holder: Holder) -> None:
        self._budget = budget
        self.client = client
        self.holder = holder
        self.held = 0

    def hold(self, held: int) -> bool:
        """Say how many bytes are held now; False when that is more than there is room for.

        Others, or this session itself, may be asked to let go meanwhile.
        """
        return self._budget.change(self, held)


class ContentBudget:
    """Counts the bytes of all sessions."""

    def __init__(self, most_bytes: int = MAX_CONTENT_BYTES) -> None:
        self._most = most_bytes
        self._holding: set[Share] = set()
        self.held = 0
        self.let_go = 0

    def share(self, address: str, holder: Holder) -> Share:
        """The share of a session whose client has this IP address."""
        return Share(self, client_key(address), holder)

    def change(self, share: Share, held: int) -> bool:
        """A share has changed; see `Share.hold`."""
        grows = held > share.held
        self.held += held - share.held
        share.held = held
        if held:
            self._holding.add(share)
        else:
            self._holding.discard(share)
        if grows and self.held > self._most:
            self._make_room(int(self._most * _KEPT), None)
        return self.held <= self._most

    def has_room_for(self, size_bytes: int, now: float) -> bool:
        """Whether so many bytes more, which a client announces, would fit; `now` by the clock of holders."""
        if self.held + size_bytes > self._most >= size_bytes:
            self._make_room(self._most - size_bytes, now - ANNOUNCED_SECONDS)
        return self.held + size_bytes <= self._most

    def _make_room(self, goal: int, idle_before: float | None) -> None:
        """Ask holders to let go until no more than `goal` is held, or nobody is left to ask."""
        of_client: dict[str, list[tuple[float, int, Share]]] = {}
        sums: dict[str, int] = {}
        for number, share in enumerate(self._holding):
            since = share.holder.waiting_since
            sums[share.client] = sums.get(share.client, 0) + share.held
            if since is not None and (idle_before is None or since < idle_before):
                of_client.setdefault(share.client, []).append((since, number, share))
        fullest = [(-sums[client], client) for client in of_client]
        heapq.heapify(fullest)
        for waiting in of_client.values():
            heapq.heapify(waiting)
        while self.held > goal and fullest:
            held, client = heapq.heappop(fullest)
            _, _, idlest = heapq.heappop(of_client[client])
            before = idlest.held
            idlest.holder.let_go()
            self.change(idlest, 0)  # its memory comes back as soon as it has heard
            self.let_go += 1
            if of_client[client]:
                heapq.heappush(fullest, (held + before, client))
