"""The pool lends connections, speaks jsonb, and has one error for "not now"."""

from __future__ import annotations

import asyncpg
import pytest

from postroad.db.pool import Database, DatabaseUnavailable


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
