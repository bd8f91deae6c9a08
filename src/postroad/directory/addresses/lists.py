"""Distribution lists: one address, many readers, and who may write to them; the SQL of both list tables.

What is asked when mail arrives (may this sender post, who are the members) is in `resolver.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

import asyncpg

from postroad.db.pool import Connection, Database
from postroad.directory.addresses.placing import check_targets_in, domain_ids_in, explain_collision
from postroad.directory.addresses.resolver import Posting
from postroad.directory.announcements import announce_in
from postroad.directory.errors import BadValue, LimitReached, UnknownList
from postroad.directory.names import clean_display_name
from postroad.message.address import Address

MAX_MEMBERS = 10_000  # one mail to a list becomes that many recipients in one transaction
MAX_PAGE = 1000


@dataclass(frozen=True, slots=True)
class DistributionList:
    """One list; `posting` says whose mail it takes."""

    id: int
    address: Address
    name: str
    posting: Posting
    member_count: int
    created_at: datetime


# Whether a member may write to the list (when members may): `signed-in` only by a mail that it submitted
# here.
MemberPosts = Literal["always", "signed-in", "never"]


@dataclass(frozen=True, slots=True)
class ListMember:
    """A member of a list, here or elsewhere; owners may post when only owners may.

    One that does not receive gets none of the list's mail, and may still write.
    """

    address: Address
    is_owner: bool
    receives: bool = True
    posts: MemberPosts = "always"


_COLUMNS = """
    l.id, l.address, l.name, l.posting, l.created_at,
    (SELECT count(*) FROM distribution_list_member m WHERE m.list_id = l.id) AS member_count
