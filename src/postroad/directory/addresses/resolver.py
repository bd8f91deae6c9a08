"""What an address means here, answered from memory most of the time.

One query answers any number of addresses; answers are kept for a minute at most and voided by announcements.
Who reads postmaster@ and abuse@ (RFC 5321 4.5.1, RFC 2142) when nobody has that name: the domain's
`postmaster` setting, else its catch-all, else its oldest enabled account, else the oldest enabled account
of all. The same holds at the server's own host name, which has no other addresses.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import asyncpg

from postroad.db.pool import Database
from postroad.directory.announcements import CHANNEL, Hearing, read_announcement
from postroad.directory.cache import DependentCache
from postroad.directory.names import REQUIRED_NAMES, base_of, split_key
from postroad.message.address import Address, BadAddress, canonical_domain

Posting = Literal["anyone", "members", "owners"]

KEPT_SECONDS = 60.0  # announcements void at once; this bounds a lost one
# An address that is missing is asked for again soon: its sender tries again, and floods of guesses stay
# apart.
KEPT_UNKNOWN_SECONDS = 5.0
MAX_KNOWN = 50_000  # about 30 MB full
MAX_UNKNOWN = 10_000
MAX_FOREIGN = 50_000  # domains that are not ours
_ANY_ACCOUNT = "*accounts"  # a dependency on the set of all accounts


@dataclass(frozen=True, slots=True)
class LocalAccount:
    """Mail for this address rests in an account here; `is_disabled`: it takes none."""

    account_id: int
    address: Address
    is_disabled: bool
    quota_bytes: int | None


@dataclass(frozen=True, slots=True)
class AliasTargets:
    """Mail for this address goes on to these instead."""

    addresses: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class ListTarget:
    """Mail goes to the members of a list (`Resolver.list_members`), if the sender may post."""

    list_id: int
    address: Address
    name: str
    posting: Posting


@dataclass(frozen=True, slots=True)
class UnknownLocal:
    """The domain is ours, the address does not exist."""


@dataclass(frozen=True, slots=True)
class NotLocal:
    """The domain is not ours."""


Resolution = LocalAccount | AliasTargets | ListTarget | UnknownLocal | NotLocal

UNKNOWN = UnknownLocal()
FOREIGN = NotLocal()

# `home` is where an alias domain's addresses really are. The longer of the two candidates wins: an address
# that is spelled out with its plus sign goes before the one that it would be a subaddress of.
_RESOLVE = """
SELECT a.key, home.id AS domain_id, home.name AS domain, home.catch_all, home.postmaster,
       found.address, account.id AS account_id,
       account.is_disabled OR NOT account.takes_mail AS is_disabled, account.quota_bytes,
       alias.targets, list.id AS list_id, list.name AS list_name, list.posting
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS a(key, local_part, base, domain)
LEFT JOIN domain ON domain.name = a.domain
LEFT JOIN domain home ON home.id = coalesce(domain.alias_of, domain.id)
LEFT JOIN LATERAL (
    SELECT address, kind FROM local_address
    WHERE address IN (a.local_part || '@' || home.name, a.base || '@' || home.name)
    ORDER BY length(address) DESC LIMIT 1
) found ON true
LEFT JOIN account ON found.kind = 'account' AND account.address = found.address
LEFT JOIN alias ON found.kind = 'alias' AND alias.address = found.address
LEFT JOIN distribution_list list ON found.kind = 'list' AND list.address = found.address
"""

_MAY_SEND_AS = """
SELECT home.name AS domain,
       coalesce(found.address = own.address OR own.address = ANY(alias.targets), false) AS may
