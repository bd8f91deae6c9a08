"""Periodic jobs that all processes together run once a period: who comes first takes the turn."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from postroad.db.advisory_locks import session_lock
from postroad.db.pool import Database

# The jobs that remove blobs; a backup holds both, so that nothing it lists goes away.
REMOVING_BLOBS = ("released mail", "orphaned blobs")

_TAKE_TURN = """
INSERT INTO job_run (job, started_at) VALUES ($1, now())
ON CONFLICT (job) DO UPDATE SET started_at = now() WHERE job_run.started_at <= now() - $2::interval
RETURNING true
"""


async def take_turn(database: Database, job: str, every: timedelta) -> bool:
    """True when `job` was last begun at least `every` ago, by anybody; then it counts as begun by us now.

    The time is the database's, so that servers whose clocks differ agree. Raises `DatabaseUnavailable`.
    """
    return bool(await database.fetchval(_TAKE_TURN, job, every))


@asynccontextmanager
async def alone(database: Database, job: str) -> AsyncIterator[bool]:
    """Yield True when no other process runs `job` now, and keep them from starting it until the body ends.

    Yields False, at once, when another process has it: skip the work then. Holds one connection of the pool.
    PostgreSQL gives the lock back when the connection dies, so the body must survive being run twice.
    Raises `DatabaseUnavailable`.
    """
    key = int.from_bytes(hashlib.sha256(f"postroad job {job}".encode()).digest()[:8], signed=True)
    async with database.connection() as connection, session_lock(connection, key) as is_ours:
        yield is_ours
