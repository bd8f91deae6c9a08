"""A contact's fields, cleaned and bounded: the sixteen of section 4.9 of the bulk-mail document. Pure.

A bad sex or birthday is dropped and the contact kept (M.1 of our page); a bad address is for the caller.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date

from postroad.message.address import Address, BadAddress

VARIABLES = 10
MAX_TEXT = 1000  # characters of a name, an area, a phone number
MAX_VARIABLE = 4000
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_DATE = re.compile(r"(\d{4})[-/.年](\d{1,2})[-/.月](\d{1,2})日?(?:[ T]\d{1,2}:\d{2}(?::\d{2})?)?\Z")
_SEXES = {"m": "M", "f": "F", "男": "M", "女": "F", "male": "M", "female": "F"}
# What nearly every address looks like; the rest is parsed by the grammar.
_PLAIN = re.compile(
    r"[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*@[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
    r"(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)+\Z"
)


@dataclass(frozen=True, slots=True)
class Person:
    """What is known of a contact beside the id; `variables` without empty ones at the end."""

    address: str
    fullname: str = ""
    sex: str = ""
    birthday: date | None = None
    phone: str = ""
    area: str = ""
    variables: tuple[str, ...] = field(default=())


def clean(text: str, longest: int = MAX_TEXT) -> str:
    """`text` without blanks around it and without control characters; cut at `longest`."""
    return _CONTROLS.sub("", text).strip()[:longest]


def read_address(text: str) -> str | None:
    """The address as it is kept: as written, its domain canonical; None for what is no address.

    A domain of one label or an address literal is refused: nobody subscribes from there.
    """
    trimmed = text.strip()
    if len(trimmed) <= 200 and _PLAIN.match(trimmed):
        local_part, _, domain = trimmed.partition("@")
        if len(local_part) <= 64 and not re.search(r"[^.]{64}", domain):
            return f"{local_part}@{domain.lower()}"
    try:
        address = Address.parse(trimmed)
    except BadAddress:
        return None
    if "." not in address.domain or address.domain.startswith("["):
        return None
    return str(address)


def read_sex(text: str) -> str:
    """M, F, or empty."""
    return _SEXES.get(text.strip().lower(), "")


def read_birthday(text: str) -> date | None:
    """A date as people write it, or None. `0000-00-00` is none."""
    found = _DATE.match(text.strip())
    if found is None:
        return None
    try:
        return date(int(found[1]), int(found[2]), int(found[3]))
    except ValueError:
        return None


def read_variables(values: list[str]) -> tuple[str, ...]:
    """The first ten, cleaned; empty ones at the end are left out."""
    cleaned = [clean(value, MAX_VARIABLE) for value in values[:VARIABLES]]
    while cleaned and not cleaned[-1]:
        cleaned.pop()
    return tuple(cleaned)


def person(cells: list[str]) -> Person | None:
    """A row of section 4.9.2 (address;name;sex;birthday;phone;area;var1 …); None without a valid address."""
    address = read_address(cells[0]) if cells else None
    if address is None:
        return None
    rest = [*cells[1:16], *[""] * (6 - len(cells))]
    return Person(
        address,
        clean(rest[0]),
        read_sex(rest[1]),
        read_birthday(rest[2]),
        clean(rest[3]),
        clean(rest[4]),
        read_variables(rest[5:]),
    )
