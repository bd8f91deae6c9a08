"""`Database`: the pool of connections, and the one error for "cannot reach it now".

Upper floors turn `DatabaseUnavailable` into their 4xx or 503 and need not know PostgreSQL's error codes. What
only lost against another transaction is tried again here, where that is right.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVar

import asyncpg
import msgspec

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
    _OneConnection: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    Connection = Any
    _OneConnection = asyncpg.Connection  # the class knows no parameter at run time

# SQLSTATE classes (PostgreSQL manual, appendix A) that say "not now" rather than "you did something wrong".
# Connection, insufficient resources (disk, memory), I/O errors.
_UNAVAILABLE_CLASSES = ("08", "53", "58")
_CONFLICT_CLASS = "40"  # transaction rolled back: deadlock, serialization
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
# For a row or a table that another has: nothing of ours keeps one so long, so it is a stranger or a fault.
# Above deadlock_timeout (1 s), below what a client waits for.
LOCK_SECONDS = 5.0
# Between two statements of a transaction, should the process stand still: others wait for its locks.
IDLE_SECONDS = 120.0


# Times that work is tried again which lost against another transaction; two that meet part at once, so more
# than a few means that something else is wrong.
CONFLICT_RETRIES = 4
CONFLICT_PAUSE_SECONDS = 0.02  # doubled each time, and uneven so that the two do not meet again

Result = TypeVar("Result")


class DatabaseUnavailable(Exception):
    """The database cannot be reached or cannot work now; the same request may succeed later."""

    def __init__(self, reason: str = "", *, is_refusal: bool = False) -> None:
        """`is_refusal`: PostgreSQL itself refused, on a living connection, so nothing was written.

        Otherwise what was under way may have been done although no answer came.
        """
        super().__init__(reason)
        self.is_refusal = is_refusal


class RowsHeld(DatabaseUnavailable):
    """Somebody else keeps what the statement needs, longer than anybody here waits; nothing was written."""


class TransactionConflict(DatabaseUnavailable):
    """A deadlock or a collision with another transaction: all was rolled back, and may be tried again."""


@dataclass(frozen=True, slots=True)
class PoolUse:
    """How many connections are open, how many of them are idle, and how many there may be."""

    open: int
    idle: int
    limit: int


class Backend(_OneConnection):
    """A connection that knows the process behind it: a pooler that keeps sessions makes up another number."""

    process_id = 0


def process_of(connection: Connection) -> int:
    """The process that serves a connection of the pool, as `pg_stat_activity` has it."""
    return int(getattr(connection, "process_id", 0) or connection.get_server_pid())


def session_settings(statement_seconds: float = STATEMENT_SECONDS) -> dict[str, str]:
    """What every connection of a pool asks for."""
    return {
        "application_name": "postroad",
        "statement_timeout": str(int(statement_seconds * 1000)),
        "lock_timeout": str(int(LOCK_SECONDS * 1000)),
        "idle_in_transaction_session_timeout": str(int(IDLE_SECONDS * 1000)),
        "timezone": "UTC",
    }


@asynccontextmanager
async def transaction_of(connection: Connection, **options: Any) -> AsyncIterator[None]:
    """A transaction of a connection: committed when the body ends, rolled back when it raises.

    A connection that did not begin, commit or roll back as it was told is ended: who got it next from the
    pool would stand in somebody else's transaction.
    """
    transaction = connection.transaction(**options)
    try:
        await transaction.start()
    except BaseException:
        _terminate(connection)
        raise
    try:
        yield
    except BaseException:
        try:
            await transaction.rollback()
        except CONNECTION_ERRORS:  # what the body raised says more
            _terminate(connection)
        except BaseException:
            _terminate(connection)
            raise
        raise
    try:
        await transaction.commit()
    except BaseException:
        _terminate(connection)
        raise


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
            connection_class=Backend,
            server_settings=session_settings(self._statement_seconds),
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
            _terminate(connection)
            raise DatabaseUnavailable("the connection was lost") from error
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            if is_conflict(error):
                raise TransactionConflict(str(error), is_refusal=True) from error
            if isinstance(error, asyncpg.LockNotAvailableError):
                raise RowsHeld(str(error), is_refusal=True) from error
            if is_unavailable(error):
                raise DatabaseUnavailable(str(error), is_refusal=_is_refusal(error)) from error
            raise
        except TimeoutError as error:
            # Whatever it still does, nobody waits for; and whoever asks what became of it need not either.
            _terminate(connection)
            raise DatabaseUnavailable("the database did not answer in time") from error
        except OSError as error:
            # Only a failure of the connection is ours; the body may have had others of its own.
            if _is_closed(connection):
                raise DatabaseUnavailable(str(error) or "the connection was lost") from error
            raise
        finally:
            with suppress(*CONNECTION_ERRORS):
                await pool.release(connection)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Lend a connection inside a transaction: committed when the body ends, rolled back when it raises.

        `DatabaseUnavailable` from the commit itself means an unknown outcome, unless it `is_refusal`.
        """
        async with self.connection() as connection, transaction_of(connection):
            yield connection

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Connection]:
        """Lend a connection for reads that must agree with each other: all see the same moment.

        Writes nothing, and never waits for a writer.
        """
        async with (
            self.connection() as connection,
            transaction_of(connection, isolation="repeatable_read", readonly=True),
        ):
            yield connection

    async def commit(self, work: Callable[[Connection], Awaitable[Result]]) -> Result:
        """Run `work` in a transaction; again, a few times, when it lost against another one.

        So `work` must do nothing outside the database. Raises `DatabaseUnavailable` like `transaction`.
        """

        async def in_transaction(connection: Connection) -> Result:
            async with transaction_of(connection):
                return await work(connection)

        return await self._again(in_transaction)

    async def _again(self, work: Callable[[Connection], Awaitable[Result]]) -> Result:
        for retry in range(CONFLICT_RETRIES):
            try:
                async with self.connection() as connection:
                    return await work(connection)
            except TransactionConflict:
                await pause_after_conflict(retry)
        async with self.connection() as connection:
            return await work(connection)

    # A statement outside a transaction is one by itself: rolled back, it may be run again.

    async def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """All rows of `query`."""
        return await self._again(lambda connection: connection.fetch(query, *arguments))

    async def fetchrow(self, query: str, *arguments: object) -> asyncpg.Record | None:
        """The first row of `query`, or None."""
        row: asyncpg.Record | None = await self._again(
            lambda connection: connection.fetchrow(query, *arguments)
        )
        return row

    async def fetchval(self, query: str, *arguments: object) -> Any:
        """The first column of the first row of `query`, or None."""
        return await self._again(lambda connection: connection.fetchval(query, *arguments))

    async def execute(self, query: str, *arguments: object) -> str:
        """Run `query`; gives PostgreSQL's status, such as "UPDATE 3"."""
        return await self._again(lambda connection: connection.execute(query, *arguments))

    async def executemany(self, query: str, arguments: Iterable[Sequence[object]]) -> None:
        """Run `query` for each of `arguments`, all or none of them, in one round trip."""
        rows = list(arguments)
        await self._again(lambda connection: connection.executemany(query, rows))

    def use(self) -> PoolUse:
        """How the pool is used, for the metrics."""
        if self._pool is None:
            return PoolUse(0, 0, self._max_size)
        return PoolUse(self._pool.get_size(), self._pool.get_idle_size(), self._max_size)


