"""Web sessions: who is signed in at the pages; the SQL of `web_session`.

A session is a random token in a cookie; only its hash is stored. It is bound to the version of the
credential it was opened with, so a changed password ends it, and it is read from the database on every
request, so it ends at once.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg

from postroad.db.pool import Database
from postroad.directory.principals import (
    ACCOUNTS,
    BY_ADDRESS,
    Kind,
    NotAnAccount,
    Principal,
    PrincipalId,
)
from postroad.message.address import Address

MAX_EACH = 30  # sessions of a principal; the one unused longest goes first
LIFETIME = timedelta(days=90)  # however much it is used
SEEN_EVERY = timedelta(minutes=5)  # how exact the last use is: not one write a page
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}\Z")


@dataclass(frozen=True, slots=True)
class Session:
    """A session in force, and what a page needs of whose it is.

    `name` is what they sign in with; `mailbox` and `display_name` are an account's, else None and "".
    """

    principal: PrincipalId
    credential_version: int
    name: str
    mailbox: Address | None
    display_name: str
    language: str | None
    csrf_token: str
    opened_at: datetime
    expires_at: datetime

    @property
    def account_id(self) -> int:
        """The account's id. Raises `NotAnAccount`."""
        if self.principal.kind is not Kind.ACCOUNT:
            raise NotAnAccount(self.principal.kind)
        return self.principal.id

    @property
    def address(self) -> Address:
        """The account's address. Raises `NotAnAccount`."""
        if self.mailbox is None:
            raise NotAnAccount(self.principal.kind)
        return self.mailbox


class Sessions:
    """All web sessions. One ends after `idle` without a request, and after 90 days in any case."""

    def __init__(self, database: Database, idle: timedelta, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._idle = idle
        self._clock = clock

    async def open(self, principal: Principal, at_most: timedelta | None = None) -> str:
        """Open a session for who signed in and return its token (43 characters for a cookie).

        One that is opened for `at_most` a short time waits to be kept (`keep`).
        """
        token = secrets.token_urlsafe(32)
        now = self._clock()
        async with self._database.transaction() as connection:
            # One at a time for a principal, so that the bound holds.
            await connection.execute(
                "SELECT FROM credential WHERE kind = $1 AND principal_id = $2 FOR UPDATE",
                principal.kind,
                principal.id,
            )
            await connection.execute(
                """
                INSERT INTO web_session
                    (token_hash, kind, principal_id, credential_version, csrf_token,
                     created_at, last_seen_at, expires_at)
                VALUES ($1, $2, $3, $4, $5, $6, $6, $7)
                """,
                _hash(token),
                principal.kind,
                principal.id,
                principal.credential_version,
                secrets.token_urlsafe(32),
                now,
                now + min(self._idle, at_most or LIFETIME),
            )
            await connection.execute(
                """
                DELETE FROM web_session WHERE token_hash IN (
                    SELECT token_hash FROM web_session WHERE kind = $1 AND principal_id = $2
                    ORDER BY last_seen_at DESC OFFSET $3)
                """,
                principal.kind,
                principal.id,
                MAX_EACH,
            )
        return token

    async def find(self, token: str, kinds: Collection[Kind] = ACCOUNTS) -> Session | None:
        """Return the session of a token while it is in force, and note that it was used.

        Sessions of other kinds than `kinds` are not found: a customer's opens no mailbox.
        """
        if not _TOKEN.match(token):
            return None
        token_hash = _hash(token)
        row = await self._database.fetchrow(
            """
            SELECT s.kind, s.principal_id, s.credential_version, coalesce(account.address, c.name) AS name,
                   coalesce(account.display_name, administrator.display_name, '') AS display_name,
                   coalesce(account.language, administrator.language) AS language,
                   s.csrf_token, s.created_at, s.last_seen_at, s.expires_at
            FROM web_session s
            JOIN credential c ON c.kind = s.kind AND c.principal_id = s.principal_id
                             AND c.version = s.credential_version AND NOT c.is_disabled
            LEFT JOIN account ON s.kind = 'account' AND account.id = s.principal_id
            LEFT JOIN administrator ON s.kind = 'administrator' AND administrator.id = s.principal_id
            WHERE s.token_hash = $1 AND s.kind = ANY($2::text[]) AND account.is_disabled IS NOT TRUE
              AND account.may_sign_in IS NOT FALSE
            """,
            token_hash,
            list(kinds),
        )
        now = self._clock()
        if row is None or row["expires_at"] <= now:
            return None
        expires_at = row["expires_at"]
        if now - row["last_seen_at"] >= SEEN_EVERY:
            expires_at = min(now + self._idle, row["created_at"] + LIFETIME)
            await self._database.execute(
                "UPDATE web_session SET last_seen_at = $2, expires_at = $3 WHERE token_hash = $1",
                token_hash,
                now,
                expires_at,
            )
        return _session(row, expires_at)

    async def keep(self, token: str) -> None:
        """Let a session that was opened for a short time last as long as any."""
        await self._database.execute(
            "UPDATE web_session SET expires_at = $2 WHERE token_hash = $1 AND expires_at > $3",
            _hash(token),
            self._clock() + min(self._idle, LIFETIME),
            self._clock(),
        )

    async def close(self, token: str) -> None:
        """End one session; a token that is none does nothing."""
        await self._database.execute("DELETE FROM web_session WHERE token_hash = $1", _hash(token))

    async def close_all(self, principal: PrincipalId, except_token: str | None = None) -> int:
        """End the sessions of a principal, but for the one that asks; returns how many ended."""
        rows = await self._database.fetch(
            """
            DELETE FROM web_session
            WHERE kind = $1 AND principal_id = $2 AND token_hash IS DISTINCT FROM $3
            RETURNING 1
            """,
            principal.kind,
            principal.id,
            None if except_token is None else _hash(except_token),
        )
        return len(rows)

    async def sweep(self) -> int:
        """Remove sessions that have ended; called now and then by the server."""
        rows = await self._database.fetch(
            "DELETE FROM web_session WHERE expires_at <= $1 RETURNING 1", self._clock()
        )
        return len(rows)


def _hash(token: str) -> bytes:
    # 256 random bits need no slow hash; a look-up by hash tells nothing about tokens by its time.
    return hashlib.sha256(token.encode()).digest()


def _session(row: asyncpg.Record, expires_at: datetime) -> Session:
    kind = Kind(row["kind"])
    return Session(
        PrincipalId(kind, row["principal_id"]),
        row["credential_version"],
        row["name"],
        Address.parse(row["name"]) if kind in BY_ADDRESS else None,
        row["display_name"],
        row["language"],
        row["csrf_token"],
        row["created_at"],
        expires_at,
    )
