"""Domains of ours, alias domains, and what each is set to; the SQL of `domain` and `dkim_key`.

A domain gets its DKIM keys when it is made, RSA-2048 and Ed25519 (RFC 8301, RFC 8463): the newest of each
algorithm signs, older ones stay published until they are removed, so that mail on its way still verifies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from postroad.db.pool import Connection, Database
from postroad.directory.addresses.accounts import Accounts
from postroad.directory.addresses.placing import check_targets_in
from postroad.directory.announcements import announce_in
from postroad.directory.errors import (
    BadValue,
    DomainInUse,
    DomainIsAlias,
    DomainTaken,
    LimitReached,
    UnknownDomain,
)
from postroad.message.address import Address, BadAddress, canonical_domain
from postroad.message.sign import Algorithm, SigningKey, generate_key

MAX_PAGE = 1000
MAX_KEYS = 10  # of a domain
REMOVE_BATCH = 500  # accounts in one transaction when a domain goes with all it holds
# The letter their selectors begin with, and what the algorithm of the signature is called (RFC 8301, RFC
# 8463).
_ALGORITHMS: dict[Algorithm, tuple[str, str]] = {
    "rsa-2048": ("r", "rsa-sha256"),
    "ed25519": ("e", "ed25519-sha256"),
}


@dataclass(frozen=True, slots=True)
class Domain:
    """One domain. An alias domain (`alias_of`) has nothing of its own: every address is the same name there.

    `catch_all` gets what nobody else gets; `postmaster` reads postmaster@ and abuse@ (None: see
    `resolver.py`).
    """

    id: int
    name: str
    alias_of: str | None
    catch_all: Address | None
    postmaster: Address | None
    account_count: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class DkimKey:
    """A signing key of a domain; `private_key` is a PKCS #8 PEM and never shown."""

    id: int
    domain: str
    selector: str
    algorithm: str
    private_key: bytes
    created_at: datetime

    @property
    def signing_key(self) -> SigningKey:
        """The key ready to sign. Reading an RSA key takes a millisecond: keep it."""
        return SigningKey.load(self.domain, self.selector, self.private_key)

    def __repr__(self) -> str:
        return f"DkimKey({self.selector}._domainkey.{self.domain}, {self.algorithm})"


_COLUMNS = """
    d.id, d.name, d.catch_all, d.postmaster, d.created_at,
    (SELECT name FROM domain home WHERE home.id = d.alias_of) AS alias_of,
    (SELECT count(*) FROM account WHERE account.domain_id = d.id) AS account_count
"""


