"""Questions to the DNS, remembered for as long as their answers allow.

Only the asking and the cache; what the answers mean for mail stands in `destinations.py`.
RFC 1035, RFC 2308 (negative answers), RFC 5452 is the resolver's. Needs a resolver that recurses.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiodns
import pycares

TIMEOUT_SECONDS = 5.0  # a try; two tries, so an answer or a failure within about 15 s
TRIES = 2
SHORTEST_TTL = 5  # seconds: a TTL of 0 would mean a question a mail
LONGEST_TTL = 3600  # an operator who moves a server waits an hour at most
NEGATIVE_TTL = 60  # RFC 2308 5 allows hours; a new domain should work at once
MAX_CACHED = 50_000  # about 20 MB when full
MAX_CNAMES = 8
MAX_RECORDS = 50


class NameNotFound(Exception):
    """The name does not exist (NXDOMAIN)."""


class LookupFailed(Exception):
    """No answer now: time-out, SERVFAIL, refused. The question is worth asking again."""


@dataclass(frozen=True, slots=True)
class Mx:
    """One MX record; `host` is lower case without a final dot, empty for a null MX (RFC 7505)."""

    preference: int
    host: str


type_of = {"MX": pycares.QUERY_TYPE_MX, "A": pycares.QUERY_TYPE_A, "AAAA": pycares.QUERY_TYPE_AAAA}

_Answer = tuple[object, ...]


class Lookups:
    """MX and address questions of one worker. Make it in the loop that uses it."""

    def __init__(self, resolver: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        """`resolver` is `host:port`, or empty for the system's; `clock` counts seconds."""
        self._resolver = aiodns.DNSResolver(
            nameservers=[resolver] if resolver else None, timeout=TIMEOUT_SECONDS, tries=TRIES
        )
        self._clock = clock
        self._cache: OrderedDict[tuple[str, str], tuple[float, _Answer | NameNotFound]] = OrderedDict()
        self._asking: dict[tuple[str, str], asyncio.Task[_Answer]] = {}

    async def close(self) -> None:
        """Give up the questions under way."""
        for task in self._asking.values():
            task.cancel()
        await self._resolver.close()

    async def mx(self, domain: str) -> tuple[Mx, ...]:
        """Return the MX records of a domain, unordered, empty when it has none.

        Raises `NameNotFound` and `LookupFailed`.
        """
        records = await self._ask(domain, "MX")
        return tuple(record for record in records if isinstance(record, Mx))

    async def addresses(self, host: str) -> tuple[str, ...]:
        """Return the host's addresses, IPv6 first, empty when it has none.

        One family's failure is forgiven when the other answers. Raises `NameNotFound` and `LookupFailed`.
        """
        outcomes = await asyncio.gather(self._ask(host, "AAAA"), self._ask(host, "A"), return_exceptions=True)
        found: list[str] = []
        for outcome in outcomes:
            if isinstance(outcome, tuple):
                found.extend(str(address) for address in outcome)
        if found:
            return tuple(found)
        for kind in (LookupFailed, NameNotFound):
            for outcome in outcomes:
                if isinstance(outcome, kind):
                    raise outcome
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return ()

    async def _ask(self, name: str, kind: str) -> _Answer:
        key = (name, kind)
        cached = self._cache.get(key)
        if cached is not None:
            if cached[0] > self._clock():
                if isinstance(cached[1], NameNotFound):
                    raise NameNotFound(name)
                return cached[1]
            del self._cache[key]
        task = self._asking.get(key)
        if task is None:  # a thousand mails for one domain ask once
            task = self._asking[key] = asyncio.create_task(self._resolve(name, kind))
            task.add_done_callback(lambda done: self._forget(key, done))
        return await asyncio.shield(task)

    def _forget(self, key: tuple[str, str], task: asyncio.Task[_Answer]) -> None:
        self._asking.pop(key, None)
        if not task.cancelled():
            task.exception()  # every asker may be gone by now; the failure is not news to the loop

    def _remember(self, key: tuple[str, str], ttl: int, answer: _Answer | NameNotFound) -> None:
        while len(self._cache) >= MAX_CACHED:
            self._cache.popitem(last=False)
        self._cache[key] = (self._clock() + min(max(ttl, SHORTEST_TTL), LONGEST_TTL), answer)

    async def _resolve(self, name: str, kind: str) -> _Answer:
        asked = name
        ttl = LONGEST_TTL
        for _ in range(MAX_CNAMES):
            try:
                answer = (await self._query(asked, kind)).answer
            except aiodns.error.DNSError as error:
                code = error.args[0] if error.args else None
                if code == aiodns.error.ARES_ENODATA:
                    self._remember((name, kind), NEGATIVE_TTL, ())
                    return ()
                if code in (aiodns.error.ARES_ENOTFOUND, aiodns.error.ARES_EBADNAME):
                    self._remember((name, kind), NEGATIVE_TTL, NameNotFound(name))
                    raise NameNotFound(name) from error
                raise LookupFailed(f"{name}: {error.args[-1] if error.args else error}") from error
            ttl = min([ttl, *(record.ttl for record in answer)])
            found = tuple(_read(record.data) for record in answer if record.type == type_of[kind])[
                :MAX_RECORDS
            ]
            aliases = [
                record.data.cname for record in answer if isinstance(record.data, pycares.CNAMERecordData)
            ]
            if found or not aliases:
                self._remember((name, kind), ttl, found)
                return found
            asked = aliases[-1].rstrip(".").lower()  # a resolver that does not follow: follow ourselves
        raise LookupFailed(f"{name}: more than {MAX_CNAMES} aliases in a row")

    def _query(self, name: str, kind: str) -> Awaitable[pycares.DNSResult]:
        return self._resolver.query_dns(name, kind)


def _read(data: object) -> object:
    if isinstance(data, pycares.MXRecordData):
        return Mx(data.priority, data.exchange.rstrip(".").lower())
    if isinstance(data, (pycares.ARecordData, pycares.AAAARecordData)):
        return data.addr
    return data
