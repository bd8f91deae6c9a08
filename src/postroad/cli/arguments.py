"""What command arguments mean: addresses, sizes, and the options of every paged list."""

from __future__ import annotations

import re
from typing import Annotated, TypeAlias

from cyclopts import Parameter

from postroad.cli.desk import Desk, Failed
from postroad.cli.output import Grid
from postroad.message.address import Address

# Filled in by `app.run`, not by the command line.
DeskArgument: TypeAlias = Annotated[Desk, Parameter(parse=False)]
PasswordStdin: TypeAlias = Annotated[
    bool, Parameter(negative=(), help="Read the password as one line of standard input.")
]
After: TypeAlias = Annotated[str, Parameter(help="Begin behind this key: `next` of the page before.")]
Limit: TypeAlias = Annotated[int, Parameter(help="How many at most, up to 1000.")]

_SIZE = re.compile(r"(\d{1,16})\s*([KMGTP]?)(?:i?B)?\Z", re.IGNORECASE)


def address_of(text: str) -> Address:
    """Return the address. Raises `BadAddress`."""
    return Address.parse(text.strip())


def quota_of(text: str) -> int | None:
    """Return a quota in bytes, None for no limit: `10G` (units of 1024), bytes, `none`. Raises `Failed`."""
    if text.lower() in ("none", "unlimited"):
        return None
    found = _SIZE.match(text.strip())
    if found is None or int(found[1]) == 0:
        raise Failed("bad-quota", value=text)
    factor: int = 1024 ** " KMGTP".index(found[2].upper() or " ")
    return int(found[1]) * factor


def page(desk: Desk, grid: Grid, more: str | None) -> list[str | Grid]:
    """Return what a page of a list shows: the table, and how to see what follows."""
    return [grid] if more is None else [grid, desk.say("more", after=more)]


def next_key(keys: list[str], limit: int) -> str | None:
    """Return where the next page begins, None when this was the last."""
    return keys[-1] if len(keys) >= max(1, min(limit, 1000)) else None
