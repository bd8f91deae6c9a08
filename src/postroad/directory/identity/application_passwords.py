"""Application passwords: random tokens for one device or program each; the SQL of `application_password`.

120 random bits need no slow hash: SHA-256 is stored. They open SMTP, IMAP and POP3, and get tokens of the
JSON API that are good for mail; never the web, where they could be used to change the account's own password.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from postroad.db.pool import Database
from postroad.directory.announcements import announce_in
from postroad.directory.errors import BadValue, LimitReached, UnknownAccount, UnknownApplicationPassword
from postroad.directory.names import clean_display_name
from postroad.message.address import Address

MAX_EACH = 50  # an account; every one of them is compared in memory
_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"  # 32 signs; no l, o, 0, 1: they are typed from a screen
_LENGTH = 24
_SHAPE = re.compile(f"[{_ALPHABET}]{{{_LENGTH}}}\\Z")


@dataclass(frozen=True, slots=True)
class ApplicationPassword:
    """What is known of one afterwards; the token itself was shown once."""

    id: int
    label: str
    created_at: datetime
    last_used_at: datetime | None


def new_token() -> str:
    """Make a token as people see it: six groups of four."""
    signs = "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))
    return "-".join(signs[start : start + 4] for start in range(0, _LENGTH, 4))


def token_hash(offered: str) -> bytes | None:
    """Return what a token is stored as, whatever its case, spaces and hyphens; None when it cannot be one."""
    signs = offered.replace("-", "").replace(" ", "").lower() if len(offered) <= 64 else ""
    return hashlib.sha256(signs.encode()).digest() if _SHAPE.match(signs) else None


class ApplicationPasswords:
    """The application passwords of all accounts. An address that is not found raises `UnknownAccount`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, address: Address, label: str) -> tuple[ApplicationPassword, str]:
        """Make one; return it with its token, shown this once. Raises `LimitReached`, `BadValue`."""
        clean = clean_display_name(label)
        if not clean:
            raise BadValue("label", "1 to 200 characters that say what it is for")
        token = new_token()
        async with self._database.transaction() as connection:
            account_id = await connection.fetchval(
                "SELECT id FROM account WHERE address = $1 FOR UPDATE", address.key
            )
            if account_id is None:
                raise UnknownAccount(address.key)
            count = await connection.fetchval(
                "SELECT count(*) FROM application_password WHERE kind = 'account' AND principal_id = $1",
                account_id,
            )
            if count >= MAX_EACH:
                raise LimitReached("application passwords of an account", MAX_EACH)
            row = await connection.fetchrow(
                """
                INSERT INTO application_password (kind, principal_id, label, token_hash)
                VALUES ('account', $1, $2, $3)
                RETURNING id, label, created_at, last_used_at
                """,
                account_id,
                clean,
                token_hash(token),
            )
            await announce_in(connection, account_ids=[account_id])
        assert row is not None
        return _application_password(row), token

    async def list(self, address: Address) -> list[ApplicationPassword]:
        """Return those of an account, oldest first."""
        rows = await self._database.fetch(
            """
            SELECT p.id, label, p.created_at, last_used_at
            FROM account
            LEFT JOIN application_password p ON p.kind = 'account' AND p.principal_id = account.id
            WHERE address = $1 ORDER BY p.id
            """,
            address.key,
        )
        if not rows:
            raise UnknownAccount(address.key)
        return [_application_password(row) for row in rows if row["id"] is not None]

    async def remove(self, address: Address, password_id: int) -> None:
        """Remove one; it opens no door from now on. Raises `UnknownApplicationPassword`."""
        async with self._database.transaction() as connection:
            account_id = await connection.fetchval(
                """
                DELETE FROM application_password p USING account
                WHERE p.id = $2 AND p.kind = 'account' AND p.principal_id = account.id
                  AND account.address = $1
                RETURNING p.principal_id
                """,
                address.key,
                password_id,
            )
            if account_id is None:
                raise UnknownApplicationPassword(password_id)
            await announce_in(connection, account_ids=[account_id])


def _application_password(row: asyncpg.Record) -> ApplicationPassword:
    return ApplicationPassword(row["id"], row["label"], row["created_at"], row["last_used_at"])
