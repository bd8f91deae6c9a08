"""Who calls (A.2 of our page): HTTP Basic (RFC 7617), or else `username` and `password` of the query."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Protocol

from postroad.bridges.edm.parameters import Parameters
from postroad.bridges.fields import as_text

REALM = "Postroad EDM"
CHALLENGE = {"www-authenticate": f'Basic realm="{REALM}", charset="UTF-8"'}
MAX_HEADER = 4096


class CheckPassword(Protocol):
    """Looks at a password and says whose it is; raises what the directory's sign-in raises."""

    async def __call__(self, username: str, password: str, client: str) -> int:
        """The customer's id."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A name and a password, as they were sent."""

    username: str
    password: str


def read_credentials(header: str | None, parameters: Parameters, *, takes_query: bool) -> Credentials | None:
    """The credentials of a request; None when it has none that can be read. The header goes first."""
    if header is not None:
        return _basic(header)
    username = parameters.only_in_query("username")
    password = parameters.only_in_query("password")
    if not takes_query or username is None or password is None:
        return None
    return Credentials(username, password)


def _basic(header: str) -> Credentials | None:
    scheme, _, value = header.strip().partition(" ")
    if scheme.lower() != "basic" or len(value) > MAX_HEADER:
        return None
    packed = "".join(value.split())
    try:
        decoded = base64.b64decode(packed + "=" * (-len(packed) % 4))
    except (binascii.Error, ValueError):
        return None
    username, colon, password = as_text(decoded).partition(":")
    return Credentials(username, password) if colon else None