class Domains:
    """All domains, by canonical name. Names that are not found raise `UnknownDomain`."""

    def __init__(self, database: Database, accounts: Accounts, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._accounts = accounts
        self._clock = clock

    async def add(self, name: str, alias_of: str | None = None) -> Domain:
        """Make a domain with its keys, or an alias domain with keys for mail in its name.

        Raises `BadValue`, `DomainTaken`, `UnknownDomain`, `DomainIsAlias`.
        """
        canonical = checked_name(name)
        keys = await self._new_keys()
        try:
            async with self._database.transaction() as connection:
                home = None if alias_of is None else await _home_in(connection, alias_of)
                domain_id = await connection.fetchval(
                    "INSERT INTO domain (name, alias_of) VALUES ($1, $2) RETURNING id", canonical, home
                )
                await _store_keys_in(connection, domain_id, keys)
                await announce_in(connection, everything=True)
        except asyncpg.UniqueViolationError as error:
            raise DomainTaken(canonical) from error
        return await self.get(canonical)

    async def get(self, name: str) -> Domain:
        """Return the domain of this name."""
        row = await self._database.fetchrow(
            f"SELECT {_COLUMNS} FROM domain d WHERE name = $1", _canonical(name)
        )
        if row is None:
            raise UnknownDomain(name)
        return _domain(row)

    async def set_alias_of(self, name: str, target: str | None) -> Domain:
        """Make a domain without addresses an alias of another, or (None) a domain of its own; its keys stay.

        Raises `UnknownDomain`, `DomainInUse`, `DomainIsAlias`.
        """
        canonical = _canonical(name)
        async with self._database.transaction() as connection:
            domain_id = await _locked_id_in(connection, canonical)
            home = None if target is None else await _home_in(connection, target)
            if home == domain_id:
                raise BadValue("alias_of", "a domain cannot be an alias of itself")
            if home is not None:
                await _check_empty_in(connection, domain_id, canonical)
            await connection.execute(
                """
                UPDATE domain SET alias_of = $2, catch_all = CASE WHEN $2::bigint IS NULL THEN catch_all END,
                                  postmaster = CASE WHEN $2::bigint IS NULL THEN postmaster END
                WHERE id = $1
                """,
                domain_id,
                home,
            )
            await announce_in(connection, everything=True)
        return await self.get(canonical)

    async def set_catch_all(self, name: str, address: Address | None) -> Domain:
        """Say who gets what nobody else gets. Raises `DomainIsAlias`, `UnknownTarget`."""
        return await self._set_address(name, "catch_all", address)

    async def set_postmaster(self, name: str, address: Address | None) -> Domain:
        """Say who reads postmaster@ and abuse@. Raises `DomainIsAlias`, `UnknownTarget`."""
        return await self._set_address(name, "postmaster", address)

    async def remove(self, name: str, *, force: bool = False) -> None:
        """Remove a domain; with `force` all it holds: accounts and their mail, aliases, lists, alias domains.

        Raises `DomainInUse` without `force` while there are any. With it, accounts go in batches: what was
        removed before an interruption stays removed.
        """
        canonical = _canonical(name)
        while force:
            async with self._database.transaction() as connection:
                domain_id = await _locked_id_in(connection, canonical)
                rows = await connection.fetch(
                    "SELECT address FROM account WHERE domain_id = $1 ORDER BY address LIMIT $2",
                    domain_id,
                    REMOVE_BATCH,
                )
                if not rows:
                    await _delete_in(connection, domain_id)
                    return
                await self._accounts.remove_in(connection, [row["address"] for row in rows])
        async with self._database.transaction() as connection:
            domain_id = await _locked_id_in(connection, canonical)
            await _check_empty_in(connection, domain_id, canonical)
            await _delete_in(connection, domain_id)

    async def keys(self, name: str) -> list[DkimKey]:
        """Return the DKIM keys of a domain, newest first."""
        rows = await self._database.fetch(
            """
            SELECT k.*, d.name AS domain FROM domain d JOIN dkim_key k ON k.domain_id = d.id
            WHERE d.name = $1 ORDER BY k.id DESC
            """,
            _canonical(name),
        )
        return [_key(row) for row in rows]

    async def signing_keys(self, names: Sequence[str]) -> dict[str, list[DkimKey]]:
        """Return what signs for each domain of ours: the newest key of each algorithm."""
        async with self._database.connection() as connection:
            return await signing_keys_in(connection, names)

    async def add_keys(self, name: str) -> list[DkimKey]:
        """Make new keys, which sign from now on: publish their records first. Raises `LimitReached`."""
        canonical = _canonical(name)
        made = await self._new_keys()
        async with self._database.transaction() as connection:
            domain_id = await _locked_id_in(connection, canonical)
            count = await connection.fetchval("SELECT count(*) FROM dkim_key WHERE domain_id = $1", domain_id)
            if count + len(made) > MAX_KEYS:
                raise LimitReached("keys of a domain", MAX_KEYS)
            await _store_keys_in(connection, domain_id, made)
            await announce_in(connection, everything=True)
        return await self.keys(canonical)

    async def remove_key(self, name: str, selector: str) -> bool:
        """Remove a key; mail it signed verifies until its record goes. Says whether it was there."""
        async with self._database.transaction() as connection:
            domain_id = await _locked_id_in(connection, _canonical(name))
            removed = await connection.fetchval(
                "DELETE FROM dkim_key WHERE domain_id = $1 AND selector = $2 RETURNING id",
                domain_id,
                selector,
            )
            await announce_in(connection, everything=True)
        return removed is not None

    async def list(self, after: str = "", limit: int = 100) -> list[Domain]:
        """Return up to `limit` domains (at most 1,000) by name, those after the name `after`."""
        rows = await self._database.fetch(
            f"SELECT {_COLUMNS} FROM domain d WHERE name > $1 ORDER BY name LIMIT $2",
            after,
            max(1, min(limit, MAX_PAGE)),
        )
        return [_domain(row) for row in rows]

    async def _set_address(self, name: str, column: str, address: Address | None) -> Domain:
        canonical = _canonical(name)
        async with self._database.transaction() as connection:
            domain_id = await _locked_id_in(connection, canonical)
            if await connection.fetchval("SELECT alias_of FROM domain WHERE id = $1", domain_id) is not None:
                raise DomainIsAlias(canonical)
            if address is not None:
                await check_targets_in(connection, [address.key])
            await connection.execute(
                f"UPDATE domain SET {column} = $2 WHERE id = $1", domain_id, address.key if address else None
            )
            await announce_in(connection, everything=True)
        return await self.get(canonical)

    async def _new_keys(self) -> Sequence[tuple[str, str, bytes]]:
        """Selector stem, algorithm and key of each algorithm; RSA takes a moment, so in a thread."""
        month = f"{self._clock():%Y%m}"
        made = await asyncio.gather(*(asyncio.to_thread(generate_key, kind) for kind in _ALGORITHMS))
        return [
            (letter + month, algorithm, key)
            for (letter, algorithm), key in zip(_ALGORITHMS.values(), made, strict=True)
        ]


async def signing_keys_in(connection: Connection, names: Sequence[str]) -> dict[str, list[DkimKey]]:
    """Return what signs for each domain of ours: the newest key of each algorithm, RSA first."""
    rows = await connection.fetch(
        """
        SELECT DISTINCT ON (d.name, k.algorithm) k.*, d.name AS domain
        FROM domain d JOIN dkim_key k ON k.domain_id = d.id
        WHERE d.name = ANY($1::text[]) ORDER BY d.name, k.algorithm DESC, k.id DESC
        """,
        list(names),
    )
    signing: dict[str, list[DkimKey]] = {}
    for row in rows:
        signing.setdefault(row["domain"], []).append(_key(row))
    return signing


def checked_name(name: str) -> str:
    """Return the canonical form of a name that may be a domain of ours. Raises `BadValue`."""
    try:
        canonical = canonical_domain(name)
    except BadAddress as error:
        raise BadValue("domain", str(error)) from error
    if canonical.startswith("[") or "." not in canonical:
        raise BadValue("domain", f"{name} is not a full domain name such as example.com")
    return canonical


def _canonical(name: str) -> str:
    try:
        return canonical_domain(name)
    except BadAddress as error:
        raise UnknownDomain(name) from error


async def _home_in(connection: Connection, name: str) -> int:
    row = await connection.fetchrow(
        "SELECT id, alias_of FROM domain WHERE name = $1 FOR SHARE", _canonical(name)
    )
    if row is None:
        raise UnknownDomain(name)
    if row["alias_of"] is not None:
        raise DomainIsAlias(name)
    return int(row["id"])


async def _locked_id_in(connection: Connection, name: str) -> int:
    domain_id: int | None = await connection.fetchval(
        "SELECT id FROM domain WHERE name = $1 FOR UPDATE", name
    )
    if domain_id is None:
        raise UnknownDomain(name)
    return domain_id


async def _check_empty_in(connection: Connection, domain_id: int, name: str) -> None:
    row = await connection.fetchrow(
        """
        SELECT (SELECT count(*) FROM account WHERE domain_id = $1) AS accounts,
               (SELECT count(*) FROM alias WHERE domain_id = $1)
               + (SELECT count(*) FROM distribution_list WHERE domain_id = $1)
               + (SELECT count(*) FROM domain WHERE alias_of = $1) AS others
        """,
        domain_id,
    )
    assert row is not None
    if row["accounts"] or row["others"]:
        raise DomainInUse(name, row["accounts"], row["others"])


async def _delete_in(connection: Connection, domain_id: int) -> None:
    await connection.execute("DELETE FROM domain WHERE id = $1", domain_id)
    await announce_in(connection, everything=True)


async def _store_keys_in(
    connection: Connection, domain_id: int, keys: Sequence[tuple[str, str, bytes]]
) -> None:
    """Keep keys under free selectors: r202611, and r202611b for a second one that month."""
    taken = {
        row["selector"]
        for row in await connection.fetch("SELECT selector FROM dkim_key WHERE domain_id = $1", domain_id)
    }
    rows = []
    for stem, algorithm, key in keys:
        selector = next(
            candidate
            for candidate in (stem + letter for letter in ("", *"bcdefghijklmn"))
            if candidate not in taken
        )
        rows.append((domain_id, selector, algorithm, key))
    await connection.executemany(
        "INSERT INTO dkim_key (domain_id, selector, algorithm, private_key) VALUES ($1, $2, $3, $4)", rows
    )


def _domain(row: asyncpg.Record) -> Domain:
    return Domain(
        row["id"],
        row["name"],
        row["alias_of"],
        Address.parse(row["catch_all"]) if row["catch_all"] else None,
        Address.parse(row["postmaster"]) if row["postmaster"] else None,
        row["account_count"],
        row["created_at"],
    )


def _key(row: asyncpg.Record) -> DkimKey:
    return DkimKey(
        row["id"],
        row["domain"],
        row["selector"],
        row["algorithm"],
        bytes(row["private_key"]),
        row["created_at"],
    )
