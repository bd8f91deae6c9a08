"""That this worker lives, told by locks that PostgreSQL lets go when its connection dies, and by a sign of
life every few seconds.

Leases belong to workers and last as long as their worker lives; no clock ends one. A worker is dead when its
lock stays free, or when it has said nothing for longer than `lease`, by the database's own time. Whoever was
taken for dead learns it (`epoch`) and begins nothing before its leases were looked at again. The same
connection holds the slots by which all workers together keep to the number of connections a site may see,
and hears when an operator recalls mail. One connection of its own, outside the pool.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import asyncpg
import structlog

from postroad.db.pool import CONNECT_SECONDS, Connection, Database
from postroad.db.tasks import Kept, TaskSupervisor

WORKER_LOCKS = 1349676916  # first key of the workers' advisory locks
CHECK_SECONDS = 5.0
AGAIN_SECONDS = 0.5  # how soon a lost connection is made again
# A worker whose connection broke takes its lock again within seconds; only one that misses it longer is dead.
MISSING_FOR = timedelta(seconds=15)
# Without proof for so long nothing is begun any more: others may take us for dead `MISSING_FOR` after.
CONFIRMED_SECONDS = 12.0
_BROKEN = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)

log = structlog.get_logger("postroad.transport.delivery.presence")

_TAKE_SLOT = """
SELECT slot FROM generate_series(0, $2::int - 1) AS slot
WHERE slot <> ALL ($3::int[]) AND pg_try_advisory_lock($1::bigint + slot) LIMIT 1
"""

_ENTER = """
INSERT INTO queue_worker (owner) VALUES ($1)
ON CONFLICT (owner) DO UPDATE SET missed_at = NULL, seen_at = now()
"""

_COUNT = "SELECT count(*) FROM queue_worker"

# What it finds gone was taken for dead by others; `recalled` is what operators asked for, see `Recall`.
_SHOW = """
UPDATE queue_worker SET seen_at = now(), missed_at = NULL WHERE owner = $1
RETURNING recalled > answered AS is_recalled, (SELECT count(*) FROM queue_worker) AS workers
"""

# Looks only: the lock is tried in a statement of its own and let go with its transaction.
_MISSING = """
SELECT owner FROM queue_worker
WHERE owner <> $1 AND (pg_try_advisory_xact_lock($2, owner) OR seen_at < now() - $3::interval)
"""

_MARK = """
UPDATE queue_worker SET missed_at = CASE WHEN owner = ANY($1::int[]) THEN coalesce(missed_at, now()) END
WHERE (owner = ANY($1::int[])) <> (missed_at IS NOT NULL)
"""

_REMOVE_DEAD = """
DELETE FROM queue_worker WHERE owner IN (
    SELECT owner FROM queue_worker WHERE missed_at <= now() - $1::interval FOR UPDATE SKIP LOCKED)
