"""Rows of people as parameters hold them (4.9.2, and M.2 of our page for 4.13 and 4.14). Pure."""

from __future__ import annotations

import re

from postroad.campaigns.contacts.subscriptions import Subscriber
from postroad.campaigns.contacts.values import Person, person, read_address

_WRITTEN_OUT = {"\\n": "\n", "\\r\\n": "\n", "\\t": "\t", "\r\n": "\n"}


def read_persons(text: str, separator: str | None) -> list[Person]:
    """Rows of `address;name;sex;…` divided by LF or by `separator`; those without an address are left out."""
    between = _WRITTEN_OUT.get(separator or "\n", separator or "\n")
    if between == "\n":
        text = text.replace("\r\n", "\n")
    rows = text.removeprefix("\ufeff").split(between)
    return [found for row in rows if (found := person(row.split(";"))) is not None]


def read_subscribers(text: str) -> list[Subscriber]:
    """`address,name;address,name` or one a line; divided at the first TAB or comma, a full-width one too."""
    found = []
    for row in re.split(r"[\r\n;]+", text):
        pieces = re.split(r"[\t,，]", row, maxsplit=1)
        address = read_address(pieces[0])
        if address is not None:
            name = pieces[1].strip() if len(pieces) > 1 else ""
            found.append(Subscriber(address, name or None))
    return found


def read_addresses(text: str) -> list[str]:
    """`address,address` or one a line."""
    pieces = re.split(r"[\r\n,，;]+", text)
    return [found for piece in pieces if (found := read_address(piece)) is not None]