FROM domain
JOIN domain home ON home.id = coalesce(domain.alias_of, domain.id)
LEFT JOIN account own ON own.id = $1 AND own.may_send
LEFT JOIN LATERAL (
    SELECT address, kind FROM local_address
    WHERE address IN ($2 || '@' || home.name, $3 || '@' || home.name)
    ORDER BY length(address) DESC LIMIT 1
) found ON true
LEFT JOIN alias ON found.kind = 'alias' AND alias.address = found.address
WHERE domain.name = $4
"""


class Resolver:
    """Answers what addresses mean. `hostname` is the server's own name.

    Without `hearing` nothing is remembered, since nobody would say when to forget.
    """

    def __init__(
        self,
        database: Database,
        hostname: str = "",
        hearing: Hearing | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        try:
            self._hostname = canonical_domain(hostname) if hostname else ""
        except BadAddress:
            self._hostname = ""
        self._is_cached = hearing is not None
        self._known: DependentCache[str, Resolution] = DependentCache(MAX_KNOWN, KEPT_SECONDS, monotonic)
        self._unknown: DependentCache[str, Resolution] = DependentCache(
            MAX_UNKNOWN, KEPT_UNKNOWN_SECONDS, monotonic
        )
        self._foreign: DependentCache[str, NotLocal] = DependentCache(MAX_FOREIGN, KEPT_SECONDS, monotonic)
        self._senders: DependentCache[tuple[int, str], bool] = DependentCache(
            MAX_UNKNOWN, KEPT_SECONDS, monotonic
        )
        if hearing is not None:
            hearing.add(CHANNEL, self._hear)

    async def resolve(self, address: Address) -> Resolution:
        """Say what `address` means. Raises `DatabaseUnavailable`."""
        key = address.key
        return self._remembered(key) or (await self._look_up([key]))[key]

    async def resolve_many(self, addresses: Sequence[Address]) -> dict[str, Resolution]:
        """Say what each address means, by key; one query for all that memory does not know."""
        answers: dict[str, Resolution] = {}
        missing: list[str] = []
        for key in {address.key for address in addresses}:
            remembered = self._remembered(key)
            if remembered is None:
                missing.append(key)
            else:
                answers[key] = remembered
        if missing:
            answers.update(await self._look_up(missing))
        return answers

    async def may_send_as(self, account_id: int, address: Address) -> bool:
        """Whether mail of this account may carry `address` as its sender.

        Its own address, subaddresses of it, aliases that lead to it directly, and each of these in alias
        domains.
        """
        key = address.key
        remembered = self._senders.get((account_id, key))
        if remembered is not None:
            return remembered
        generation = self._senders.generation
        local_part, domain = split_key(key)
        base = base_of(local_part)
        row = await self._database.fetchrow(_MAY_SEND_AS, account_id, local_part, base, domain)
        if row is None:
            return False
        may = bool(row["may"])
        if self._is_cached:
            dependencies = (f"{base}@{row['domain']}", f"account {account_id}")
            self._senders.put((account_id, key), may, dependencies, generation)
        return may

    async def list_members(self, list_id: int) -> tuple[Address, ...]:
        """Return the members of a list, here and elsewhere, in the order of their addresses."""
        rows = await self._database.fetch(
            "SELECT address FROM distribution_list_member WHERE list_id = $1 AND receives ORDER BY address",
            list_id,
        )
        return _addresses(row["address"] for row in rows)

    async def list_owners(self, list_id: int) -> tuple[Address, ...]:
        """Return those members who own the list: they read what comes back from it."""
        rows = await self._database.fetch(
            """
            SELECT address FROM distribution_list_member WHERE list_id = $1 AND is_owner ORDER BY address
            """,
            list_id,
        )
        return _addresses(row["address"] for row in rows)

    async def may_post(self, target: ListTarget, sender: Address | None, account_id: int | None) -> bool:
        """Whether a mail from `sender` (None: the null one), submitted by `account_id`, may go to the list.

        An account posts as a member by its own address too, whatever sender address it chose.
        """
        if target.posting == "anyone":
            return True
        keys = []
        if sender is not None:
            local_part, domain = split_key(sender.key)
            keys = [sender.key, f"{base_of(local_part)}@{domain}"]
        return bool(
            await self._database.fetchval(
                """
                SELECT EXISTS (
                    SELECT FROM distribution_list_member
                    WHERE list_id = $1 AND (is_owner OR $2 = 'members')
                      AND (posts = 'always' OR posts = 'signed-in' AND $4::bigint IS NOT NULL)
                      AND (address = ANY($3::text[]) OR address = (SELECT address FROM account WHERE id = $4))
                )
                """,
                target.list_id,
                target.posting,
                keys,
                account_id,
            )
        )

    def _hear(self, payload: str | None) -> None:
        """Forget what an announcement makes doubtful."""
        changes = read_announcement(payload)
        if changes.is_everything:
            for cache in (self._known, self._unknown, self._foreign, self._senders):
                cache.clear()
            return
        dependencies = {_ANY_ACCOUNT, *(f"account {account_id}" for account_id in changes.account_ids)}
        for address in changes.addresses:
            local_part, domain = split_key(address)
            dependencies.add(f"{base_of(local_part)}@{domain}")
        for cache in (self._known, self._unknown, self._senders):
            for dependency in dependencies:
                cache.void(dependency)

    def _remembered(self, key: str) -> Resolution | None:
        if not self._is_cached:
            return None
        return self._known.get(key) or self._unknown.get(key) or self._foreign.get(key.rpartition("@")[2])

    async def _look_up(self, keys: Sequence[str]) -> dict[str, Resolution]:
        generations = self._known.generation, self._unknown.generation, self._foreign.generation
        parts = [split_key(key) for key in keys]
        rows = await self._database.fetch(
            _RESOLVE,
            list(keys),
            [local_part for local_part, _ in parts],
            [base_of(local_part) for local_part, _ in parts],
            [domain for _, domain in parts],
        )
        answers: dict[str, Resolution] = {}
        for row in rows:
            key: str = row["key"]
            local_part, domain = split_key(key)
            base = base_of(local_part)
            answer = _meaning(row)
            dependencies = [f"{base}@{row['domain']}"]
            if answer is UNKNOWN or (answer is FOREIGN and domain == self._hostname):
                answer = await self._fallback(row, key, base)
                dependencies.append(_ANY_ACCOUNT)
            answers[key] = answer
            if not self._is_cached:
                continue
            if answer is FOREIGN:
                self._foreign.put(domain, FOREIGN, (), generations[2])
            elif answer is UNKNOWN:
                self._unknown.put(key, UNKNOWN, dependencies, generations[1])
            else:
                self._known.put(key, answer, dependencies, generations[0])
        return answers

    async def _fallback(self, row: asyncpg.Record, key: str, base: str) -> Resolution:
        """Who gets mail for a name that nobody has: the required names first, then the catch-all."""
        settled = row["catch_all"]
        if base in REQUIRED_NAMES:
            settled = row["postmaster"] or settled or await self._oldest_account(row["domain_id"])
        if settled is None or settled == key:
            return UNKNOWN
        return AliasTargets(_addresses([settled])) if settled else UNKNOWN

    async def _oldest_account(self, domain_id: int | None) -> str | None:
        address: str | None = await self._database.fetchval(
            """
            SELECT coalesce(
                (SELECT address FROM account WHERE domain_id = $1 AND NOT is_disabled ORDER BY id LIMIT 1),
                (SELECT address FROM account WHERE NOT is_disabled ORDER BY id LIMIT 1))
            """,
            domain_id,
        )
        return address


def _meaning(row: asyncpg.Record) -> Resolution:
    if row["domain_id"] is None:
        return FOREIGN
    if row["account_id"] is not None:
        return LocalAccount(
            row["account_id"], Address.parse(row["address"]), row["is_disabled"], row["quota_bytes"]
        )
    if row["targets"] is not None:
        return AliasTargets(_addresses(row["targets"]))
    if row["list_id"] is not None:
        return ListTarget(row["list_id"], Address.parse(row["address"]), row["list_name"], row["posting"])
    return UNKNOWN


def _addresses(keys: Iterable[str]) -> tuple[Address, ...]:
    return tuple(Address.parse(key) for key in keys)
