"""Facts about an account that no column has, under names that whoever administers it chose; the SQL of
`account_variable`.

Interface page ctrl-protocol.md, 6.2 (`uservars`). None of them means anything here.
"""

from __future__ import annotations

from collections.abc import Mapping

from postroad.db.pool import Database
from postroad.directory.errors import BadValue, LimitReached

MAX_VARIABLES = 100  # of an account
MAX_NAME = 100
MAX_VALUE = 1000


class Variables:
    """The variables of all accounts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, account_id: int) -> dict[str, str | None]:
        """Return the variables of an account by name; None: removed."""
        rows = await self._database.fetch(
            "SELECT name, value FROM account_variable WHERE account_id = $1 ORDER BY name", account_id
        )
        return {row["name"]: row["value"] for row in rows}

    async def set(self, account_id: int, changes: Mapping[str, str | None]) -> None:
        """Set variables, or (None) note that they are removed. An account that is gone is no error.

        Raises `BadValue`, `LimitReached`.
        """
        for name, value in changes.items():
            if not 0 < len(name) <= MAX_NAME or len(value or "") > MAX_VALUE:
                raise BadValue("variable", f"a name of {MAX_NAME} and a value of {MAX_VALUE} characters")
        async with self._database.transaction() as connection:
            if not await connection.fetchval("SELECT true FROM account WHERE id = $1 FOR UPDATE", account_id):
                return
            await connection.execute(
                """
                INSERT INTO account_variable (account_id, name, value)
                SELECT $1, * FROM unnest($2::text[], $3::text[])
                ON CONFLICT (account_id, name) DO UPDATE SET value = excluded.value
                """,
                account_id,
                list(changes),
                list(changes.values()),
            )
            count = await connection.fetchval(
                "SELECT count(*) FROM account_variable WHERE account_id = $1", account_id
            )
            if count > MAX_VARIABLES:
                raise LimitReached("variables of an account", MAX_VARIABLES)
