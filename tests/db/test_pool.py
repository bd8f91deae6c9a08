"""The pool lends connections, speaks jsonb, and has one error for "not now"."""

from __future__ import annotations

import asyncpg
import pytest

from postroad.db.pool import Database, DatabaseUnavailable, PoolUse


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
    async with Database(database_dsn, max_size=1, acquire_seconds=0.05) as database:
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
