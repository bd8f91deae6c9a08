"""Receivers: who is told of new mail, and of whose; the SQL of `receiver`.

Only whoever has a shell on the server makes one: a directory is written to as the server's account, and a URL
is called from its network.
"""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Literal
from urllib.parse import urlsplit

import asyncpg

from postroad.db.pool import Database
from postroad.message.address import Address

ReceiverKind = Literal["webhook", "files"]
Form = Literal["json", "xml"]

MAX_RECEIVERS = 1000
MAX_TARGET = 2000  # characters
SECRET_BYTES = 24  # standardwebhooks.com: 24 to 64
SECRET_PREFIX = "whsec_"  # noqa: S105 - what every secret begins with
ROTATION = "1 day"  # the old secret signs beside the new one for so long


class ReceiverError(Exception):
    """The base of refusals; `facts` are what its message is made of."""

    code: ClassVar[str] = "receiver"

    def __init__(self, message: str, **facts: str | int) -> None:
        super().__init__(message)
        self.facts: dict[str, str | int] = facts


class UnknownReceiver(ReceiverError):
    """There is no receiver of this number."""

    code = "unknown-receiver"

    def __init__(self, receiver_id: int) -> None:
        super().__init__(f"there is no receiver {receiver_id}", id=receiver_id)


class BadReceiver(ReceiverError):
    """It cannot be one; `reason` says why."""

    code = "bad-receiver"

    def __init__(self, reason: str) -> None:
        super().__init__(reason, reason=reason)


@dataclass(frozen=True, slots=True)
class Receiver:
    """One receiver. Without domain and account it is told of all mail."""

    id: int
    kind: ReceiverKind
    domain: str | None
    account: str | None
    target: str
    form: Form
    with_raw: bool
    is_paused: bool
    created_at: datetime
    secrets: tuple[str, ...] = field(repr=False, default=())  # those that sign now, the newest first


@dataclass(frozen=True, slots=True)
class Standing:
    """How it goes for a receiver: what waits, since when, and what was wrong last."""

    waiting: int
    oldest: datetime | None
    failing_accounts: int
    last_error: str | None


_COLUMNS = """
    r.id, r.kind, d.name AS domain, a.address AS account, r.target, r.form, r.with_raw, r.is_paused,
    r.created_at, CASE WHEN r.previous_until > now() THEN ARRAY[r.secret, r.previous_secret]
                       WHEN r.secret IS NOT NULL THEN ARRAY[r.secret] ELSE '{}' END AS secrets
"""
_FROM = "receiver r LEFT JOIN domain d ON d.id = r.domain_id LEFT JOIN account a ON a.id = r.account_id"


