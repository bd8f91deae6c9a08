"""What somebody with the OA's password can do to the house: sequences of statements, and mail flows beside.

Each attack runs with everything the role may set for itself set to its worst. What must hold: a mail is
accepted and filed meanwhile, and the attacker's sessions are ended within the bounds of `[oa]`.
"""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import asyncpg
import pytest

from tests.conformance.test_oa_sql import Oa
from tests.running import PASSWORD, RunningServer, free_port, reachable_directory

ENDINGS = (asyncpg.PostgresError, asyncpg.InterfaceError, ConnectionError)

UNBOUND = """
SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0; SET idle_session_timeout = 0;
SET work_mem = '16GB'; SET hash_mem_multiplier = 1000; SET max_parallel_workers_per_gather = 64
"""


@pytest.fixture(scope="module")
def oa() -> Iterator[Oa]:
    """A server whose OA has short times, so that a test sees their end."""
    with reachable_directory("postroad-oa-") as directory:
        server = RunningServer(
            directory,
            sections={
                "oa": {
                    "sql_listen": f"127.0.0.1:{free_port()}",
                    "sql_statement_seconds": 2,
                    "sql_memory_bytes": 96 * 1024 * 1024,
                    "sql_rows_bytes": 24 * 1024 * 1024,
                }
            },
        )
        with server:
            server.add_domain("xxx.com", "first", "second", "third")
            yield Oa(server)


@asynccontextmanager
async def attacker(oa: Oa) -> AsyncIterator[Any]:
    own = oa.database
    connection = await asyncpg.connect(
        host=own["DataSource"],
        port=int(own["Port"]),
        database=own["DatabaseName"],
        user=own["UserId"],
        password=own["Password"],
    )
    try:
        for statement in UNBOUND.split(";"):
            with suppress(asyncpg.UndefinedObjectError):  # a setting of newer PostgreSQL
                await connection.execute(statement)
        yield connection
    finally:
        connection.terminate()


def mail_flows(oa: Oa, to: str = "second@xxx.com") -> None:
    """A mail is taken within the time that this client waits for each answer."""
    with smtplib.SMTP("127.0.0.1", oa.server.ports["smtp"], timeout=30) as client:
        client.sendmail("a@b.example", [to], "From: a@b.example\r\nSubject: flows\r\n\r\nHello\r\n")


async def is_ended(connection: Any, work: Awaitable[Any] | None = None) -> None:
    """The attacker's session is closed by the house."""
    async with asyncio.timeout(60):
        if work is not None:
            with pytest.raises(ENDINGS):
                await work
        while not connection.is_closed():  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.1)


async def idle_in_transaction(connection: Any) -> None:
    await connection.execute("BEGIN")
    await connection.fetch("SELECT count(*) FROM X000001mail")


async def listening_in_transaction(connection: Any) -> None:
    await connection.execute("LISTEN directory")
    await connection.execute("BEGIN")
    await connection.fetch("SELECT 1")


async def locking(connection: Any) -> None:
    await connection.execute("BEGIN")
    await connection.execute("LOCK TABLE websent IN ROW EXCLUSIVE MODE")


async def uncommitted_row(connection: Any) -> None:
    await connection.execute("BEGIN")
    await connection.execute("INSERT INTO websent (mailid, account) VALUES ('AAheld', 'first@xxx.com')")


async def open_cursor(connection: Any) -> None:
    await connection.execute("BEGIN")
    await connection.execute("DECLARE c CURSOR FOR SELECT * FROM webreceive, ldap")
    await connection.fetch("FETCH 10 FROM c")


async def old_snapshot(connection: Any) -> None:
    await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    await connection.fetch("SELECT count(*) FROM webreceive")


HOLDING = {
    each.__name__: each
    for each in (
        idle_in_transaction,
        listening_in_transaction,
        locking,
        uncommitted_row,
        open_cursor,
        old_snapshot,
    )
}


async def test_what_is_held_is_let_go(oa: Oa) -> None:
    async with AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(attacker(oa)) for _ in HOLDING]
        for connection, hold in zip(connections, HOLDING.values(), strict=True):
            await hold(connection)
        await asyncio.to_thread(mail_flows, oa)
        for connection in connections:
            await is_ended(connection)
    await asyncio.to_thread(mail_flows, oa)


BURNING = {
    "sleep": "SELECT pg_sleep(3600)",
    "cross join": "SELECT count(*) FROM generate_series(1, 2000000000)",
    "recursion": "WITH RECURSIVE r AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM r) SELECT count(*) FROM r",
    "memory by an array": "SELECT array_agg(repeat('x', 99999)) FROM generate_series(1, 9000)",
    "memory by a sort": "SELECT a FROM generate_series(1, 400000000) AS a ORDER BY md5(a::text)",
    "memory by a hash": "SELECT count(DISTINCT md5(a::text)) FROM generate_series(1, 400000000) AS a",
    "a regular expression": "SELECT repeat('a', 3000) ~ '(a|aa|aaa)+b' FROM generate_series(1, 10000000)",
    "announcements": "SELECT pg_notify('flood', a || repeat('x', 7000)) FROM generate_series(1, 100000000) a",
    "rows in one statement": "INSERT INTO websent (mailid, mailbodytext) "
    "SELECT a::text, repeat(md5(a::text), 30000) FROM generate_series(1, 100000000) AS a",
    "a format": "SELECT length(format('%1$900000000s', 'x')) FROM generate_series(1, 1000000)",
    "json": "SELECT count(*) FROM json_array_elements(('[' || repeat('1,', 40000000) || '1]')::json)",
    "xml": "SELECT length(repeat('<a>', 300000000))  FROM generate_series(1, 1000000)",
}


