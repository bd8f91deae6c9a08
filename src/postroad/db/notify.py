"""Announcements between processes over LISTEN/NOTIFY: a hint that something changed, never the thing itself.

NOTIFY takes a database-wide lock at commit, so it never stands in a hot transaction: changes are announced
after the commit, coalesced, on a connection of their own. A lost announcement costs time only, since who
listens also looks now and then; after a reconnect everybody is told that something may have been missed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Protocol, Self, TypeAlias

import asyncpg
import structlog

from postroad.db.pool import CONNECT_SECONDS, CONNECTION_ERRORS, Connection
from postroad.db.tasks import Kept, TaskSupervisor

LONGEST_PAYLOAD_BYTES = (
    7999  # NOTIFY: "must be specified as a simple string literal … shorter than 8000 bytes"
)
MOST_PENDING = 20_000  # announcements kept while the database is away; beyond that they are dropped
BATCH = 1000
# Each announcement wakes every process: at 0.01 s they took 7.5 % of a worker that accepts at full speed.
GATHER_SECONDS = 0.05
FIRST_RETRY_SECONDS = 0.1
LAST_RETRY_SECONDS = 5.0
ALIVE_SECONDS = 30.0  # how often an idle connection is asked whether it still works
QUEUE_LENGTH = 1000

Callback: TypeAlias = Callable[[str | None], None]

log = structlog.get_logger("postroad.db.notify")


class HasDsn(Protocol):
    """What is needed of a `Database` here: where it is."""

    @property
    def dsn(self) -> str:
        """The database's address."""


class Announcer:
    """Tells every process of a change, after its commit; entered (`async with`) before it is used."""

    def __init__(self, database: HasDsn, tasks: TaskSupervisor | None = None) -> None:
        """Announce on a connection of our own to the database that `database` names."""
        self._tasks = tasks or TaskSupervisor()
        self._dsn = database.dsn
        self._pending: dict[tuple[str, str], None] = {}  # in order, each once
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._kept: Kept | None = None

    async def __aenter__(self) -> Self:
        self._kept = self._tasks.keep("announcer", self._run)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._kept is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self.flushed()
            await self._kept.stop()

    def announce(self, channel: str, payload: str = "") -> None:
        """Tell the listeners of `channel`, soon. Never raises and never waits; equal ones become one."""
        if len(payload.encode()) > LONGEST_PAYLOAD_BYTES:
            log.error("announcement_too_long", channel=channel)
            return
        if len(self._pending) < MOST_PENDING:
            self._pending[channel, payload] = None
        self._idle.clear()
        self._wake.set()

    async def flushed(self) -> None:
        """Wait until everything announced so far is on its way."""
        await self._idle.wait()

    async def _run(self) -> None:
        delay = FIRST_RETRY_SECONDS
        connection: Connection | None = None
        if self._pending:  # left behind by a run that died
            self._wake.set()
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                try:
                    if connection is None or connection.is_closed():
                        connection = await _connect(self._dsn)
                    # Whatever else is announced meanwhile goes along: NOTIFY wakes every process.
                    await asyncio.sleep(GATHER_SECONDS)
                    while self._pending:
                        await self._send(connection)
                    self._idle.set()
                    delay = FIRST_RETRY_SECONDS
                except CONNECTION_ERRORS as error:
                    log.debug("announcing_failed", error=str(error))
                    if connection is not None:
                        connection.terminate()
                        connection = None
                    await asyncio.sleep(delay)
                    delay = min(delay * 2, LAST_RETRY_SECONDS)
                    self._wake.set()
        finally:
            if connection is not None:
                connection.terminate()

    async def _send(self, connection: Connection) -> None:
        batch = list(self._pending)[:BATCH]
        # Forgotten before they are sent: what is announced again meanwhile must be sent again.
        for key in batch:
            del self._pending[key]
        try:
            await connection.execute(
                "SELECT pg_notify(channel, payload) "
                "FROM unnest($1::text[], $2::text[]) AS a (channel, payload)",
                [channel for channel, _ in batch],
                [payload for _, payload in batch],
                timeout=CONNECT_SECONDS,
            )
        except BaseException:
            self._pending = dict.fromkeys(batch) | self._pending
            raise


