"""Concurrent writers share transactions; each learns the fate of its own item and of no other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import asyncpg
import pytest

from postroad.db import group_commit, pool
from postroad.db.group_commit import AtOnce, CommitFailed, GroupCommit, HeldUp, was_committed
from postroad.db.pool import Connection, Database


@dataclass(frozen=True)
class Item:
    witness: int
    body: bytes | None = b"x"
    size_bytes: int = 1


class Writer:
    def __init__(self) -> None:
        self.batches: list[int] = []
        self.committed: list[int] = []

    async def write_in(self, connection: Connection, items: Sequence[Item]) -> Callable[[], None]:
        self.batches.append(len(items))
        await connection.copy_records_to_table(
            "content", records=[(item.witness, item.body) for item in items], columns=("message_id", "body")
        )
        return lambda: self.committed.extend(item.witness for item in items)


async def stored(database: Database) -> set[int]:
    return {row["message_id"] for row in await database.fetch("SELECT message_id FROM content")}


async def test_writers_that_arrive_together_share_batches(database: Database) -> None:
    writer = Writer()
    group = GroupCommit(database, writer.write_in)
    await asyncio.gather(*(group.commit(Item(number)) for number in range(500)))
    assert await stored(database) == set(range(500))
    assert sorted(writer.committed) == list(range(500))
    assert len(writer.batches) <= 4
    assert max(writer.batches) <= 200


async def test_a_batch_is_bounded_in_bytes(database: Database) -> None:
    writer = Writer()
    group = GroupCommit(database, writer.write_in, max_batch_bytes=10)
    await asyncio.gather(*(group.commit(Item(number, size_bytes=5)) for number in range(10)))
    assert max(writer.batches) == 2


async def test_an_item_that_cannot_be_written_spares_the_others(database: Database) -> None:
    group = GroupCommit(database, Writer().write_in)
    items = [Item(number, body=None if number == 17 else b"x") for number in range(50)]
    outcomes = await asyncio.gather(*(group.commit(item) for item in items), return_exceptions=True)
    assert isinstance(outcomes[17], asyncpg.CheckViolationError)
    assert [number for number, outcome in enumerate(outcomes) if outcome is not None] == [17]
    assert await stored(database) == set(range(50)) - {17}


async def test_a_cancelled_waiter_writes_nothing(database: Database) -> None:
    gate, entered = asyncio.Event(), asyncio.Event()
    writer = Writer()

    async def write_in(connection: Connection, items: Sequence[Item]) -> Callable[[], None]:
        entered.set()
        await gate.wait()
        return await writer.write_in(connection, items)

    group = GroupCommit(database, write_in, max_under_way=1)
    first = asyncio.create_task(group.commit(Item(1)))
    await entered.wait()
    second = asyncio.create_task(group.commit(Item(2)))
    await asyncio.sleep(0)
    assert group.waiting == 1
    second.cancel()
    gate.set()
    await first
    await group.drain()
    assert second.cancelled()
    assert await stored(database) == {1}


async def test_a_waiter_cancelled_while_its_batch_commits_learns_that_it_was_written(
    database: Database,
) -> None:
    gate, entered = asyncio.Event(), asyncio.Event()
    writer = Writer()

    async def write_in(connection: Connection, items: Sequence[Item]) -> Callable[[], None]:
        entered.set()
        await gate.wait()
        return await writer.write_in(connection, items)

    group = GroupCommit(database, write_in)
    task = asyncio.create_task(group.commit(Item(1)))
    await entered.wait()
    task.cancel()
    await asyncio.sleep(0)
    gate.set()
    await task
    assert await stored(database) == {1}


async def test_a_database_that_is_gone_is_a_failure_and_never_a_success(database_dsn: str) -> None:
    async with Database(database_dsn.replace("/test_", "/missing_")) as database:
        group = GroupCommit(database, Writer().write_in)
        with pytest.raises(CommitFailed):
            await group.commit(Item(1))


async def test_a_connection_lost_before_the_commit_writes_nothing(database: Database) -> None:
    async def write_in(connection: Connection, items: Sequence[Item]) -> Callable[[], None]:
        then = await Writer().write_in(connection, items)
        await database.execute("SELECT pg_terminate_backend($1)", connection.get_server_pid())
        await connection.execute("SELECT 1")
        return then

    group = GroupCommit(database, write_in)
    with pytest.raises(CommitFailed):
        await group.commit(Item(1))
    assert await stored(database) == set()


async def test_a_lost_answer_to_a_commit_that_took_place_is_a_success(database: Database) -> None:
    """The answer is lost on the way: the rows decide."""
    await database.execute("INSERT INTO content (message_id, body) VALUES (7, 'x')")
    assert await was_committed(database, 7, 0)
    assert not await was_committed(database, 8, 0)


async def test_drain_waits_for_what_is_under_way(database: Database) -> None:
    group = GroupCommit(database, Writer().write_in)
    tasks = [asyncio.create_task(group.commit(Item(number))) for number in range(20)]
    await asyncio.sleep(0)
    await group.drain()
    assert await stored(database) == set(range(20))
    await asyncio.gather(*tasks)


def at_once_like(writer: Writer, *, wrote: bool) -> Callable[[Sequence[Item]], AtOnce]:
    """A single statement that writes (`wrote`), or finds that it cannot."""

    def at_once(items: Sequence[Item]) -> AtOnce:
        async def write(connection: Connection) -> Callable[[], None] | None:
            return await writer.write_in(connection, items) if wrote else None

        return AtOnce(write)

    return at_once


async def never(connection: Connection, items: Sequence[Item]) -> Callable[[], None]:
    raise AssertionError("the longer way was taken")


async def test_a_single_statement_is_enough_where_it_does(database: Database) -> None:
    group = GroupCommit(database, never, at_once=at_once_like(Writer(), wrote=True))
    await group.commit(Item(1))
    assert await stored(database) == {1}


async def test_where_it_does_not_the_longer_way_is_taken(database: Database) -> None:
    group = GroupCommit(database, Writer().write_in, at_once=at_once_like(Writer(), wrote=False))
    await group.commit(Item(1))
    assert await stored(database) == {1}


async def test_a_single_statement_whose_answer_was_lost_is_looked_up(database: Database) -> None:
    """In autocommit the statement is its own COMMIT."""
    writer = Writer()

    def at_once(items: Sequence[Item]) -> AtOnce:
        async def write(connection: Connection) -> Callable[[], None] | None:
            then = await writer.write_in(connection, items)
            await database.execute("SELECT pg_terminate_backend($1)", connection.get_server_pid())
            await connection.execute("SELECT 1")
            return then

        return AtOnce(write)

    group = GroupCommit(database, never, at_once=at_once)
    await group.commit(Item(1))
    assert await stored(database) == {1}


async def two_rows(database: Database) -> None:
    await database.execute("INSERT INTO content (message_id, body) VALUES (-1, 'x'), (-2, 'x')")


@pytest.mark.parametrize("is_at_once", [False, True], ids=["transaction", "statement"])
async def test_a_writer_that_lost_to_a_deadlock_is_written_all_the_same(
    database: Database, is_at_once: bool
) -> None:
    """Both meet crosswise on their first try, whoever loses it; both are committed."""
    await two_rows(database)
    met = asyncio.Barrier(2)
    tries = 0

    def writer(turn: int) -> GroupCommit[Item]:
        has_met = False

        async def write_in(connection: Connection, items: Sequence[Item]) -> Callable[[], None]:
            nonlocal has_met, tries
            tries += 1
            first, has_met = not has_met, True
            await connection.execute("SELECT FROM content WHERE message_id = $1 FOR UPDATE", -1 - turn)
            if first:
                await met.wait()
            await connection.execute("SELECT FROM content WHERE message_id = $1 FOR UPDATE", -2 + turn)
            return await Writer().write_in(connection, items)

        def at_once(items: Sequence[Item]) -> AtOnce | None:
            async def write(connection: Connection) -> Callable[[], None] | None:
                async with connection.transaction():  # stands for a statement that locks twice
                    return await write_in(connection, items)

            return AtOnce(write) if is_at_once else None

        return GroupCommit(database, write_in, at_once=at_once)

    async with asyncio.timeout(60):
        await asyncio.gather(writer(0).commit(Item(1)), writer(1).commit(Item(2)))
    assert await stored(database) == {-2, -1, 1, 2}
    assert tries == 3


async def test_work_that_always_loses_is_given_up_as_not_written(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "CONFLICT_PAUSE_SECONDS", 0.0001)
    tries = 0

    async def write_in(connection: Connection, items: Sequence[Item]) -> Callable[[], None]:
        nonlocal tries
        tries += 1
        await Writer().write_in(connection, items)
        await connection.execute("DO $$ BEGIN RAISE EXCEPTION SQLSTATE '40001'; END $$")
        raise AssertionError

    with pytest.raises(CommitFailed):
        await GroupCommit(database, write_in).commit(Item(1))
    assert tries == pool.CONFLICT_RETRIES + 1
    assert await stored(database) == set()


@pytest.mark.parametrize("state", ["53100", "57014", "53200", "58030", "25P03"])
@pytest.mark.parametrize("is_at_once", [False, True], ids=["commit", "statement"])
async def test_who_was_refused_on_a_living_connection_does_not_ask_what_became_of_it(
    database: Database, monkeypatch: pytest.MonkeyPatch, state: str, is_at_once: bool
) -> None:
    """A full disk, a cancelled statement: PostgreSQL has said that nothing was written."""

    async def asked(*_: object) -> bool:
        raise AssertionError("a living connection was asked for 20 seconds")

    monkeypatch.setattr(group_commit, "was_committed", asked)
    # A constraint that is checked at COMMIT fails there; a statement by itself at once.
    await database.execute(
        f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION SQLSTATE '{state}'; END $$"
    )
    await database.execute(
        "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON content DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    writer = Writer()
    at_once = at_once_like(writer, wrote=True) if is_at_once else (lambda _items: None)
    with pytest.raises(CommitFailed):
        await GroupCommit(database, writer.write_in, at_once=at_once).commit(Item(1))
    assert await stored(database) == set()
    assert writer.committed == []


@dataclass(frozen=True)
class Unseen:
    """Something that leaves no message behind, so that only its transaction's number tells."""

    name: str
    witness: None = None
    size_bytes: int = 1


