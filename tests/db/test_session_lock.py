"""A lock of a pooled connection's session never outlives its holder, whatever becomes of the unlocking."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from postroad.db.advisory_locks import session_lock
from postroad.db.pool import Database, DatabaseUnavailable
from tests.faults import wire

KEY = 4711


@pytest.mark.parametrize(
    "fault",
    [wire.Fault.CLOSED, wire.Fault.TERMINATED, wire.Fault.CANCEL],
    ids=lambda fault: fault.name.lower(),
)
async def test_a_lock_is_free_after_its_holder_wherever_the_database_breaks(
    database: Database, tmp_path: Path, fault: wire.Fault
) -> None:
    async def hold(line: wire.Wire, point: wire.Point | None) -> None:
        async with Database(line.dsn, max_size=1, statement_seconds=1) as behind:
            await behind.fetchval("SELECT 1")
            line.arm(fault, point)
            with suppress(DatabaseUnavailable):
                async with behind.connection() as connection, session_lock(connection, KEY) as is_ours:
                    assert is_ours
            line.disarm()
            # Waits: a backend whose client has gone takes a moment to notice.
            await database.execute("SELECT pg_advisory_lock($1), pg_advisory_unlock($1)", KEY)

    async with wire.running(database.dsn, tmp_path) as line:
        await hold(line, None)
        points = wire.distinct(line.journal, wire.crash_points(line.journal, fault))
        assert points
        for point in points:
            await hold(line, point)
