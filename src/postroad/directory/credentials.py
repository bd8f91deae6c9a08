"""Credentials: the password of any principal, and the name it signs in with; the SQL of `credential`.

`…_in` functions join the transaction of the room that makes the principal (accounts, administrators,
customers …): hash first, then write. A credential goes with its principal by the trigger `principal_removed`,
and takes sessions, application passwords and rights along.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from postroad.db.pool import Connection, Database
from postroad.directory.announcements import announce_in
from postroad.directory.errors import BadValue, NameTaken, UnknownPrincipal
from postroad.directory.passwords import PasswordHashing, Policy, check_policy, md5_of
from postroad.directory.principals import Kind, PrincipalId, name_key


@dataclass(frozen=True, slots=True)
class Hashed:
    """A new password, hashed; `md5_hash` only for principals that may sign in by its MD5."""

    password_hash: str
    md5_hash: str | None = None


@dataclass(frozen=True, slots=True)
class NewCredential:
    """A credential to be written. `name` is None for accounts, which sign in by their address."""

    principal: PrincipalId
    name: str | None
    hashed: Hashed


async def hash_password(
    hashing: PasswordHashing,
    name: str,
    password: str,
    *,
    with_md5: bool = False,
    policy: Policy = check_policy,
) -> Hashed:
    """Judge and hash the password of who signs in as `name`. Raises `WeakPassword`, `TooBusyToHash`."""
    policy(password, name)
    password_hash = await hashing.hash(password)
    return Hashed(password_hash, await hashing.hash(md5_of(password)) if with_md5 else None)


def checked_name(kind: Kind, name: str) -> str:
    """Return the name of a principal to be in the form it is stored in. Raises `BadValue`."""
    key = name_key(kind, name)
    if not key or ":" in key:  # RFC 7617 2: a user-id of HTTP Basic holds no colon
        raise BadValue("name", "1 to 320 characters, no colon and no control characters")
    return key


async def add_in(connection: Connection, credentials: Sequence[NewCredential]) -> None:
    """Write new credentials. Raises `NameTaken`: the caller's transaction cannot go on."""
    try:
        await connection.execute(
            """
            INSERT INTO credential (kind, principal_id, name, password_hash, md5_hash)
            SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[])
            """,
            [new.principal.kind for new in credentials],
            [new.principal.id for new in credentials],
            [new.name for new in credentials],
            [new.hashed.password_hash for new in credentials],
            [new.hashed.md5_hash for new in credentials],
        )
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name != "credential_name":
            raise
        raise NameTaken(next((new.name for new in credentials if new.name), "")) from error


async def replace_in(connection: Connection, principal: PrincipalId, hashed: Hashed) -> int:
    """Write a new password: what was remembered for the old one and every web session is void at once.

    Returns the credential's new version. Raises `UnknownPrincipal`.
    """
    version: int | None = await connection.fetchval(
        """
        UPDATE credential
        SET password_hash = $3, md5_hash = $4, version = version + 1, changed_at = now()
        WHERE kind = $1 AND principal_id = $2
        RETURNING version
        """,
        principal.kind,
        principal.id,
        hashed.password_hash,
        hashed.md5_hash,
    )
    if version is None:
        raise UnknownPrincipal(principal.kind, f"#{principal.id}")
    await connection.execute(
        "DELETE FROM web_session WHERE kind = $1 AND principal_id = $2", principal.kind, principal.id
    )
    await announce_in(connection, principals=[principal])
    return version


async def set_disabled_in(connection: Connection, principal: PrincipalId, is_disabled: bool) -> None:
    """Lock out a principal that is no account, or let it in again. Raises `UnknownPrincipal`."""
    found = await connection.fetchval(
        "UPDATE credential SET is_disabled = $3 WHERE kind = $1 AND principal_id = $2 RETURNING true",
        principal.kind,
        principal.id,
        is_disabled,
    )
    if found is None:
        raise UnknownPrincipal(principal.kind, f"#{principal.id}")
    await announce_in(connection, principals=[principal])


class Credentials:
    """Passwords of principals that exist, whatever their kind."""

    def __init__(self, database: Database, hashing: PasswordHashing) -> None:
        self._database = database
        self._hashing = hashing

    async def find(self, kind: Kind, name: str) -> PrincipalId:
        """Return who signs in as `name`. Accounts are found by address. Raises `UnknownPrincipal`."""
        found = await self._database.fetchval(
            "SELECT id FROM account WHERE address = $1"
            if kind is Kind.ACCOUNT
            else f"SELECT principal_id FROM credential WHERE kind = '{kind}' AND name = $1",
            name_key(kind, name),
        )
        if found is None:
            raise UnknownPrincipal(kind, name)
        return PrincipalId(kind, found)

    async def set_password(self, principal: PrincipalId, password: str) -> int:
        """Change the password of a principal that is no account; return the credential's new version.

        Raises `UnknownPrincipal`, `WeakPassword`, `TooBusyToHash`.
        """
        row = await self._database.fetchrow(
            "SELECT name, md5_hash IS NOT NULL AS with_md5 FROM credential "
            "WHERE kind = $1 AND principal_id = $2",
            principal.kind,
            principal.id,
        )
        if row is None or row["name"] is None:
            raise UnknownPrincipal(principal.kind, f"#{principal.id}")
        hashed = await hash_password(self._hashing, row["name"], password, with_md5=row["with_md5"])
        async with self._database.transaction() as connection:
            return await replace_in(connection, principal, hashed)
