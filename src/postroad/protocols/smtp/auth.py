"""SASL PLAIN and LOGIN, the server's half: responses in, challenges or credentials out.

No checking of passwords here. RFC 4954 (AUTH), RFC 4616 (PLAIN); LOGIN has no RFC, only programs that use it
(draft-murchison-sasl-login).
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field

from postroad.protocols.smtp.replies import SmtpReply

MECHANISMS = ("PLAIN", "LOGIN")
MAX_CREDENTIAL = 1024  # bytes of a user name or password; RFC 4616 2 lets a server bound them


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name and a password as the client sent them."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Challenge:
    """The next 334: what the client is asked for, not yet in base64."""

    text: bytes

    def render(self) -> bytes:
        """Return the 334 line."""
        return b"334 " + base64.b64encode(self.text) + b"\r\n"


class Exchange:
    """One AUTH command, from its first to its last line."""

    def __init__(self, mechanism: str) -> None:
        """`mechanism` is one of `MECHANISMS`."""
        self.mechanism = mechanism
        self._username: str | None = None

    def begin(self, initial: bytes | None) -> Challenge | Credentials:
        """Start, with the initial response of the AUTH line when it carried one; raise `SmtpReply`."""
        if initial is None:
            return Challenge(b"" if self.mechanism == "PLAIN" else b"Username:")
        # RFC 4954 4: a single "=" is an initial response of no bytes.
        return self.respond(b"" if initial == b"=" else initial)

    def respond(self, line: bytes) -> Challenge | Credentials:
        """Take the client's next line (base64, or `*` to cancel); raise `SmtpReply`."""
        if line == b"*":  # RFC 4954 4
            raise SmtpReply(501, "5.7.0", "Authentication cancelled")
        try:
            response = base64.b64decode(line, validate=True)
        except binascii.Error:
            raise SmtpReply(501, "5.5.2", "That is not base64") from None
        if self.mechanism == "PLAIN":
            return _plain(response)
        if self._username is None:
            self._username = _text(response)
            return Challenge(b"Password:")
        return Credentials(self._username, _text(response))


def _plain(response: bytes) -> Credentials:
    """Take `[authzid] NUL authcid NUL password` apart (RFC 4616 2)."""
    parts = response.split(b"\0")
    if len(parts) != 3:
        raise SmtpReply(501, "5.5.2", "The PLAIN response is malformed")
    acting_as, username, password = (_text(part) for part in parts)
    if acting_as and acting_as != username:
        raise SmtpReply(535, "5.7.8", "Acting as somebody else is not possible")
    return Credentials(username, password)


def _text(value: bytes) -> str:
    if len(value) > MAX_CREDENTIAL:
        raise SmtpReply(501, "5.5.2", "User name or password too long")
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        # Nothing is stored that is not UTF-8, so these cannot be anybody's credentials.
        raise SmtpReply(535, "5.7.8", "Authentication credentials invalid") from None
    if "\0" in text:
        raise SmtpReply(535, "5.7.8", "Authentication credentials invalid")
    return text
