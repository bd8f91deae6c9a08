"""Which limits hold for a mail on its way: the rules of the settings, matched by site and recipient's domain.

Pure. What is counted together is named by a *bucket*: usually the site, with its rule; all workers of all
servers use the same names, so what they count adds up (`rates.py`, connection slots).
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from postroad.config.shaping import ShapingRule

MAX_REMEMBERED = 10_000
MAX_NAME = 200  # characters; a longer one is cut and made unique by its hash

SiteTls = Literal["opportunistic", "required", "verified", "off"]


@dataclass(frozen=True, slots=True)
class SiteLimits:
    """What a site gets; None: no limit of that kind.

    `site` is the site as the rules part it: mails of one may share connections, for the same limits hold for
    all of them. `bucket` names what is counted together, which may be many sites.
    """

    site: str
    bucket: str
    connections: int
    mails_per_connection: int
    mails_per_minute: int | None = None
    tls: SiteTls | None = None


class Shaping:
    """The rules, ready to be asked."""

    def __init__(self, rules: Sequence[ShapingRule], *, connections: int, mails_per_connection: int) -> None:
        """`connections` and `mails_per_connection` hold where no rule says otherwise."""
        self._rules = rules
        self._connections = connections
        self._mails_per_connection = mails_per_connection
        self._by_domain = any(rule.domains or rule.each == "domain" for rule in rules)
        self._found: OrderedDict[tuple[str, str], SiteLimits] = OrderedDict()

    def limits(self, site: str, domain: str = "") -> SiteLimits:
        """Return the limits of mail for `domain` at `site`: its MX hosts' names, parted by blanks.

        For a smart host, `site` ends with `host:port`; for an address literal it is the literal.
        """
        key = (site, domain if self._by_domain else "")
        known = self._found.get(key)
        if known is not None:
            return known
        limits = self._match(site, domain.lower())
        self._found[key] = limits
        if len(self._found) > MAX_REMEMBERED:
            self._found.popitem(last=False)
        return limits

    def _match(self, site: str, domain: str) -> SiteLimits:
        hosts = [host_of(each) for each in site.split(" ")]
        for rule in self._rules:
            if _any(rule.domains, (domain,)) or _any(rule.hosts, hosts):
                apart = f"{rule.name}: {site} {domain}" if rule.each == "domain" else f"{rule.name}: {site}"
                counted = {"site": apart, "domain": f"{rule.name}: {domain}", "rule": rule.name}
                return SiteLimits(
                    _bounded(apart),
                    _bounded(counted[rule.each]),
                    rule.connections or self._connections,
                    rule.mails_per_connection or self._mails_per_connection,
                    rule.mails_per_minute,
                    rule.tls,
                )
        return SiteLimits(_bounded(site), _bounded(site), self._connections, self._mails_per_connection)


def host_of(name: str) -> str:
    """The host of one name of a site: without what marks a smart host, and without its port."""
    if name.startswith("["):
        return name
    host, colon, port = name.rpartition(":")
    if colon and port.isdigit():
        return host.rpartition(":")[2].strip("[]") if "[" not in host else host[host.index("[") :]
    return name


def _any(patterns: Iterable[str], names: Iterable[str]) -> bool:
    return any(_matches(pattern, name) for pattern in patterns for name in names if name)


def _matches(pattern: str, name: str) -> bool:
    if pattern == "*":
        return True
    if pattern.startswith("*."):
        return name.endswith(pattern[1:])
    return name == pattern


def _bounded(name: str) -> str:
    if len(name) <= MAX_NAME:
        return name
    digest = hashlib.blake2b(name.encode(), digest_size=16).hexdigest()
    return f"{name[: MAX_NAME - len(digest) - 1]} {digest}"
