"""That this worker lives, told by locks that PostgreSQL lets go when its connection dies.

Two uses: leases of a dead worker end at once instead of running out, and all workers together keep to the
number of connections a destination may see. One connection of its own, outside the pool.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

import asyncpg
import structlog

from postroad.db.pool import CONNECT_SECONDS, Connection, Database

WORKER_LOCKS = 1349676916  # first key of the workers' advisory locks
CHECK_SECONDS = 5.0
# A worker whose connection broke takes its lock again within seconds; only one that misses it longer is dead.
MISSING_FOR = timedelta(seconds=15)

log = structlog.get_logger("postroad.transport.delivery.presence")

_TAKE_SLOT = """
SELECT slot FROM generate_series(0, $2::int - 1) AS slot
WHERE slot <> ALL ($3::int[]) AND pg_try_advisory_lock($1::bigint + slot) LIMIT 1
"""

_COUNT = "SELECT count(*) FROM queue_worker"

# Looks only: the lock is tried in a statement of its own and let go with its transaction.
_MISSING = """
UPDATE queue_worker SET missed_at = CASE WHEN owner = ANY($1::int[]) THEN coalesce(missed_at, $2) END
WHERE (owner = ANY($1::int[])) <> (missed_at IS NOT NULL)
"""


class Presence:
    """One worker's proof of life. `owner` is its number while it runs; used as `async with`."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock
        self._connection: Connection | None = None
        self._lock = asyncio.Lock()
        self._slots: dict[str, set[int]] = {}
        self._task: asyncio.Task[None] | None = None
        self.owner = secrets.randbelow(2**31 - 1) + 1
        self.workers = 1  # how many there are, this one included; a few seconds old

    async def __aenter__(self) -> Presence:
        with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await self._connect()
        self._task = asyncio.create_task(self._keep(), name="presence")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await connection.execute(
                    "DELETE FROM queue_worker WHERE owner = $1", self.owner, timeout=CONNECT_SECONDS
                )
                await connection.close(timeout=CONNECT_SECONDS)
            connection.terminate()

    def share_of(self, limit: int) -> int:
        """This worker's part of something all workers together may have; at least one."""
        return -(-limit // self.workers)

    @property
    def is_held(self) -> bool:
        """Whether the proof stands at the moment; without it nothing new should be leased."""
        return self._connection is not None and not self._connection.is_closed()

    async def take_slot(self, route: str, limit: int) -> int | None:
        """Take one of the `limit` connections that all workers together may have to a route.

        None when all are taken, or when nobody can say.
        """
        async with self._lock:
            connection = self._connection
            if connection is None or connection.is_closed():
                return None
            mine = self._slots.setdefault(route, set())
            try:
                slot: int | None = await connection.fetchval(
                    _TAKE_SLOT, _slot_key(route), limit, list(mine), timeout=CONNECT_SECONDS
                )
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                return None
            if slot is None:
                if not mine:
                    del self._slots[route]
                return None
            mine.add(slot)
            return slot

    async def give_slot(self, route: str, slot: int) -> None:
        """Let another connection have the place. Never fails: a broken connection has let go already."""
        async with self._lock:
            mine = self._slots.get(route)
            if mine is None or slot not in mine:
                return
            mine.discard(slot)
            if not mine:
                del self._slots[route]
            if self._connection is not None and not self._connection.is_closed():
                with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                    await self._connection.execute(
                        "SELECT pg_advisory_unlock($1)", _slot_key(route) + slot, timeout=CONNECT_SECONDS
                    )

    async def bury(self) -> int:
        """End the leases of workers that have died, and return how many rows came free.

        A worker is dead when its lock was free twice, `MISSING_FOR` apart. Raises `DatabaseUnavailable`.
        """
        now = self._clock()
        freed = 0
        async with self._database.transaction() as connection:
            missing = await connection.fetch(
                "SELECT owner FROM queue_worker WHERE owner <> $1 AND pg_try_advisory_xact_lock($2, owner)",
                self.owner,
                WORKER_LOCKS,
            )
            await connection.execute(_MISSING, [row["owner"] for row in missing], now)
            dead = await connection.fetch(
                "SELECT owner FROM queue_worker WHERE missed_at <= $1 FOR UPDATE SKIP LOCKED",
                now - MISSING_FOR,
            )
            if dead:
                owners = [row["owner"] for row in dead]
                # Reads the whole queue, once a death.
                status = await connection.execute(
                    "UPDATE queue_recipient SET next_attempt_at = $2, lease_owner = NULL "
                    "WHERE lease_owner = ANY($1::int[])",
                    owners,
                    now,
                )
                freed = int(status.rpartition(" ")[2])
                await connection.execute("DELETE FROM queue_worker WHERE owner = ANY($1::int[])", owners)
                log.warning("worker_died", owners=owners, freed=freed)
            self.workers = max(1, await connection.fetchval(_COUNT))
        return freed

    async def _connect(self) -> None:
        connection = await asyncpg.connect(
            self._database.dsn,
            timeout=CONNECT_SECONDS,
            server_settings={"application_name": "postroad worker"},
        )
        try:
            if not await connection.fetchval(
                "SELECT pg_try_advisory_lock($1, $2)", WORKER_LOCKS, self.owner, timeout=CONNECT_SECONDS
            ):
                raise ConnectionError("the old connection still holds the lock")
            await connection.execute(
                "INSERT INTO queue_worker (owner) VALUES ($1) "
                "ON CONFLICT (owner) DO UPDATE SET missed_at = NULL",
                self.owner,
                timeout=CONNECT_SECONDS,
            )
            self.workers = max(1, await connection.fetchval(_COUNT, timeout=CONNECT_SECONDS))
        except BaseException:
            connection.terminate()
            raise
        self._slots.clear()  # they went with the old connection
        self._connection = connection

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            async with self._lock:
                try:
                    if self._connection is None or self._connection.is_closed():
                        await self._connect()
                    else:
                        await self._connection.execute("SELECT 1", timeout=CONNECT_SECONDS)
                except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                    log.debug("presence_lost", error=str(error))
                    if self._connection is not None:
                        self._connection.terminate()
                        self._connection = None


def _slot_key(route: str) -> int:
    digest = hashlib.blake2b(f"postroad slot {route}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True) >> 1