async def test_without_a_witness_the_transactions_number_tells_what_became_of_a_lost_commit(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    async def write_in(connection: Connection, items: Sequence[Unseen]) -> Callable[[], None]:
        await connection.executemany(
            "INSERT INTO job_run (job, started_at) VALUES ($1, now())", [(item.name,) for item in items]
        )
        return lambda: None

    async def note(*arguments: object) -> bool:
        asked.append(arguments[1])
        return await was_committed(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(group_commit, "was_committed", note)
    commit = asyncpg.transaction.Transaction.commit

    async def lose_the_answer(self: asyncpg.transaction.Transaction) -> None:
        await commit(self)
        raise ConnectionResetError("the answer is lost")

    monkeypatch.setattr(asyncpg.transaction.Transaction, "commit", lose_the_answer)
    await GroupCommit(database, write_in).commit(Unseen("a"))
    monkeypatch.undo()
    assert [type(each) for each in asked] == [str]
    assert await database.fetchval("SELECT count(*) FROM job_run") == 1


@pytest.mark.parametrize("is_at_once", [False, True])
async def test_who_waits_for_a_stranger_is_set_apart_and_the_others_go(
    database_dsn: str, monkeypatch: pytest.MonkeyPatch, is_at_once: bool
) -> None:
    monkeypatch.setattr(pool, "LOCK_SECONDS", 0.5)
    writer = Writer()

    def at_once(items: Sequence[Item]) -> AtOnce:
        async def write(connection: Connection) -> Callable[[], None]:
            await connection.execute(
                "INSERT INTO content (message_id, body) SELECT id, 'x' FROM unnest($1::bigint[]) AS id",
                [item.witness for item in items],
            )
            return lambda: None

        return AtOnce(write)

    stranger = await asyncpg.connect(database_dsn)
    async with Database(database_dsn) as database:
        group = GroupCommit(database, writer.write_in, at_once=at_once if is_at_once else lambda _: None)
        transaction = stranger.transaction()
        await transaction.start()
        await stranger.execute("INSERT INTO content (message_id, body) VALUES (17, 'mine')")
        outcomes = await asyncio.gather(
            *(group.commit(Item(number)) for number in range(50)), return_exceptions=True
        )
        assert [number for number, outcome in enumerate(outcomes) if outcome is not None] == [17]
        assert isinstance(outcomes[17], HeldUp)
        assert await stored(database) == set(range(50)) - {17}  # while the stranger still has it
        await transaction.rollback()
        await group.commit(Item(17))
        assert 17 in await stored(database)
    await stranger.close()


async def test_nothing_of_ours_waits_for_a_lock_without_end(database_dsn: str) -> None:
    async with Database(database_dsn) as database:
        assert await database.fetchval("SHOW lock_timeout") == f"{pool.LOCK_SECONDS:.0f}s"
