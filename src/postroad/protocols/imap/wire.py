"""Values as IMAP writes them: strings, flags, times, ENVELOPE and BODYSTRUCTURE. RFC 9051 9 and 7.5.2.

A string that can stand in quotes does; anything else is a literal. Text outside ASCII stands in quotes only
for clients that asked for UTF-8 (RFC 6855, RFC 9051).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import quote

from postroad.message.envelope import Envelope
from postroad.message.fields import encoded_words
from postroad.message.headers import ListItem
from postroad.message.scan import Part
from postroad.protocols.imap import names

MAX_QUOTED = 1000  # bytes; longer strings are literals, which need no looking through

_PLAIN = re.compile(r"[\x20-\x7e]*\Z")
_WIDE = re.compile("[^\x00-\x1f\x7f]*\\Z")
_ATOM = re.compile(r"[!#$&'+,\-./0-9:;<=>?@A-Z^_`a-z|}~]+\Z")

FLAG_NAMES = ((1, "\\Seen"), (2, "\\Answered"), (4, "\\Flagged"), (8, "\\Deleted"), (16, "\\Draft"))
_FLAG_TEXTS = tuple(
    " ".join(name for bit, name in FLAG_NAMES if value & bit) for value in range(32)
)  # every combination, written once
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def string(text: str | None, is_utf8: bool = False) -> str:
    """Write a string, or NIL. The result is UTF-8 text; a literal counts its bytes."""
    if text is None:
        return "NIL"
    if len(text) <= MAX_QUOTED and (_PLAIN if not is_utf8 else _WIDE).match(text):
        if '"' in text or "\\" in text:
            text = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{text}"'
    data = text.encode("utf-8", "replace").replace(b"\0", b"")
    return f"{{{len(data)}}}\r\n{data.decode('utf-8')}"


def literal(data: bytes, is_binary: bool = False) -> bytes:
    """Write bytes as a literal; `is_binary` as one that may hold NUL (RFC 3516 4.2)."""
    mark = b"~" if is_binary and b"\0" in data else b""
    return b"%s{%d}\r\n%s" % (mark, len(data), data)


def astring(text: str) -> str:
    """Write a word of ours or a user's."""
    return text if _ATOM.match(text) and text.upper() != "NIL" else string(text)


def mailbox(name: str, is_utf8: bool) -> str:
    """Write a folder's name: as UTF-8 for clients that asked for it, else in modified UTF-7."""
    if is_utf8:
        return name if _ATOM.match(name) and "&" not in name else string(name, is_utf8=True)
    return astring(names.encode_utf7(name))


def flags(bits: int, keywords: Sequence[str]) -> str:
    """Write flags as a list."""
    text = _FLAG_TEXTS[bits & 31]
    if keywords:
        text = f"{text} {' '.join(keywords)}" if text else " ".join(keywords)
    return f"({text})"


def date_time(when: datetime) -> str:
    """Write a time, in UTC."""
    at = when.astimezone(UTC)
    return (
        f'"{at.day:2d}-{_MONTHS[at.month - 1]}-{at.year:04d} {at.hour:02d}:{at.minute:02d}:{at.second:02d} '
        '+0000"'
    )


def envelope(told: Envelope, is_utf8: bool = False) -> str:
    """Write an envelope."""
    people = " ".join(
        _addresses(items, is_utf8)
        for items in (told.from_, told.sender, told.reply_to, told.to, told.cc, told.bcc)
    )
    return (
        f"({string(told.date, is_utf8)} {string(told.subject, is_utf8)} {people} "
        f"{string(told.in_reply_to, is_utf8)} {string(told.message_id, is_utf8)})"
    )


def _addresses(items: Sequence[ListItem], is_utf8: bool) -> str:
    if not items:
        return "NIL"
    return f"({''.join(_address(item, is_utf8) for item in items)})"


def _address(item: ListItem, is_utf8: bool) -> str:
    name, local, host = item
    return f"({string(name, is_utf8)} NIL {string(local, is_utf8)} {string(host, is_utf8)})"


def body(part: Part, *, is_extended: bool, is_utf8: bool = False) -> str:
    """Write BODY, or BODYSTRUCTURE with its extension data."""
    if part.children:
        inner = "".join(body(child, is_extended=is_extended, is_utf8=is_utf8) for child in part.children)
        text = f"{inner} {string(part.subtype)}"
        if is_extended:
            text += f" {_parameters(part.parameters, is_utf8)} {_disposition(part, is_utf8)} {_ending(part)}"
        return f"({text})"
    text = (
        f"{string(part.content_type)} {string(part.subtype)} {_parameters(part.parameters, is_utf8)} "
        f"{string(f'<{part.content_id}>' if part.content_id else None, is_utf8)} "
        f"{string(_header_text(part.description), is_utf8)} {string(part.encoding)} {part.size_bytes}"
    )
    if part.content_type == "text":
        text += f" {part.line_count}"
    elif part.content_type == "message" and part.subtype in ("rfc822", "global"):
        inside = (
            body(part.message, is_extended=is_extended, is_utf8=is_utf8)
            if part.message is not None
            else '("text" "plain" NIL NIL NIL "7bit" 0 0)'  # encoded or too deep: nothing was looked at
        )
        text += f" {envelope(part.envelope or Envelope(), is_utf8)} {inside} {part.line_count}"
    if is_extended:
        text += f" {string(part.md5, is_utf8)} {_disposition(part, is_utf8)} {_ending(part)}"
    return f"({text})"


def _ending(part: Part) -> str:
    if not part.language:
        language = "NIL"
    elif len(part.language) == 1:
        language = string(part.language[0])
    else:
        language = f"({' '.join(string(each) for each in part.language)})"
    return f"{language} {string(part.location)}"


def _disposition(part: Part, is_utf8: bool) -> str:
    if part.disposition is None:
        return "NIL"
    return f"({string(part.disposition)} {_parameters(part.disposition_parameters, is_utf8)})"


def _parameters(parameters: Mapping[str, str], is_utf8: bool) -> str:
    """Write parameters; a value outside ASCII as RFC 2231 has it, which is how it travels in a header."""
    if not parameters:
        return "NIL"
    pieces: list[str] = []
    for name, value in parameters.items():
        if value.isascii():
            pieces.append(f"{string(name, is_utf8)} {string(value)}")
        else:
            pieces.append(f"{string(name + '*', is_utf8)} \"UTF-8''{quote(value, safe='')}\"")
    return f"({' '.join(pieces)})"


def _header_text(text: str | None) -> str | None:
    """A decoded text as it stands in a header."""
    return text if text is None or text.isascii() else " ".join(encoded_words(text))


def joined(words: Iterable[str]) -> str:
    """A list of words."""
    return f"({' '.join(words)})"
