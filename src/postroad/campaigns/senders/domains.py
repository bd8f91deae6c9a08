"""Domains that customers send from, and their verification by DNS; the SQL of `sender_domain`.

A domain passes when its SPF record (RFC 7208) includes ours and its MX is ours (7.3 of the bulk-mail
document); DKIM is looked at and told, and not needed. The DNS cannot tell two of our customers apart: who was
verified first has the domain.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, Protocol

import asyncpg

from postroad.campaigns.errors import AlreadyThere, BadInput, NotFound, VerifiedDomain
from postroad.db.pool import Database
from postroad.dns.answers import LookupFailed, NameNotFound
from postroad.message.address import BadAddress, canonical_domain
from postroad.message.sign import SigningKey, dns_record, generate_key

SELECTOR = "umail"  # 7.3 of the document
MAX_DOMAINS = 100  # of one customer, and in one check
PLATFORM = 0  # the customer id of domains of the platform itself


class _Mx(Protocol):
    @property
    def host(self) -> str: ...


class Questions(Protocol):
    """What is asked of the DNS."""

    async def mx(self, domain: str) -> Iterable[_Mx]:
        """The MX records. Raises `NameNotFound` and `LookupFailed`."""

    async def txt(self, name: str) -> Iterable[str]:
        """The TXT records. Raises `NameNotFound` and `LookupFailed`."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What the DNS of a domain shows."""

    spf: bool
    mx: bool
    dkim: bool

    @property
    def passes(self) -> bool:
        """Whether mail may be sent from the domain."""
        return self.spf and self.mx


@dataclass(frozen=True, slots=True)
class SenderDomain:
    """One domain; `customer_id` 0 = of the platform."""

    id: int
    customer_id: int
    name: str
    is_verified: bool


@dataclass(frozen=True, slots=True)
class DomainCheck:
    """What a check says: status as in part C.3 of our page, `domain_id` 0 = not the customer's."""

    name: str
    domain_id: int
    status: Literal[0, 1, 2, 3]
    findings: Findings


