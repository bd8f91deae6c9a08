"""What keeps the OA's role from holding or filling what others need, whatever its password's holder does.

PostgreSQL lets every role change its own time-outs, memory and password, listen, and keep a transaction open;
none of that can be taken back by a GRANT. So somebody looks every few seconds, with the rights of the house,
and ends what goes too far. Instead of a door of our own that reads the role's statements: what reads
SQL in front of PostgreSQL reads it differently than PostgreSQL does (comments, escapes, several in one).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from postroad.bridges.oa.role import RoleRefused, has_drifted, prepare_role, set_writing
from postroad.config import Oa
from postroad.db.pool import Database, DatabaseUnavailable

LOOK_SECONDS = 2.0
DRIFT_SECONDS = 10.0  # how often the role's own settings and password are compared
# A listener that does not read keeps every announcement; at the queue's end (8 GB) every transaction that
# announces something fails. Long before that, nobody has anything to lose but the one who holds it.
FULL_QUEUE = 0.02
GRACE_SECONDS = 3  # over a statement's time, for its own time-out to act first

log = structlog.get_logger("postroad.bridges.oa.watch")

# Also moves the queue's end, which nobody else does once it is full (PostgreSQL 15 to 17, async.c).
_USAGE = "SELECT pg_notification_queue_usage()"
_LOOK = """
SELECT a.pid, a.state, a.backend_start,
       extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS transaction_seconds,
       CASE WHEN a.state = 'active'
            THEN extract(epoch FROM clock_timestamp() - a.query_start)::float8 END AS statement_seconds
FROM pg_stat_activity a
WHERE a.usename = $1 AND a.datname = current_database() AND a.pid <> pg_backend_pid()
"""
# By process and start: the number may be another's by now.
_END = """
SELECT count(*) FILTER (WHERE pg_terminate_backend(a.pid))
FROM unnest($1::int[], $2::timestamptz[]) AS gone (pid, since)
JOIN pg_stat_activity a ON a.pid = gone.pid AND a.backend_start = gone.since
"""
_CLEAR = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE usename = $1 AND datname = current_database() AND xact_start IS NOT NULL
"""
_ROWS = """
SELECT pg_total_relation_size('oa.websent') + pg_total_relation_size('oa.websentattach') AS size_bytes,
       has_table_privilege('public', 'oa.websent', 'INSERT') AS is_open
"""


@dataclass(frozen=True, slots=True)
class _Session:
    pid: int
    since: object
    transaction_seconds: float
    statement_seconds: float


class RoleWatch:
    """Looks after the OA's role; `run` goes on beside the work, in one worker of all at a time."""

    def __init__(
        self,
        database: Database,
        settings: Oa,
        memory_of: Callable[[int], int],
    ) -> None:
        """`memory_of` gives the bytes a PostgreSQL process has for itself, 0 where they cannot be seen."""
        self._database = database
        self._settings = settings
        self._memory_of = memory_of
        self._looks = 0
        self.ended: Counter[str] = Counter()

    async def run(self) -> None:
        """Look every few seconds until cancelled."""
        while True:
            try:
                await self.look()
            except DatabaseUnavailable as error:
                log.debug("oa_role_not_watched", reason=str(error))
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> int:
        """End what went too far; returns how many sessions that were. Raises `DatabaseUnavailable`."""
        async with self._database.transaction() as connection:
            # One is enough; who comes second has seen that somebody is at it.
            if not await connection.fetchval(
                "SELECT pg_try_advisory_xact_lock(hashtext('postroad oa watch'))"
            ):
                return 0
            usage = float(await connection.fetchval(_USAGE))
            rows = await connection.fetch(_LOOK, self._settings.sql_role)
        sessions = [
            _Session(
                row["pid"],
                row["backend_start"],
                row["transaction_seconds"] or 0.0,
                row["statement_seconds"] or 0.0,
            )
            for row in rows
        ]
        ended = 0
        for reason, chosen in self._too_far(sessions, usage):
            ended += await self._end(chosen, reason, usage)
        if self._looks % round(DRIFT_SECONDS / LOOK_SECONDS) == 0:
            await self._mend_role()
            await self._bound_rows()
        self._looks += 1
        return ended

    def _too_far(self, sessions: Sequence[_Session], usage: float) -> list[tuple[str, list[_Session]]]:
        """Which sessions are to end, and why; each once."""
        statement = self._settings.sql_statement_seconds + GRACE_SECONDS
        transaction = 2 * self._settings.sql_statement_seconds + GRACE_SECONDS
        found: dict[str, list[_Session]] = {}
        for each in sessions:
            if usage > FULL_QUEUE and each.transaction_seconds > GRACE_SECONDS:
                found.setdefault("announcements", []).append(each)
            elif each.statement_seconds > statement:
                found.setdefault("statement", []).append(each)
            elif each.transaction_seconds > transaction:
                found.setdefault("transaction", []).append(each)
            elif self._memory_of(each.pid) > self._settings.sql_memory_bytes:
                found.setdefault("memory", []).append(each)
        return list(found.items())

    async def _end(self, sessions: Sequence[_Session], reason: str, usage: float) -> int:
        ended = int(
            await self._database.fetchval(
                _END, [each.pid for each in sessions], [each.since for each in sessions]
            )
        )
        self.ended[reason] += ended
        log.warning(
            "oa_sessions_ended",
            role=self._settings.sql_role,
            reason=reason,
            sessions=ended,
            queue_usage=round(usage, 4),
            advice="somebody with the OA's password holds what others need; see docs/security.md",
        )
        return ended

    async def _mend_role(self) -> None:
        """Give the role back the time-outs and the password that the house chose."""
        try:
            changed = await has_drifted(self._database, self._settings)
            if changed:
                log.warning("oa_role_changed", role=self._settings.sql_role, what=changed)
                await prepare_role(self._database, self._settings, None)
        except RoleRefused as error:
            log.error("oa_role_refused", reason=str(error))

    async def _bound_rows(self) -> None:
        """Take rows only while there is room: they lie in the house's own database."""
        row = await self._database.fetchrow(_ROWS)
        assert row is not None
        allowed = row["size_bytes"] <= self._settings.sql_rows_bytes
        if allowed != row["is_open"]:
            await set_writing(self._database, allowed)
            most = self._settings.sql_rows_bytes
            log.warning("oa_writing", allowed=allowed, size_bytes=row["size_bytes"], most_bytes=most)


@asynccontextmanager
async def nobody_in_the_way(dsn: str, role: str) -> AsyncIterator[None]:
    """End the role's transactions while the body runs: the schema cannot change under an open one.

    The workers that look after the role otherwise do not run yet. Raises nothing of its own.
    """

    async def keep_clear() -> None:
        async with Database(dsn, max_size=1) as database:
            while True:
                with suppress(DatabaseUnavailable):
                    await database.execute(_CLEAR, role)
                await asyncio.sleep(1.0)

    task = asyncio.create_task(keep_clear(), name="OA sessions before migrations")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def memory_of_process(pid: int) -> int:
    """Bytes of memory a process of this machine has for itself; 0 where that cannot be seen (proc(5))."""
    with suppress(OSError, ValueError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    return 0