# The pool takes a connection that broke away from whoever had it, and then it answers no question any more.


def _is_closed(connection: Connection) -> bool:
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:
        return True


def _terminate(connection: Connection) -> None:
    with suppress(asyncpg.InterfaceError):
        connection.terminate()


async def pause_after_conflict(retry: int) -> None:
    """Let the other transaction finish before the try after `retry` (counted from 0)."""
    await asyncio.sleep(CONFLICT_PAUSE_SECONDS * 2**retry * random.uniform(0.5, 1.5))  # noqa: S311


def is_conflict(error: BaseException) -> bool:
    """Whether an error of asyncpg says that a transaction lost against another one."""
    return isinstance(error, asyncpg.PostgresError) and (error.sqlstate or "")[:2] == _CONFLICT_CLASS


def _is_refusal(error: BaseException) -> bool:
    """Whether PostgreSQL refused a statement and lives on: then the statement has done nothing.

    "08" and "57P": the connection or the server ends, which may come after a commit and before its answer.
    """
    if not isinstance(error, asyncpg.PostgresError):
        return False
    state = error.sqlstate or ""
    severity = getattr(error, "severity_en", None) or getattr(error, "severity", None) or "ERROR"
    return severity == "ERROR" and not state.startswith(("08", "57P"))


def is_unavailable(error: BaseException) -> bool:
    """Whether an error of asyncpg means "not now" rather than a mistake of ours."""
    if is_conflict(error):
        return True
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
    """Teach a new connection to speak jsonb as Python values, and learn which process serves it."""
    if isinstance(connection, Backend):
        connection.process_id = await connection.fetchval("SELECT pg_backend_pid()")
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
