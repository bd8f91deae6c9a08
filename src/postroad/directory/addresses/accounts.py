"""Accounts: a person's mailbox and what is known of its owner; the SQL of `account`.

What upper floors must learn travels as an event in the same transaction; the mail store makes the default
folders in it through `OnAccountsAdded`, and loses an account's mail with its row, by cascade. Mobile
numbers by ITU-T E.164.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypedDict, Unpack

import asyncpg

from postroad.db.pool import Connection, Database
from postroad.directory.addresses.placing import domain_ids_in, explain_collision
from postroad.directory.announcements import announce_in
from postroad.directory.credentials import NewCredential, add_in, hash_password, replace_in
from postroad.directory.errors import BadValue, UnknownAccount
from postroad.directory.names import clean_display_name
from postroad.directory.passwords import PasswordHashing, Policy, check_policy
from postroad.directory.principals import Kind, PrincipalId
from postroad.events.outbox import Event, Outbox
from postroad.message.address import Address

MAX_PAGE = 1000
MAX_BULK = 10_000  # accounts added in one transaction
MAX_QUOTA_BYTES = 2**50
LANGUAGES = ("en", "zh")
_E164 = re.compile(r"\+[1-9]\d{6,14}\Z")  # ITU-T E.164: at most 15 digits


class OnAccountsAdded(Protocol):
    """What the mail store does in the transaction that makes accounts: their default folders."""

    async def __call__(self, connection: Connection, account_ids: Sequence[int]) -> object:
        """Prepare these accounts; raising undoes them."""


@dataclass(frozen=True, slots=True)
class Account:
    """One account; `quota_bytes` None is no limit, `language` None is the browser's.

    One that is disabled does nothing at all; the last three shut single doors.
    """

    id: int
    address: Address
    display_name: str
    mobile: str | None
    language: str | None
    quota_bytes: int | None
    is_disabled: bool
    created_at: datetime
    may_sign_in: bool = True
    takes_mail: bool = True
    may_send: bool = True


@dataclass(frozen=True, slots=True)
class NewAccount:
    """An account to be made. Values are checked by `Accounts.add_many`."""

    address: Address
    password: str
    display_name: str = ""
    mobile: str | None = None
    language: str | None = None
    quota_bytes: int | None = None


class AccountChanges(TypedDict, total=False):
    """The fields that `Accounts.update` may set; those left out stay."""

    display_name: str
    mobile: str | None
    language: str | None
    quota_bytes: int | None
    is_disabled: bool
    may_sign_in: bool
    takes_mail: bool
    may_send: bool


_COLUMNS = (
    "id, address, display_name, mobile, language, quota_bytes, is_disabled, created_at, "
    "may_sign_in, takes_mail, may_send"
)


class Accounts:
    """All accounts. Addresses that are not found raise `UnknownAccount`."""

    def __init__(
        self, database: Database, outbox: Outbox, hashing: PasswordHashing, on_added: OnAccountsAdded
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._hashing = hashing
        self._on_added = on_added

    async def add(
        self,
        address: Address,
        password: str,
        *,
        display_name: str = "",
        mobile: str | None = None,
        language: str | None = None,
        quota_bytes: int | None = None,
        policy: Policy = check_policy,
    ) -> Account:
        """Make an account with its credential and default folders. For the errors see `add_many`."""
        new = NewAccount(address, password, display_name, mobile, language, quota_bytes)
        return (await self.add_many([new], policy))[0]

    async def add_many(self, accounts: Sequence[NewAccount], policy: Policy = check_policy) -> list[Account]:
        """Make accounts, all or none, in the order given; `policy` judges their passwords.

        Raises `UnknownDomain`, `DomainIsAlias`, `AddressTaken`, `WeakPassword`, `BadValue`, `TooBusyToHash`.
        """
        if len(accounts) > MAX_BULK:
            raise BadValue("accounts", f"at most {MAX_BULK} at once")
        keys = [new.address.key for new in accounts]
        fields = [_checked(_fields_of(new)) for new in accounts]
        for new, key in zip(accounts, keys, strict=True):
            policy(new.password, key)
        hashed = [
            await hash_password(self._hashing, key, new.password, with_md5=True, policy=policy)
            for new, key in zip(accounts, keys, strict=True)
        ]
        try:
            async with self._database.transaction() as connection:
                domain_ids = await domain_ids_in(connection, [new.address.domain for new in accounts])
                rows = await connection.fetch(
                    f"""
                    INSERT INTO account (domain_id, address, display_name, mobile, language, quota_bytes)
                    SELECT * FROM unnest(
                        $1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[])
                    RETURNING {_COLUMNS}
                    """,
                    [domain_ids[new.address.domain] for new in accounts],
                    keys,
                    *(
                        [field[name] for field in fields]
                        for name in ("display_name", "mobile", "language", "quota_bytes")
                    ),
                )
                added = {row["address"]: _account(row) for row in rows}
                ids = [added[key].id for key in keys]
                await add_in(
                    connection,
                    [
                        NewCredential(PrincipalId(Kind.ACCOUNT, account_id), None, one)
                        for account_id, one in zip(ids, hashed, strict=True)
                    ],
                )
                await self._on_added(connection, ids)
                await self._outbox.record_in(
                    connection,
                    [Event("account.added", added[key].id, {"address": key}) for key in keys],
                )
                await announce_in(connection, addresses=keys, account_ids=ids)
        except asyncpg.UniqueViolationError as error:
            raise await explain_collision(self._database, keys) from error
        return [added[key] for key in keys]

    async def get(self, account_id: int) -> Account:
        """Return the account with this id."""
        row = await self._database.fetchrow(f"SELECT {_COLUMNS} FROM account WHERE id = $1", account_id)
        if row is None:
            raise UnknownAccount(f"#{account_id}")
        return _account(row)

    async def get_by_address(self, address: Address) -> Account:
        """Return the account that has exactly this address."""
        row = await self._database.fetchrow(f"SELECT {_COLUMNS} FROM account WHERE address = $1", address.key)
        if row is None:
            raise UnknownAccount(address.key)
        return _account(row)

    async def get_many(self, account_ids: Sequence[int]) -> dict[int, Account]:
        """Return those of the accounts that exist, by id."""
        rows = await self._database.fetch(
            f"SELECT {_COLUMNS} FROM account WHERE id = ANY($1::bigint[])", list(account_ids)
        )
        return {row["id"]: _account(row) for row in rows}

    async def list(self, domain: str | None = None, after: str = "", limit: int = 100) -> list[Account]:
        """Return up to `limit` accounts (at most 1,000) by address, those after the key `after`."""
        rows = await self._database.fetch(
            f"""
            SELECT {_COLUMNS} FROM account
            WHERE address > $2 AND ($1::text IS NULL OR domain_id = (SELECT id FROM domain WHERE name = $1))
            ORDER BY address LIMIT $3
            """,
            domain,
            after,
            max(1, min(limit, MAX_PAGE)),
        )
        return [_account(row) for row in rows]

    async def count(self, domain: str | None = None) -> int:
        """Return how many accounts there are, here or in one domain."""
        value: int = await self._database.fetchval(
            """
            SELECT count(*) FROM account
            WHERE $1::text IS NULL OR domain_id = (SELECT id FROM domain WHERE name = $1)
            """,
            domain,
        )
        return value

    async def update(self, address: Address, **changes: Unpack[AccountChanges]) -> Account:
        """Set the fields given. Raises `UnknownAccount`, `BadValue`."""
        fields = _checked(changes)
        if not fields:
            return await self.get_by_address(address)
        assignments = ", ".join(f"{name} = ${number}" for number, name in enumerate(fields, start=2))
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(
                f"UPDATE account SET {assignments} WHERE address = $1 RETURNING {_COLUMNS}",
                address.key,
                *fields.values(),
            )
            if row is None:
                raise UnknownAccount(address.key)
            payload = {"address": address.key, "changed": sorted(fields)}
            await self._outbox.record_in(connection, [Event("account.changed", row["id"], payload)])
            await announce_in(connection, addresses=[address.key], account_ids=[row["id"]])
        return _account(row)

    async def set_disabled(self, address: Address, is_disabled: bool) -> Account:
        """Lock an account out of every door, or let it in again. Mail to it is refused while it is locked."""
        return await self.update(address, is_disabled=is_disabled)

    async def set_password(self, address: Address, password: str, policy: Policy = check_policy) -> int:
        """Change the password: what was remembered for the old one and every web session is void at once.

        Returns the credential's new version, for a session of who changed it. Raises `UnknownAccount`,
        `WeakPassword`, `TooBusyToHash`.
        """
        hashed = await hash_password(self._hashing, address.key, password, with_md5=True, policy=policy)
        async with self._database.transaction() as connection:
            account_id = await connection.fetchval(
                "SELECT id FROM account WHERE address = $1 FOR SHARE", address.key
            )
            if account_id is None:
                raise UnknownAccount(address.key)
            version = await replace_in(connection, PrincipalId(Kind.ACCOUNT, account_id), hashed)
            await self._outbox.record_in(
                connection, [Event("credential.changed", account_id, {"address": address.key})]
            )
        return version

    async def remove(self, address: Address) -> None:
        """Remove the account and all its mail. Raises `UnknownAccount`.

        It leaves every list, alias, catch-all and postmaster setting that named it; an alias without
        targets goes too: whoever gets the address next inherits nothing.
        """
        async with self._database.transaction() as connection:
            await self.remove_in(connection, [address.key])

    async def remove_in(self, connection: Connection, keys: Sequence[str]) -> None:
        """Remove several accounts in the caller's transaction."""
        rows = await connection.fetch(
            "SELECT id, address FROM account WHERE address = ANY($1::text[]) ORDER BY id FOR UPDATE",
            list(keys),
        )
        missing = set(keys) - {row["address"] for row in rows}
        if missing:
            raise UnknownAccount(min(missing))
        ids = [row["id"] for row in rows]
        await connection.execute(
            "DELETE FROM distribution_list_member WHERE address = ANY($1::text[])", list(keys)
        )
        await connection.execute("DELETE FROM alias WHERE targets <@ $1::text[]", list(keys))
        await connection.execute(
            """
            UPDATE alias SET targets = ARRAY(
                SELECT target FROM unnest(targets) WITH ORDINALITY AS t(target, n)
                WHERE target <> ALL($1::text[]) ORDER BY n)
            WHERE targets && $1::text[]
            """,
            list(keys),
        )
        await connection.execute(
            """
            UPDATE domain SET catch_all = CASE WHEN catch_all <> ALL($1::text[]) THEN catch_all END,
                              postmaster = CASE WHEN postmaster <> ALL($1::text[]) THEN postmaster END
            WHERE catch_all = ANY($1::text[]) OR postmaster = ANY($1::text[])
            """,
            list(keys),
        )
        await connection.execute("SELECT lock_folders_of($1::bigint[])", ids)
        await connection.execute("DELETE FROM account WHERE id = ANY($1::bigint[])", ids)
        await self._outbox.record_in(
            connection, [Event("account.removed", row["id"], {"address": row["address"]}) for row in rows]
        )
        await announce_in(connection, everything=True)  # aliases and catch-alls may have changed with it