class Receivers:
    """All receivers. A number that is not found raises `UnknownReceiver`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_webhook(self, url: str, domain: str | None = None, account: str | None = None) -> Receiver:
        """Add a URL that is told by POST. Raises `BadReceiver`."""
        check_url(url)
        return await self._add("webhook", url, domain, account, secret=new_secret())

    async def add_files(
        self,
        directory: str,
        domain: str | None = None,
        account: str | None = None,
        *,
        form: Form = "json",
        with_raw: bool = False,
    ) -> Receiver:
        """Add a directory that a file a mail is written to. Raises `BadReceiver`."""
        if not os.path.isabs(directory) or len(directory) > MAX_TARGET or "\0" in directory:  # noqa: PTH117
            raise BadReceiver("the directory must be named from the root")
        if form not in ("json", "xml"):
            raise BadReceiver("the format is json or xml")
        return await self._add("files", directory, domain, account, form=form, with_raw=with_raw)

    async def get(self, receiver_id: int) -> Receiver:
        """Return one."""
        row = await self._database.fetchrow(f"SELECT {_COLUMNS} FROM {_FROM} WHERE r.id = $1", receiver_id)
        if row is None:
            raise UnknownReceiver(receiver_id)
        return _receiver(row)

    async def list(self) -> list[Receiver]:
        """Return all in the order they were made."""
        return [
            _receiver(row)
            for row in await self._database.fetch(f"SELECT {_COLUMNS} FROM {_FROM} ORDER BY r.id")
        ]

    async def standing(self, receiver_id: int) -> Standing:
        """Say how it goes for one."""
        row = await self._database.fetchrow(
            """
            SELECT (SELECT count(*) FROM notification WHERE receiver_id = $1) AS waiting,
                   (SELECT min(arrived_at) FROM notification WHERE receiver_id = $1) AS oldest,
                   (SELECT count(*) FROM notification_line
                    WHERE receiver_id = $1 AND failures > 0) AS failing,
                   (SELECT last_error FROM notification_line WHERE receiver_id = $1 AND failures > 0
                    ORDER BY due_at DESC NULLS LAST LIMIT 1) AS last_error
            """,
            receiver_id,
        )
        assert row is not None
        return Standing(row["waiting"], row["oldest"], row["failing"], row["last_error"])

    async def set_paused(self, receiver_id: int, is_paused: bool) -> None:
        """Tell it nothing for now: what comes waits; or tell it again."""
        await self._change(
            "UPDATE receiver SET is_paused = $2 WHERE id = $1 RETURNING id", receiver_id, is_paused
        )

    async def rotate(self, receiver_id: int) -> Receiver:
        """Give a webhook another secret; the old one signs beside it for a day. Raises `BadReceiver`."""
        if (await self.get(receiver_id)).kind != "webhook":
            raise BadReceiver("only a webhook has a secret")
        await self._change(
            f"""
            UPDATE receiver SET previous_secret = secret, previous_until = now() + interval '{ROTATION}',
                                secret = $2
            WHERE id = $1 RETURNING id
            """,
            receiver_id,
            new_secret(),
        )
        return await self.get(receiver_id)

    async def remove(self, receiver_id: int) -> None:
        """Remove one, with what waits for it and its log."""
        await self._change("DELETE FROM receiver WHERE id = $1 RETURNING id", receiver_id)
        await self._database.execute("DELETE FROM notification_attempt WHERE receiver_id = $1", receiver_id)

    async def _change(self, statement: str, receiver_id: int, *parameters: object) -> None:
        if await self._database.fetchval(statement, receiver_id, *parameters) is None:
            raise UnknownReceiver(receiver_id)

    async def _add(
        self,
        kind: ReceiverKind,
        target: str,
        domain: str | None,
        account: str | None,
        *,
        form: Form = "json",
        with_raw: bool = False,
        secret: str | None = None,
    ) -> Receiver:
        if domain is not None and account is not None:
            raise BadReceiver("of a domain or of an account, not both")
        async with self._database.transaction() as connection:
            domain_id = account_id = None
            if domain is not None:
                domain_id = await connection.fetchval(
                    "SELECT id FROM domain WHERE name = $1 AND alias_of IS NULL", domain.lower()
                )
                if domain_id is None:
                    raise BadReceiver(f"there is no domain {domain} here")
            if account is not None:
                key = Address.parse(account).key
                account_id = await connection.fetchval("SELECT id FROM account WHERE address = $1", key)
                if account_id is None:
                    raise BadReceiver(f"there is no account {account}")
            if await connection.fetchval("SELECT count(*) FROM receiver") >= MAX_RECEIVERS:
                raise BadReceiver(f"there may be at most {MAX_RECEIVERS} receivers")
            new_id: int = await connection.fetchval(
                """
                INSERT INTO receiver (kind, domain_id, account_id, target, form, with_raw, secret)
                VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id
                """,
                *(kind, domain_id, account_id, target, form, with_raw, secret),
            )
        return await self.get(new_id)


def new_secret() -> str:
    """Make a secret as standardwebhooks.com writes one."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def check_url(url: str) -> None:
    """Raise `BadReceiver` for what is no URL of a webhook."""
    try:
        parts = urlsplit(url)
        is_good = (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and parts.username is None
            and not parts.fragment
            and (parts.port is None or parts.port > 0)
        )
    except ValueError:
        is_good = False
    if (
        not is_good
        or len(url) > MAX_TARGET
        or not url.isascii()
        or any(character <= " " for character in url)
    ):
        raise BadReceiver("the URL must be of the form https://host/path, in ASCII, without a password")


def _receiver(row: asyncpg.Record) -> Receiver:
    secrets_now: Sequence[str] = row["secrets"]
    return Receiver(
        row["id"],
        row["kind"],
        row["domain"],
        row["account"],
        row["target"],
        row["form"],
        row["with_raw"],
        row["is_paused"],
        row["created_at"],
        tuple(secrets_now),
    )
