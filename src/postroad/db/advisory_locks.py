"""Locks that die with their holder: PostgreSQL's advisory locks, all of a process on one connection.

A killed process's connection ends, and with it what it held; a connection per lock would use up the
database's. `alone` (jobs.py) is for work that fits one statement of the pool; these are held for minutes.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from postroad.db.notify import HasDsn
from postroad.db.pool import CONNECTION_ERRORS, Connection, DatabaseUnavailable, connect, is_unavailable

ANSWER_SECONDS = 10.0  # for a statement that looks into memory


@asynccontextmanager
async def session_lock(connection: Connection, key: int) -> AsyncIterator[bool]:
    """Hold the lock `key` by a connection of the pool while the body runs; False when somebody else has it.

    A connection that may hold the lock without our knowing is ended: lent to others, it would keep it.
    """
    try:
        is_ours = bool(await connection.fetchval("SELECT pg_try_advisory_lock($1)", key))
    except BaseException:
        connection.terminate()
        raise
    try:
        yield is_ours
    finally:
        if is_ours and not connection.is_closed():
            try:
                await connection.execute("SELECT pg_advisory_unlock($1)", key)
            except BaseException as error:
                connection.terminate()
                if not isinstance(error, CONNECTION_ERRORS):
                    raise


class HeldLock:
    """A lock in our hand, until `release`, or until the connection is lost."""

    def __init__(self, locks: AdvisoryLocks, key: int, connection: Connection) -> None:
        self._locks = locks
        self.key = key
        self._connection = connection

    @property
    def is_held(self) -> bool:
        """Whether it is still ours: a lost connection has given it back."""
        return not self._connection.is_closed()

    async def release(self) -> None:
        """Give it back; never raises for an outage."""
        await self._locks._give_back(self, self._connection)


class AdvisoryLocks:
    """The locks of one process; entered (`async with`) before it is used."""

    def __init__(self, database: HasDsn) -> None:
        """Lock in the database that `database` names."""
        self._dsn = database.dsn
        self._connection: Connection | None = None
        self._held: dict[int, HeldLock | None] = {}
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> AdvisoryLocks:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.terminate()

    async def try_lock(self, name: str) -> HeldLock | None:
        """Take the lock called `name`, or return None when somebody has it, here or elsewhere.

        Raises `DatabaseUnavailable`.
        """
        key = int.from_bytes(hashlib.sha256(f"postroad lock {name}".encode()).digest()[:8], signed=True)
        async with self._turn:
            known = self._held.get(key)
            # PostgreSQL would give the same connection the same lock again.
            if known is not None and known.is_held:
                return None
            if self._connection is None or self._connection.is_closed():
                self._connection = await connect(self._dsn)
            connection = self._connection
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    is_ours = await connection.fetchval("SELECT pg_try_advisory_lock($1)", key)
            except BaseException as error:
                # Whether we have it is unknown: the connection goes, and everything with it.
                connection.terminate()
                if isinstance(error, OSError) or is_unavailable(error):
                    raise DatabaseUnavailable(str(error) or "no answer in time") from error
                raise
            if not is_ours:
                return None
            held = self._held[key] = HeldLock(self, key, connection)
            return held

    async def _give_back(self, held: HeldLock, connection: Connection) -> None:
        async with self._turn:
            if self._held.get(held.key) is held:
                del self._held[held.key]
            if connection.is_closed():
                return
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    await connection.execute("SELECT pg_advisory_unlock($1)", held.key)
            except BaseException as error:
                with suppress(Exception):
                    connection.terminate()
                if not isinstance(error, CONNECTION_ERRORS):
                    raise