async def test_what_burns_is_ended(oa: Oa) -> None:
    async with AsyncExitStack() as stack:
        work = []
        for statement in BURNING.values():
            connection = await stack.enter_async_context(attacker(oa))
            work.append(asyncio.ensure_future(connection.execute(statement)))
        await asyncio.sleep(0)
        await asyncio.to_thread(mail_flows, oa)
        async with asyncio.timeout(90):
            outcomes = await asyncio.gather(*work, return_exceptions=True)
    for name, outcome in zip(BURNING, outcomes, strict=True):
        assert isinstance(outcome, ENDINGS), (name, outcome)
        print(f"{name:28} {type(outcome).__name__}")
    await asyncio.to_thread(mail_flows, oa)


ROLE = (
    "ALTER ROLE postroad_oa SET statement_timeout = 0",
    "ALTER ROLE postroad_oa SET work_mem = '64GB'",
    "ALTER ROLE postroad_oa SET default_transaction_read_only = on",
    "ALTER ROLE postroad_oa IN DATABASE postroad SET lock_timeout = 0",
    "ALTER ROLE postroad_oa IN DATABASE postroad SET search_path = pg_catalog",
    "ALTER ROLE postroad_oa PASSWORD 'mine-alone-0123456789'",
    "ALTER ROLE postroad_oa PASSWORD NULL",
)
SHOW = (
    "SELECT current_setting('statement_timeout'), current_setting('lock_timeout'), "
    "current_setting('search_path'), current_setting('work_mem'), "
    "current_setting('default_transaction_read_only')"
)


async def test_what_the_role_changes_of_itself_is_mended(oa: Oa) -> None:
    async with attacker(oa) as connection:
        for statement in ROLE:
            await connection.execute(statement)

    def shown() -> str:
        return str(oa.by_psql(SHOW))

    async with asyncio.timeout(90):
        while True:
            with suppress(AssertionError):  # the password is not the OA's yet
                if await asyncio.to_thread(shown) == "[('2s', '10s', 'oa', '8MB', 'off')]":
                    break
            await asyncio.sleep(0.5)


async def test_announcements_of_a_silent_listener_do_not_stop_the_house(oa: Oa) -> None:
    async with attacker(oa) as listener, attacker(oa) as speaker:
        await listener.execute("LISTEN flood")
        await listener.execute("BEGIN")
        await listener.fetch("SELECT 1")
        with suppress(*ENDINGS):
            for _ in range(20):
                await speaker.execute(
                    "SELECT pg_notify('flood', a || repeat('x', 7000)) FROM generate_series(1, 5000) a"
                )
        await asyncio.to_thread(mail_flows, oa)
        oa.server.command("account", "add", "noted@xxx.com", "--password-stdin", stdin=f"{PASSWORD}\n")
        await is_ended(listener)
    async with attacker(oa) as connection:
        assert await connection.fetchval("SELECT 1") == 1


async def test_an_account_goes_while_its_view_is_read(oa: Oa) -> None:
    await asyncio.to_thread(
        oa.server.command, "account", "add", "leaving@xxx.com", "--password-stdin", stdin=f"{PASSWORD}\n"
    )
    number = oa.by_psql("select accseqno from ldap where account='leaving@xxx.com'")[0][0]
    async with attacker(oa) as connection:
        await connection.execute("BEGIN")
        await connection.fetch(f"SELECT count(*) FROM X{number:06d}mail")
        removing = asyncio.ensure_future(
            asyncio.to_thread(oa.server.command, "account", "remove", "leaving@xxx.com", "--yes")
        )
        for _ in range(3):
            await asyncio.to_thread(mail_flows, oa)
        await removing
        assert not await connection.fetch("SELECT account FROM ldap WHERE account = 'leaving@xxx.com'")
        await is_ended(connection)


async def test_rows_are_taken_while_there_is_room(oa: Oa) -> None:
    async with attacker(oa) as connection:
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
            async with asyncio.timeout(60):
                for number in range(1_000_000):
                    # Not to be sent, so that nothing but their number and size is at stake.
                    await connection.execute(
                        "INSERT INTO websentattach (mailid, attachid, content) VALUES ($1, '1', $2)",
                        f"full{number}",
                        bytes(500_000),
                    )
                    await asyncio.sleep(0.05)
    await asyncio.to_thread(mail_flows, oa)
    assert "permission denied" in oa.psql("INSERT INTO websent (mailid) VALUES ('AAmore')").stderr
