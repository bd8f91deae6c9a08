"""Rows of `address;name;sex;birthday;phone;area;var1;…;var10` (M.1 of our page): no quoting, one row a line.

Written for a million lines: a piece of text is split at once, and a line that looks as most lines do is taken
apart without asking the grammar of addresses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from postroad.campaigns.contacts.files.charset import decoded
from postroad.campaigns.contacts.files.parsed import NO_ADDRESS, TOO_LONG, Parsed
from postroad.campaigns.contacts.values import person

MAX_LINE = 64 * 1024  # characters; sixteen fields of 4,000


def lines_of(pieces: Iterable[bytes], charset: str) -> Iterator[tuple[list[str], int]]:
    """Whole lines without their ends, and how many bytes were read; a line of any length costs no memory.

    What is longer than `MAX_LINE` is cut a little behind it, so that it can be told from what fits.
    """
    rest, count = "", 0
    for text, count in decoded(pieces, charset):
        lines = text.split("\n")
        if len(rest) <= MAX_LINE:
            rest += lines[0][: MAX_LINE + 1]
        if len(lines) > 1:
            lines[0], rest = rest, lines.pop()[: MAX_LINE + 1]
            yield lines, count
    if rest:
        yield [rest], count


def parse_rows(pieces: Iterable[bytes], charset: str) -> Iterator[Parsed]:
    """Parse a file piece by piece."""
    number = 0
    for lines, count in lines_of(pieces, charset):
        parsed = Parsed(bytes_read=count)
        for line in lines:
            number += 1
            if not line.strip("\r \t;\x00\ufeff"):
                continue
            parsed.total += 1
            if len(line) > MAX_LINE:
                parsed.refuse(number, TOO_LONG, line)
                continue
            found = person(line.split(";", 16))
            if found is None:
                parsed.refuse(number, NO_ADDRESS, line)
            else:
                parsed.add(number, found)
        yield parsed
