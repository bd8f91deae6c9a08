"""How many routes are asked about at once: the DNS takes so many questions, and some are never answered.

A question that takes long no longer counts, as long as there are not too many of those. Who waits is let in
from both ends of the line in turn: a thousand dead names that stand in it keep no newcomer waiting, and no
stream of newcomers keeps anybody waiting for ever.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

# Together below what the DNS room takes (`lookups.AT_ONCE`), so that none is refused there.
AT_ONCE = 64
SLOW_AT_ONCE = 96
SLOW_SECONDS = 1.0


class Questions:
    """The gate before the DNS."""

    def __init__(self, at_once: int = AT_ONCE, slow_at_once: int = SLOW_AT_ONCE) -> None:
        self._free = at_once
        self._free_for_slow = slow_at_once
        self._line: deque[asyncio.Future[None]] = deque()
        self._is_newest_next = True

    @asynccontextmanager
    async def ask(self) -> AsyncIterator[None]:
        """Wait for a place, and hold it while the body runs."""
        await self._enter()
        is_slow = False

        def count_as_slow() -> None:
            nonlocal is_slow
            if self._free_for_slow > 0:
                is_slow = True
                self._free_for_slow -= 1
                self._leave()

        timer = asyncio.get_running_loop().call_later(SLOW_SECONDS, count_as_slow)
        try:
            yield
        finally:
            timer.cancel()
            if is_slow:
                self._free_for_slow += 1
            else:
                self._leave()

    async def _enter(self) -> None:
        if self._free > 0:
            self._free -= 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._leave()  # it was let in just then
            raise

    def _leave(self) -> None:
        while self._line:
            place = self._line.pop() if self._is_newest_next else self._line.popleft()
            if not place.done():
                self._is_newest_next = not self._is_newest_next
                place.set_result(None)
                return
        self._free += 1
