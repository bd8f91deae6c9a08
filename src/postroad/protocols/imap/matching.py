"""Whether a mail holds what is looked for. Pure: envelope, structure and bytes in, yes or no out.

RFC 9051 6.4.4: a key matches when the text stands somewhere in the field or the body, case aside, with
encoded words, transfer encodings and charsets undone. BODY is every text part; TEXT adds all headers.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from postroad.message.charsets import codec_for, decode
from postroad.message.envelope import Envelope
from postroad.message.headers import ListItem, decode_words, field_matches, parse_date, raw_text
from postroad.message.scan import Part, walk
from postroad.message.transfer import decoded

PIECE_BYTES = 64 * 1024  # of a text decoded and folded at once: a millisecond, or three in Chinese
WIDE_BYTES = 2 * 1024 * 1024
# Characters: a text looked for has up to 1,000 bytes, of which folding may make three times as many.
OVERLAP = 3_000

ENVELOPE_FIELDS = frozenset(("subject", "from", "to", "cc", "bcc"))


def folded(text: str) -> str:
    """The form in which texts are compared: blanks of a fold as one, case aside."""
    return text.casefold() if not text.isascii() else text.lower()


def envelope_text(told: Envelope, field: str) -> str:
    """What a field of the envelope says, folded; `field` is one of `ENVELOPE_FIELDS`."""
    if field == "subject":
        return folded(decode_words(told.subject or ""))
    items = {"from": told.from_, "to": told.to, "cc": told.cc, "bcc": told.bcc}[field]
    return folded(", ".join(_address(item) for item in items))


def _address(item: ListItem) -> str:
    name, local, host = item
    address = f"{local or ''}@{host}" if host else local or ""
    return f"{decode_words(name)} <{address}>" if name else address


def sent_on(told: Envelope) -> date | None:
    """The day in the Date field, without regard to its zone (RFC 9051 6.4.4, SENTON)."""
    when = parse_date(told.date.encode("utf-8", "replace")) if told.date else None
    return when.date() if when is not None else None


def field_holds(header: bytes, name: str, needle: str) -> bool:
    """Whether one of a header's fields called `name` holds `needle`; an empty one is in any such field."""
    wanted = name.encode("utf-8", "replace")
    return any(
        needle in folded(decode_words(raw_text(match[2])))
        for match in field_matches(header)
        if match[1].lower() == wanted
    )


def header_text(header: bytes) -> str:
    """All of a header, decoded and folded."""
    return folded(
        "\n".join(
            f"{match[1].decode('ascii')}: {decode_words(raw_text(match[2]))}"
            for match in field_matches(header)
        )
    )


def body_texts(content: bytes, root: Part) -> Iterator[str]:
    """Yield the texts of a mail's parts, folded, in pieces; each repeats the end of the one before it, so
    that whatever is looked for stands whole in one.
    """
    for _, part in walk(root):
        if part.children:
            continue
        if part.content_type == "text":
            yield from _pieces(decoded(content, part), part.charset)
        elif part.message is not None:
            header = content[part.message.header_start : part.message.body_start]
            yield header_text(header)
        elif part.content_type == "message":
            yield from _pieces(decoded(content, part), None)


def _pieces(data: bytes, charset: str | None) -> Iterator[str]:
    """Decode and fold a text, a piece at a time: one call for 50 MB would hold every other thread.

    Cut behind line ends, where all charsets of mail are at their beginning (RFC 1468, RFC 1842). Only UTF-16
    and UTF-32, whose order of bytes stands in front, are decoded at once, so much of them as anybody reads.
    """
    if charset and (codec_for(charset) or "").startswith(("utf-16", "utf-32")):
        yield folded(decode(data[:WIDE_BYTES], charset))
        return
    tail = ""
    start = 0
    while start < len(data):
        end = start + PIECE_BYTES
        if end < len(data):
            end = data.rfind(b"\n", start, end) + 1 or end
        text = tail + folded(decode(data[start:end], charset))
        yield text
        tail = text[-OVERLAP:]
        start = end
