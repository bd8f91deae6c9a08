"""What FETCH can be asked for, parsed. RFC 9051 6.4.5, RFC 3516 (BINARY), RFC 8474, 8514, 8970."""

from __future__ import annotations

import re
from dataclasses import dataclass

from postroad.protocols.imap.cursor import Cursor
from postroad.protocols.imap.errors import ImapBad

MAX_SECTIONS = 100  # sections asked for in one command
MAX_FIELDS = 200  # header fields named in one section
MAX_PARTIAL = 2**32

SIMPLE = frozenset(
    ("FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE", "BODY", "BODYSTRUCTURE", "UID", "MODSEQ", "PREVIEW",
     "SAVEDATE", "EMAILID", "THREADID")
)  # fmt: skip
_MACROS = {
    "ALL": ("FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE"),
    "FAST": ("FLAGS", "INTERNALDATE", "RFC822.SIZE"),
    "FULL": ("FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE", "BODY"),
}
_WORD = re.compile(r"[A-Z0-9.]+\Z")


@dataclass(frozen=True, slots=True)
class Section:
    """A piece of a mail. `label` is how the answer names it.

    `numbers` is the part; `what` is "" (its content), HEADER, TEXT, MIME or HEADER.FIELDS, with `is_not` for
    HEADER.FIELDS.NOT. `is_decoded` and `is_size` are BINARY and BINARY.SIZE. `partial` is offset and length.
    """

    label: str
    numbers: tuple[int, ...] = ()
    what: str = ""
    fields: frozenset[bytes] = frozenset()
    is_not: bool = False
    is_decoded: bool = False
    is_size: bool = False
    partial: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class FetchItems:
    """What is asked for. `marks_seen`: a section was asked for without PEEK."""

    simple: tuple[str, ...] = ()
    sections: tuple[Section, ...] = ()
    marks_seen: bool = False


def parse_fetch_items(cursor: Cursor) -> FetchItems:
    """Read one item, a macro, or a list of items. Raises `ImapBad`."""
    simple: dict[str, None] = {}
    sections: dict[str, Section] = {}
    marks_seen = False
    if cursor.opens():
        while True:
            marks_seen |= _item(cursor, simple, sections)
            if cursor.accept(b")"):
                break
            cursor.space()
    else:
        marks_seen = _item(cursor, simple, sections, allows_macro=True)
    if len(sections) > MAX_SECTIONS:
        raise ImapBad(f"At most {MAX_SECTIONS} sections at once")
    return FetchItems(tuple(simple), tuple(sections.values()), marks_seen)


def _item(
    cursor: Cursor, simple: dict[str, None], sections: dict[str, Section], allows_macro: bool = False
) -> bool:
    name = _name(cursor)
    if name in ("BODY", "BODY.PEEK") and cursor.accept(b"["):
        section = _section(cursor, "BODY")
        sections.setdefault(section.label, section)
        return name == "BODY"
    if name in ("BINARY", "BINARY.PEEK", "BINARY.SIZE"):
        cursor.expect(b"[")
        section = _section(cursor, "BINARY.SIZE" if name == "BINARY.SIZE" else "BINARY")
        sections.setdefault(section.label, section)
        return name == "BINARY"
    if name in ("RFC822", "RFC822.HEADER", "RFC822.TEXT"):
        what = name[7:]
        sections.setdefault(name, Section(name, what=what))
        return what != "HEADER"
    if name == "PREVIEW":
        if cursor.peek() == b" " and cursor.accept(b" (LAZY)"):
            pass  # RFC 8970 3.1: ours is always there already
        simple["PREVIEW"] = None
    elif name in SIMPLE:
        simple[name] = None
    elif allows_macro and name in _MACROS:
        simple.update(dict.fromkeys(_MACROS[name]))
    else:
        raise ImapBad(f"{name[:40]} cannot be fetched")
    return False


def _name(cursor: Cursor) -> str:
    word = ""
    while (byte := cursor.peek()) and (byte.isalnum() or byte == b"."):
        cursor.accept(byte.upper())
        word += byte.decode("ascii", "replace")
        if len(word) > 40:
            raise ImapBad("An item is wanted")
    if not _WORD.match(word.upper()):
        raise ImapBad("An item is wanted")
    return word.upper()


def _section(cursor: Cursor, kind: str) -> Section:
    numbers: list[int] = []
    what = ""
    fields: list[bytes] = []
    is_not = False
    while cursor.peek().isdigit():
        number = cursor.number()
        if not 0 < number < 100_000 or len(numbers) >= 100:
            raise ImapBad("There can be no such part")
        numbers.append(number)
        if not cursor.accept(b"."):
            break
    text = ".".join(map(str, numbers))
    if cursor.peek() != b"]":
        word = _name(cursor)
        if kind != "BODY" or word not in ("HEADER", "TEXT", "MIME", "HEADER.FIELDS", "HEADER.FIELDS.NOT"):
            raise ImapBad("There is no such section")
        if word == "MIME" and not numbers:
            raise ImapBad("MIME needs a part")
        text += ("." if numbers else "") + word
        what = word
        if word.startswith("HEADER.FIELDS"):
            is_not = word.endswith(".NOT")
            what = "HEADER.FIELDS"
            cursor.space()
            cursor.expect(b"(")
            while True:
                fields.append(cursor.bytes_astring())
                if cursor.accept(b")"):
                    break
                cursor.space()
            if len(fields) > MAX_FIELDS:
                raise ImapBad(f"At most {MAX_FIELDS} fields at once")
            text += f" ({' '.join(_field_name(each) for each in fields)})"
    cursor.expect(b"]")
    partial = None
    suffix = ""
    if kind != "BINARY.SIZE" and cursor.accept(b"<"):
        offset = cursor.number()
        cursor.expect(b".")
        length = cursor.number()
        cursor.expect(b">")
        if length == 0 or offset > MAX_PARTIAL or length > MAX_PARTIAL:
            raise ImapBad("There can be no such range")
        partial = (offset, length)
        suffix = f"<{offset}>"
    return Section(
        f"{kind}[{text}]{suffix}",
        tuple(numbers),
        what,
        frozenset(each.lower() for each in fields),
        is_not,
        is_decoded=kind != "BODY",
        is_size=kind == "BINARY.SIZE",
        partial=partial,
    )


def _field_name(name: bytes) -> str:
    """A field's name as the answer repeats it: an atom, or quoted."""
    text = name.decode("ascii", "replace").upper()
    if re.fullmatch(r"[!#$&'+,\-./0-9:;<=>?@A-Z^_`|}~]+", text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\r", " ").replace("\n", " ")
    return f'"{escaped}"'
