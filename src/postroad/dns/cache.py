"""Answers kept by their time to live, bounded by number and by size; what was not used longest goes first.

Pure: the time is passed in, in seconds of any clock that does not jump.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

MAX_ENTRIES = 50_000
MAX_BYTES = 32 * 1024 * 1024  # of a worker; a TXT answer alone may have 64 KiB
ENTRY_BYTES = 400  # what an entry takes besides its text, about

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class _Entry(Generic[Value]):
    value: Value
    until: float
    size_bytes: int


class Cache(Generic[Key, Value]):
    """A bounded table of values that end."""

    def __init__(self, max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_BYTES) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._entries: OrderedDict[Key, _Entry[Value]] = OrderedDict()
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key, now: float) -> tuple[Value, float] | None:
        """Return the value and for how many seconds it is still good; None when there is none."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.until <= now:
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return entry.value, entry.until - now

    def put(self, key: Key, value: Value, until: float, text_bytes: int = 0) -> None:
        """Keep a value of about `text_bytes`; older ones make room."""
        self._drop(key)
        size = text_bytes + ENTRY_BYTES
        if size > self._max_bytes:
            return
        while self._entries and (
            len(self._entries) >= self._max_entries or self.size_bytes + size > self._max_bytes
        ):
            self._drop(next(iter(self._entries)))
        self._entries[key] = _Entry(value, until, size)
        self.size_bytes += size

    def _drop(self, key: Key) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.size_bytes -= entry.size_bytes
