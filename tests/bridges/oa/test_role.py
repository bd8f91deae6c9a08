"""The OA's role as it is made: by many servers at once, and by a user without the rights."""

from __future__ import annotations

import asyncio
import base64

import pytest

from postroad.bridges.oa.dates import server_zone
from postroad.bridges.oa.publishing import Place, place_of_dsn
from postroad.bridges.oa.role import RoleRefused, prepare_role, scram_verifier
from postroad.config import Oa
from postroad.db.pool import Database

ZONE = server_zone("Asia/Shanghai")


@pytest.fixture
async def settings(database: Database) -> Oa:
    """A role of this test's own, which is dropped with its database's rights."""
    name = await database.fetchval("SELECT 'oa_' || current_database()")
    return Oa(sql_role=name)


async def drop(database: Database, role: str) -> None:
    await database.execute(f"DROP OWNED BY {role}")
    await database.execute(f"DROP ROLE {role}")


async def test_any_number_of_servers_make_one_role_with_one_password(
    database: Database, settings: Oa
) -> None:
    prepared = await asyncio.gather(*(prepare_role(database, settings, None, ZONE) for _ in range(4)))
    assert len({each.password for each in prepared}) == 1
    assert len(prepared[0].password) >= 32
    assert [each.missing for each in prepared] == [[]] * 4
    assert (await prepare_role(database, settings, "another-password-0123", ZONE)).password == prepared[
        0
    ].password
    assert await database.fetchval("SELECT zone FROM oa_house") == "Asia/Shanghai"
    stored = await database.fetchval(
        "SELECT rolpassword FROM pg_authid WHERE rolname = $1", settings.sql_role
    )
    assert stored.startswith("SCRAM-SHA-256$4096:")
    await drop(database, settings.sql_role)


async def test_a_role_that_may_more_is_not_taken(database: Database) -> None:
    with pytest.raises(RoleRefused):
        await prepare_role(database, Oa(sql_role="postroad"), None, ZONE)


async def test_a_user_without_rights_is_told_what_an_administrator_has_to_run(
    database: Database, settings: Oa
) -> None:
    house = settings.sql_role.replace("oa_", "house_")
    await database.execute(f"CREATE ROLE {house} LOGIN")
    await database.execute(f"GRANT SELECT, INSERT, UPDATE ON oa_house, oa_role TO {house}")
    # Not a connection of its own: peer identification knows only the house itself.
    async with database.connection() as connection:
        await connection.execute(f"SET ROLE {house}")
        assert await connection.fetchval("SELECT current_user") == house

        class One:
            """A database whose transactions are this connection's."""

            def transaction(self) -> object:
                return _Lent(connection)

        prepared = await prepare_role(One(), settings, None, ZONE)  # type: ignore[arg-type]
        assert prepared.missing
        await connection.execute("RESET ROLE")
        for statement in prepared.missing:
            await connection.execute(statement)
        await connection.execute(f"SET ROLE {house}")
        assert not (await prepare_role(One(), settings, None, ZONE)).missing  # type: ignore[arg-type]
        assert await connection.fetchval(
            "SELECT has_function_privilege('pg_advisory_lock(bigint)', 'EXECUTE')"
        )
        await connection.execute("RESET ROLE")
    await drop(database, settings.sql_role)
    await drop(database, house)


class _Lent:
    def __init__(self, connection: object) -> None:
        self._connection = connection

    async def __aenter__(self) -> object:
        self._transaction = self._connection.transaction()  # type: ignore[attr-defined]
        await self._transaction.start()
        return self._connection

    async def __aexit__(self, kind: object, *_: object) -> None:
        await (self._transaction.commit() if kind is None else self._transaction.rollback())


async def test_a_verifier_is_the_one_that_postgresql_makes(database: Database, settings: Oa) -> None:
    await database.execute(f"CREATE ROLE {settings.sql_role} PASSWORD 'pencil'")
    made = await database.fetchval("SELECT rolpassword FROM pg_authid WHERE rolname = $1", settings.sql_role)
    salt = base64.b64decode(made.split(":")[1].split("$")[0])
    assert scram_verifier("pencil", salt) == made
    await drop(database, settings.sql_role)


@pytest.mark.parametrize(
    ("dsn", "place"),
    [
        ("postgresql://u:p@db.example:6432/mail", Place("db.example", 6432, "mail")),
        ("postgresql://u@/mail?host=/run/pg&port=5433", Place("/run/pg", 5433, "mail")),
        ("postgresql://u@db.example", Place("db.example", 5432, "u")),
    ],
)
def test_places(dsn: str, place: Place) -> None:
    assert place_of_dsn(dsn) == place
