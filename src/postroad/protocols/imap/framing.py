"""Bytes cut into commands: lines, and the literals inside them. What a command says is not looked at here.

Everything is bounded: a line, the literals of a command, their number. Literals are larger where the first
word is APPEND or REPLACE and somebody is signed in. RFC 9051 4.3 (literals), RFC 7888 (LITERAL+),
RFC 9051 9 (literal8).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

LINE = 65_536  # bytes of a command without its literals: Dovecot imap_max_line_length
SMALL_LITERALS = 65_536  # bytes of all literals of a command that stores no mail: search strings, names
MAX_LITERALS = 1_000  # of one command; a server died of a SEARCH with many
NOBODY = 8_192  # bytes of lines and literals before signing in: user name and password
MAILS_AT_ONCE = 4  # times the largest mail that one MULTIAPPEND may bring

_LITERAL = re.compile(rb"~?\{(\d{1,10})(\+?)\}\Z")
_STORES = re.compile(rb"[^ ]{1,100} (?:UID )?(?:APPEND|REPLACE) ", re.IGNORECASE)
_TAG = re.compile(rb"[^\x00-\x20(){%*\"\\+\x7f-\xff]{1,100}\Z")


@dataclass(frozen=True, slots=True)
class RawCommand:
    """A whole command: pieces of its line with a literal between each two."""

    pieces: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Continue:
    """The client waits to be asked for its literal: send `+`."""


@dataclass(frozen=True, slots=True)
class TooLarge:
    """A command beyond the limits was left out; `tag` is "*" where none could be read."""

    tag: str
    text: str
    code: str
    is_fatal: bool = False  # the rest cannot be skipped: end the session


Framed = RawCommand | Continue | TooLarge


class Framing:
    """Cuts one session's input."""

    def __init__(self, largest_mail: int) -> None:
        self._largest_mail = largest_mail
        self.is_signed_in = False
        self._data = bytearray()
        self._scanned = 0
        self._pieces: list[bytes] = []
        self._line_bytes = 0
        self._literal_bytes = 0
        self._awaited: int | None = None  # bytes of a literal that is coming
        self._skipped = 0  # bytes of a literal that is thrown away
        self._is_skipping_line = False
        self._refusal: TooLarge | None = None

    @property
    def held(self) -> int:
        """Bytes in memory: what has come, not what was announced."""
        return len(self._data) + self._literal_bytes - (self._awaited or 0)

    @property
    def is_mid_command(self) -> bool:
        """Whether part of a command has come and the rest has not."""
        return bool(self._data or self._pieces or self._skipped)

    def feed(self, data: bytes) -> None:
        """Take what came."""
        self._data += data

    def clear(self) -> None:
        """Forget what came: TLS begins."""
        self._data.clear()
        self._begin()

    def take_line(self, limit: int) -> bytes | None:
        """Return a line that is no command (the response of AUTHENTICATE, DONE), None while it is coming.

        A longer one than `limit` is returned as it is so far; its sender is about to hear BAD.
        """
        end = self._data.find(b"\n")
        if end < 0:
            if len(self._data) <= limit:
                return None
            line = bytes(self._data)
            self._data.clear()
            return line
        line = bytes(self._data[:end])
        del self._data[: end + 1]
        return line[:-1] if line.endswith(b"\r") else line

    def next(self) -> Framed | None:
        """Return the next thing that is whole, None when more must come first."""
        while True:
            if self._skipped and not self._skip():
                return None
            if self._awaited is not None:
                if len(self._data) < self._awaited:
                    return None
                self._pieces.append(bytes(self._data[: self._awaited]))
                del self._data[: self._awaited]
                self._awaited = None
                self._scanned = 0
            end = self._data.find(b"\n", self._scanned)
            if end < 0:
                self._scanned = len(self._data)
                too_long = self._line_bytes + len(self._data) > self._line_limit
                if too_long and not self._is_skipping_line:
                    self._refuse(bytes(self._data[:200]), "The command is too long", "TOOBIG")
                    self._is_skipping_line = True
                if self._is_skipping_line:
                    self._data.clear()
                    self._scanned = 0
                return None
            framed = self._line(end)
            if framed is not None:
                return framed

    @property
    def _line_limit(self) -> int:
        return LINE if self.is_signed_in else NOBODY

    def _line(self, end: int) -> Framed | None:
        line = bytes(self._data[:end])
        del self._data[: end + 1]
        self._scanned = 0
        if line.endswith(b"\r"):
            line = line[:-1]
        if self._is_skipping_line:
            self._is_skipping_line = False
            if not self._skip_literal_of(line):
                return self._finish_refusal()
            return None
        self._line_bytes += len(line)
        if self._line_bytes > self._line_limit:
            self._refuse(line[:200], "The command is too long", "TOOBIG")
            if self._skip_literal_of(line):
                return None
            return self._finish_refusal()
        self._pieces.append(line)
        literal = _LITERAL.search(line) if line.endswith(b"}") else None
        if literal is None:
            command = RawCommand(tuple(self._pieces))
            self._begin()
            return command
        size, is_waiting = int(literal[1]), not literal[2]
        problem = self._problem(size)
        if problem is not None:
            self._refuse(line, *problem)
            if is_waiting:  # it was not asked for, so it does not come
                return self._finish_refusal()
            return self._fatal_or_skip(size)
        self._literal_bytes += size
        self._awaited = size
        return Continue() if is_waiting else None

    def _problem(self, size: int) -> tuple[str, str] | None:
        if len(self._pieces) // 2 >= MAX_LITERALS:
            return "The command has too many literals", "LIMIT"
        if self.is_signed_in and _STORES.match(self._pieces[0]):
            if size > self._largest_mail:
                return f"A mail has at most {self._largest_mail} bytes", "TOOBIG"
            if self._literal_bytes + size > MAILS_AT_ONCE * self._largest_mail:
                return "Too much for one command", "TOOBIG"
            return None
        limit = SMALL_LITERALS if self.is_signed_in else NOBODY
        return ("The literals are too large", "TOOBIG") if self._literal_bytes + size > limit else None

    def _skip_literal_of(self, line: bytes) -> bool:
        """Whether the rest of a refused command goes on behind a literal that comes unasked."""
        literal = _LITERAL.search(line) if line.endswith(b"}") else None
        if literal is None or not literal[2]:
            return False
        self._skipped = int(literal[1])
        self._is_skipping_line = True
        if self._skipped > MAILS_AT_ONCE * self._largest_mail and self._refusal is not None:
            self._refusal = TooLarge(self._refusal.tag, self._refusal.text, self._refusal.code, True)
            return False
        return True

    def _fatal_or_skip(self, size: int) -> Framed | None:
        if size > MAILS_AT_ONCE * self._largest_mail and self._refusal is not None:
            self._refusal = TooLarge(self._refusal.tag, self._refusal.text, self._refusal.code, True)
            return self._finish_refusal()
        self._skipped = size
        self._is_skipping_line = True
        self._pieces.clear()
        self._literal_bytes = 0
        return None

    def _skip(self) -> bool:
        taken = min(self._skipped, len(self._data))
        del self._data[:taken]
        self._skipped -= taken
        self._scanned = 0
        return self._skipped == 0

    def _refuse(self, line: bytes, text: str, code: str) -> None:
        first = self._pieces[0] if self._pieces else line
        self._refusal = self._refusal or TooLarge(tag_of(first), text, code)
        self._pieces.clear()
        self._literal_bytes = 0
        self._line_bytes = 0

    def _finish_refusal(self) -> Framed | None:
        refusal = self._refusal
        self._begin()
        return refusal

    def _begin(self) -> None:
        self._pieces.clear()
        self._line_bytes = self._literal_bytes = self._skipped = self._scanned = 0
        self._awaited = self._refusal = None
        self._is_skipping_line = False


_NO_TAG: Final = "*"


def tag_of(line: bytes) -> str:
    """The tag a line begins with, `*` when it has none: an untagged BAD is all there is to say then."""
    word = line.split(b" ", 1)[0][:101]
    return word.decode("ascii") if _TAG.match(word) else _NO_TAG
