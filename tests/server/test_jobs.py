"""Housekeeping runs once a period, and one job's mistake does not end the others."""

from __future__ import annotations

from datetime import timedelta

from postroad.db.pool import Database
from postroad.server.jobs import Job, run_if_due


async def test_a_job_runs_when_its_turn_has_come(database: Database) -> None:
    runs: list[int] = []

    async def run() -> None:
        runs.append(1)

    job = Job("sweep", timedelta(hours=1), run)
    assert await run_if_due(database, job)
    assert not await run_if_due(database, job)
    assert runs == [1]


async def test_a_job_that_fails_is_logged_and_waits_for_its_next_turn(database: Database) -> None:
    async def run() -> None:
        raise ZeroDivisionError

    job = Job("broken", timedelta(hours=1), run)
    assert not await run_if_due(database, job)
    assert not await run_if_due(database, job)


async def test_without_a_database_nothing_runs(database: Database) -> None:
    async def run() -> None:
        raise AssertionError

    await database.close()
    assert not await run_if_due(database, Job("sweep", timedelta(hours=1), run))