class Listener:
    """Hears announcements on one connection per process; entered (`async with`) before it is used."""

    def __init__(self, dsn: str, tasks: TaskSupervisor | None = None) -> None:
        """Listen at the database `dsn`, reconnecting for ever."""
        self._tasks = tasks or TaskSupervisor()
        self._dsn = dsn
        self._callbacks: dict[str, list[Callback]] = {}
        self._changed = asyncio.Event()
        self._listening = asyncio.Event()
        self._kept: Kept | None = None

    async def __aenter__(self) -> Self:
        self._kept = self._tasks.keep("listener", self._run)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._kept is not None:
            await self._kept.stop()

    def add(self, channel: str, callback: Callback) -> None:
        """Call `callback(payload)` for each announcement on `channel`, in the loop; it must not block.

        `callback(None)` means that announcements may have been missed: look for yourself.
        """
        self._callbacks.setdefault(channel, []).append(callback)
        self._change()

    def remove(self, channel: str, callback: Callback) -> None:
        """Undo `add`."""
        callbacks = self._callbacks.get(channel, [])
        if callback in callbacks:
            callbacks.remove(callback)
        if not callbacks:
            self._callbacks.pop(channel, None)
            self._change()

    @asynccontextmanager
    async def subscribe(self, channel: str) -> AsyncIterator[AsyncIterator[str | None]]:
        """Iterate over the announcements of `channel`; None where some may have been missed.

        `async with listener.subscribe("x") as announcements: async for payload in announcements: …`
        """
        queue: asyncio.Queue[str | None] = asyncio.Queue(QUEUE_LENGTH)

        def put(payload: str | None) -> None:
            if queue.full():  # a slow reader: everything it has not read becomes one "look for yourself"
                while not queue.empty():
                    queue.get_nowait()
                payload = None
            queue.put_nowait(payload)

        async def iterate() -> AsyncIterator[str | None]:
            while True:
                yield await queue.get()

        self.add(channel, put)
        try:
            yield iterate()
        finally:
            self.remove(channel, put)

    async def listening(self) -> None:
        """Wait until the connection stands and every channel added so far is listened to."""
        await self._listening.wait()

    def _change(self) -> None:
        self._listening.clear()
        self._changed.set()

    async def _run(self) -> None:
        delay = FIRST_RETRY_SECONDS
        while True:
            connection: Connection | None = None
            try:
                connection = await _connect(self._dsn)
                delay = FIRST_RETRY_SECONDS
                await self._listen(connection)
            except CONNECTION_ERRORS as error:
                log.debug("listening_failed", error=str(error))
            finally:
                self._listening.clear()
                if connection is not None:
                    connection.terminate()
            await asyncio.sleep(delay)
            delay = min(delay * 2, LAST_RETRY_SECONDS)

    async def _listen(self, connection: Connection) -> None:
        """Keep the connection's channels as wanted until it breaks."""
        heard: set[str] = set()
        connection.add_termination_listener(lambda _: self._changed.set())
        self._changed.set()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(ALIVE_SECONDS):
                    await self._changed.wait()
            self._changed.clear()
            wanted = set(self._callbacks)
            for channel in sorted(heard - wanted):
                await connection.remove_listener(channel, self._hear)
            new = sorted(wanted - heard)
            for channel in new:
                await connection.add_listener(channel, self._hear)
            heard = wanted
            await connection.execute("SELECT 1", timeout=CONNECT_SECONDS)  # raises when it broke
            if not self._changed.is_set():
                self._listening.set()
            for channel in new:
                self._tell(channel, None)

    def _hear(self, _connection: object, _process: int, channel: str, payload: object) -> None:
        self._tell(channel, str(payload))

    def _tell(self, channel: str, payload: str | None) -> None:
        for callback in tuple(self._callbacks.get(channel, ())):
            try:
                callback(payload)
            except Exception:  # one listener's mistake must not deafen the others
                log.exception("announcement_callback_failed", channel=channel)


async def _connect(dsn: str) -> Connection:
    return await asyncpg.connect(
        dsn,
        timeout=CONNECT_SECONDS,
        statement_cache_size=16,
        server_settings={"application_name": "postroad notifications"},
    )
