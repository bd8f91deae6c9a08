"""Migrations: in order, once, each whole or not at all, by several processes at once, and never backwards."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from postroad.db.migrate import (
    Migration,
    MigrationFailed,
    SchemaChanged,
    SchemaTooNew,
    migrate,
    read_migrations,
)
from postroad.db.pool import DatabaseUnavailable

SOURCES = Path(__file__).resolve().parents[2] / "src"
ONE = Migration(1, "0001_one.sql", "CREATE TABLE one (id integer); INSERT INTO one VALUES (1);")
TWO = Migration(2, "0002_two.sql", "INSERT INTO one VALUES (2);")


async def rows(dsn: str) -> list[int]:
    connection = await asyncpg.connect(dsn)
    try:
        return [row["id"] for row in await connection.fetch("SELECT id FROM one ORDER BY id")]
    finally:
        await connection.close()


async def test_each_is_applied_once_and_in_order(empty_database_dsn: str) -> None:
    assert await migrate(empty_database_dsn, [ONE]) == [1]
    assert await migrate(empty_database_dsn, [ONE, TWO]) == [2]
    assert await migrate(empty_database_dsn, [ONE, TWO]) == []
    assert await rows(empty_database_dsn) == [1, 2]


async def test_four_processes_at_once_apply_it_once(empty_database_dsn: str) -> None:
    code = (
        "import asyncio, sys\n"
        "from postroad.db.migrate import migrate\n"
        "print(asyncio.run(migrate(sys.argv[1])))\n"
    )
    processes = [
        subprocess.Popen(  # noqa: ASYNC220
            [sys.executable, "-c", code, empty_database_dsn],
            env={"PYTHONPATH": str(SOURCES), "PATH": os.environ["PATH"]},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    outputs = sorted(process.communicate(timeout=60)[0].strip() for process in processes)
    everything = str([migration.version for migration in read_migrations()])
    assert outputs == [everything, "[]", "[]", "[]"]


async def test_a_failing_file_leaves_nothing_and_says_which(empty_database_dsn: str) -> None:
    bad = Migration(2, "0002_bad.sql", "INSERT INTO one VALUES (2); INSERT INTO nowhere VALUES (1);")
    with pytest.raises(MigrationFailed, match=r"0002_bad\.sql.*nowhere"):
        await migrate(empty_database_dsn, [ONE, bad])
    assert await rows(empty_database_dsn) == [1]
    assert await migrate(empty_database_dsn, [ONE, TWO]) == [2]


async def test_a_newer_database_is_refused_with_advice(empty_database_dsn: str) -> None:
    await migrate(empty_database_dsn, [ONE, TWO])
    with pytest.raises(SchemaTooNew, match=r"schema 2.*up to 1.*newer release"):
        await migrate(empty_database_dsn, [ONE])


async def test_a_file_that_was_changed_afterwards_is_refused(empty_database_dsn: str) -> None:
    await migrate(empty_database_dsn, [ONE])
    with pytest.raises(SchemaChanged, match=r"0001_one\.sql"):
        await migrate(empty_database_dsn, [Migration(1, "0001_one.sql", "CREATE TABLE other ()")])


async def test_an_absent_server_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailable):
        await migrate(f"postgresql://postroad@/postroad?host={tmp_path}", [ONE])


def test_file_names_carry_their_number(tmp_path: Path) -> None:
    (tmp_path / "0002_b.sql").write_text("SELECT 2")
    (tmp_path / "0001_a.sql").write_text("SELECT 1")
    assert [migration.version for migration in read_migrations(tmp_path)] == [1, 2]
    (tmp_path / "0002_c.sql").write_text("SELECT 2")
    with pytest.raises(ValueError, match="same number"):
        read_migrations(tmp_path)
    (tmp_path / "later.sql").write_text("SELECT 3")
    with pytest.raises(ValueError, match=r"later\.sql"):
        read_migrations(tmp_path)
