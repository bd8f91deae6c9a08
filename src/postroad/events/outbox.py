"""The outbox: a thing that happened is written in the transaction that made it happen, or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from postroad.db.pool import Connection

CHANNEL = "postroad_event"  # announce it after the commit, so that readers need not wait for their next look


@dataclass(frozen=True, slots=True)
class Event:
    """Something that upper floors may want to know. `kind` is a dotted name such as "account.created"."""

    kind: str
    account_id: int | None = None
    payload: Mapping[str, object] = field(default_factory=dict)


class Outbox:
    """Where the floors below write what happened."""

    async def record_in(self, connection: Connection, events: Iterable[Event]) -> None:
        """Write `events` in the caller's transaction, in one statement."""
        rows = list(events)
        if not rows:
            return
        await connection.execute(recording(1), *recording_arguments(rows))


def recording(first: int) -> str:
    """The statement that writes events, its three parameters numbered from `first`."""
    return (
        "INSERT INTO event (kind, account_id, payload) "
        "SELECT kind, account_id, payload::jsonb "
        f"FROM unnest(${first}::text[], ${first + 1}::bigint[], ${first + 2}::text[]) WITH ORDINALITY "
        "AS e (kind, account_id, payload, place) ORDER BY place"
    )


def recording_arguments(events: Sequence[Event]) -> tuple[list[object], ...]:
    """The parameters of `recording`: a column each."""
    return (
        [event.kind for event in events],
        [event.account_id for event in events],
        [msgspec.json.encode(dict(event.payload)).decode() for event in events],
    )
