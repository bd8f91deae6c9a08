"""Reading a command's arguments: atoms, strings, numbers, lists, as RFC 9051 9 has them. Knows no command."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone

from postroad.protocols.imap.errors import ImapBad
from postroad.protocols.imap.sequences import SequenceSet, parse_sequence_set

MAX_DIGITS = 19

_ATOM = re.compile(rb"[^\x00-\x20(){%*\"\\\]\x7f]+")  # UTF-8 may stand in it: names of new clients
_ASTRING = re.compile(rb"[^\x00-\x20(){%*\"\\\x7f]+")
_LIST_MAILBOX = re.compile(rb"[^\x00-\x20(){\"\\\x7f]+")
_QUOTED = re.compile(rb'"((?:[^"\\\r\n\x00]|\\["\\])*)"')
_UNQUOTE = re.compile(rb"\\(.)")
_NUMBER = re.compile(rb"\d{1,19}")
_SET = re.compile(rb"[\d*:,]+|\$")
_LITERAL = re.compile(rb"~?\{\d{1,10}\+?\}\Z")
_DATE = re.compile(rb"(\d{1,2})-([A-Za-z]{3})-(\d{4})")
_DATE_TIME = re.compile(rb'"([ \d]\d)-([A-Za-z]{3})-(\d{4}) (\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)"')
_MONTHS = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1
    )
}


class Cursor:
    """A position in a command. Every method raises `ImapBad` when something else stands there."""

    def __init__(self, pieces: tuple[bytes, ...]) -> None:
        self._pieces = pieces
        self._piece = 0
        self._text = pieces[0]
        self._at = 0

    # -- marks

    def at_end(self) -> bool:
        """Whether nothing follows."""
        return self._at >= len(self._text) and self._piece == len(self._pieces) - 1

    def end(self) -> None:
        """Want the end; a blank before it is forgiven."""
        while self.peek() == b" ":
            self._at += 1
        if not self.at_end():
            raise ImapBad("Something stands behind the command's end")

    def peek(self) -> bytes:
        """The next byte, empty at the end of a piece."""
        return self._text[self._at : self._at + 1]

    def accept(self, mark: bytes) -> bool:
        """Take `mark` when it stands here, in any case."""
        if self._text[self._at : self._at + len(mark)].upper() == mark:
            self._at += len(mark)
            return True
        return False

    def expect(self, mark: bytes) -> None:
        """Want `mark`."""
        if not self.accept(mark):
            raise ImapBad(f"{mark.decode()!r} is wanted")

    def space(self) -> None:
        """Want a blank; more of them are forgiven."""
        if not self.accept(b" "):
            raise ImapBad("A blank is wanted")
        while self.accept(b" "):
            pass

    def opens(self) -> bool:
        """Take a parenthesis that opens, if there is one."""
        return self.accept(b"(")

    # -- words

    def atom(self) -> str:
        """An atom."""
        return self._matched(_ATOM, "A word").decode("utf-8", "replace")

    def keyword(self) -> str:
        """An atom in capitals, for words of the protocol."""
        return self.atom().upper()

    def number(self) -> int:
        """A number."""
        return int(self._matched(_NUMBER, "A number"))

    def flag(self) -> str:
        """A flag, with its backslash if it has one."""
        return ("\\" if self.accept(b"\\") else "") + self.atom()

    def flags(self) -> list[str]:
        """Flags, in parentheses or not (RFC 9051 6.4.6)."""
        if self.opens():
            return self.rest_of_list(self.flag)
        found = [self.flag()]
        while self.peek() == b" ":
            self.space()
            found.append(self.flag())
        return found

    def sequence_set(self) -> SequenceSet:
        """A sequence set."""
        return parse_sequence_set(self._matched(_SET, "A sequence set").decode())

    def rest_of_list(self, item: object) -> list[str]:
        """Words up to the closing parenthesis; `item` reads one."""
        found: list[str] = []
        while not self.accept(b")"):
            if found:
                self.space()
            found.append(item())  # type: ignore[operator]
        return found

    # -- strings

    def bytes_astring(self) -> bytes:
        """An atom or a string, as bytes."""
        if self.peek() in (b'"', b"{", b"~"):
            return self.string()
        return self._matched(_ASTRING, "A word or a string")

    def astring(self) -> str:
        """An atom or a string, as text."""
        return text_of(self.bytes_astring())

    def list_mailbox(self) -> str:
        """A pattern of LIST."""
        if self.peek() in (b'"', b"{"):
            return text_of(self.string())
        return text_of(self._matched(_LIST_MAILBOX, "A pattern"))

    def string(self) -> bytes:
        """A quoted string or a literal."""
        if self.peek() == b'"':
            inner = self._matched(_QUOTED, "A quoted string")[1:-1]
            return _UNQUOTE.sub(rb"\1", inner) if b"\\" in inner else inner
        if _LITERAL.match(self._text, self._at) and self._piece + 2 < len(self._pieces):
            found = self._pieces[self._piece + 1]
            self._piece += 2
            self._text = self._pieces[self._piece]
            self._at = 0
            return found
        raise ImapBad("A string is wanted")

    def nstring(self) -> bytes | None:
        """A string or NIL."""
        if self.peek() not in (b'"', b"{", b"~") and self.accept(b"NIL"):
            return None
        return self.string()

    # -- times

    def date(self) -> date:
        """A date like 1-Feb-1994, quoted or not."""
        is_quoted = self.accept(b'"')
        match = _DATE.match(self._text, self._at)
        if match is None:
            raise ImapBad("A date like 1-Feb-1994 is wanted")
        self._at = match.end()
        if is_quoted:
            self.expect(b'"')
        try:
            return date(int(match[3]), _month(match[2]), int(match[1]))
        except ValueError:
            raise ImapBad("There is no such day") from None

    def date_time(self) -> datetime:
        """A time like "17-Jul-1996 02:44:25 -0700", in UTC."""
        match = _DATE_TIME.match(self._text, self._at)
        if match is None:
            raise ImapBad('A time like "17-Jul-1996 02:44:25 -0700" is wanted')
        self._at = match.end()
        offset = timedelta(hours=int(match[8]), minutes=int(match[9])) * (1 if match[7] == b"+" else -1)
        try:
            when = datetime(
                int(match[3]), _month(match[2]), int(match[1]), int(match[4]), int(match[5]), int(match[6]),
                tzinfo=timezone(offset),
            )  # fmt: skip
            return when.astimezone(UTC)
        except (ValueError, OverflowError):
            raise ImapBad("There is no such time") from None

    def _matched(self, expression: re.Pattern[bytes], what: str) -> bytes:
        match = expression.match(self._text, self._at)
        if match is None:
            raise ImapBad(f"{what} is wanted")
        self._at = match.end()
        return match[0]


def text_of(data: bytes) -> str:
    """Bytes of a client as text. Raises `ImapBad`."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise ImapBad("Text is UTF-8") from None


def _month(name: bytes) -> int:
    number = _MONTHS.get(name.decode().lower())
    if number is None:
        raise ImapBad("There is no such month")
    return number
