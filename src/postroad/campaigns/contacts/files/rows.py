"""Rows of `address;name;sex;birthday;phone;area;var1;…;var10` (M.1 of our page): no quoting, one row a line.

Written for a million lines: a piece of text is split at once, and a line that looks as most lines do is taken
apart without asking the grammar of addresses.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from postroad.campaigns.contacts.files.charset import decoded
from postroad.campaigns.contacts.files.parsed import NO_ADDRESS, TOO_LONG, Parsed
from postroad.campaigns.contacts.values import person

MAX_PLAIN_ADDRESS = 200
NULL = "\\N"
MAX_LINE = 64 * 1024  # characters; sixteen fields of 4,000

# A line that needs no cleaning: most of the time is saved on it. What it does not match is read with care,
# and a test holds both ways to the same rows. Days past the 28th are among the careful ones.
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_TEXT = r"((?!\s)[^;\\\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]{0,999}(?<!\s)|)"
_VARIABLE = r'(?:;(?!\s)[^;\\"\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]{0,999}(?<!\s)|;)'
_DAY = r"((?:19|20)[0-9]{2}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|)"
_PLAIN_LINE = re.compile(
    rf"([A-Za-z0-9_+-]{{1,30}}(?:\.[A-Za-z0-9_+-]{{1,30}})?@(?:{_LABEL}\.){{1,4}}{_LABEL})"
    rf"(?:;{_TEXT}(?:;([MF]?)(?:;{_DAY}(?:;{_TEXT}(?:;{_TEXT}({_VARIABLE}{{0,10}}))?)?)?)?)?\r?\Z",
)


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
            if (plain := _PLAIN_LINE.match(line)) is not None and plain.end(1) <= MAX_PLAIN_ADDRESS:
                parsed.rows.append(_plain_row(number, plain))
                continue
            if len(line) > MAX_LINE:
                parsed.refuse(number, TOO_LONG, line)
                continue
            found = person(line.split(";", 16))
            if found is None:
                parsed.refuse(number, NO_ADDRESS, line)
            else:
                parsed.add(number, found)
        yield parsed


def _plain_row(number: int, plain: re.Match[str]) -> str:
    """A row for COPY (`parsed.copy_row`) of a line that needs no cleaning."""
    address, name, sex, day, phone, area, variables = plain.groups("")
    if variables and (kept := variables[1:].rstrip(";")):
        array = '{"' + kept.replace(";", '","') + '"}'
    else:
        array = "{}"
    return f"{number}\t{address}\t{name}\t{sex}\t{day or NULL}\t{phone}\t{area}\t{array}\n"
