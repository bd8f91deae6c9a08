"""A bounded cache whose entries name what they depend on, so that an announcement voids just those.

Pure bookkeeping for the resolver and for signing in; the clock is passed in. An answer that was being read
while something changed is not kept: `generation` is taken before the question and given back with the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class DependentCache(Generic[Key, Value]):
    """At most `capacity` entries, each for at most `seconds`; the oldest goes first."""

    def __init__(self, capacity: int, seconds: float, monotonic: Callable[[], float]) -> None:
        self._capacity = capacity
        self._seconds = seconds
        self._monotonic = monotonic
        self._entries: dict[Key, tuple[Value, float, tuple[str, ...]]] = {}
        self._dependents: dict[str, set[Key]] = {}
        self.generation = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key) -> Value | None:
        """Return what is known, or None."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry[1] <= self._monotonic():
            self._remove(key)
            return None
        return entry[0]

    def put(self, key: Key, value: Value, depends_on: Iterable[str], generation: int) -> None:
        """Keep an answer, unless something was voided since `generation` was taken."""
        if generation != self.generation:
            return
        self._remove(key)
        while len(self._entries) >= self._capacity:
            self._remove(next(iter(self._entries)))
        dependencies = tuple(depends_on)
        self._entries[key] = (value, self._monotonic() + self._seconds, dependencies)
        for dependency in dependencies:
            self._dependents.setdefault(dependency, set()).add(key)

    def void(self, dependency: str) -> None:
        """Forget every entry that depends on `dependency`."""
        self.generation += 1
        for key in self._dependents.pop(dependency, set()):
            self._remove(key)

    def clear(self) -> None:
        """Forget everything."""
        self.generation += 1
        self._entries.clear()
        self._dependents.clear()

    def _remove(self, key: Key) -> None:
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        for dependency in entry[2]:
            keys = self._dependents.get(dependency)
            if keys is not None:
                keys.discard(key)
                if not keys:
                    del self._dependents[dependency]
