"""How the control protocol writes things: fields of a line, replies, dot-stuffing, the digest. Pure.

Interface page ctrl-protocol.md: section 2 (lines, quoting), 3 (replies, lists), 4 (login).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

MAX_LOGIN_LINE = 252  # section 1: bytes before CRLF that the original server takes
MAX_COMMAND_LINE = 4092
MAX_DATA_LINE = 2044  # of an upload, and of what the original client reads
START_TLS = b"#!TLS"  # section 5: exact, no quotes
END = b"."

_QUOTED = re.compile(r'"((?:\\"|[^"])*)("|\Z)')
_REPLY = re.compile(rb"([+-])(\d+) +(.*)\Z", re.DOTALL)
_TIMESTAMP = re.compile(rb"<[^>]*>")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class BadCharacters(ValueError):
    """A line with bytes that no command may hold (section 10): above 127, or a control character."""


class NotAReply(ValueError):
    """A line of a server that is not sign, digits, space, text."""


def fields_of(line: bytes) -> list[str]:
    """Split a line, without its line end, into its fields. Raises `BadCharacters`.

    Runs of TABs part fields, also inside quotes; the only escape is `\\"`; a NUL ends the line (section 2).
    """
    line = line.partition(b"\0")[0]
    if not line.isascii() or _CONTROL.search(line):
        raise BadCharacters("bytes above 127 or control characters")
    return [unquoted(field) for field in line.decode("ascii").split("\t") if field]


def unquoted(field: str) -> str:
    """Return the value of a field: up to the next quote that is not escaped, when it begins with one."""
    if not field.startswith('"'):
        return field
    found = _QUOTED.match(field)
    # The pattern fits everything that begins with a quote: at worst up to the end.
    assert found is not None
    return found[1].replace('\\"', '"')


def quoted(values: Iterable[str]) -> bytes:
    """Return values as a line: each in quotes, TABs between, nothing escaped (section 2)."""
    return "\t".join(f'"{value}"' for value in values).encode("utf-8", "replace")


def stuffed(line: bytes) -> bytes:
    """Return a line of a list or an upload as it is sent (section 3.1)."""
    return b"." + line + b"\r\n" if line.startswith(b".") else line + b"\r\n"


def unstuffed(line: bytes) -> bytes:
    """Return a line of a list or an upload, not the last, as it was meant."""
    return line[1:] if line.startswith(b".") else line


def digest(timestamp: bytes, password: bytes) -> str:
    """Return what stands for the password: MD5 of timestamp, brackets included, and password (section 4)."""
    return hashlib.md5(timestamp + password, usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply of a server (section 3). `value` is as large as its digits say."""

    is_positive: bool
    value: int
    text: bytes

    @property
    def is_success(self) -> bool:
        """Whether a client takes it for one: `-` with the value 0 is, too."""
        return self.is_positive or self.value == 0

    @property
    def begins_list(self) -> bool:
        """Whether a list follows."""
        return self.is_positive and self.value == 100

    @property
    def wants_upload(self) -> bool:
        """Whether the server waits for an upload."""
        return self.is_positive and self.value == 101

    @property
    def timestamp(self) -> bytes | None:
        """What a digest is made of, brackets included; None without one."""
        found = _TIMESTAMP.search(self.text)
        return found[0] if found else None


def parse_reply(line: bytes) -> Reply:
    """Read a line of a server. Raises `NotAReply`."""
    found = _REPLY.match(line)
    if found is None:
        raise NotAReply
    # A value too long to be read as a number means nothing special, whatever it is.
    digits = found[2].lstrip(b"0") or b"0"
    return Reply(found[1] == b"+", int(digits[:9]) if len(digits) <= 9 else 10**9, found[3])


def reply_line(code: int, text: str) -> bytes:
    """Write a reply: `code` below zero is a failure."""
    sign = "-" if code < 0 else "+"
    return f"{sign}{abs(code):05d} {text}\r\n".encode("ascii", "replace")
