"""The watch over the OA's role, look by look, and the views of accounts that went while they were read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from postroad.bridges.oa.role import has_drifted, is_verifier_of, prepare_role, scram_verifier
from postroad.bridges.oa.views import GoneViews
from postroad.bridges.oa.watch import RoleWatch, memory_of_process, nobody_in_the_way
from postroad.config import Oa
from postroad.db.pool import Database
from tests.bridges.oa.test_role import drop


@pytest.fixture
async def settings(database: Database) -> AsyncIterator[Oa]:
    """A role of this test's own."""
    name = await database.fetchval("SELECT 'oa_' || current_database()")
    settings = Oa(sql_role=name, sql_rows_bytes=1024 * 1024)
    await prepare_role(database, settings, None)
    yield settings
    await drop(database, settings.sql_role)


def test_a_verifier_is_known_whatever_its_salt() -> None:
    assert is_verifier_of(scram_verifier("right"), "right")
    assert is_verifier_of(scram_verifier("right", b"another salt", 5000), "right")
    for wrong in (scram_verifier("wrong"), "md5abc", "", "SCRAM-SHA-256$x:y$z", "SCRAM-SHA-256$4096:!$a:b"):
        assert not is_verifier_of(wrong, "right")


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("ALTER ROLE {} SET statement_timeout = 0", "settings"),
        ("ALTER ROLE {} IN DATABASE {} SET work_mem = '64GB'", "settings"),
        ("ALTER ROLE {} IN DATABASE {} RESET lock_timeout", "settings"),
        ("ALTER ROLE {} PASSWORD 'another'", "password"),
        ("ALTER ROLE {} PASSWORD NULL", "password"),
    ],
)
async def test_what_changed_is_seen_and_mended(
    database: Database, settings: Oa, statement: str, what: str
) -> None:
    assert await has_drifted(database, settings) == ""
    name = await database.fetchval("SELECT current_database()")
    await database.execute(statement.format(settings.sql_role, name))
    assert await has_drifted(database, settings) == what
    await RoleWatch(database, settings, lambda _: 0).look()
    assert await has_drifted(database, settings) == ""


async def test_rows_are_taken_while_there_is_room(database: Database, settings: Oa) -> None:
    watch = RoleWatch(database, settings, lambda _: 0)
    is_open = "SELECT has_table_privilege($1, 'oa.websent', 'INSERT')"
    await database.execute(
        "INSERT INTO oa.websentattach (mailid, attachid, content) "
        "SELECT a::text, '1', convert_to(repeat('x', 20000), 'UTF8') FROM generate_series(1, 100) AS a"
    )
    await watch.look()
    assert not await database.fetchval(is_open, settings.sql_role)
    await database.execute("TRUNCATE oa.websentattach")
    for _ in range(10):  # the role itself is looked at now and then only
        await watch.look()
    assert await database.fetchval(is_open, settings.sql_role)


async def test_an_account_goes_at_once_and_its_view_when_nobody_reads_it(database: Database) -> None:
    await database.execute("INSERT INTO domain (name) VALUES ('xxx.com')")
    for name in ("first", "second"):
        await database.execute(
            "INSERT INTO account (domain_id, address) SELECT id, $1 FROM domain", f"{name}@xxx.com"
        )
    view = await database.fetchval(
        "SELECT 'oa.' || oa_view_name(id) FROM account WHERE address LIKE 'first%'"
    )
    reader = await asyncpg.connect(database.dsn)
    try:
        transaction = reader.transaction()
        await transaction.start()
        await reader.fetch(f"SELECT * FROM {view}")
        async with asyncio.timeout(30):
            await database.execute("DELETE FROM account")
        exists = "SELECT to_regclass($1) IS NOT NULL"
        assert await database.fetchval(exists, view)
        assert await GoneViews(database).sweep() == 1  # the other's; somebody reads this one: put off
        assert await GoneViews(database).sweep() == 0  # and not tried again at once
        await transaction.rollback()
        await database.execute("UPDATE oa_view_gone SET try_at = now()")
        assert await GoneViews(database).sweep() == 1
        assert not await database.fetchval(exists, view)
        assert await database.fetchval("SELECT count(*) FROM oa_view_gone") == 0
    finally:
        await reader.close()


async def test_the_schema_changes_though_somebody_reads(database: Database, settings: Oa) -> None:
    reader = await asyncpg.connect(database.dsn)
    role = await database.fetchval("SELECT current_user")
    await reader.execute("BEGIN")
    await reader.fetch("SELECT * FROM account")
    async with asyncio.timeout(60), nobody_in_the_way(database.dsn, settings.sql_role):
        waiting = asyncio.ensure_future(database.execute("ALTER TABLE account ADD COLUMN nothing int"))
        done, _ = await asyncio.wait([waiting], timeout=1.5)
        assert not done, role  # sessions of others are not ended: this one is our own role's
        await reader.execute("COMMIT")
        await waiting
    await reader.close()


def test_memory_is_seen_where_it_can_be() -> None:
    assert memory_of_process(2**22 + 7) == 0
