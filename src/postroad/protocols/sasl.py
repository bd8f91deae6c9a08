"""SASL PLAIN as POP3 and IMAP read it: base64 in, a user name and a password out.

No checking of passwords here, and no words of any protocol. RFC 4616 (PLAIN), RFC 4422.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field

MAX_CREDENTIAL = 1024  # bytes of a user name or password; RFC 4616 2 lets a server bound them
MAX_RESPONSE = 8192  # bytes of the line in base64: three credentials and room


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name and a password as the client sent them."""

    username: str
    password: str = field(repr=False)


class Cancelled(Exception):
    """The client sent `*` instead of a response (RFC 4422 3.5)."""


class Malformed(Exception):
    """The response is no base64, or not of the mechanism's form; the text says what."""


class Unusable(Exception):
    """Well formed, and can be nobody's: bytes that are no text, or one user acting as another."""


def plain(line: bytes) -> Credentials:
    """Read the response of PLAIN: `[authzid] NUL authcid NUL password` in base64 (RFC 4616 2).

    Raises `Cancelled`, `Malformed`, `Unusable`.
    """
    if line == b"*":
        raise Cancelled
    try:
        response = base64.b64decode(b"" if line == b"=" else line, validate=True)
    except binascii.Error:
        raise Malformed("That is not base64") from None
    parts = response.split(b"\0")
    if len(parts) != 3:
        raise Malformed("The PLAIN response is malformed")
    acting_as, username, password = (_text(part) for part in parts)
    if acting_as and acting_as != username:
        raise Unusable("Acting as somebody else is not possible")
    return Credentials(username, password)


def _text(value: bytes) -> str:
    if len(value) > MAX_CREDENTIAL:
        raise Malformed("User name or password too long")
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise Unusable("Authentication failed") from None
