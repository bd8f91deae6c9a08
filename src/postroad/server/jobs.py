"""The housekeeping beside the work: which job runs how often, over all workers of all servers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from postroad.db.jobs import alone, take_turn
from postroad.db.pool import Database, DatabaseUnavailable

LOOK_SECONDS = 15.0  # how often a worker looks whether a turn is due

log = structlog.get_logger("postroad.server.jobs")


@dataclass(frozen=True, slots=True)
class Job:
    """Something to do once every so often. `run` must survive being cut off anywhere."""

    name: str
    every: timedelta
    run: Callable[[], Awaitable[object]]


async def keep_running(database: Database, jobs: Sequence[Job]) -> None:
    """Take the turns that come due, one job after the other, until cancelled."""
    while True:
        # Uneven, so that workers do not go in step.
        await asyncio.sleep(LOOK_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311
        for job in jobs:
            await run_if_due(database, job)


async def run_if_due(database: Database, job: Job) -> bool:
    """Run `job` if its turn has come and nobody is at it; True when it ran. The job's errors are logged."""
    try:
        async with alone(database, job.name) as is_ours:
            if not is_ours or not await take_turn(database, job.name, job.every):
                return False
            result = await job.run()
            log.debug("job_done", job=job.name, result=str(result))
            return True
    except DatabaseUnavailable as error:
        log.debug("job_postponed", job=job.name, reason=str(error))
    except Exception:  # one job's mistake must not end the others
        log.exception("job_failed", job=job.name)
    return False
