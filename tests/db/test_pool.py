"""The pool lends connections, speaks jsonb, and has one error for "not now"."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from postroad.db import pool
from postroad.db.pool import Connection, Database, DatabaseUnavailable, PoolUse, TransactionConflict


async def test_jsonb_travels_as_python_values(database: Database) -> None:
    value = {"list": [1, 2.5, None, True], "text": "驿路", "nested": {"a": "b"}}
    assert await database.fetchval("SELECT $1::jsonb", value) == value


async def test_a_transaction_that_raises_leaves_nothing(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as connection:
            await connection.execute("INSERT INTO domain (name) VALUES ('example.com')")
            raise ZeroDivisionError
    assert await database.fetchval("SELECT count(*) FROM domain") == 0


async def test_a_mistake_in_sql_is_not_called_unavailable(database: Database) -> None:
    with pytest.raises(asyncpg.UndefinedTableError):
        await database.fetch("SELECT * FROM nowhere")


async def test_a_server_that_is_not_there_is_unavailable(tmp_path_factory: pytest.TempPathFactory) -> None:
    async with Database(
        f"postgresql://postroad@/postroad?host={tmp_path_factory.mktemp('none')}"
    ) as database:
        with pytest.raises(DatabaseUnavailable):
            await database.fetchval("SELECT 1")


async def test_the_pool_mends_itself_when_its_connections_are_cut(
    database: Database, database_dsn: str
) -> None:
    assert await database.fetchval("SELECT 1") == 1
    killer = await asyncpg.connect(database_dsn)
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'postroad'"
    with pytest.raises(DatabaseUnavailable):
        async with database.transaction() as connection:
            await killer.execute(cut + " AND datname = current_database()")
            await connection.execute("SELECT 1")
    await killer.close()
    assert await database.fetchval("SELECT 2") == 2


async def test_a_pool_in_use_makes_callers_wait_and_then_refuses(database_dsn: str) -> None:
    async with Database(database_dsn, min_size=1, max_size=1, acquire_seconds=1) as database:
        async with database.connection():
            assert database.use() == PoolUse(open=1, idle=0, limit=1)
            with pytest.raises(DatabaseUnavailable, match="no connection became free"):
                await database.fetchval("SELECT 1")
        assert await database.fetchval("SELECT 1") == 1


async def test_a_statement_that_runs_too_long_is_ended(database_dsn: str) -> None:
    async with Database(database_dsn, statement_seconds=0.05) as database:
        with pytest.raises(DatabaseUnavailable, match="statement timeout"):
            await database.execute("SELECT pg_sleep(60)")


async def test_a_failure_of_the_bodys_own_is_not_renamed(database: Database) -> None:
    with pytest.raises(FileNotFoundError):
        async with database.connection():
            raise FileNotFoundError("a blob")


async def test_a_closed_pool_is_unavailable(database_dsn: str) -> None:
    database = Database(database_dsn)
    with pytest.raises(DatabaseUnavailable):
        await database.fetchval("SELECT 1")
    await database.open()
    await database.close()
    with pytest.raises(DatabaseUnavailable):
        await database.fetchval("SELECT 1")


async def test_a_transaction_that_loses_to_a_deadlock_is_tried_again(database: Database) -> None:
    await database.execute("INSERT INTO domain (name) VALUES ('a.example'), ('b.example')")
    met = asyncio.Barrier(2)
    tries = 0

    async def rename(names: tuple[str, str]) -> str:
        has_met = False

        async def work(connection: Connection) -> str:
            nonlocal has_met, tries
            tries += 1
            is_first, has_met = not has_met, True
            for place, name in enumerate(names):
                await connection.execute("SELECT FROM domain WHERE name = $1 FOR UPDATE", name)
                if is_first and place == 0:
                    await met.wait()
            return names[0]

        return await database.commit(work)

    async with asyncio.timeout(60):
        done = await asyncio.gather(rename(("a.example", "b.example")), rename(("b.example", "a.example")))
    assert list(done) == ["a.example", "b.example"]
    assert tries == 3


async def test_a_lost_race_has_an_error_of_its_own_and_a_single_statement_is_tried_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "CONFLICT_PAUSE_SECONDS", 0.0001)
    await database.execute("CREATE SEQUENCE tries")
    await database.execute(
        "CREATE FUNCTION lose() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN "
        "IF nextval('tries') < 3 THEN RAISE EXCEPTION SQLSTATE '40P01'; END IF; RETURN currval('tries'); "
        "END $$"
    )
    with pytest.raises(TransactionConflict) as caught:
        async with database.transaction() as connection:
            await connection.execute("SELECT lose()")
    assert caught.value.is_refusal
    assert await database.fetchval("SELECT lose()") == 3


async def test_reads_of_a_snapshot_agree_whatever_is_committed_between_them(database: Database) -> None:
    async with database.snapshot() as connection:
        before = await connection.fetchval("SELECT count(*) FROM domain")
        await database.execute("INSERT INTO domain (name) VALUES ('example.com')")
        assert await connection.fetchval("SELECT count(*) FROM domain") == before
    assert await database.fetchval("SELECT count(*) FROM domain") == before + 1


@pytest.mark.parametrize("order", ["BEGIN;", "COMMIT;", "ROLLBACK;"])
async def test_a_connection_that_did_not_do_as_told_is_not_lent_again(
    database_dsn: str, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    """Its transaction may still be open, and the next borrower would stand in it."""
    execute = asyncpg.Connection.execute

    async def refuse(
        self: asyncpg.Connection[asyncpg.Record], query: str, *arguments: object, **more: object
    ) -> str:
        if query == order:
            if order == "BEGIN;":
                await execute(self, query)
            raise asyncpg.DiskFullError("no space left on device")
        return await execute(self, query, *arguments, **more)  # type: ignore[arg-type]

    async with Database(database_dsn, max_size=1) as database:
        before = await database.fetchval("SELECT pg_backend_pid()")
        monkeypatch.setattr(asyncpg.Connection, "execute", refuse)
        with pytest.raises((DatabaseUnavailable, ZeroDivisionError)) as caught:
            async with database.transaction() as connection:
                await connection.fetchval("SELECT 1")
                if order == "ROLLBACK;":
                    raise ZeroDivisionError
        assert isinstance(caught.value, ZeroDivisionError) == (order == "ROLLBACK;")
        monkeypatch.undo()
        assert await database.fetchval("SELECT pg_backend_pid()") != before
