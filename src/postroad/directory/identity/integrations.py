"""Integrations: programs that sign in by OAuth 2 client credentials (RFC 6749 4.4); the SQL of `integration`.

An integration acts for the accounts of its domains and administers these domains, each as far as its scopes
go. Its secret is made here and shown once; it is stored like a password.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from postroad.db.pool import Database
from postroad.directory.credentials import NewCredential, add_in, checked_name, hash_password, replace_in
from postroad.directory.errors import BadValue, UnknownPrincipal
from postroad.directory.identity.audit import Actor, record_in
from postroad.directory.identity.rights import grant_in
from postroad.directory.identity.tokens import Scope, scopes_of
from postroad.directory.passwords import PasswordHashing
from postroad.directory.principals import Kind, PrincipalId, name_key


@dataclass(frozen=True, slots=True)
class Integration:
    """One integration; `is_of_server`: over every domain."""

    id: int
    name: str
    is_of_server: bool
    domains: tuple[str, ...]
    scopes: tuple[Scope, ...]
    created_at: datetime


_LIST = """
SELECT i.id, c.name, i.scopes, i.created_at,
       coalesce(bool_or(a.kind IS NOT NULL AND a.domain_id IS NULL), false) AS is_of_server,
       array_remove(array_agg(d.name ORDER BY d.name), NULL) AS domains
FROM integration i
JOIN credential c ON c.kind = 'integration' AND c.principal_id = i.id
LEFT JOIN administers a ON a.kind = 'integration' AND a.principal_id = i.id
LEFT JOIN domain d ON d.id = a.domain_id
WHERE $1::text IS NULL OR c.name = $1
GROUP BY i.id, c.kind, c.principal_id
ORDER BY c.name
"""


class Integrations:
    """All integrations. A name that is not found raises `UnknownPrincipal`."""

    def __init__(self, database: Database, hashing: PasswordHashing) -> None:
        self._database = database
        self._hashing = hashing

    async def add(
        self,
        name: str,
        actor: Actor,
        *,
        domains: Sequence[str],
        scopes: Collection[str],
        of_server: bool = False,
    ) -> tuple[Integration, str]:
        """Make one over `domains`, or over the whole server; return it with its secret, shown this once.

        Raises `BadValue`, `NameTaken`, `UnknownDomain`, `TooBusyToHash`.
        """
        key, wanted = checked_name(Kind.INTEGRATION, name), scopes_of(scopes)
        if not wanted:
            raise BadValue("scopes", f"some of {', '.join(Scope)}")
        if bool(domains) == of_server:
            raise BadValue("domains", "at least one, or the whole server")
        secret = secrets.token_urlsafe(32)
        hashed = await hash_password(self._hashing, key, secret)
        async with self._database.transaction() as connection:
            new_id = await connection.fetchval(
                "INSERT INTO integration (scopes) VALUES ($1) RETURNING id", sorted(wanted)
            )
            principal = PrincipalId(Kind.INTEGRATION, new_id)
            await add_in(connection, [NewCredential(principal, key, hashed)])
            await grant_in(connection, principal, domains)
            await record_in(
                connection, actor, "integration.add", key, domains=list(domains), scopes=sorted(wanted)
            )
        return await self.get(key), secret

    async def get(self, name: str) -> Integration:
        """Return the integration of this name."""
        key = name_key(Kind.INTEGRATION, name)
        row = await self._database.fetchrow(_LIST, key) if key else None
        if row is None:
            raise UnknownPrincipal(Kind.INTEGRATION, name)
        return _integration(row)

    async def list(self) -> list[Integration]:
        """Return all of them by name."""
        return [_integration(row) for row in await self._database.fetch(_LIST, None)]

    async def renew_secret(self, name: str, actor: Actor) -> str:
        """Make a new secret; the old one and tokens got by it are void at once. Raises `TooBusyToHash`."""
        found = await self.get(name)
        secret = secrets.token_urlsafe(32)
        hashed = await hash_password(self._hashing, found.name, secret)
        async with self._database.transaction() as connection:
            await replace_in(connection, PrincipalId(Kind.INTEGRATION, found.id), hashed)
            await record_in(connection, actor, "integration.secret", found.name)
        return secret

    async def remove(self, name: str, actor: Actor) -> None:
        """Remove one with its tokens."""
        found = await self.get(name)
        async with self._database.transaction() as connection:
            await connection.execute("DELETE FROM integration WHERE id = $1", found.id)
            await record_in(connection, actor, "integration.remove", found.name)


def _integration(row: asyncpg.Record) -> Integration:
    return Integration(
        row["id"],
        row["name"],
        row["is_of_server"],
        tuple(row["domains"]),
        tuple(map(Scope, row["scopes"])),
        row["created_at"],
    )
