"""Replies of other people's servers: read in pieces, bounded, with what is bad in them told apart.

RFC 5321 4.2 (replies), RFC 2034 (enhanced status codes). Servers that end lines in a bare LF are understood:
a reply cannot smuggle anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# Postfix cuts a reply line at 2048 (line_length_limit), Sendmail at 2048, too.
MAX_LINE = 4096
MAX_LINES = 256  # an EHLO answer has about 20
MAX_TEXT = 1000  # what is kept of a text, for logs and notices

_STATUS = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?:\s+|\Z)")
_REPLY = re.compile(rb"[2-5][0-9]{2}(?:[ -]|\Z)")
_UNPRINTABLE = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029]+")


class BadReply(Exception):
    """What the server sent is no SMTP reply; the connection is of no further use."""


@dataclass(frozen=True, slots=True)
class RemoteReply:
    """One reply: its code, its enhanced status (empty without one), its lines without either."""

    code: int
    status: str
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """The whole text as one line, cut to what is worth keeping."""
        return " ".join(self.lines)[:MAX_TEXT]

    def __str__(self) -> str:
        return f"{self.code} {self.status} {self.text}" if self.status else f"{self.code} {self.text}"


class ReplyReader:
    """Finds replies in what came."""

    def __init__(self) -> None:
        self._buffer = b""
        self._position = 0
        self._lines: list[str] = []

    def feed(self, data: bytes) -> None:
        """Take bytes from the server."""
        self._buffer = self._buffer[self._position :] + data if self._position < len(self._buffer) else data
        self._position = 0

    @property
    def is_empty(self) -> bool:
        """Whether everything that came has been read."""
        return self._position >= len(self._buffer) and not self._lines

    def next(self) -> RemoteReply | None:
        """Return the next whole reply, None when it is not there yet; raise `BadReply`."""
        while True:
            start = self._position
            end = self._buffer.find(b"\n", start)
            if end - start > MAX_LINE or (end < 0 and len(self._buffer) - start > MAX_LINE):
                raise BadReply(f"a reply line of more than {MAX_LINE} bytes")
            if end < 0:
                return None
            self._position = end + 1
            line = self._buffer[start:end].rstrip(b"\r")
            # RFC 5321 4.2.1: the first digit is 2 to 5, the second 0 to 5; the second is not held against
            # anyone.
            if not _REPLY.match(line):
                raise BadReply(f"no SMTP reply: {_printable(line[:80])!r}")
            self._lines.append(_printable(line[4:]))
            if len(self._lines) > MAX_LINES:
                raise BadReply(f"a reply of more than {MAX_LINES} lines")
            if line[3:4] != b"-":
                return self._whole(int(line[:3]))

    def _whole(self, code: int) -> RemoteReply:
        lines, self._lines = self._lines, []
        match = _STATUS.match(lines[0])
        # RFC 2034 4: the class of the enhanced status is that of the code; one that differs says nothing.
        if match is None or lines[0][0] != str(code)[0]:
            return RemoteReply(code, "", tuple(lines))
        return RemoteReply(code, match[1], tuple(_STATUS.sub("", line, count=1) for line in lines))


def _printable(line: bytes) -> str:
    return _UNPRINTABLE.sub(" ", line.decode("utf-8", "replace")).strip()
