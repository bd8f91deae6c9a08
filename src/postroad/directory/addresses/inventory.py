"""Everything of the directory in the order in which it was made, for those who list it all.

Interface page ctrl-protocol.md, 3.1: lists come in the order of creation. Read in pages by id, so that no
connection is held while a slow reader takes them; what is made meanwhile may come or not.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from postroad.db.pool import Database

PAGE = 1000


@dataclass(frozen=True, slots=True)
class Holder:
    """An account or a list: who has an address."""

    address: str
    domain: str
    is_list: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ListedAlias:
    """An alias, or with the name `*` a catch-all; `targets` are keys of addresses."""

    local_part: str
    domain: str
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ListedDomain:
    """A domain; `alias_of` is None for one of its own."""

    name: str
    alias_of: str | None


class Inventory:
    """Lists everything."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def domain(self, name: str) -> ListedDomain | None:
        """Return the domain of a canonical name."""
        row = await self._database.fetchrow(
            """
            SELECT d.name, home.name AS alias_of FROM domain d LEFT JOIN domain home ON home.id = d.alias_of
            WHERE d.name = $1
            """,
            name,
        )
        return None if row is None else ListedDomain(row["name"], row["alias_of"])

    async def domains(self) -> list[ListedDomain]:
        """Return all domains, alias domains among them."""
        rows = await self._database.fetch(
            """
            SELECT d.name, home.name AS alias_of FROM domain d LEFT JOIN domain home ON home.id = d.alias_of
            ORDER BY d.id
            """
        )
        return [ListedDomain(row["name"], row["alias_of"]) for row in rows]

    async def holders(self, domain: str | None = None, address: str | None = None) -> AsyncIterator[Holder]:
        """Yield accounts and lists: all, those of a domain, or who has an address (a key)."""
        accounts = self._holders("account", domain, address)
        lists = self._holders("distribution_list", domain, address)
        account, one_list = await anext(accounts, None), await anext(lists, None)
        while account is not None or one_list is not None:
            if one_list is None or (account is not None and account.created_at <= one_list.created_at):
                assert account is not None
                yield account
                account = await anext(accounts, None)
            else:
                yield one_list
                one_list = await anext(lists, None)

    async def aliases(self, domain: str | None = None) -> AsyncIterator[ListedAlias]:
        """Yield aliases, all or those of a domain, and then the catch-alls."""
        async for row in self._pages("alias", "o.targets", domain, None):
            local_part = row["address"].rpartition("@")[0]
            yield ListedAlias(local_part, row["domain"], tuple(row["targets"]))
        rows = await self._database.fetch(
            "SELECT name, catch_all FROM domain "
            "WHERE catch_all IS NOT NULL AND ($1::text IS NULL OR name = $1) ORDER BY id",
            domain,
        )
        for row in rows:
            yield ListedAlias("*", row["name"], (row["catch_all"],))

    async def _holders(self, table: str, domain: str | None, address: str | None) -> AsyncIterator[Holder]:
        async for row in self._pages(table, "o.created_at", domain, address):
            yield Holder(row["address"], row["domain"], table != "account", row["created_at"])

    async def _pages(
        self, table: str, column: str, domain: str | None, address: str | None
    ) -> AsyncIterator[asyncpg.Record]:
        # Conditions that are not asked for are left out: a plan for all of them would read the whole table.
        conditions, parameters = ["o.id > $1"], []
        for condition, value in (("d.name = ", domain), ("o.address = ", address)):
            if value is not None:
                parameters.append(value)
                conditions.append(f"{condition}${len(parameters) + 1}")
        query = f"""
            SELECT o.id, o.address, d.name AS domain, {column}
            FROM {table} o JOIN domain d ON d.id = o.domain_id
            WHERE {" AND ".join(conditions)} ORDER BY o.id LIMIT {PAGE}
        """
        after = 0
        while True:
            rows: Sequence[asyncpg.Record] = await self._database.fetch(query, after, *parameters)
            for row in rows:
                yield row
            if len(rows) < PAGE:
                return
            after = rows[-1]["id"]
