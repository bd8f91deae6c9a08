"""Reading what happened: in order, no late commit skipped, each reader at its own pace. And forgetting it.

Order is by id. Ids are drawn before commits, and not in their order, so a reader that took whatever it sees
would skip a late commit. But whoever writes an event holds a lock on the table from before its id is drawn
until its commit is visible. So a reader notes the last id drawn, then waits for those who are writing at that
moment: what it does not see up to that id afterwards will never be there. Nobody else is waited for: no other
reader, no transaction of another database, none of ours that has written no event. What is left is one that
has written an event and goes on: it holds readers back until it ends, which the pool sees to (no statement
runs for more than a minute, no transaction idles for more than two).
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from postroad.db.advisory_locks import session_lock
from postroad.db.pool import transaction_of

if TYPE_CHECKING:
    from postroad.db.pool import Connection, Database

KEEP_READ = timedelta(days=3)  # to look at afterwards
KEEP_UNREAD = timedelta(days=30)  # a reader that has been away longer has to start anew
SWEEP_BATCH = 10_000
PATIENCE_SECONDS = 1.0  # for those who are writing; then what was certain before is all there is for now
POLL_SECONDS = 0.01  # they take some milliseconds

Position: TypeAlias = int  # a place in the stream: the id of an event


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """An event as it stands in the outbox."""

    position: Position
    kind: str
    account_id: int | None
    payload: dict[str, Any]
    created_at: datetime


_LAST_DRAWN = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM event_id_seq"
# Who has written to the table, and whose transaction is not over; for its moment, a sweep of `Retention` too.
_WRITERS = """
SELECT virtualtransaction FROM pg_locks
WHERE locktype = 'relation' AND relation = 'event'::regclass AND mode = 'RowExclusiveLock' AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_READ = """
SELECT e.id, e.kind, e.account_id, e.payload, e.created_at
FROM event_consumer c JOIN event e ON e.id > c.position
WHERE c.name = $1 AND e.id <= $2
ORDER BY e.id
LIMIT $3
"""
_ACKNOWLEDGE = "UPDATE event_consumer SET position = $2, updated_at = now() WHERE name = $1 AND position < $2"


class Claim:
    """Events that no other process has in hand. Nothing of the database is held while they are worked on,
    but a connection."""

    def __init__(self, connection: Connection, name: str, events: list[RecordedEvent]) -> None:
        self.events = events
        self._connection = connection
        self._name = name
        self.is_settled = not events

    @asynccontextmanager
    async def settling(self) -> AsyncIterator[Connection]:
        """A short transaction that acknowledges the events when it is committed.

        What is written in it happens exactly once for each event.
        """
        async with transaction_of(self._connection):
            yield self._connection
            if self.events:
                await self._connection.execute(_ACKNOWLEDGE, self._name, self.events[-1].position)
        self.is_settled = True


class EventReader:
    """One named reader of the outbox; all processes that use the name share its position."""

    def __init__(
        self, database: Database, name: str, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Read for `name`, which starts at the oldest event kept when it is new."""
        self._database = database
        self._name = name
        self._monotonic = monotonic
        self._is_known = False
        self._certain = 0  # up to here nothing will appear that is not there
        self._awaited: tuple[int, set[str]] | None = None  # the next such id, and who must end first

    async def read(self, limit: int) -> list[RecordedEvent]:
        """The next events after the last acknowledged one, at most `limit`. Raises `DatabaseUnavailable`.

        Two processes that read at once get the same events: use `claim` where that matters.
        """
        async with self._database.connection() as connection:
            await self._ensure(connection)
            return await self._read_in(connection, limit)

    async def acknowledge(self, upto: Position) -> None:
        """Never give the events up to and including `upto` again."""
        await self._database.execute(_ACKNOWLEDGE, self._name, upto)

    @asynccontextmanager
    async def claim(self, limit: int) -> AsyncIterator[Claim]:
        """The next events, for this process alone until the body ends; none while another has the claim.

        They are acknowledged in `Claim.settling`, or else when the body ends. A body that raises, or a
        connection that breaks, leaves them to be claimed again. Work that takes long (a call to a stranger's
        host) belongs before `settling`: no transaction is open there. Raises `DatabaseUnavailable`.
        """
        async with self._database.connection() as connection:
            await self._ensure(connection)
            # A session's lock, which goes with the connection: held without a transaction.
            async with session_lock(connection, self._lock) as is_ours:
                events = await self._read_in(connection, limit) if is_ours else []
                claim = Claim(connection, self._name, events)
                yield claim
                if not claim.is_settled:
                    async with claim.settling():
                        pass

    @property
    def _lock(self) -> int:
        digest = hashlib.sha256(f"postroad events {self._name}".encode()).digest()
        return int.from_bytes(digest[:8], signed=True)

    async def _ensure(self, connection: Connection) -> None:
        if not self._is_known:
            await connection.execute(
                "INSERT INTO event_consumer (name) VALUES ($1) ON CONFLICT DO NOTHING", self._name
            )
            self._is_known = True

    async def _read_in(self, connection: Connection, limit: int) -> list[RecordedEvent]:
        await self._advance(connection)
        rows = await connection.fetch(_READ, self._name, self._certain, limit)
        return [RecordedEvent(*row) for row in rows]

    async def _advance(self, connection: Connection) -> None:
        """Move `_certain` as far as may be, waiting a little for those who are writing."""
        if self._awaited is None:
            last = await connection.fetchval(_LAST_DRAWN)
            if last == self._certain:
                return
            # After the id, in a statement of its own: who drew it has the lock by then, or is done.
            self._awaited = (last, await self._writers(connection))
        last, writers = self._awaited
        until = self._monotonic() + PATIENCE_SECONDS
        while writers:
            writers &= await self._writers(connection)
            if writers:
                if self._monotonic() > until:
                    return
                await asyncio.sleep(POLL_SECONDS)
        self._certain, self._awaited = last, None

    async def _writers(self, connection: Connection) -> set[str]:
        return {row["virtualtransaction"] for row in await connection.fetch(_WRITERS)}


class Retention:
    """Forgets events that every reader has seen, after a while, and very old ones in any case.

    Ages are the database's: by a worker's clock, one that is ahead would forget what nobody has read.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def sweep(self) -> int:
        """Delete what need not be kept, in batches; gives how many went. Raises `DatabaseUnavailable`."""
        total = 0
        while True:
            status = await self._database.execute(
                """
                DELETE FROM event WHERE id IN (
                    SELECT e.id FROM event e
                    WHERE e.created_at < now() - $1::interval
                       OR (e.created_at < now() - $2::interval AND NOT EXISTS (
                            SELECT FROM event_consumer c WHERE c.position < e.id))
                    ORDER BY e.id LIMIT $3)
                """,
                KEEP_UNREAD,
                KEEP_READ,
                SWEEP_BATCH,
            )
            deleted = int(status.rsplit(" ", 1)[1])
            total += deleted
            if deleted < SWEEP_BATCH:
                return total
