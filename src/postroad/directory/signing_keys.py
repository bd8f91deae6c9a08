"""The keys that sign a domain's mail, ready to use and kept in memory until an announcement voids them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from postroad.directory.announcements import CHANNEL, Hearing, read_announcement
from postroad.directory.cache import DependentCache
from postroad.directory.domains import Domains
from postroad.message.sign import SigningKey

KEPT_SECONDS = 300.0
MAX_KEPT = 10_000  # domains


class SigningKeys:
    """Answers which keys sign for a domain; without `hearing` it asks the database each time."""

    def __init__(
        self,
        domains: Domains,
        hearing: Hearing | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._domains = domains
        self._is_cached = hearing is not None
        self._kept: DependentCache[str, tuple[SigningKey, ...]] = DependentCache(
            MAX_KEPT, KEPT_SECONDS, monotonic
        )
        if hearing is not None:
            hearing.add(CHANNEL, self._hear)

    async def of(self, domain: str) -> tuple[SigningKey, ...]:
        """Return the newest key of each algorithm for a canonical domain; none if it is not ours."""
        kept = self._kept.get(domain)
        if kept is not None:
            return kept
        generation = self._kept.generation
        found = (await self._domains.signing_keys([domain])).get(domain, [])
        keys = tuple(await asyncio.to_thread(lambda: [key.signing_key for key in found]))
        if self._is_cached:
            self._kept.put(domain, keys, (), generation)
        return keys

    def _hear(self, payload: str | None) -> None:
        if read_announcement(payload).is_everything:  # what every change of keys and domains says
            self._kept.clear()
