"""Administrators: of the whole server, or of domains; the SQL of `administrator`.

An administrator of a name of its own, or an account that was made administrator of the domain it is in. What
is done here is written to the audit log in the same transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from postroad.db.pool import Database
from postroad.directory.credentials import NewCredential, add_in, checked_name, hash_password, replace_in
from postroad.directory.errors import UnknownAccount, UnknownPrincipal
from postroad.directory.identity.audit import Actor, record_in
from postroad.directory.identity.rights import Rights, grant_in, revoke_in, rights_in
from postroad.directory.names import clean_display_name
from postroad.directory.passwords import PasswordHashing
from postroad.directory.principals import Kind, PrincipalId, name_key
from postroad.message.address import Address


@dataclass(frozen=True, slots=True)
class Administrator:
    """One administrator; an account is one under its address."""

    principal: PrincipalId
    name: str
    display_name: str
    is_of_server: bool
    domains: tuple[str, ...]
    is_disabled: bool
    created_at: datetime


_LIST = """
WITH found AS (
    SELECT 'administrator' AS kind, id FROM administrator
    UNION SELECT kind, principal_id FROM administers WHERE kind = 'account')
SELECT f.kind, f.id, coalesce(account.address, c.name) AS name,
       c.is_disabled OR coalesce(account.is_disabled OR NOT account.may_sign_in, false) AS is_disabled,
       coalesce(account.display_name, own.display_name) AS display_name,
       coalesce(own.created_at, min(a.created_at)) AS created_at,
       coalesce(bool_or(a.kind IS NOT NULL AND a.domain_id IS NULL), false) AS is_of_server,
       array_remove(array_agg(d.name ORDER BY d.name), NULL) AS domains
FROM found f
JOIN credential c ON c.kind = f.kind AND c.principal_id = f.id
LEFT JOIN administers a ON a.kind = f.kind AND a.principal_id = f.id
LEFT JOIN domain d ON d.id = a.domain_id
LEFT JOIN administrator own ON f.kind = 'administrator' AND own.id = f.id
LEFT JOIN account ON f.kind = 'account' AND account.id = f.id
WHERE $1::text IS NULL OR account.address = $1 OR c.name = $2
GROUP BY f.kind, f.id, c.kind, c.principal_id, own.id, account.id
ORDER BY name, f.kind DESC
"""


class Administrators:
    """All administrators. A name that is not found raises `UnknownPrincipal`."""

    def __init__(self, database: Database, hashing: PasswordHashing) -> None:
        self._database = database
        self._hashing = hashing

    async def add(
        self,
        name: str,
        password: str,
        actor: Actor,
        *,
        domains: Sequence[str] = (),
        display_name: str = "",
    ) -> Administrator:
        """Make an administrator of the whole server, or of `domains`.

        Raises `BadValue`, `NameTaken`, `UnknownDomain`, `WeakPassword`, `TooBusyToHash`.
        """
        key = checked_name(Kind.ADMINISTRATOR, name)
        hashed = await hash_password(self._hashing, key, password)
        async with self._database.transaction() as connection:
            new_id = await connection.fetchval(
                "INSERT INTO administrator (display_name) VALUES ($1) RETURNING id",
                clean_display_name(display_name) or "",
            )
            principal = PrincipalId(Kind.ADMINISTRATOR, new_id)
            await add_in(connection, [NewCredential(principal, key, hashed)])
            await grant_in(connection, principal, domains)
            await record_in(connection, actor, "administrator.add", key, domains=list(domains))
        return await self.get(key)

    async def add_account(self, address: Address, actor: Actor) -> Administrator:
        """Make an account administrator of the domain it is in. Raises `UnknownAccount`."""
        async with self._database.transaction() as connection:
            account_id = await connection.fetchval(
                "SELECT id FROM account WHERE address = $1 FOR SHARE", address.key
            )
            if account_id is None:
                raise UnknownAccount(address.key)
            await grant_in(connection, PrincipalId(Kind.ACCOUNT, account_id), [address.domain])
            await record_in(connection, actor, "administrator.add", address.key, domains=[address.domain])
        return await self.get(address.key)

    async def get(self, name: str) -> Administrator:
        """Return the administrator of this name or address."""
        rows = await self._database.fetch(
            _LIST, name_key(Kind.ACCOUNT, name), name_key(Kind.ADMINISTRATOR, name)
        )
        if not rows:
            raise UnknownPrincipal(Kind.ADMINISTRATOR, name)
        return _administrator(rows[0])

    async def list(self) -> list[Administrator]:
        """Return all of them by name."""
        return [_administrator(row) for row in await self._database.fetch(_LIST, None, None)]

    async def rights(self, principal: PrincipalId) -> Rights:
        """Return what a principal may administer now."""
        return await rights_in(self._database, principal)

    async def set_password(self, name: str, password: str, actor: Actor) -> int:
        """Change the password; sessions end. An account's own password is changed as an account's.

        Returns the credential's new version. Raises `WeakPassword`, `TooBusyToHash`.
        """
        found = await self._own(name)
        hashed = await hash_password(self._hashing, found.name, password)
        async with self._database.transaction() as connection:
            version = await replace_in(connection, found.principal, hashed)
            await record_in(connection, actor, "administrator.password", found.name)
        return version

    async def remove(self, name: str, actor: Actor) -> None:
        """Remove an administrator; an account only stops being one."""
        found = await self.get(name)
        async with self._database.transaction() as connection:
            await revoke_in(connection, found.principal)
            if found.principal.kind is Kind.ADMINISTRATOR:
                await connection.execute("DELETE FROM administrator WHERE id = $1", found.principal.id)
            await record_in(connection, actor, "administrator.remove", found.name)

    async def _own(self, name: str) -> Administrator:
        found = await self.get(name)
        if found.principal.kind is not Kind.ADMINISTRATOR:
            raise UnknownPrincipal(Kind.ADMINISTRATOR, name)
        return found


def _administrator(row: asyncpg.Record) -> Administrator:
    return Administrator(
        PrincipalId(Kind(row["kind"]), row["id"]),
        row["name"],
        row["display_name"],
        row["is_of_server"],
        tuple(row["domains"]),
        row["is_disabled"],
        row["created_at"],
    )