def _fields_of(new: NewAccount) -> AccountChanges:
    return {
        "display_name": new.display_name,
        "mobile": new.mobile,
        "language": new.language,
        "quota_bytes": new.quota_bytes,
    }


def _checked(changes: AccountChanges) -> dict[str, Any]:
    """Return the fields in the form they are stored in. Raises `BadValue`."""
    fields: dict[str, Any] = dict(changes)
    if "display_name" in changes:
        name = clean_display_name(changes["display_name"])
        if name is None:
            raise BadValue("display_name", "at most 200 characters, no control characters")
        fields["display_name"] = name
    if changes.get("mobile"):
        mobile = re.sub(r"[\s().-]", "", changes["mobile"] or "")
        if not _E164.match(mobile):
            raise BadValue("mobile", "write it with + and the country code, such as +8613800138000")
        fields["mobile"] = mobile
    elif "mobile" in changes:
        fields["mobile"] = None
    if changes.get("language") not in (None, *LANGUAGES):
        raise BadValue("language", f"one of {', '.join(LANGUAGES)}")
    quota = changes.get("quota_bytes")
    if quota is not None and not 0 < quota <= MAX_QUOTA_BYTES:
        raise BadValue("quota_bytes", "between 1 byte and 1 PiB; none for no limit")
    return fields


def _account(row: asyncpg.Record) -> Account:
    return Account(
        row["id"],
        Address.parse(row["address"]),
        row["display_name"],
        row["mobile"],
        row["language"],
        row["quota_bytes"],
        row["is_disabled"],
        row["created_at"],
        row["may_sign_in"],
        row["takes_mail"],
        row["may_send"],
    )
