"""What stands in the cells of people's tables, made into a contact's values. Pure.

Blanks around addresses, full-width ＠ and ；, `mailto:`, `Name <address>`, several addresses in a cell, phone
numbers that a spreadsheet wrote as 1.38E+10, dates it wrote as numbers.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation

from postroad.campaigns.contacts.values import clean, read_address, read_birthday

MAX_ADDRESSES = 20  # in one cell
_BETWEEN = re.compile(r"[;,、|/\s]+")
_ANGLED = re.compile(r"([^<>;,]*)<\s*([^<>\s]+)\s*>")
_SCIENTIFIC = re.compile(r"[+-]?\d(?:\.\d+)?[eE]\+?\d{1,2}\Z")
_SERIAL = re.compile(r"\d{1,5}(?:\.\d+)?\Z")
_EPOCH = date(1899, 12, 30)  # day 0 of spreadsheets, with the 29 February 1900 that never was
_QUOTES = " \t\r\n\"'“”‘’\u3000\xa0\ufeff"


@dataclass(frozen=True, slots=True)
class Named:
    """An address and the name that stood beside it in the cell, if any."""

    address: str
    name: str


def addresses_in(cell: str) -> list[Named]:
    """The addresses in a cell, each once."""
    plain = read_address(cell)
    if plain is not None:
        return [Named(plain, "")]
    # NFKC turns ＠ ； ， and full-width letters into what they stand for; ideographic full stops it leaves.
    text = unicodedata.normalize("NFKC", cell).replace("。", ".").replace("\x00", "")
    text = re.sub(r"(?i)\bmailto:", "", text)
    found: dict[str, Named] = {}
    for angled in _ANGLED.finditer(text):
        address = read_address(angled[2])
        if address is not None:
            found.setdefault(address.lower(), Named(address, clean(angled[1]).strip(_QUOTES)))
    if not found:
        for piece in _BETWEEN.split(text):
            address = read_address(piece.strip(_QUOTES + "<>()[].:"))
            if address is not None:
                found.setdefault(address.lower(), Named(address, ""))
            if len(found) >= MAX_ADDRESSES:
                break
    return [*found.values()][:MAX_ADDRESSES]


def phone_in(cell: str) -> str:
    """A phone number; one in scientific notation is written out, unless its last digits were lost."""
    text = clean(cell)
    if not _SCIENTIFIC.match(text):
        return text.removesuffix(".0") if re.match(r"\d+\.0\Z", text) else text
    try:
        number = Decimal(text)
    except InvalidOperation:
        return ""
    mantissa = re.sub(r"\D", "", text.lower().partition("e")[0])
    digits = str(int(number)) if number == number.to_integral_value() else ""
    # 1.38E+10 has three digits of eleven: whose number that was nobody knows.
    return digits if len(mantissa) >= len(digits) - 1 else ""


def birthday_in(cell: str) -> date | None:
    """A date, or the number of days that a spreadsheet makes of one."""
    text = clean(cell)
    found = read_birthday(text)
    if found is not None or not _SERIAL.match(text):
        return found
    days = int(float(text))
    return _EPOCH + timedelta(days=days) if 60 < days < 80_000 else None
