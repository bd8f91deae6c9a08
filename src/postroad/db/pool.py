"""`Database`: the pool of connections, and the one error for "cannot reach it now".

Upper floors turn `DatabaseUnavailable` into their 4xx or 503 and need not know PostgreSQL's error codes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import asyncpg
import msgspec

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
else:
    Connection = Any

# SQLSTATE classes (PostgreSQL manual, appendix A) that say "not now" rather than "you did something wrong".
# Connection, transaction rolled back (deadlock), insufficient resources (disk, memory), I/O errors.
_UNAVAILABLE_CLASSES = ("08", "40", "53", "58")
_UNAVAILABLE_CODES = (
    "25P03",  # idle in transaction time-out
    "55P03",  # lock not available in time
    "57014",  # cancelled: statement time-out
    "57P01",  # administrator shut down
    "57P02",  # crash shutdown
    "57P03",  # cannot connect now: starting, recovering
    "57P04",  # database dropped
    "57P05",  # idle session time-out
    "XX001",  # data corrupted: a page that cannot be read is not the client's fault
    "3D000",  # the database does not exist (yet): a restore is under way
)

# Everything asyncpg raises when a connection is gone or of no use any more; `InternalClientError` is what it
# says of one that PostgreSQL ended between two statements. For who keeps a connection outside the pool.
CONNECTION_ERRORS = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)

CONNECT_SECONDS = 5.0
ACQUIRE_SECONDS = 10.0  # well below the shortest deadline above, accepting a mail (60 s)
STATEMENT_SECONDS = 60.0


class DatabaseUnavailable(Exception):
    """The database cannot be reached or cannot work now; the same request may succeed later."""


@dataclass(frozen=True, slots=True)
class PoolUse:
    """How many connections are open, how many of them are idle, and how many there may be."""

    open: int
    idle: int
    limit: int


class Database:
    """A pool of connections that mends itself: dead ones are replaced when PostgreSQL is back."""

    def __init__(
        self,
        dsn: str,
        min_size: int = 0,
        max_size: int = 10,
        *,
        acquire_seconds: float = ACQUIRE_SECONDS,
        statement_seconds: float = STATEMENT_SECONDS,
    ) -> None:
        """Name the database `dsn`; nothing is connected before `open`.

        `min_size` connections are opened at once where possible; `max_size` bounds them. A caller waits
        at most `acquire_seconds` for one, and no statement runs longer than `statement_seconds`.
        """
        self.dsn = dsn
        self._min_size = min_size
        self._max_size = max_size
        self._acquire_seconds = acquire_seconds
        self._statement_seconds = statement_seconds
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    async def open(self) -> None:
        """Make the pool. An unreachable database is no error here: connections are made when needed."""
        if self._pool is not None:
            return
        try:
            self._pool = await self._create(self._min_size)
        except CONNECTION_ERRORS as error:
            if not (isinstance(error, OSError) or is_unavailable(error)):
                raise
            self._pool = await self._create(0)

    async def _create(self, min_size: int) -> asyncpg.Pool[asyncpg.Record]:
        return await asyncpg.create_pool(
            self.dsn,
            min_size=min_size,
            max_size=self._max_size,
            timeout=CONNECT_SECONDS,
            command_timeout=self._statement_seconds + 5,  # for a server that answers nothing at all
            init=prepare_connection,
            reset=_reset,
            server_settings={
                "application_name": "postroad",
                "statement_timeout": str(int(self._statement_seconds * 1000)),
                "timezone": "UTC",
            },
        )

    async def close(self) -> None:
        """Close every connection; those in use get a few seconds to come back."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            async with asyncio.timeout(5):
                await pool.close()
        except CONNECTION_ERRORS:
            pool.terminate()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection, in autocommit. Raises `DatabaseUnavailable`, also for the body's own queries."""
        if self._pool is None:
            raise DatabaseUnavailable("the pool is closed")
        pool = self._pool
        try:
            connection = await pool.acquire(timeout=self._acquire_seconds)
        except TimeoutError as error:
            raise DatabaseUnavailable("no connection became free in time") from error
        except CONNECTION_ERRORS as error:
            if isinstance(error, OSError) or is_unavailable(error):
                raise DatabaseUnavailable(f"cannot connect: {error}") from error
            raise
        try:
            yield connection
        except asyncpg.InternalClientError as error:
            connection.terminate()
            raise DatabaseUnavailable("the connection was lost") from error
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            if is_unavailable(error):
                raise DatabaseUnavailable(str(error)) from error
            raise
        except TimeoutError as error:
            raise DatabaseUnavailable("the database did not answer in time") from error
        except OSError as error:
            # Only a failure of the connection is ours; the body may have had others of its own.
            if connection.is_closed():
                raise DatabaseUnavailable(str(error) or "the connection was lost") from error
            raise
        finally:
            with suppress(*CONNECTION_ERRORS):
                await pool.release(connection)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Lend a connection inside a transaction: committed when the body ends, rolled back when it raises.

        `DatabaseUnavailable` from the commit itself means that the outcome is unknown.
        """
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """All rows of `query`."""
        async with self.connection() as connection:
            return await connection.fetch(query, *arguments)

    async def fetchrow(self, query: str, *arguments: object) -> asyncpg.Record | None:
        """The first row of `query`, or None."""
        async with self.connection() as connection:
            row: asyncpg.Record | None = await connection.fetchrow(query, *arguments)
            return row

    async def fetchval(self, query: str, *arguments: object) -> Any:
        """The first column of the first row of `query`, or None."""
        async with self.connection() as connection:
            return await connection.fetchval(query, *arguments)

    async def execute(self, query: str, *arguments: object) -> str:
        """Run `query`; gives PostgreSQL's status, such as "UPDATE 3"."""
        async with self.connection() as connection:
            return await connection.execute(query, *arguments)

    async def executemany(self, query: str, arguments: Iterable[Sequence[object]]) -> None:
        """Run `query` for each of `arguments`, all or none of them, in one round trip."""
        async with self.connection() as connection:
            await connection.executemany(query, arguments)

    def use(self) -> PoolUse:
        """How the pool is used, for the metrics."""
        if self._pool is None:
            return PoolUse(0, 0, self._max_size)
        return PoolUse(self._pool.get_size(), self._pool.get_idle_size(), self._max_size)


