"""The DNS of our domains and of our host name, as the configured resolver sees it.

MX and addresses (RFC 5321 5), PTR (the large receivers refuse mail without one), SPF (RFC 7208), DKIM (RFC
6376), DMARC (RFC 9989). Bounded in time; a resolver that says nothing is told once and not asked again.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from postroad.cli.checks.finding import Finding
from postroad.config import Settings
from postroad.directory.addresses.dns_records import DnsRecord
from postroad.dns.answers import LookupFailed, NameNotFound
from postroad.dns.lookups import Lookups

QUESTION_SECONDS = 4.0
ALL_SECONDS = 30.0
AT_ONCE = 16

Ask = Callable[[str, str], Awaitable[list[str]]]


class Silent(Exception):
    """The resolver gave no answer: time-out, failure, refusal."""


class Questions:
    """Asks the configured resolver; the answers as the text that a zone file would have."""

    def __init__(self, resolver: str) -> None:
        self._lookups = Lookups(resolver, total_seconds=QUESTION_SECONDS, at_once=AT_ONCE)

    async def __call__(self, name: str, kind: str) -> list[str]:
        """Return the records as text, TXT strings joined; empty when there are none. For PTR `name` is the
        address. Raises `Silent`.
        """
        try:
            match kind:
                case "MX":
                    return [f"{record.preference} {record.host}." for record in await self._lookups.mx(name)]
                case "TXT":
                    return list(await self._lookups.txt(name))
                case "A":
                    return list(await self._lookups.ipv4(name))
                case "AAAA":
                    return list(await self._lookups.ipv6(name))
                case "PTR":
                    return [f"{each}." for each in await self._lookups.names(name)]
                case _:
                    await self._lookups.probe()
                    return []
        except NameNotFound:
            return []
        except LookupFailed as error:
            raise Silent(f"{name} {kind}: {error}") from error

    async def close(self) -> None:
        """Give up the questions under way."""
        await self._lookups.close()


@dataclass(frozen=True, slots=True)
class OurDomain:
    """A domain and the records that it should have."""

    name: str
    records: Sequence[DnsRecord] = field(default_factory=tuple)


async def check_dns(
    settings: Settings, domains: Sequence[OurDomain], ask: Ask | None = None
) -> list[Finding]:
    """Look at our host name and at each domain."""
    if ask is not None:
        return await _check_all(settings, domains, ask)
    questions = Questions(settings.delivery.resolver)
    try:
        return await _check_all(settings, domains, questions)
    finally:
        await questions.close()


async def _check_all(settings: Settings, domains: Sequence[OurDomain], question: Ask) -> list[Finding]:
    resolver = settings.delivery.resolver or "system"
    try:
        async with asyncio.timeout(ALL_SECONDS):
            await question(".", "NS")
            hostname = settings.hostname.lower().rstrip(".")
            addresses = [*await question(hostname, "A"), *await question(hostname, "AAAA")]
            findings = await _check_host(settings, hostname, addresses, question)
            for found in await asyncio.gather(
                *(_check_domain(domain, hostname, addresses, question) for domain in domains)
            ):
                findings += found
            return findings
    except (Silent, TimeoutError) as error:
        facts = {"resolver": resolver, "error": str(error) or "time-out"}
        return [Finding("dns", "resolver", "fail", "resolver-silent", facts)]


async def _check_host(settings: Settings, hostname: str, addresses: list[str], ask: Ask) -> list[Finding]:
    if "." not in hostname:
        return [Finding("dns", hostname, "fail", "hostname-short")]
    if not addresses:
        return [Finding("dns", hostname, "fail", "hostname-no-address")]
    findings = [Finding("dns", hostname, "ok", "hostname-address", {"addresses": ", ".join(addresses)})]
    if settings.delivery.relay:
        return findings  # the smart host's name is what receivers look at
    for address in addresses:
        names = await ask(address, "PTR")
        facts = {"address": address, "names": ", ".join(names) or "-", "hostname": hostname}
        is_ours = any(name.rstrip(".") == hostname for name in names)
        word = "ptr-ours" if is_ours else "ptr-other" if names else "ptr-missing"
        findings.append(Finding("dns", address, "ok" if is_ours else "fail", word, facts))
    return findings


async def _check_domain(domain: OurDomain, hostname: str, addresses: list[str], ask: Ask) -> list[Finding]:
    checks = [
        _check_mx(domain.name, hostname, ask),
        _check_spf(domain.name, hostname, addresses, ask),
        *(_check_key(record, ask) for record in domain.records if record.purpose == "dkim"),
        _check_dmarc(domain.name, ask),
    ]
    found = await asyncio.gather(*checks, return_exceptions=True)
    findings: list[Finding] = []
    for one in found:
        if isinstance(one, Silent):  # this zone's servers say nothing; others may
            findings.append(Finding("dns", domain.name, "fail", "zone-silent", {"error": str(one)}))
        elif isinstance(one, BaseException):
            raise one
        else:
            findings.append(one)
    return findings


async def _check_mx(domain: str, hostname: str, ask: Ask) -> Finding:
    records = await ask(domain, "MX")
    hosts = [record.split()[-1].rstrip(".") for record in records]
    facts = {"hostname": hostname, "hosts": ", ".join(hosts) or "-", "domain": domain}
    if hostname in hosts:
        return Finding("dns", f"{domain} MX", "ok", "mx-ours", facts)
    return Finding("dns", f"{domain} MX", "fail", "mx-other" if hosts else "mx-missing", facts)


async def _check_spf(domain: str, hostname: str, addresses: list[str], ask: Ask) -> Finding:
    """Look whether our addresses are named; what an `include` says is for receivers to follow."""
    records = [text for text in await ask(domain, "TXT") if text.lower().split(" ")[0] == "v=spf1"]
    subject, facts = f"{domain} SPF", {"hostname": hostname, "record": "; ".join(records) or "-"}
    if not records:
        return Finding("dns", subject, "fail", "spf-missing", facts)
    if len(records) > 1:  # RFC 7208 4.5: a permanent error
        return Finding("dns", subject, "fail", "spf-twice", facts)
    terms = records[0].lower().split()[1:]
    if await _names_us(terms, domain, hostname, addresses, ask):
        return Finding("dns", subject, "ok", "spf-ours", facts)
    if any(term.lstrip("+?~-").startswith(("include:", "redirect=", "exists:")) for term in terms):
        return Finding("dns", subject, "warn", "spf-unsure", facts)
    return Finding("dns", subject, "fail", "spf-other", facts)


async def _names_us(terms: list[str], domain: str, hostname: str, addresses: list[str], ask: Ask) -> bool:
    for term in terms:
        if term[0] in "-~?":
            continue
        mechanism, _, value = term.lstrip("+").partition(":")
        name = (value or domain).partition("/")[0].rstrip(".")
        if mechanism.partition("/")[0] == "a":
            found = [] if name == hostname else [*await ask(name, "A"), *await ask(name, "AAAA")]
            if name == hostname or set(found) & set(addresses):
                return True
        elif mechanism.partition("/")[0] == "mx":
            hosts = [record.split()[-1].rstrip(".") for record in await ask(name, "MX")]
            if hostname in hosts:
                return True
        elif (
            mechanism in ("ip4", "ip6") and any(_is_within(address, value) for address in addresses)
        ) or mechanism == "all":
            return True
    return False


def _is_within(address: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(network, strict=False)
    except (ValueError, TypeError):
        return False


async def _check_key(record: DnsRecord, ask: Ask) -> Finding:
    published = await ask(record.name, "TXT")
    facts = {"record": record.zone_line}
    if not published:
        return Finding("dns", record.name, "fail", "dkim-missing", facts)
    if any(_public_key(text) == _public_key(record.value) for text in published):
        return Finding("dns", record.name, "ok", "dkim-published", {})
    return Finding("dns", record.name, "fail", "dkim-other", facts)


def _public_key(text: str) -> str:
    tags = (part.partition("=") for part in text.split(";"))
    return next(("".join(value.split()) for name, _, value in tags if name.strip() == "p"), "")


async def _check_dmarc(domain: str, ask: Ask) -> Finding:
    records = [text for text in await ask(f"_dmarc.{domain}", "TXT") if text.lower().startswith("v=dmarc1")]
    if len(records) == 1:
        return Finding("dns", f"{domain} DMARC", "ok", "dmarc-published", {"record": records[0]})
    # RFC 9989: more than one record is none.
    return Finding("dns", f"{domain} DMARC", "warn", "dmarc-missing", {"domain": domain})
