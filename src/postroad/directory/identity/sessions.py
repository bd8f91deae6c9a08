"""Web sessions: who is signed in at the pages; the SQL of `web_session`.

A session is a random token in a cookie; only its hash is stored. It is bound to the version of the
credential it was opened with, so a changed password ends it, and it is read from the database on every
request, so it ends at once.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg

from postroad.db.pool import Database
from postroad.directory.identity.sign_in import Principal
from postroad.message.address import Address

MAX_EACH = 30  # sessions of an account; the one unused longest goes first
LIFETIME = timedelta(days=90)  # however much it is used
SEEN_EVERY = timedelta(minutes=5)  # how exact the last use is: not one write a page
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}\Z")


@dataclass(frozen=True, slots=True)
class Session:
    """A session in force, and what a page needs of its account."""

    account_id: int
    address: Address
    display_name: str
    language: str | None
    csrf_token: str
    opened_at: datetime
    expires_at: datetime


class Sessions:
    """All web sessions. One ends after `idle` without a request, and after 90 days in any case."""

    def __init__(self, database: Database, idle: timedelta, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._idle = idle
        self._clock = clock

    async def open(self, principal: Principal) -> str:
        """Open a session for who signed in and return its token (43 characters for a cookie)."""
        token = secrets.token_urlsafe(32)
        now = self._clock()
        async with self._database.transaction() as connection:
            # One at a time for an account, so that the bound holds.
            await connection.execute(
                "SELECT FROM credential WHERE account_id = $1 FOR UPDATE", principal.account_id
            )
            await connection.execute(
                """
                INSERT INTO web_session
                    (token_hash, account_id, credential_version, csrf_token,
                     created_at, last_seen_at, expires_at)
                VALUES ($1, $2, $3, $4, $5, $5, $6)
                """,
                _hash(token),
                principal.account_id,
                principal.credential_version,
                secrets.token_urlsafe(32),
                now,
                now + min(self._idle, LIFETIME),
            )
            await connection.execute(
                """
                DELETE FROM web_session WHERE token_hash IN (
                    SELECT token_hash FROM web_session WHERE account_id = $1
                    ORDER BY last_seen_at DESC OFFSET $2)
                """,
                principal.account_id,
                MAX_EACH,
            )
        return token

    async def find(self, token: str) -> Session | None:
        """Return the session of a token while it is in force, and note that it was used."""
        if not _TOKEN.match(token):
            return None
        token_hash = _hash(token)
        row = await self._database.fetchrow(
            """
            SELECT s.account_id, account.address, account.display_name, account.language, s.csrf_token,
                   s.created_at, s.last_seen_at, s.expires_at
            FROM web_session s
            JOIN account ON account.id = s.account_id AND NOT account.is_disabled
            JOIN credential c ON c.account_id = s.account_id AND c.version = s.credential_version
            WHERE s.token_hash = $1
            """,
            token_hash,
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

    async def close(self, token: str) -> None:
        """End one session; a token that is none does nothing."""
        await self._database.execute("DELETE FROM web_session WHERE token_hash = $1", _hash(token))

    async def close_all(self, account_id: int, except_token: str | None = None) -> int:
        """End the sessions of an account, but for the one that asks; returns how many ended."""
        rows = await self._database.fetch(
            """
            DELETE FROM web_session WHERE account_id = $1 AND token_hash IS DISTINCT FROM $2
            RETURNING 1
            """,
            account_id,
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
    return Session(
        row["account_id"],
        Address.parse(row["address"]),
        row["display_name"],
        row["language"],
        row["csrf_token"],
        row["created_at"],
        expires_at,
    )
