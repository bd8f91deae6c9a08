"""Group commit: mails that come in at the same time share one transaction and one flush to disk.

Knows nothing of mail: it batches, and tells each waiter what became of its own. A flush costs about the
same for one mail as for a hundred, so whoever arrives while a batch is on its way forms the next one.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from postroad.db.pool import (
    CONFLICT_RETRIES,
    Connection,
    Database,
    DatabaseUnavailable,
    RowsHeld,
    TransactionConflict,
    pause_after_conflict,
    process_of,
    transaction_of,
)

MAX_BATCH = 200  # mails
MAX_BATCH_BYTES = 8 * 1024 * 1024
MAX_UNDER_WAY = 3
# A batch is begun beside one that is on its way when it is worth a statement: with 20 sessions all in one
# batch cost 204 µs of processor time a mail, split in two or three 240; but where the disk is slow, nobody
# waits for two flushes.
WORTH_ANOTHER = 8
MAX_WAITING = 10_000  # mails; past it the door says 4xx rather than keep everybody waiting
BATCH_SECONDS = 25.0  # for everything before COMMIT
# For halves of a batch that was held up: eight steps find one among two hundred, two seconds for the others.
HURRIED_LOCK_MILLISECONDS = 200
RESOLVE_SECONDS = 20.0  # to learn what became of a COMMIT whose answer was lost
CANCEL_GRACE_SECONDS = 5.0


class CommitFailed(Exception):
    """Nothing was written, or nobody can say whether: the mail has to be sent again."""


class HeldUp(CommitFailed):
    """Nothing was written, since somebody else keeps what one of the items needs."""


class Weighed(Protocol):
    """What is batched: something that knows its size, and by which mail it is found again after a crash."""

    @property
    def size_bytes(self) -> int:
        """How much it adds to a batch."""
        ...

    @property
    def witness(self) -> int | None:
        """A message id that exists in the store exactly when this was committed.

        None: there is none, and the transaction's own number is asked for, a trip more.
        """
        ...


Item = TypeVar("Item", bound=Weighed)


@dataclass(frozen=True, slots=True)
class AtOnce:
    """How to write by one statement, in autocommit.

    `write` returns what is to be done now that it is committed, None if nothing was written. `resolved` is
    done instead when the answer was lost and the rows turned out to be there.
    """

    write: Callable[[Connection], Awaitable[Callable[[], None] | None]]
    resolved: Callable[[], None] = lambda: None


@dataclass(slots=True)
class _Waiting(Generic[Item]):
    item: Item
    done: asyncio.Future[None]
    batch: asyncio.Task[None] | None = None
    is_committed: bool = False


class GroupCommit(Generic[Item]):
    """Batches of one worker.

    `write_in` writes many items in a transaction; `committed` is told after each.
    """

    def __init__(
        self,
        database: Database,
        write_in: Callable[[Connection, Sequence[Item]], Awaitable[Callable[[], None]]],
        *,
        at_once: Callable[[Sequence[Item]], AtOnce | None] = lambda _items: None,
        max_batch: int = MAX_BATCH,
        max_batch_bytes: int = MAX_BATCH_BYTES,
        max_under_way: int = MAX_UNDER_WAY,
    ) -> None:
        """`write_in` returns what is to be done when, and only when, its transaction has been committed.

        `at_once` may know how to write items by one statement, which saves the trips of a transaction.
        """
        self._database = database
        self._write_in = write_in
        self._at_once = at_once
        self._max_batch = max_batch
        self._max_batch_bytes = max_batch_bytes
        self._max_under_way = max_under_way
        self._waiting: deque[_Waiting[Item]] = deque()
        self._under_way: set[asyncio.Task[None]] = set()
        self._is_starting = False

    @property
    def waiting(self) -> int:
        """How many have not been written yet."""
        return len(self._waiting)

    @property
    def is_busy(self) -> bool:
        """Whether mails wait to be written, or are being written."""
        return bool(self._waiting or self._under_way)

    async def commit(self, item: Item) -> None:
        """Write `item` durably, together with whatever else is waiting. Returning means committed.

        Raises `CommitFailed` when it was not, or when the outcome could not be learned; other errors of the
        item itself pass through. A cancelled call has written nothing, unless its COMMIT was already on its
        way: then the answer is waited for a few seconds more, and given if it comes.
        """
        if len(self._waiting) >= MAX_WAITING:
            raise CommitFailed("too many mails are waiting to be written")
        waiting = _Waiting(item, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._start_soon()
        try:
            await waiting.done
        except asyncio.CancelledError:
            if waiting.batch is None:  # still waiting: it will be passed over
                raise
            await asyncio.wait({waiting.batch}, timeout=CANCEL_GRACE_SECONDS)
            if not waiting.is_committed:
                raise

    async def drain(self) -> None:
        """Wait until everything handed in so far has been written or refused."""
        while self._waiting or self._under_way:
            await asyncio.wait(self._under_way) if self._under_way else await asyncio.sleep(0)

    def _start_soon(self) -> None:
        # Not at once: sessions that were read in the same turn of the loop come into the same batch.
        if not self._is_starting and self._has_room():
            self._is_starting = True
            asyncio.get_running_loop().call_soon(self._start)

    def _start(self) -> None:
        self._is_starting = False
        while self._waiting and self._has_room():
            batch: list[_Waiting[Item]] = []
            size = 0
            while self._waiting and len(batch) < self._max_batch and size < self._max_batch_bytes:
                waiting = self._waiting.popleft()
                if not waiting.done.done():  # cancelled while it waited
                    batch.append(waiting)
                    size += waiting.item.size_bytes
            if not batch:
                return
            task = asyncio.get_running_loop().create_task(self._commit(batch))
            self._under_way.add(task)
            for waiting in batch:
                waiting.batch = task
            task.add_done_callback(self._finished)

    def _has_room(self) -> bool:
        if not self._under_way:
            return True
        return len(self._under_way) < self._max_under_way and len(self._waiting) >= WORTH_ANOTHER

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._start_soon()

    async def _commit(self, batch: list[_Waiting[Item]], *, is_hurried: bool = False) -> None:
        try:
            await self._write([waiting.item for waiting in batch], is_hurried and len(batch) > 1)
        except CommitFailed as error:
            if isinstance(error, HeldUp) and len(batch) > 1:
                # Somebody keeps what one of them needs: the others do not wait for that a second time.
                middle = len(batch) // 2
                await asyncio.gather(
                    self._commit(batch[:middle], is_hurried=True),
                    self._commit(batch[middle:], is_hurried=True),
                )
                return
            for waiting in batch:
                if not waiting.done.done():
                    waiting.done.set_exception(error)
        except asyncio.CancelledError:
            for waiting in batch:
                if not waiting.done.done():
                    waiting.done.set_exception(CommitFailed("the server is going down"))
            raise
        except Exception as error:
            if len(batch) == 1:
                if not batch[0].done.done():
                    batch[0].done.set_exception(error)
                return
            # One of them cannot be written: halves find it in a few steps, and spare the others.
            middle = len(batch) // 2
            await self._commit(batch[:middle])
            await self._commit(batch[middle:])
        else:
            for waiting in batch:
                waiting.is_committed = True
                if not waiting.done.done():
                    waiting.done.set_result(None)

    async def _write(self, items: Sequence[Item], is_hurried: bool) -> None:
        async def write_in(connection: Connection) -> Callable[[], None]:
            if is_hurried:
                await connection.execute(f"SET LOCAL lock_timeout = {HURRIED_LOCK_MILLISECONDS}")
            return await self._write_in(connection, items)

        at_once = None if is_hurried else self._at_once(items)
        if at_once is None or not await _commit_at_once(self._database, at_once, items[0].witness):
            await commit_durably(self._database, write_in, items[0].witness)


async def commit_durably(
    database: Database,
    write_in: Callable[[Connection], Awaitable[Callable[[], None]]],
    witness: int | Callable[[], int | None] | None = None,
) -> None:
    """Run one transaction and learn for certain what became of it; then do what `write_in` returned.

    `witness` is a message id that exists exactly when it was committed, or gives that id once `write_in` has
    come that far; without one the transaction's own number tells. What lost against another transaction is
    tried again, a few times, so `write_in` may be called anew.
    Raises `CommitFailed` when nothing was written or nobody can say; errors of `write_in` pass through.
    """
    for retry in range(CONFLICT_RETRIES):
        try:
            await _attempt(database, write_in, witness)
            return
        except TransactionConflict:
            await pause_after_conflict(retry)
    try:
        await _attempt(database, write_in, witness)
    except TransactionConflict as error:
        raise CommitFailed(str(error)) from error


async def _commit_at_once(database: Database, at_once: AtOnce, witness: int | None) -> bool:
    """Whether the statement wrote everything; False when it wrote nothing, and the longer way may do it."""
    backend = 0
    try:
        async with database.connection() as connection:
            backend = process_of(connection)
            async with asyncio.timeout(BATCH_SECONDS):
                then = await at_once.write(connection)
    except TransactionConflict:
        return False
    except RowsHeld as error:
        raise HeldUp(str(error)) from error
    except DatabaseUnavailable as error:
        if backend == 0 or error.is_refusal:
            raise CommitFailed(str(error)) from error
        # The statement is its own COMMIT: it may have been done although no answer came.
        if witness is None or not await was_committed(database, witness, backend):
            raise CommitFailed("the connection was lost while committing") from error
        then = at_once.resolved
    if then is not None:
        then()
    return then is not None


async def _attempt(
    database: Database,
    write_in: Callable[[Connection], Awaitable[Callable[[], None]]],
    witness: int | Callable[[], int | None] | None,
) -> None:
    is_committing = False
    backend = 0
    number: str | None = None
    try:
        async with database.connection() as connection:
            backend = process_of(connection)
            async with asyncio.timeout(BATCH_SECONDS) as deadline, transaction_of(connection):
                then = await write_in(connection)
                if witness is None:
                    number = await connection.fetchval(_NUMBER)
                deadline.reschedule(None)
                is_committing = True
    except TransactionConflict:
        raise
    except RowsHeld as error:
        raise HeldUp(str(error)) from error
    except DatabaseUnavailable as error:
        if not is_committing or error.is_refusal:
            raise CommitFailed(str(error)) from error
        found = number if witness is None else witness() if callable(witness) else witness
        if found is None or not await was_committed(database, found, backend):
            raise CommitFailed("the connection was lost while committing") from error
    then()


# As text: asyncpg knows no xid8. NULL when nothing was written.
_NUMBER = "SELECT pg_current_xact_id_if_assigned()::text"
_IS_STORED = "SELECT EXISTS (SELECT FROM content WHERE message_id = $1)"
_IS_COMMITTED = "SELECT coalesce(pg_xact_status($1::text::xid8) = 'committed', false)"


async def was_committed(database: Database, witness: int | str, backend: int) -> bool:
    """Whether the transaction of a lost COMMIT took place: its rows are there, or its backend has ended.

    `witness` is a message id, or a transaction's number as text. False also when nobody can say in time:
    better a mail twice than a mail lost.
    """
    until = time.monotonic() + RESOLVE_SECONDS
    while time.monotonic() < until:
        try:
            # In this order: a backend that has ended can change nothing after the look at the rows.
            is_running = await database.fetchval(
                "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)", backend
            )
            is_found = await database.fetchval(
                _IS_COMMITTED if isinstance(witness, str) else _IS_STORED, witness
            )
        except DatabaseUnavailable:
            await asyncio.sleep(0.25)
            continue
        if is_found or not is_running:
            return bool(is_found)
        await asyncio.sleep(0.1)
    return False
