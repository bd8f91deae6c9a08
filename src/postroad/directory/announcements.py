"""What workers tell each other when the directory changes, so that nobody answers from an old memory.

Sent with `pg_notify` inside the changing transaction: heard exactly when it commits, never when it does
not. The lock that NOTIFY takes at commit is no matter here: nobody changes the directory thousands of times
a second.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from postroad.db.pool import Connection
from postroad.directory.principals import PrincipalId

CHANNEL = "directory"
MAX_PAYLOAD = 7900  # bytes; PostgreSQL takes fewer than 8000
EVERYTHING = "*"


class Hearing(Protocol):
    """Where announcements are heard (`db.notify.Listener`); None means that some may have been missed."""

    def add(self, channel: str, callback: Callable[[str | None], None]) -> None:
        """Call `callback` for each announcement on `channel`."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed: address keys (of the home domain, not of an alias domain), account ids; or everything."""

    addresses: tuple[str, ...] = ()
    account_ids: tuple[int, ...] = ()
    principals: tuple[str, ...] = ()  # those that are no accounts, as `str(PrincipalId)` has them
    is_everything: bool = False


async def announce_in(
    connection: Connection,
    *,
    addresses: Iterable[str] = (),
    account_ids: Iterable[int] = (),
    principals: Iterable[PrincipalId] = (),
    everything: bool = False,
) -> None:
    """Announce a change when this transaction commits; what does not fit a payload becomes everything."""
    payload = (
        EVERYTHING
        if everything
        else json.dumps(
            [list(addresses), list(account_ids), [str(principal) for principal in principals]],
            ensure_ascii=False,
            separators=(",", ":"),
        )
    )
    if len(payload.encode()) > MAX_PAYLOAD:
        payload = EVERYTHING
    await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, payload)


def read_announcement(payload: str | None) -> Changes:
    """Understand a payload; a missed one (None) or one of a newer version means everything."""
    if payload is None or payload == EVERYTHING:
        return Changes(is_everything=True)
    try:
        addresses, account_ids, principals = json.loads(payload)
        return Changes(tuple(map(str, addresses)), tuple(map(int, account_ids)), tuple(map(str, principals)))
    except (ValueError, TypeError):
        return Changes(is_everything=True)