RETURNING owner
"""


class Presence:
    """One worker's proof of life. `owner` is its number while it runs; used as `async with`.

    `epoch` counts how often the proof was given anew: what was leased before it may be another's by now.
    """

    def __init__(
        self,
        database: Database,
        tasks: TaskSupervisor,
        *,
        lease: timedelta = timedelta(minutes=10),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`lease` is how long a worker that shows no sign of life, but holds its lock, keeps its mail."""
        self._database = database
        self._tasks = tasks
        self._lease = lease
        self._monotonic = monotonic
        self._connection: Connection | None = None
        self._lock = asyncio.Lock()
        self._slots: dict[str, set[int]] = {}
        self._kept: Kept | None = None
        self._confirmed_at = float("-inf")
        self.owner = secrets.randbelow(2**31 - 1) + 1
        self.workers = 1  # how many there are, this one included; a few seconds old
        self.epoch = 0
        self.on_change: Callable[[], None] = lambda: None  # a new epoch began, or mail is recalled
        self.is_recalled = False  # an operator wants leases looked at; see `dispatcher.recall`

    async def __aenter__(self) -> Presence:
        with suppress(*_BROKEN):
            await self._connect()
        self._kept = self._tasks.keep("presence", self._keep)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._kept is not None:
            await self._kept.stop()
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(*_BROKEN):
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
        """Whether the proof stands at the moment; without it nothing new is leased, and nothing begun."""
        return (
            self._connection is not None
            and not self._connection.is_closed()
            and self._monotonic() - self._confirmed_at < CONFIRMED_SECONDS
        )

    async def take_slot(self, site: str, limit: int) -> int | None:
        """Take one of the `limit` connections that all workers together may have to a site.

        None when all are taken, or when nobody can say.
        """
        async with self._lock:
            connection = self._connection
            if connection is None or connection.is_closed():
                return None
            mine = self._slots.setdefault(site, set())
            try:
                slot: int | None = await connection.fetchval(
                    _TAKE_SLOT, _slot_key(site), limit, list(mine), timeout=CONNECT_SECONDS
                )
            except BaseException as error:
                self._drop(connection)  # which may have taken one without telling
                if not isinstance(error, _BROKEN):
                    raise
                slot = None
            if slot is None:
                if not mine:
                    self._slots.pop(site, None)
                return None
            mine.add(slot)
            return slot

    async def give_slot(self, site: str, slot: int) -> None:
        """Let another connection have the place. Never fails: a connection that cannot say so is ended."""
        async with self._lock:
            mine = self._slots.get(site)
            if mine is None or slot not in mine:
                return
            mine.discard(slot)
            if not mine:
                del self._slots[site]
            connection = self._connection
            if connection is None or connection.is_closed():
                return
            try:
                await connection.execute(
                    "SELECT pg_advisory_unlock($1)", _slot_key(site) + slot, timeout=CONNECT_SECONDS
                )
            except BaseException as error:
                self._drop(connection)
                if not isinstance(error, _BROKEN):
                    raise

    async def reap(self) -> bool:
        """Strike workers off that have died; True when there were any. Raises `DatabaseUnavailable`.

        A worker is dead when it was missing twice, `MISSING_FOR` apart.
        """
        async with self._database.transaction() as connection:
            missing = await connection.fetch(_MISSING, self.owner, WORKER_LOCKS, self._lease)
            await connection.execute(_MARK, [row["owner"] for row in missing])
            dead = await connection.fetch(_REMOVE_DEAD, MISSING_FOR)
        if dead:
            log.warning("worker_died", owners=[row["owner"] for row in dead])
        return bool(dead)

    # Recalls: see `queue/recall.py`, who asks and waits for the answer

    async def recalled(self) -> int:
        """The number of the last recall. Raises `DatabaseUnavailable`."""
        found: int | None = await self._database.fetchval(
            "SELECT recalled FROM queue_worker WHERE owner = $1", self.owner
        )
        return found or 0

    async def answer(self, recall: int) -> None:
        """Say that nothing recalled up to `recall` will be begun any more. Raises `DatabaseUnavailable`."""
        await self._database.execute(
            "UPDATE queue_worker SET answered = greatest(answered, $2) WHERE owner = $1", self.owner, recall
        )

    # Inside

    async def _connect(self) -> None:
        connection = await asyncpg.connect(
            self._database.dsn,
            timeout=CONNECT_SECONDS,
            server_settings={"application_name": "postroad worker"},
        )
        try:
            asked_at = self._monotonic()
            if not await connection.fetchval(
                "SELECT pg_try_advisory_lock($1, $2)", WORKER_LOCKS, self.owner, timeout=CONNECT_SECONDS
            ):
                raise ConnectionError("the old connection still holds the lock")
            await connection.execute(_ENTER, self.owner, timeout=CONNECT_SECONDS)
            self.workers = max(1, await connection.fetchval(_COUNT, timeout=CONNECT_SECONDS))
        except BaseException:
            connection.terminate()
            raise
        self._slots.clear()  # they went with the old connection
        self._connection = connection
        self._confirmed_at = asked_at
        self._begin_epoch()

    def _drop(self, connection: Connection) -> None:
        """End a connection, and with it every lock that it has; it is made again soon."""
        connection.terminate()
        if self._connection is connection:
            self._connection = None

    def _begin_epoch(self) -> None:
        self.epoch += 1
        self.on_change()

    async def _keep(self) -> None:
        while True:
            is_lost = self._connection is None or self._connection.is_closed()
            await asyncio.sleep(AGAIN_SECONDS if is_lost else CHECK_SECONDS)
            async with self._lock:
                try:
                    await self._show()
                except _BROKEN as error:
                    log.debug("presence_lost", error=str(error))
                    if self._connection is not None:
                        self._drop(self._connection)

    async def _show(self) -> None:
        connection = self._connection
        if connection is None or connection.is_closed():
            await self._connect()
            return
        asked_at = self._monotonic()
        found = await connection.fetchrow(_SHOW, self.owner, timeout=CONNECT_SECONDS)
        if found is None:
            log.warning("taken_for_dead", owner=self.owner)
            await connection.execute(_ENTER, self.owner, timeout=CONNECT_SECONDS)
            self._begin_epoch()
        else:
            self.workers = max(1, found["workers"])
            if found["is_recalled"]:
                self.is_recalled = True
                self.on_change()
        self._confirmed_at = asked_at


def _slot_key(site: str) -> int:
    digest = hashlib.blake2b(f"postroad slot {site}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True) >> 1
