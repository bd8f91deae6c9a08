"""What comes out of a file: rows for COPY, and lines that were refused with reasons. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from postroad.campaigns.contacts.values import Person

MAX_SHOWN = 200  # characters of a refused line

# Reasons are stable words; whoever shows them has the sentences.
EMPTY, NO_ADDRESS, TOO_LONG = "empty", "no-address", "too-long"
COLUMNS = ("line", "address", "fullname", "sex", "birthday", "phone", "area", "vars")

# COPY's text format (PostgreSQL manual, COPY): these stand for themselves behind a backslash.
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_ARRAY_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"'})


@dataclass(frozen=True, slots=True)
class Refused:
    """A line that became no contact."""

    line: int
    reason: str
    content: str


@dataclass(slots=True)
class Parsed:
    """A part of a file, parsed: `rows` in COPY's text format, `total` lines that were not empty."""

    rows: list[str] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    total: int = 0
    bytes_read: int = 0

    def add(self, line: int, person: Person) -> None:
        """Add a contact."""
        self.rows.append(copy_row(line, person))

    def refuse(self, line: int, reason: str, content: str) -> None:
        """Add a line that is refused."""
        self.refused.append(Refused(line, reason, content[:MAX_SHOWN].replace("\x00", "")))


def copy_row(line: int, person: Person) -> str:
    """A row of COPY's text format, its line end included."""
    birthday = person.birthday.isoformat() if person.birthday else "\\N"
    texts = (person.address, person.fullname, person.sex, birthday, person.phone, person.area)
    row = "\t".join(
        text if text == "\\N" or not _needs_escape(text) else text.translate(_ESCAPES) for text in texts
    )
    return f"{line}\t{row}\t{_array(person.variables)}\n"


def _needs_escape(text: str) -> bool:
    return "\\" in text or "\t" in text or "\n" in text or "\r" in text


def _array(values: Sequence[str]) -> str:
    if not values:
        return "{}"
    items = ",".join(f'"{value.translate(_ARRAY_ESCAPES)}"' for value in values)
    return f"{{{items}}}".translate(_ESCAPES)
