"""What SEARCH, SORT and THREAD can be asked, parsed into a tree. RFC 9051 6.4.4 and its extensions.

RFC 5032 (OLDER, YOUNGER), RFC 7162 (MODSEQ), RFC 8474 (EMAILID, THREADID), RFC 8514 (SAVED…), RFC 5256.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from postroad.protocols.imap.cursor import Cursor, text_of
from postroad.protocols.imap.errors import ImapBad, ImapNo
from postroad.protocols.imap.sequences import SequenceSet

MAX_KEYS = 500  # of one program
MAX_DEPTH = 30
MAX_NEEDLE = 1000  # bytes of a text looked for
MAX_NEEDLES = 50  # texts looked for in one program: each may mean a look through every mail


@dataclass(frozen=True, slots=True)
class All:
    """Every mail."""


@dataclass(frozen=True, slots=True)
class HasFlag:
    """A flag or keyword stands, or does not."""

    flag: str
    is_set: bool = True


@dataclass(frozen=True, slots=True)
class Within:
    """In a set of sequence numbers, or of UIDs."""

    wanted: SequenceSet
    by_uid: bool = False


@dataclass(frozen=True, slots=True)
class Day:
    """A day compared: `of` is internal, sent or saved; `order` is before, on or since."""

    of: str
    order: str
    day: date


@dataclass(frozen=True, slots=True)
class Age:
    """Older or younger than so many seconds (RFC 5032)."""

    seconds: int
    is_older: bool


@dataclass(frozen=True, slots=True)
class Size:
    """Larger or smaller than so many bytes."""

    than: int
    is_larger: bool


@dataclass(frozen=True, slots=True)
class ModSequence:
    """Changed at this mod-sequence or later."""

    at_least: int


@dataclass(frozen=True, slots=True)
class ObjectId:
    """Has this EMAILID or THREADID."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class SaveDateSupported:
    """RFC 8514 4.3: the folder keeps save dates; ours all do."""


@dataclass(frozen=True, slots=True)
class Contains:
    """A text stands in a place: a field's name in lower case, `body`, or `text` for all of the mail."""

    place: str
    needle: str
    is_field: bool = False


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    key: Key


@dataclass(frozen=True, slots=True)
class And:
    """All of them."""

    keys: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """One or both."""

    first: Key
    second: Key


Key = (
    All | HasFlag | Within | Day | Age | Size | ModSequence | ObjectId | SaveDateSupported | Contains | Not
    | And | Or
)  # fmt: skip

_FLAGS = {
    "ANSWERED": "\\Answered", "DELETED": "\\Deleted", "DRAFT": "\\Draft", "FLAGGED": "\\Flagged",
    "SEEN": "\\Seen",
}  # fmt: skip
_FIELDS = {"BCC": "bcc", "CC": "cc", "FROM": "from", "SUBJECT": "subject", "TO": "to"}
_DAYS = {
    prefix + order: (of, order.lower())
    for prefix, of in (("", "internal"), ("SENT", "sent"), ("SAVED", "saved"))
    for order in ("BEFORE", "ON", "SINCE")
}
CHARSETS = ("US-ASCII", "UTF-8")


@dataclass(frozen=True, slots=True)
class Program:
    """A whole program. `asks_mod_sequence`: the answer tells the highest one (RFC 7162 3.1.5)."""

    key: Key
    asks_mod_sequence: bool = False


class _Reader:
    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor
        self.count = self.needles = 0
        self.asks_mod_sequence = False

    def keys(self, depth: int, closes: bool) -> Key:
        found: list[Key] = []
        while True:
            found.append(self.key(depth))
            if closes and self.cursor.accept(b")"):
                break
            if not closes and self.cursor.at_end():
                break
            self.cursor.space()
            if not closes and self.cursor.at_end():
                break
        return found[0] if len(found) == 1 else And(tuple(found))

    def key(self, depth: int) -> Key:
        cursor = self.cursor
        self.count += 1
        if self.count > MAX_KEYS or depth > MAX_DEPTH:
            raise ImapNo("The search asks for too much", "LIMIT")
        if cursor.opens():
            return self.keys(depth + 1, closes=True)
        if cursor.peek().isdigit() or cursor.peek() in (b"*", b"$"):
            return Within(cursor.sequence_set())
        word = cursor.keyword()
        if word == "ALL":
            return All()
        if word in _FLAGS:
            return HasFlag(_FLAGS[word])
        if word.startswith("UN") and word[2:] in _FLAGS:
            return HasFlag(_FLAGS[word[2:]], is_set=False)
        # RFC 9051 has no \Recent any more, and no mail of ours ever has it.
        if word in ("RECENT", "NEW"):
            return Not(All())
        if word == "OLD":
            return All()
        if word == "SAVEDATESUPPORTED":
            return SaveDateSupported()
        cursor.space()
        return self.argument(word, depth)

    def argument(self, word: str, depth: int) -> Key:
        cursor = self.cursor
        if word == "NOT":
            return Not(self.key(depth + 1))
        if word == "OR":
            first = self.key(depth + 1)
            cursor.space()
            return Or(first, self.key(depth + 1))
        if word in ("KEYWORD", "UNKEYWORD"):
            return HasFlag(cursor.flag(), is_set=word == "KEYWORD")
        if word in _FIELDS:
            return Contains(_FIELDS[word], self.needle(), is_field=True)
        if word == "HEADER":
            name = cursor.astring().lower()
            cursor.space()
            return Contains(name, self.needle(), is_field=True)
        if word in ("BODY", "TEXT"):
            return Contains(word.lower(), self.needle())
        if word in _DAYS:
            of, order = _DAYS[word]
            return Day(of, order, cursor.date())
        if word in ("LARGER", "SMALLER"):
            return Size(cursor.number(), is_larger=word == "LARGER")
        if word in ("OLDER", "YOUNGER"):
            seconds = cursor.number()
            if seconds == 0:
                raise ImapBad("An age is at least a second")
            return Age(seconds, is_older=word == "OLDER")
        if word == "UID":
            return Within(cursor.sequence_set(), by_uid=True)
        if word == "MODSEQ":
            return self.mod_sequence()
        if word in ("EMAILID", "THREADID"):
            return ObjectId(word, cursor.astring())
        raise ImapBad(f"{word[:40]} cannot be searched for")

    def mod_sequence(self) -> Key:
        cursor = self.cursor
        if cursor.peek() == b'"':  # RFC 7162 3.1.5: an entry and its kind, which all share one number here
            cursor.string()
            cursor.space()
            cursor.keyword()
            cursor.space()
        self.asks_mod_sequence = True
        return ModSequence(cursor.number())

    def needle(self) -> str:
        self.needles += 1
        if self.needles > MAX_NEEDLES:
            raise ImapNo(f"A search looks for at most {MAX_NEEDLES} texts", "LIMIT")
        found = self.cursor.bytes_astring()
        if len(found) > MAX_NEEDLE:
            raise ImapNo(f"A text has at most {MAX_NEEDLE} bytes", "LIMIT")
        return text_of(found)


def parse_program(cursor: Cursor) -> Program:
    """Read search keys up to the command's end. Raises `ImapBad`, `ImapNo`."""
    reader = _Reader(cursor)
    key = reader.keys(0, closes=False)
    return Program(key, reader.asks_mod_sequence)


def check_charset(name: str) -> None:
    """Raise `ImapNo` for a charset that is not read (RFC 9051 6.4.4)."""
    if name.upper() not in CHARSETS:
        raise ImapNo("That charset is not known", f"BADCHARSET ({' '.join(CHARSETS)})")