class SenderDomains:
    """The domains of all customers."""

    def __init__(self, database: Database, questions: Questions, *, spf_name: str, mx_host: str) -> None:
        """`spf_name` is what SPF records must include, `mx_host` where MX records must lead."""
        self._database = database
        self._questions = questions
        self._spf_name = spf_name.lower().rstrip(".")
        self._mx_host = mx_host.lower().rstrip(".")

    async def of(self, customer_id: int) -> list[SenderDomain]:
        """Return the customer's own domains, then those of the platform."""
        rows = await self._database.fetch(
            "SELECT id, customer_id, name, is_verified FROM sender_domain "
            "WHERE customer_id IN ($1, $2) ORDER BY customer_id = $2, id",
            customer_id,
            PLATFORM,
        )
        return [SenderDomain(**row) for row in rows]

    async def add(self, customer_id: int, text: str) -> DomainCheck:
        """Add a domain and look at its DNS. Raises `AlreadyThere`, `BadInput`."""
        name = read_domain(text)
        key = await asyncio.to_thread(generate_key, "rsa-2048")
        domain_id = await self._database.fetchval(
            "INSERT INTO sender_domain (customer_id, name, dkim_key) SELECT $1, $2, $3 "
            "WHERE (SELECT count(*) FROM sender_domain WHERE customer_id = $1) < $4 "
            "AND NOT EXISTS (SELECT FROM sender_domain WHERE name = $2 AND is_verified) "
            "ON CONFLICT (customer_id, name) DO NOTHING RETURNING id",
            customer_id,
            name,
            key,
            MAX_DOMAINS,
        )
        if domain_id is None:
            raise await self._why_not_added(customer_id, name)
        [check] = await self.check(customer_id, [name])
        return check

    async def check(self, customer_id: int, texts: Sequence[str]) -> list[DomainCheck]:
        """Look at the DNS of domains, the customer's or not, and remember what its own ones show."""
        names = [read_domain(text) for text in texts]
        if not 1 <= len(names) <= MAX_DOMAINS:
            raise BadInput("domains", f"1 to {MAX_DOMAINS} domains")
        rows = await self._database.fetch(
            "SELECT id, name, dkim_key FROM sender_domain WHERE customer_id = $1 AND name = ANY($2::text[])",
            customer_id,
            names,
        )
        own = {row["name"]: row for row in rows}
        findings = await asyncio.gather(*(self._look(name, own.get(name)) for name in names))
        return [
            await self._told(customer_id, name, own.get(name), found)
            for name, found in zip(names, findings, strict=True)
        ]

    async def remove(self, customer_id: int, text: str, *, by_manager: bool = False) -> None:
        """Remove a domain and its mailboxes. Raises `NotFound`, `VerifiedDomain`."""
        name = read_domain(text)
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(
                "SELECT id, is_verified FROM sender_domain WHERE customer_id = $1 AND name = $2 FOR UPDATE",
                customer_id,
                name,
            )
            if row is None:
                raise NotFound("domain", name)
            if row["is_verified"] and not by_manager:
                raise VerifiedDomain(name)
            await connection.execute(
                "DELETE FROM sender_domain WHERE customer_id = $1 AND id = $2", customer_id, row["id"]
            )

    async def vouch(self, customer_id: int, text: str) -> None:
        """Take a domain for verified without asking the DNS, as an operator may. Raises `AlreadyThere`."""
        name = read_domain(text)
        if not await self._set_verified(customer_id, name, is_verified=True):
            raise AlreadyThere("domain", name)

    async def warm_up(self, customer_id: int, text: str, zone: str, *, is_new: bool) -> None:
        """Have a new domain send few mails at first, twice as many each day (`sending/own_rates.py`), or
        end that.

        Its first day is today in `zone`. Raises `BadInput`, `NotFound`.
        """
        name = read_domain(text)
        done = await self._database.execute(
            "UPDATE sender_domain SET warm_up_from = CASE WHEN $4 THEN (now() AT TIME ZONE $3)::date END "
            "WHERE customer_id = $1 AND name = $2",
            customer_id,
            name,
            zone,
            is_new,
        )
        if done.endswith(" 0"):
            raise NotFound("domain", name)

    async def _why_not_added(self, customer_id: int, name: str) -> Exception:
        known = await self._database.fetchval(
            "SELECT bool_or(customer_id = $1 OR is_verified) FROM sender_domain WHERE name = $2",
            customer_id,
            name,
        )
        return AlreadyThere("domain", name) if known else BadInput("domain", f"at most {MAX_DOMAINS} domains")

    async def _told(
        self, customer_id: int, name: str, own: asyncpg.Record | None, found: Findings
    ) -> DomainCheck:
        if own is None:
            return DomainCheck(name, 0, 1 if found.passes else 0, found)
        is_verified = await self._set_verified(customer_id, name, is_verified=found.passes)
        await self._database.execute(
            "UPDATE sender_domain SET findings = $3, checked_at = now() WHERE customer_id = $1 AND id = $2",
            customer_id,
            own["id"],
            asdict(found),
        )
        return DomainCheck(name, own["id"], 3 if is_verified else 2, found)

    async def _set_verified(self, customer_id: int, name: str, *, is_verified: bool) -> bool:
        """Return whether the domain is verified now: not when another customer's is already."""
        try:
            done = await self._database.fetchval(
                "UPDATE sender_domain SET is_verified = $3 WHERE customer_id = $1 AND name = $2 RETURNING id",
                customer_id,
                name,
                is_verified,
            )
        except asyncpg.UniqueViolationError:
            return False
        return is_verified and done is not None

    async def _look(self, name: str, own: asyncpg.Record | None) -> Findings:
        spf, mx = await asyncio.gather(self._has_spf(name), self._has_mx(name))
        key = own["dkim_key"] if own is not None else None
        return Findings(spf, mx, key is not None and await self._has_dkim(name, key))

    async def _has_spf(self, name: str) -> bool:
        # RFC 7208 4.5: exactly one record; an include anywhere in it.
        records = [text for text in await self._texts(name) if re.match(r"v=spf1(?: |\Z)", text, re.I)]
        wanted = f"include:{self._spf_name}"
        return len(records) == 1 and any(
            term.lower().lstrip("+").rstrip(".") == wanted for term in records[0].split()
        )

    async def _has_mx(self, name: str) -> bool:
        try:
            return any(record.host == self._mx_host for record in await self._questions.mx(name))
        except (NameNotFound, LookupFailed):
            return False

    async def _has_dkim(self, name: str, key: bytes) -> bool:
        wanted = _public_part("".join(dns_record(SigningKey.load(name, SELECTOR, key))))
        texts = await self._texts(f"{SELECTOR}._domainkey.{name}")
        return any(_public_part(text) == wanted for text in texts)

    async def _texts(self, name: str) -> list[str]:
        try:
            return [*(await self._questions.txt(name))]
        except (NameNotFound, LookupFailed):
            return []


def read_domain(text: str) -> str:
    """The canonical name. Raises `BadInput`."""
    try:
        name = canonical_domain(text)
    except BadAddress as error:
        raise BadInput("domain", str(error)) from error
    if "." not in name or name.startswith("["):
        raise BadInput("domain", f"{text!r} is no domain to send from")
    return name


def _public_part(record: str) -> str:
    found = re.search(r"(?:\A|;)\s*p=([^;]*)", record)
    return re.sub(r"\s", "", found[1]) if found else ""
