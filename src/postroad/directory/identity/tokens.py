"""Tokens: what programs show with every call of the JSON API (RFC 6750); the SQL of `api_token`.

A token is 256 random bits, stored as their SHA-256, with the scopes it is good for. One that was got by
signing in lives for an hour and dies with what it was got with: the password's next change, or the
application password. One that an operator made lives until it is removed.
"""

from __future__ import annotations

import enum
import hashlib
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg

from postroad.db.pool import Connection, Database
from postroad.directory.errors import (
    AccountDisabled,
    BadValue,
    LimitReached,
    UnknownAccount,
    UnknownPrincipal,
    UnknownToken,
)
from postroad.directory.identity.rights import rights_in
from postroad.directory.names import clean_display_name
from postroad.directory.principals import Kind, NotAnAccount, Principal, PrincipalId, name_key
from postroad.message.address import Address

MAX_LASTING = 100  # tokens of a principal made by hand
MAX_SIGNED_IN = 100  # got by signing in; the oldest goes first
LIFETIME = timedelta(hours=1)
USED_EVERY = timedelta(minutes=5)  # how exact the last use is: not one write a call
HOLDERS = (Kind.ACCOUNT, Kind.ADMINISTRATOR, Kind.INTEGRATION)
_PREFIX = "prd_"  # so that scanners of public code know one that was left there
_TOKEN = re.compile(r"prd_[A-Za-z0-9_-]{43}\Z")


class Scope(enum.StrEnum):
    """What a token may be good for."""

    MAIL_READ = "mail:read"
    MAIL_WRITE = "mail:write"  # flags, moving, deleting, folders, drafts
    MAIL_SEND = "mail:send"
    DIRECTORY_READ = "directory:read"  # of what the holder may administer
    DIRECTORY_WRITE = "directory:write"


MAIL_SCOPES = frozenset({Scope.MAIL_READ, Scope.MAIL_WRITE, Scope.MAIL_SEND})
ALL_SCOPES = frozenset(Scope)


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of one afterwards; the token itself was shown once."""

    id: int
    label: str
    scopes: tuple[Scope, ...]
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Bearer:
    """Who shows a token, and what for it is good. `mailbox` and the rest are an account's, else empty."""

    token_id: int
    principal: PrincipalId
    name: str
    scopes: frozenset[Scope]
    mailbox: Address | None
    display_name: str
    language: str | None

    @property
    def address(self) -> Address:
        """The account's address. Raises `NotAnAccount`."""
        if self.mailbox is None:
            raise NotAnAccount(self.principal.kind)
        return self.mailbox


@dataclass(frozen=True, slots=True)
class ActedFor:
    """The account that somebody acts for."""

    account_id: int
    address: Address
    display_name: str
    language: str | None


def scopes_of(words: Collection[str]) -> frozenset[Scope]:
    """Read scopes as they are written. Raises `BadValue`."""
    try:
        return frozenset(map(Scope, words))
    except ValueError as error:
        raise BadValue("scopes", f"some of {', '.join(Scope)}") from error


_COLUMNS = "id, label, scopes, created_at, last_used_at, expires_at"


