"""Reading what happened: in order, no late commit skipped, each reader at its own pace. And forgetting it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from postroad.db.pool import Connection, Database

KEEP_READ = timedelta(days=3)  # to look at afterwards
KEEP_UNREAD = timedelta(days=30)  # a reader that has been away longer has to start anew
SWEEP_BATCH = 10_000


class Position(NamedTuple):
    """A place in the stream: order is by `xact`, the transaction that wrote, then `id`."""

    xact: int
    id: int


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """An event as it stands in the outbox."""

    position: Position
    kind: str
    account_id: int | None
    payload: dict[str, Any]
    created_at: datetime


# A transaction numbered below the snapshot's xmin is over, and none below it can begin: what this query has
# not seen below xmin will never appear there.
_READ = """
SELECT e.xact::text::bigint AS xact, e.id, e.kind, e.account_id, e.payload, e.created_at
FROM event_consumer c
JOIN event e ON (e.xact, e.id) > (c.last_xact, c.last_id)
WHERE c.name = $1 AND e.xact < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY e.xact, e.id
LIMIT $2
"""

_ACKNOWLEDGE = """
UPDATE event_consumer SET last_xact = $2::text::xid8, last_id = $3, updated_at = now()
WHERE name = $1 AND (last_xact, last_id) < ($2::text::xid8, $3)
"""


class EventReader:
    """One named reader of the outbox; all processes that use the name share its position."""

    def __init__(self, database: Database, name: str) -> None:
        """Read for `name`, which starts at the oldest event kept when it is new."""
        self._database = database
        self._name = name
        self._is_known = False

    async def read(self, limit: int) -> list[RecordedEvent]:
        """The next events after the last acknowledged one, at most `limit`. Raises `DatabaseUnavailable`.

        Two processes that read at once get the same events: use `claim` where that matters.
        """
        async with self._database.connection() as connection:
            await self._ensure(connection)
            return await self._read_in(connection, limit)

    async def acknowledge(self, upto: Position) -> None:
        """Never give the events up to and including `upto` again."""
        await self._database.execute(_ACKNOWLEDGE, self._name, str(upto.xact), upto.id)

    @asynccontextmanager
    async def claim(self, limit: int) -> AsyncIterator[tuple[Connection, list[RecordedEvent]]]:
        """The next events, with the transaction that acknowledges them when the body ends.

        What the body writes on the connection happens exactly once for each event. No events while another
        process has the claim.
        """
        async with self._database.connection() as connection:
            await self._ensure(connection)
            async with connection.transaction():
                held = await connection.fetchval(
                    "SELECT 1 FROM event_consumer WHERE name = $1 FOR UPDATE SKIP LOCKED", self._name
                )
                events = await self._read_in(connection, limit) if held else []
                yield connection, events
                if events:
                    upto = events[-1].position
                    await connection.execute(_ACKNOWLEDGE, self._name, str(upto.xact), upto.id)

    async def _ensure(self, connection: Connection) -> None:
        if self._is_known:
            return
        await connection.execute(
            "INSERT INTO event_consumer (name) VALUES ($1) ON CONFLICT DO NOTHING", self._name
        )
        if await connection.fetchval(_IS_FROM_ELSEWHERE):
            async with connection.transaction():
                await _rebase_in(connection)
        self._is_known = True

    async def _read_in(self, connection: Connection, limit: int) -> list[RecordedEvent]:
        rows = await connection.fetch(_READ, self._name, limit)
        return [
            RecordedEvent(
                position=Position(row["xact"], row["id"]),
                kind=row["kind"],
                account_id=row["account_id"],
                payload=row["payload"],
                created_at=row["created_at"],
            )
            for row in rows
        ]


class Retention:
    """Forgets events that every reader has seen, after a while, and very old ones in any case."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        """`clock` gives the time in UTC."""
        self._database = database
        self._clock = clock

    async def sweep(self) -> int:
        """Delete what need not be kept, in batches; gives how many went. Raises `DatabaseUnavailable`."""
        now = self._clock()
        total = 0
        while True:
            status = await self._database.execute(
                """
                DELETE FROM event WHERE (xact, id) IN (
                    SELECT e.xact, e.id FROM event e
                    WHERE e.created_at < $1
                       OR (e.created_at < $2 AND NOT EXISTS (
                            SELECT FROM event_consumer c WHERE (c.last_xact, c.last_id) < (e.xact, e.id)))
                    ORDER BY e.xact, e.id LIMIT $3)
                """,
                now - KEEP_UNREAD,
                now - KEEP_READ,
                SWEEP_BATCH,
            )
            deleted = int(status.rsplit(" ", 1)[1])
            total += deleted
            if deleted < SWEEP_BATCH:
                return total


# Whatever a snapshot shows is numbered below its xmax, unless the numbers are those of another cluster.
_IS_FROM_ELSEWHERE = """
SELECT EXISTS (SELECT FROM event WHERE xact >= pg_snapshot_xmax(pg_current_snapshot()))
    OR EXISTS (SELECT FROM event_consumer WHERE last_xact >= pg_snapshot_xmax(pg_current_snapshot()))
"""


async def _rebase_in(connection: Connection) -> None:
    """Make positions right again in a database that was restored into another cluster.

    Transaction numbers mean nothing in a new cluster: old ones may lie in its future. All restored events get
    the lowest one, and each reader begins at its first unread one (it may see some of them again).
    """
    await connection.execute("LOCK TABLE event_consumer, event IN SHARE ROW EXCLUSIVE MODE")
    if not await connection.fetchval(_IS_FROM_ELSEWHERE):
        return  # another process was first
    await connection.execute(
        """
        WITH unread AS (
            SELECT c.name, coalesce(min(e.id) - 1, (SELECT coalesce(max(id), 0) FROM event)) AS last_id
            FROM event_consumer c LEFT JOIN event e ON (e.xact, e.id) > (c.last_xact, c.last_id)
            GROUP BY c.name)
        UPDATE event_consumer c SET last_xact = '1', last_id = unread.last_id
        FROM unread WHERE unread.name = c.name
        """
    )
    await connection.execute("UPDATE event SET xact = '1'")
