"""Ids in blocks: one trip to a sequence that counts in thousands serves a thousand rows.

A block that was taken and not used up is lost, which costs nothing: ids are 64 bits wide.
"""

from __future__ import annotations

import asyncio

from ..db.pool import Database

BLOCK = 1000  # must be the INCREMENT BY of the sequence


class IdBlocks:
    """Hands out ids of one sequence to everybody in this process."""

    def __init__(self, database: Database, sequence: str) -> None:
        """`sequence` was created with INCREMENT BY `BLOCK`; its name comes from code, never from input."""
        self._database = database
        self._sequence = sequence
        self._next = 0
        self._end = 0
        self._lock = asyncio.Lock()

    async def take(self) -> int:
        """Return an id that nobody else gets."""
        # No await between the look and the step: the usual case needs no lock.
        if self._next < self._end:
            taken = self._next
            self._next += 1
            return taken
        async with self._lock:
            if self._next >= self._end:
                first = await self._database.fetchval("SELECT nextval($1::text::regclass)", self._sequence)
                self._next, self._end = first, first + BLOCK
            taken = self._next
            self._next += 1
            return taken

    async def take_many(self, count: int) -> list[int]:
        """Return `count` different ids, ascending within each block."""
        return [await self.take() for _ in range(count)]
