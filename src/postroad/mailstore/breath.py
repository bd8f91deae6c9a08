"""Long work in pieces: what a worker's loop computes at a time, and what it has in memory at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

BREATH_SECONDS = 0.01  # a tenth of what the watchdog calls a hold


class Breath:
    """How long one piece of work has computed without waiting. `await breath()` between its steps."""

    __slots__ = ("_monotonic", "_since")

    def __init__(self, monotonic: Callable[[], float] = time.perf_counter) -> None:
        self._monotonic = monotonic
        self._since = monotonic()

    async def __call__(self) -> None:
        """Let others be served, when a breath's time has passed; else go on at once."""
        if self._monotonic() - self._since >= BREATH_SECONDS:
            await asyncio.sleep(0)
            self._since = self._monotonic()


class Batch:
    """How many rows are read at a time, when nobody knows how large they are: few first, more while they are
    small.
    """

    __slots__ = ("_most", "_most_bytes", "size")

    def __init__(self, first: int, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self.size = first

    def took(self, size_bytes: int) -> None:
        """The last ones had so many bytes together."""
        if size_bytes > self._most_bytes:
            self.size = max(1, self.size * self._most_bytes // size_bytes)
        elif size_bytes * 2 <= self._most_bytes:
            self.size = min(self._most, self.size * 2)
