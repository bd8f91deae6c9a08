"""A site's slot is free again after its holder gave it, wherever the database breaks meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from postroad.db.pool import Database
from postroad.db.tasks import TaskSupervisor
from postroad.transport.delivery.presence import Presence, _slot_key
from tests.faults import wire

FAULTS = [wire.Fault.CLOSED, wire.Fault.TERMINATED, wire.Fault.CANCEL]
SITE = "there.example"


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.lower())
async def test_a_slot_is_free_after_it_was_given(
    database: Database, tmp_path: Path, fault: wire.Fault
) -> None:
    async def hold(line: wire.Wire, point: wire.Point | None) -> None:
        async with Database(line.dsn, max_size=1) as behind, Presence(behind, TaskSupervisor()) as presence:
            slot = await presence.take_slot(SITE, 1)
            assert slot is not None
            line.arm(fault, point)
            await presence.give_slot(SITE, slot)
            line.disarm()
            # Waits: a backend whose client has gone takes a moment to notice.
            key = _slot_key(SITE) + slot
            await database.execute("SELECT pg_advisory_lock($1), pg_advisory_unlock($1)", key)

    async with wire.running(database.dsn, tmp_path) as line:
        await hold(line, None)
        points = wire.distinct(line.journal, wire.crash_points(line.journal, fault))
        assert points
        for point in points:
            await hold(line, point)