"""


class DistributionLists:
    """All lists. Addresses that are not found raise `UnknownList`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, address: Address, name: str = "", posting: Posting = "members") -> DistributionList:
        """Make an empty list. Raises `UnknownDomain`, `DomainIsAlias`, `AddressTaken`, `BadValue`."""
        clean = _checked_name(name)
        _check_posting(posting)
        try:
            async with self._database.transaction() as connection:
                domain_ids = await domain_ids_in(connection, [address.domain])
                row = await connection.fetchrow(
                    """
                    INSERT INTO distribution_list (domain_id, address, name, posting) VALUES ($1, $2, $3, $4)
                    RETURNING *, 0 AS member_count
                    """,
                    domain_ids[address.domain],
                    address.key,
                    clean,
                    posting,
                )
                await announce_in(connection, addresses=[address.key])
        except asyncpg.UniqueViolationError as error:
            raise await explain_collision(self._database, [address.key]) from error
        assert row is not None
        return _list(row)

    async def set(
        self, address: Address, name: str | None = None, posting: Posting | None = None
    ) -> DistributionList:
        """Change the name, or who may post; None leaves it. Raises `UnknownList`, `BadValue`."""
        clean = None if name is None else _checked_name(name)
        if posting is not None:
            _check_posting(posting)
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(
                f"""
                UPDATE distribution_list l SET name = coalesce($2, name), posting = coalesce($3, posting)
                WHERE address = $1 RETURNING {_COLUMNS}
                """,
                address.key,
                clean,
                posting,
            )
            if row is None:
                raise UnknownList(address.key)
            await announce_in(connection, addresses=[address.key])
        return _list(row)

    async def remove(self, address: Address) -> None:
        """Remove a list; its members stay what they are. Raises `UnknownList`."""
        async with self._database.transaction() as connection:
            removed = await connection.fetchval(
                "DELETE FROM distribution_list WHERE address = $1 RETURNING id", address.key
            )
            if removed is None:
                raise UnknownList(address.key)
            await announce_in(connection, addresses=[address.key])

    async def get(self, address: Address) -> DistributionList:
        """Return the list with exactly this address."""
        row = await self._database.fetchrow(
            f"SELECT {_COLUMNS} FROM distribution_list l WHERE address = $1", address.key
        )
        if row is None:
            raise UnknownList(address.key)
        return _list(row)

    async def add_members(self, address: Address, members: Sequence[Address], *, owners: bool = False) -> int:
        """Add members (or, with `owners`, owners; a member becomes one). Returns how many rows changed.

        Raises `UnknownList`, `UnknownTarget`, `LimitReached`, `BadValue`.
        """
        keys = list(dict.fromkeys(member.key for member in members))
        if address.key in keys:
            raise BadValue("members", "a list cannot be its own member")
        if len(keys) > MAX_MEMBERS:
            raise LimitReached("members of a list", MAX_MEMBERS)
        async with self._database.transaction() as connection:
            list_id = await _locked_id_in(connection, address)
            await check_targets_in(connection, keys)
            changed = await connection.fetch(
                """
                INSERT INTO distribution_list_member (list_id, address, is_owner)
                SELECT $1, key, $3 FROM unnest($2::text[]) AS t(key)
                ON CONFLICT (list_id, address) DO UPDATE SET is_owner = true
                    WHERE excluded.is_owner AND NOT distribution_list_member.is_owner
                RETURNING address
                """,
                list_id,
                keys,
                owners,
            )
            count = await connection.fetchval(
                "SELECT count(*) FROM distribution_list_member WHERE list_id = $1", list_id
            )
            if count > MAX_MEMBERS:
                raise LimitReached("members of a list", MAX_MEMBERS)
        return len(changed)

    async def add_member(self, address: Address, member: ListMember) -> bool:
        """Add one member with what it may; whether it was added: one that is there already stays as it is.

        Raises `UnknownList`, `UnknownTarget`, `LimitReached`, `BadValue`.
        """
        if member.address.key == address.key:
            raise BadValue("members", "a list cannot be its own member")
        async with self._database.transaction() as connection:
            list_id = await _locked_id_in(connection, address)
            await check_targets_in(connection, [member.address.key])
            count = await connection.fetchval(
                "SELECT count(*) FROM distribution_list_member WHERE list_id = $1", list_id
            )
            added = await connection.fetchval(
                """
                INSERT INTO distribution_list_member (list_id, address, is_owner, receives, posts)
                VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING RETURNING true
                """,
                list_id,
                member.address.key,
                member.is_owner,
                member.receives,
                member.posts,
            )
            if added and count >= MAX_MEMBERS:
                raise LimitReached("members of a list", MAX_MEMBERS)
        return bool(added)

    async def remove_members(self, address: Address, members: Sequence[Address]) -> int:
        """Remove members; returns how many were there. Raises `UnknownList`."""
        async with self._database.transaction() as connection:
            list_id = await _locked_id_in(connection, address)
            removed = await connection.fetch(
                """
                DELETE FROM distribution_list_member WHERE list_id = $1 AND address = ANY($2::text[])
                RETURNING address
                """,
                list_id,
                [member.key for member in members],
            )
        return len(removed)

    async def members(self, address: Address, after: str = "", limit: int = 100) -> list[ListMember]:
        """Return up to `limit` members (at most 1,000) by address, those after the key `after`."""
        list_id = (await self.get(address)).id
        rows = await self._database.fetch(
            """
            SELECT address, is_owner, receives, posts FROM distribution_list_member
            WHERE list_id = $1 AND address > $2 ORDER BY address LIMIT $3
            """,
            list_id,
            after,
            max(1, min(limit, MAX_PAGE)),
        )
        return [
            ListMember(Address.parse(row["address"]), row["is_owner"], row["receives"], row["posts"])
            for row in rows
        ]

    async def list(
        self, domain: str | None = None, after: str = "", limit: int = 100
    ) -> list[DistributionList]:
        """Return up to `limit` lists (at most 1,000) by address, those after the key `after`."""
        rows = await self._database.fetch(
            f"""
            SELECT {_COLUMNS} FROM distribution_list l
            WHERE address > $2 AND ($1::text IS NULL OR domain_id = (SELECT id FROM domain WHERE name = $1))
            ORDER BY address LIMIT $3
            """,
            domain,
            after,
            max(1, min(limit, MAX_PAGE)),
        )
        return [_list(row) for row in rows]


async def _locked_id_in(connection: Connection, address: Address) -> int:
    """One change of a list at a time, so that the count of members holds."""
    list_id: int | None = await connection.fetchval(
        "SELECT id FROM distribution_list WHERE address = $1 FOR UPDATE", address.key
    )
    if list_id is None:
        raise UnknownList(address.key)
    return list_id


def _checked_name(name: str) -> str:
    clean = clean_display_name(name)
    if clean is None:
        raise BadValue("name", "at most 200 characters, no control characters")
    return clean


def _check_posting(posting: str) -> None:
    if posting not in get_args(Posting):
        raise BadValue("posting", f"one of {', '.join(get_args(Posting))}")


def _list(row: asyncpg.Record) -> DistributionList:
    return DistributionList(
        row["id"],
        Address.parse(row["address"]),
        row["name"],
        row["posting"],
        row["member_count"],
        row["created_at"],
    )
