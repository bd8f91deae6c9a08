"""Periodic jobs: one process at a time, once a period over all of them."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from postroad.db.jobs import alone, take_turn
from postroad.db.pool import Database


async def test_a_turn_is_taken_once_a_period(database: Database) -> None:
    hour = timedelta(hours=1)
    taken = await asyncio.gather(*(take_turn(database, "sweep", hour) for _ in range(8)))
    assert sorted(taken) == [False] * 7 + [True]
    assert await take_turn(database, "other", hour)
    await database.execute("UPDATE job_run SET started_at = started_at - interval '61 minutes'")
    assert await take_turn(database, "sweep", hour)
    assert not await take_turn(database, "sweep", hour)


async def test_a_job_runs_alone(database: Database) -> None:
    async with (
        alone(database, "sweep") as first,
        alone(database, "sweep") as second,
        alone(database, "other") as third,
    ):
        assert (first, second, third) == (True, False, True)
    async with alone(database, "sweep") as again:
        assert again