class Tokens:
    """All tokens."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, kind: Kind, name: str, label: str, scopes: Collection[str]) -> tuple[Token, str]:
        """Make a lasting token of an account (by its address) or an administrator; it is shown this once.

        Raises `UnknownPrincipal`, `LimitReached`, `BadValue`.
        """
        clean, wanted = clean_display_name(label), scopes_of(scopes)
        if not clean:
            raise BadValue("label", "1 to 200 characters that say what it is for")
        if not wanted:
            raise BadValue("scopes", f"some of {', '.join(Scope)}")
        if kind is not Kind.ACCOUNT and wanted & MAIL_SCOPES:
            raise BadValue("scopes", "only an account has mail")
        text = new_token()
        async with self._database.transaction() as connection:
            principal = await _principal_in(connection, kind, name)
            count = await connection.fetchval(
                "SELECT count(*) FROM api_token WHERE principal_id = $2 AND kind = $1 AND expires_at IS NULL",
                kind,
                principal.id,
            )
            if count >= MAX_LASTING:
                raise LimitReached("tokens of one holder", MAX_LASTING)
            row = await connection.fetchrow(
                "INSERT INTO api_token (token_hash, kind, principal_id, label, scopes) "
                f"VALUES ($1, $2, $3, $4, $5) RETURNING {_COLUMNS}",
                _hash(text),
                kind,
                principal.id,
                clean,
                sorted(wanted),
            )
        assert row is not None
        return _token(row), text

    async def issue(self, principal: Principal, scopes: Collection[Scope]) -> str:
        """Make a token for who has just signed in; it lives for `LIFETIME`.

        Raises `UnknownPrincipal` when what they signed in with has gone meanwhile.
        """
        text = new_token()
        try:
            async with self._database.transaction() as connection:
                # One at a time for a principal, so that the bound holds.
                await connection.execute(
                    "SELECT FROM credential WHERE kind = $1 AND principal_id = $2 FOR NO KEY UPDATE",
                    principal.kind,
                    principal.id,
                )
                await connection.execute(
                    """
                    INSERT INTO api_token (token_hash, kind, principal_id, credential_version,
                                           application_password_id, scopes, expires_at)
                    VALUES ($1, $2, $3, $4, $5, $6, now() + $7)
                    """,
                    _hash(text),
                    principal.kind,
                    principal.id,
                    principal.credential_version if principal.application_password_id is None else None,
                    principal.application_password_id,
                    sorted(scopes),
                    LIFETIME,
                )
                await connection.execute(
                    """
                    DELETE FROM api_token WHERE id IN (
                        SELECT id FROM api_token
                        WHERE kind = $1 AND principal_id = $2 AND expires_at IS NOT NULL
                        ORDER BY id DESC OFFSET $3)
                    """,
                    principal.kind,
                    principal.id,
                    MAX_SIGNED_IN,
                )
        except asyncpg.ForeignKeyViolationError as error:
            raise UnknownPrincipal(principal.kind, principal.name) from error
        return text

    async def find(self, text: str) -> Bearer | None:
        """Return who shows a token while it is in force, and note that it was used."""
        if not _TOKEN.match(text):
            return None
        row = await self._database.fetchrow(
            """
            SELECT t.id, t.kind, t.principal_id, t.scopes, coalesce(a.address, c.name) AS name, a.address,
                   coalesce(a.display_name, '') AS display_name, coalesce(a.language, m.language) AS language,
                   coalesce(t.last_used_at < now() - $2::interval, true) AS is_use_new
            FROM api_token t
            JOIN credential c ON c.kind = t.kind AND c.principal_id = t.principal_id AND NOT c.is_disabled
                AND (t.credential_version IS NULL OR t.credential_version = c.version)
            LEFT JOIN account a ON t.kind = 'account' AND a.id = t.principal_id
            LEFT JOIN administrator m ON t.kind = 'administrator' AND m.id = t.principal_id
            WHERE t.token_hash = $1 AND (t.expires_at IS NULL OR t.expires_at > now())
              AND a.is_disabled IS NOT TRUE AND a.may_sign_in IS NOT FALSE
            """,
            _hash(text),
            USED_EVERY,
        )
        if row is None:
            return None
        if row["is_use_new"]:
            await self._database.execute("UPDATE api_token SET last_used_at = now() WHERE id = $1", row["id"])
        return Bearer(
            row["id"],
            PrincipalId(Kind(row["kind"]), row["principal_id"]),
            row["name"],
            frozenset(map(Scope, row["scopes"])),
            Address.parse(row["address"]) if row["address"] is not None else None,
            row["display_name"],
            row["language"],
        )

    async def account_for(self, integration: PrincipalId, address: Address) -> ActedFor:
        """Return the account that an integration acts for.

        Raises `NotAllowed` for every address outside its domains, there or not; `UnknownAccount`,
        `AccountDisabled` inside.
        """
        (await rights_in(self._database, integration)).check(address.domain)
        row = await self._database.fetchrow(
            "SELECT id, address, display_name, language, is_disabled OR NOT may_sign_in AS is_disabled "
            "FROM account WHERE address = $1",
            address.key,
        )
        if row is None:
            raise UnknownAccount(address.key)
        if row["is_disabled"]:
            raise AccountDisabled
        return ActedFor(row["id"], Address.parse(row["address"]), row["display_name"], row["language"])

    async def list(self, kind: Kind, name: str) -> list[Token]:
        """Return the lasting tokens of somebody, oldest first. Raises `UnknownPrincipal`."""
        async with self._database.connection() as connection:
            principal = await _principal_in(connection, kind, name)
            rows = await connection.fetch(
                f"SELECT {_COLUMNS} FROM api_token "
                "WHERE principal_id = $2 AND kind = $1 AND expires_at IS NULL ORDER BY id",
                kind,
                principal.id,
            )
        return [_token(row) for row in rows]

    async def remove(self, kind: Kind, name: str, token_id: int) -> None:
        """Remove a token; it is good for nothing from now on. Raises `UnknownPrincipal`, `UnknownToken`."""
        async with self._database.transaction() as connection:
            principal = await _principal_in(connection, kind, name)
            removed = await connection.fetchval(
                "DELETE FROM api_token WHERE id = $3 AND kind = $1 AND principal_id = $2 RETURNING id",
                kind,
                principal.id,
                token_id,
            )
        if removed is None:
            raise UnknownToken(token_id)

    async def revoke(self, token_id: int) -> None:
        """End a token that was shown by its holder (RFC 7009)."""
        await self._database.execute("DELETE FROM api_token WHERE id = $1", token_id)

    async def sweep(self) -> int:
        """Delete tokens that have ended; gives how many."""
        status = await self._database.execute("DELETE FROM api_token WHERE expires_at < now()")
        return int(status.rsplit(" ", 1)[1])


def new_token() -> str:
    """Make a token."""
    return _PREFIX + secrets.token_urlsafe(32)


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


async def _principal_in(connection: Connection, kind: Kind, name: str) -> PrincipalId:
    key = name_key(kind, name)
    if kind is Kind.ACCOUNT:
        found = await connection.fetchval("SELECT id FROM account WHERE address = $1", key)
    else:
        found = await connection.fetchval(
            "SELECT principal_id FROM credential WHERE kind = $1 AND name = $2", kind, key
        )
    if found is None:
        raise UnknownPrincipal(kind, name)
    return PrincipalId(kind, found)


def _token(row: asyncpg.Record) -> Token:
    scopes = tuple(map(Scope, row["scopes"]))
    return Token(row["id"], row["label"], scopes, row["created_at"], row["last_used_at"], row["expires_at"])
