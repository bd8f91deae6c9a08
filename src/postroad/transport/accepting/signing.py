"""Which keys sign a mail, kept ready to use; the signing itself happens in a thread.

A mail is signed by the domain of its author (DMARC, RFC 9989, aligns with that), if the domain is ours, with
the newest key of each algorithm: RSA for everybody, Ed25519 for those who know it (RFC 8463 5 asks for both).
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

import structlog

from postroad.message.sign import BadKey, SigningKey, sign

REMEMBERED_SECONDS = 60.0  # a new key signs after a minute at most; its DNS record takes longer
MAX_REMEMBERED = 1000  # domains

log = structlog.get_logger("postroad.transport.accepting.signing")


class StoredKey(Protocol):
    """A key as the directory has it (`directory.DkimKey`)."""

    @property
    def domain(self) -> str:
        """The domain that signs: for an alias domain, itself."""
        ...

    @property
    def selector(self) -> str:
        """Under which its record stands."""
        ...

    @property
    def private_key(self) -> bytes:
        """PKCS #8, PEM."""
        ...


class Keys(Protocol):
    """Where keys are found (`directory.Domains`)."""

    async def signing_keys(self, names: Sequence[str]) -> Mapping[str, Sequence[StoredKey]]:
        """Return the keys that sign for each domain."""
        ...


class Signing:
    """Signs for all domains of ours."""

    def __init__(
        self,
        keys: Keys,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._monotonic = monotonic
        self._remembered: OrderedDict[str, tuple[float, tuple[SigningKey, ...]]] = OrderedDict()

    async def sign(self, domain: str, content: bytes) -> bytes:
        """Return the DKIM-Signature fields of a mail by the keys of `domain`, empty when it has none.

        Raises `DatabaseUnavailable`.
        """
        keys = await self._loaded(domain)
        if not keys:
            return b""
        # `cryptography` releases the interpreter's lock: other sessions go on meanwhile.
        return await asyncio.to_thread(sign, content, keys, now=self._clock())

    async def _loaded(self, domain: str) -> tuple[SigningKey, ...]:
        known = self._remembered.get(domain)
        if known is not None and known[0] > self._monotonic():
            return known[1]
        stored = (await self._keys.signing_keys([domain])).get(domain, ())
        keys: list[SigningKey] = []
        for key in stored:
            try:
                keys.append(SigningKey.load(key.domain, key.selector, key.private_key))
            except (BadKey, ValueError) as error:
                log.error("signing_key_unusable", domain=domain, selector=key.selector, error=str(error))
        self._remembered[domain] = (self._monotonic() + REMEMBERED_SECONDS, tuple(keys))
        self._remembered.move_to_end(domain)
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)
        return tuple(keys)