def is_unavailable(error: BaseException) -> bool:
    """Whether an error of asyncpg means "not now" rather than a mistake of ours."""
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        return state[:2] in _UNAVAILABLE_CLASSES or state in _UNAVAILABLE_CODES
    if isinstance(error, asyncpg.InterfaceError):
        # asyncpg has one class for lost connections and for misuse; the words tell them apart.
        return any(word in str(error) for word in ("closed", "closing", "released back to the pool"))
    return isinstance(error, ConnectionError | asyncpg.InternalClientError)


async def connect(dsn: str) -> asyncpg.Connection[asyncpg.Record]:
    """Open a connection outside any pool; the caller closes it. Raises `DatabaseUnavailable`."""
    try:
        return await asyncpg.connect(dsn, timeout=CONNECT_SECONDS)
    except CONNECTION_ERRORS as error:
        if isinstance(error, OSError) or is_unavailable(error):
            raise DatabaseUnavailable(f"cannot connect: {error}") from error
        raise


async def prepare_connection(connection: Connection) -> None:
    """Teach a new connection to speak jsonb as Python values."""
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", format="binary", encoder=_encode_jsonb, decoder=_decode_jsonb
    )


_JSONB_VERSION = b"\x01"  # the only one (jsonb_send in PostgreSQL)


def _encode_jsonb(value: object) -> bytes:
    return _JSONB_VERSION + msgspec.json.encode(value)


def _decode_jsonb(data: bytes) -> object:
    return msgspec.json.decode(memoryview(data)[1:])


async def _reset(connection: Connection) -> None:
    """Instead of asyncpg's own reset, a round trip each time: no room leaves session state behind.

    asyncpg has already ended a transaction that was left open.
    """
