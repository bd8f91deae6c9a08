"""Questions to the DNS, remembered for as long as their answers allow, one flight a question.

The face of the room; what the answers mean for mail is its users' matter. RFC 2308 (negative answers), RFC
9520 (failures are remembered too, for seconds), RFC 1035 3.5 and RFC 3596 2.5 (names of addresses).
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from postroad.dns.answers import Answer, LookupFailed, Mx, NameNotFound, Tlsa
from postroad.dns.cache import Cache
from postroad.dns.resolver import TOTAL_SECONDS, TRY_SECONDS, Reply, Resolver

SHORTEST_TTL = 5  # seconds: a TTL of 0 would mean a question a mail
LONGEST_TTL = 3600  # an operator who moves a server waits an hour at most
LONGEST_NEGATIVE_TTL = 60  # RFC 2308 5 allows hours; a new domain should work at once
FAILURE_TTL = 5  # RFC 9520 3.2: 1 to 300 seconds
AT_ONCE = 200  # questions on the wire; each has a socket of its own
QUEUE_SECONDS = 20.0  # what waits longer for a place on the wire has failed

Kept = TypeVar("Kept")


@dataclass(frozen=True, slots=True)
class _Failure:
    text: str


class Lookups:
    """The DNS as one worker asks it. Make it in the loop that uses it."""

    def __init__(
        self,
        resolver: str = "",
        clock: Callable[[], float] = time.monotonic,
        *,
        try_seconds: float = TRY_SECONDS,
        total_seconds: float = TOTAL_SECONDS,
        at_once: int = AT_ONCE,
    ) -> None:
        """`resolver` is `host:port`, or empty for the system's; `clock` counts seconds.

        A server has `try_seconds` to answer, a question `total_seconds` over all tries. Raises `ValueError`
        for a resolver that cannot be meant.
        """
        self._resolver = Resolver(resolver, try_seconds, total_seconds)
        self._clock = clock
        self._cache: Cache[tuple[str, str], Reply | _Failure] = Cache()
        self._asking: dict[tuple[str, str], asyncio.Task[Reply]] = {}
        self._slots = asyncio.Semaphore(at_once)

    async def close(self) -> None:
        """Give up the questions under way."""
        tasks = tuple(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def mx(self, domain: str) -> Answer[Mx]:
        """The MX records of a domain, in no order. Raises `NameNotFound` and `LookupFailed`."""
        return await self._ask(domain, "MX", Mx)

    async def txt(self, name: str) -> Answer[str]:
        """The TXT records of a name, each with its strings joined. Raises `NameNotFound`, `LookupFailed`."""
        return await self._ask(name, "TXT", str)

    async def tlsa(self, host: str, port: int) -> Answer[Tlsa]:
        """What DANE says of a TCP port (RFC 6698 3); worthless unless `is_secure`.

        Raises `NameNotFound` and `LookupFailed`; after the latter RFC 7672 2.1.2 forbids to go on as if
        there were no such records.
        """
        return await self._ask(f"_{port}._tcp.{host}", "TLSA", Tlsa)

    async def names(self, address: str) -> Answer[str]:
        """The names that an address has (PTR). Raises `NameNotFound` and `LookupFailed`."""
        return await self._ask(ipaddress.ip_address(address).reverse_pointer, "PTR", str)

    async def ipv4(self, host: str) -> Answer[str]:
        """The IPv4 addresses of a host. Raises `NameNotFound` and `LookupFailed`."""
        return await self._ask(host, "A", str)

    async def ipv6(self, host: str) -> Answer[str]:
        """The IPv6 addresses of a host. Raises `NameNotFound` and `LookupFailed`."""
        return await self._ask(host, "AAAA", str)

    async def addresses(self, host: str) -> Answer[str]:
        """The host's addresses, IPv6 first, empty when it has none.

        One family's failure is forgiven when the other answers. Raises `NameNotFound` and `LookupFailed`.
        """
        outcomes = await asyncio.gather(self.ipv6(host), self.ipv4(host), return_exceptions=True)
        answers = [outcome for outcome in outcomes if isinstance(outcome, Answer)]
        errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        for error in errors:
            if not isinstance(error, LookupFailed | NameNotFound):
                raise error
        found = tuple(address for answer in answers for address in answer)
        if errors and not found:
            raise next((error for error in errors if isinstance(error, LookupFailed)), errors[0])
        return Answer(
            found,
            not errors and all(answer.is_secure for answer in answers),
            min(answer.good_for_seconds for answer in answers) if not errors else SHORTEST_TTL,
        )

    async def probe(self) -> None:
        """Ask for something that is always there. Raises `LookupFailed` when the resolver says nothing."""
        await self._reply(".", "NS")

    async def _ask(self, name: str, kind: str, record: type[Kept]) -> Answer[Kept]:
        name = name.removesuffix(".").lower()
        reply, seconds = await self._reply(name, kind)
        if not reply.exists:
            raise NameNotFound(name)
        found = tuple(each for each in reply.records if isinstance(each, record))
        return Answer(found, reply.is_secure, seconds)

    async def _reply(self, name: str, kind: str) -> tuple[Reply, float]:
        key = (name, kind)
        kept = self._cache.get(key, self._clock())
        if kept is None:
            task = self._asking.get(key)
            if task is None:  # a thousand mails for one domain ask once
                task = self._asking[key] = asyncio.create_task(self._resolve(name, kind), name=f"dns {kind}")
                task.add_done_callback(lambda done: self._forget(key, done))
            reply = await asyncio.shield(task)
            return reply, _good_for(reply)
        value, seconds = kept
        if isinstance(value, _Failure):
            raise LookupFailed(value.text)
        return value, seconds

    def _forget(self, key: tuple[str, str], task: asyncio.Task[Reply]) -> None:
        self._asking.pop(key, None)
        if not task.cancelled():
            task.exception()  # every asker may be gone by now; the failure is not news to the loop

    async def _resolve(self, name: str, kind: str) -> Reply:
        key = (name, kind)
        try:
            async with asyncio.timeout(QUEUE_SECONDS):
                await self._slots.acquire()
        except TimeoutError:
            raise LookupFailed(f"{name}: too many questions at once") from None
        try:
            reply = await self._resolver.ask(name, kind)
        except LookupFailed as error:
            text = str(error)
            self._cache.put(key, _Failure(text), self._clock() + FAILURE_TTL, len(text))
            raise
        finally:
            self._slots.release()
        self._cache.put(key, reply, self._clock() + _good_for(reply), _text_bytes(reply))
        return reply


def _good_for(reply: Reply) -> int:
    longest = LONGEST_TTL if reply.records else LONGEST_NEGATIVE_TTL
    return min(max(reply.ttl_seconds or 0, SHORTEST_TTL), longest)


def _text_bytes(reply: Reply) -> int:
    return sum(
        100 + (len(each) if isinstance(each, str) else len(each.data) if isinstance(each, Tlsa) else 0)
        for each in reply.records
    )
