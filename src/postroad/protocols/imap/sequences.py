"""Sequence sets: numbers, ranges, `*` and `$`, as clients write them, and as servers do.

RFC 9051 9 (sequence-set), RFC 5182 (`$`). Ranges may run downwards, overlap, and lie beyond the end.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from postroad.protocols.imap.errors import ImapBad

MAX_RANGES = 20_000  # of one set: a client that keeps 100,000 mails apart writes about 10,000 ranges
MAX_NUMBER = 2**63 - 1  # of a mod-sequence (RFC 7162 7); UIDs end at 2**32

_PIECE = re.compile(r"(\d{1,19}|\*)(?::(\d{1,19}|\*))?\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class SequenceSet:
    """A set as written: pairs of ends, None for `*`; `is_saved` for `$`."""

    ranges: tuple[tuple[int | None, int | None], ...] = ()
    is_saved: bool = False

    def spans(self, highest: int) -> list[tuple[int, int]]:
        """Return ascending, disjoint spans with `*` read as `highest`; none when nothing is there."""
        found: list[tuple[int, int]] = []
        for first, last in self.ranges:
            low = highest if first is None else first
            high = highest if last is None else last
            if low > high:
                low, high = high, low
            if high > 0:
                found.append((max(low, 1), high))
        return merged(found)


def merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return spans ascending, those that touch as one."""
    result: list[tuple[int, int]] = []
    for low, high in sorted(spans):
        if result and low <= result[-1][1] + 1:
            if high > result[-1][1]:
                result[-1] = (result[-1][0], high)
        else:
            result.append((low, high))
    return result


def parse_sequence_set(text: str) -> SequenceSet:
    """Read a set. Raises `ImapBad`."""
    if text == "$":
        return SequenceSet(is_saved=True)
    pieces = text.split(",", MAX_RANGES)
    if len(pieces) > MAX_RANGES:
        raise ImapBad(f"A set has at most {MAX_RANGES} ranges")
    ranges: list[tuple[int | None, int | None]] = []
    for piece in pieces:
        match = _PIECE.match(piece)
        if match is None:
            raise ImapBad("That is no sequence set")
        first, last = match.groups()
        low = None if first == "*" else int(first)
        high = low if last is None else None if last == "*" else int(last)
        if low == 0 or high == 0 or (low or 0) > MAX_NUMBER or (high or 0) > MAX_NUMBER:
            raise ImapBad("Numbers begin at 1")
        ranges.append((low, high))
    return SequenceSet(tuple(ranges))


def written(numbers: Sequence[int]) -> str:
    """Write ascending numbers as a set: `1:3,7`. Empty for none."""
    pieces: list[str] = []
    start = previous = -1
    for number in numbers:
        if number == previous + 1 and start >= 0:
            previous = number
            continue
        if start >= 0:
            pieces.append(str(start) if start == previous else f"{start}:{previous}")
        start = previous = number
    if start >= 0:
        pieces.append(str(start) if start == previous else f"{start}:{previous}")
    return ",".join(pieces)
