"""Aliases: addresses that stand for one or more others, here or elsewhere; the SQL of `alias`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from postroad.db.pool import Database
from postroad.directory.addresses.placing import check_targets_in, domain_ids_in, explain_collision
from postroad.directory.announcements import announce_in
from postroad.directory.errors import BadValue, UnknownAlias
from postroad.message.address import Address

MAX_TARGETS = 1000  # the same bound as the table's; more people than that are a list
MAX_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Alias:
    """One alias and where its mail goes, in the order given."""

    id: int
    address: Address
    targets: tuple[Address, ...]
    created_at: datetime


class Aliases:
    """All aliases. Addresses that are not found raise `UnknownAlias`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, address: Address, targets: Sequence[Address]) -> Alias:
        """Make an alias.

        Raises `UnknownDomain`, `DomainIsAlias`, `AddressTaken`, `BadValue`, `UnknownTarget`.
        """
        keys = _target_keys(address, targets)
        try:
            async with self._database.transaction() as connection:
                domain_ids = await domain_ids_in(connection, [address.domain])
                await check_targets_in(connection, keys)
                row = await connection.fetchrow(
                    "INSERT INTO alias (domain_id, address, targets) VALUES ($1, $2, $3) RETURNING *",
                    domain_ids[address.domain],
                    address.key,
                    keys,
                )
                await announce_in(connection, addresses=[address.key])
        except asyncpg.UniqueViolationError as error:
            raise await explain_collision(self._database, [address.key]) from error
        assert row is not None
        return _alias(row)

    async def set_targets(self, address: Address, targets: Sequence[Address]) -> Alias:
        """Replace where the mail goes. Raises `UnknownAlias`, `BadValue`, `UnknownTarget`."""
        keys = _target_keys(address, targets)
        async with self._database.transaction() as connection:
            await check_targets_in(connection, keys)
            row = await connection.fetchrow(
                "UPDATE alias SET targets = $2 WHERE address = $1 RETURNING *", address.key, keys
            )
            if row is None:
                raise UnknownAlias(address.key)
            await announce_in(connection, addresses=[address.key])
        return _alias(row)

    async def remove(self, address: Address) -> None:
        """Remove an alias. Raises `UnknownAlias`."""
        async with self._database.transaction() as connection:
            if not await connection.fetchval(
                "DELETE FROM alias WHERE address = $1 RETURNING id", address.key
            ):
                raise UnknownAlias(address.key)
            await announce_in(connection, addresses=[address.key])

    async def get(self, address: Address) -> Alias:
        """Return the alias with exactly this address."""
        row = await self._database.fetchrow("SELECT * FROM alias WHERE address = $1", address.key)
        if row is None:
            raise UnknownAlias(address.key)
        return _alias(row)

    async def leading_to(self, target: Address) -> list[Alias]:
        """Return the aliases that send on to `target` directly: the addresses an account may also send as."""
        rows = await self._database.fetch(
            "SELECT * FROM alias WHERE targets @> ARRAY[$1::text] ORDER BY address LIMIT $2",
            target.key,
            MAX_PAGE,
        )
        return [_alias(row) for row in rows]

    async def list(self, domain: str | None = None, after: str = "", limit: int = 100) -> list[Alias]:
        """Return up to `limit` aliases (at most 1,000) by address, those after the key `after`."""
        rows = await self._database.fetch(
            """
            SELECT * FROM alias
            WHERE address > $2 AND ($1::text IS NULL OR domain_id = (SELECT id FROM domain WHERE name = $1))
            ORDER BY address LIMIT $3
            """,
            domain,
            after,
            max(1, min(limit, MAX_PAGE)),
        )
        return [_alias(row) for row in rows]


def _target_keys(address: Address, targets: Sequence[Address]) -> list[str]:
    keys = list(dict.fromkeys(target.key for target in targets))
    if not 1 <= len(keys) <= MAX_TARGETS:
        raise BadValue("targets", f"1 to {MAX_TARGETS} addresses")
    if address.key in keys:
        raise BadValue("targets", "an alias cannot lead to itself")
    return keys


def _alias(row: asyncpg.Record) -> Alias:
    return Alias(
        row["id"],
        Address.parse(row["address"]),
        tuple(Address.parse(target) for target in row["targets"]),
        row["created_at"],
    )
