"""The structure of a mail as byte offsets: which part lies where, found in one pass without copying bodies.

RFC 2045 and 2046 rule parts and boundaries, RFC 6532 message/global. Reading is lenient and never raises;
every limit ends in an opaque part (its bytes are there, its inside is not looked at), never in a refusal.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import msgspec

from .budget import Budget
from .charsets import storable, undirected
from .envelope import Envelope, envelope_of, keep
from .headers import MAX_HEADER_BYTES, decode_text, field_matches, raw_text, unfold
from .parameters import is_token, parse_parametrised

MAX_PARTS = 1_000  # of one mail; mails of people have under 100 (Dovecot: 10,000 with a depth of 100)
MAX_DEPTH = 50  # multiparts and enclosed mails inside each other; Postfix mime_nesting_limit 100, Exchange 30
MAX_BOUNDARY = 256  # bytes; RFC 2046 5.1.1 says 70, some mailers write more
MAX_DESCRIPTION = 4_096  # bytes read of a Content-Description, of which 998 characters are kept
MAX_SEARCHED = 8  # times its own length a mail is searched for boundaries: real ones nest three deep
# What any mail may take to search, so that small deep ones are read whole.
_SEARCHED_ANYWAY = 32 * 1024 * 1024
_FALSE_FIND = (
    1_000  # bytes a find that is no delimiter counts as: it takes about as long as searching so many
)

_PIECE = 1024 * 1024  # bytes that one search in C goes over
_BEGINS_AS_HEADER = re.compile(rb"[!-9;-~]{1,998}+[ \t]*+:|\r?\n|From |>From ")


class Part(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One part of a mail; offsets count bytes from the beginning of the content.

    `header_start` to `body_start` is the header with its empty line, `body_start` to `body_end` the body as
    it travels. `line_count` is the body's number of line feeds (of leaves and enclosed mails). Types,
    encoding, disposition and parameter names are lower case; parameter values are decoded text. An enclosed
    mail (message/rfc822, message/global) has its `envelope` and, unless it is encoded or too deep, its own
    root part. A multipart in which no part can be found is told as text/plain, so that people see what is
    there.
    """

    header_start: int
    body_start: int
    body_end: int
    line_count: int = 0
    content_type: str = "text"
    subtype: str = "plain"
    parameters: dict[str, str] = {}
    encoding: str = "7bit"
    disposition: str | None = None
    disposition_parameters: dict[str, str] = {}
    content_id: str | None = None
    description: str | None = None
    language: list[str] = []
    location: str | None = None
    md5: str | None = None
    children: list[Part] = []
    envelope: Envelope | None = None
    message: Part | None = None

    @property
    def media_type(self) -> str:
        """The full type, as `text/plain`."""
        return f"{self.content_type}/{self.subtype}"

    @property
    def size_bytes(self) -> int:
        """Bytes of the body as it travels."""
        return self.body_end - self.body_start

    @property
    def filename(self) -> str | None:
        """The name the sender gave the file (RFC 2183 2.3, or the older `name` of Content-Type)."""
        name = self.disposition_parameters.get("filename") or self.parameters.get("name")
        return undirected(name) or None if name else None

    @property
    def charset(self) -> str | None:
        """The charset label, or None."""
        return self.parameters.get("charset") or None

    @property
    def is_attachment(self) -> bool:
        """Whether people see it as a file: said to be one, or named, or neither text nor container."""
        if self.content_type == "multipart":
            return False
        if self.disposition == "attachment":
            return True
        if self.content_type == "text":
            return self.subtype not in ("plain", "html", "enriched", "calendar") or self.filename is not None
        # An image with a Content-ID is meant to stand inside the text.
        return not (
            self.content_type == "image" and self.content_id is not None and self.disposition != "attachment"
        )


class _Scanner:
    """The counters one scan shares between its parts."""

    __slots__ = ("budget", "content", "parts", "searched")

    def __init__(self, content: bytes, budget: Budget) -> None:
        self.content = content
        self.budget = budget
        self.parts = 0
        self.searched = MAX_SEARCHED * len(content) + _SEARCHED_ANYWAY

    def part(
        self, start: int, end: int, depth: int, default: str, values: dict[bytes, bytes] | None = None
    ) -> Part:
        """Read the part between two offsets; `values` also collects the envelope's fields on the way."""
        self.parts += 1
        content = self.content
        body_start = header_end(content, start, end)
        fields: dict[bytes, bytes] = {}
        for match in field_matches(content[start : min(body_start, start + MAX_HEADER_BYTES)]):
            name = match[1].lower()
            if name.startswith(b"content-"):
                fields.setdefault(name, match[2])
            elif values is not None:
                keep(values, name, match[2])
        media_type = default
        parameters: dict[str, str] = {}
        if fields:
            value = fields.get(b"content-type")
            if value is not None:
                media_type, parameters = parse_parametrised(value, self.budget)
        content_type, slash, subtype = media_type.partition("/")
        if not slash or not is_token(content_type) or not is_token(subtype):
            # RFC 2045 5.2: a type that cannot be read counts as plain text ("text" alone is an old habit)
            content_type, subtype = "text", "plain"
        encoding = "7bit"
        if fields:
            value = fields.get(b"content-transfer-encoding")
            if value is not None:
                encoding = raw_text(value).partition(";")[0].strip().lower()[:40] or "7bit"
        children: list[Part] = []
        envelope = message = None
        if content_type == "multipart":
            children = self.children(body_start, end, depth, parameters.get("boundary", ""), subtype)
            if not children:
                content_type, subtype, parameters = "text", "plain", {}
        elif content_type == "message" and subtype in ("rfc822", "global"):
            envelope, message = self.enclosed(body_start, end, depth, encoding)
        disposition = content_id = description = location = md5 = None
        disposition_parameters: dict[str, str] = {}
        language: list[str] = []
        if fields.keys() - _COMMON:
            value = fields.get(b"content-disposition")
            if value is not None:
                disposition, disposition_parameters = parse_parametrised(value, self.budget)
                disposition = disposition if is_token(disposition) else "attachment"
            content_id = _text(fields.get(b"content-id"), "<> ")
            description = _description(fields.get(b"content-description"), self.budget)
            language = _languages(fields.get(b"content-language"))
            location = _text(fields.get(b"content-location"), "")
            md5 = _text(fields.get(b"content-md5"), "")
        return Part(
            header_start=start,
            body_start=body_start,
            body_end=end,
            line_count=0 if children else content.count(b"\n", body_start, end),
            content_type=content_type,
            subtype=subtype,
            parameters=parameters,
            encoding=encoding,
            disposition=disposition,
            disposition_parameters=disposition_parameters,
            content_id=content_id,
            description=description,
            language=language,
            location=location,
            md5=md5,
            children=children,
            envelope=envelope,
            message=message,
        )

    def children(self, start: int, end: int, depth: int, boundary: str, subtype: str) -> list[Part]:
        """Cut a multipart's body at its boundary (RFC 2046 5.1.1); an unclosed part reaches to the end."""
        delimiter = b"--" + boundary.encode("utf-8", "replace").rstrip()
        self.searched -= end - start
        if not boundary or len(delimiter) > MAX_BOUNDARY or depth >= MAX_DEPTH or self.searched < 0:
            return []
        default = "message/rfc822" if subtype == "digest" else "text/plain"
        content = self.content
        parts: list[Part] = []
        opened = -1
        position = start
        while self.parts < MAX_PARTS and self.searched >= 0:
            position = content.find(delimiter, position, end)
            if position < 0:
                break
            after = position + len(delimiter)
            if position != start and content[position - 1] != 0x0A:
                position = after
                self.searched -= _FALSE_FIND
                continue
            line_end = content.find(b"\n", after, end)
            line_end = end if line_end < 0 else line_end
            # A boundary may be the beginning of another one: nothing but blanks may follow on its line.
            rest = content[after : min(line_end, after + MAX_BOUNDARY)].strip()
            if rest not in (b"", b"--"):
                position = after
                self.searched -= _FALSE_FIND
                continue
            if opened >= 0:
                # RFC 2046 5.1.1: the line break before the delimiter belongs to the delimiter
                parts.append(self.part(opened, self.before_line_break(position, opened), depth + 1, default))
            if rest == b"--":
                return parts
            opened = min(line_end + 1, end)
            position = opened
        if opened >= 0 and self.parts < MAX_PARTS:
            parts.append(self.part(opened, end, depth + 1, default))
        return parts

    def before_line_break(self, position: int, start: int) -> int:
        if position > start and self.content[position - 1] == 0x0A:
            position -= 1
            if position > start and self.content[position - 1] == 0x0D:
                position -= 1
        return position

    def enclosed(
        self, start: int, end: int, depth: int, encoding: str
    ) -> tuple[Envelope | None, Part | None]:
        """Read an enclosed mail; RFC 2046 5.2.1 allows it no encoding, so an encoded one stays opaque."""
        self.searched -= end - start
        if encoding not in ("7bit", "8bit", "binary") or depth >= MAX_DEPTH:
            return Envelope(), None
        if self.searched < 0 or self.parts >= MAX_PARTS:
            return Envelope(), None
        values: dict[bytes, bytes] = {}
        message = self.part(start, end, depth + 1, "text/plain", values)
        return envelope_of(values), message


_COMMON = frozenset((b"content-type", b"content-transfer-encoding"))


def header_end(content: bytes, start: int, end: int) -> int:
    """Return where the body begins: behind the empty line, or at `start` where no header is, or at `end`.

    A block that does not begin like a header is all body, as Postfix reads it.
    """
    first = _BEGINS_AS_HEADER.match(content, start, end)
    if first is None:
        return start
    if first[0] in (b"\n", b"\r\n"):
        return first.end()
    # Two searches in C, a piece at a time: one over 50 MB would hold every other thread.
    for position in range(start, end, _PIECE):
        piece_end = min(position + _PIECE + 2, end)
        crlf = content.find(b"\n\r\n", position, piece_end)
        bare = content.find(b"\n\n", position, crlf + 1 if crlf >= 0 else piece_end)
        if bare >= 0:
            return bare + 2
        if crlf >= 0:
            return crlf + 3
    return end


def _text(value: bytes | None, strip: str) -> str | None:
    if value is None:
        return None
    return storable(unfold(value).decode("utf-8", "replace")).strip(strip)[:998] or None


def _description(value: bytes | None, budget: Budget) -> str | None:
    return None if value is None else decode_text(value[:MAX_DESCRIPTION], budget)[:998] or None


def _languages(value: bytes | None) -> list[str]:
    text = _text(value, "")
    return [tag.strip()[:40] for tag in text.split(",")[:20] if tag.strip()] if text else []


def scan(content: bytes) -> Part:
    """Return the root part of a mail."""
    return _Scanner(content, Budget()).part(0, len(content), 0, "text/plain")


def scan_with_fields(content: bytes, budget: Budget) -> tuple[Part, dict[bytes, bytes]]:
    """Return, in one pass, the root part and the raw values an envelope is made of."""
    values: dict[bytes, bytes] = {}
    return _Scanner(content, budget).part(0, len(content), 0, "text/plain", values), values


def walk(root: Part) -> Iterator[tuple[str, Part]]:
    """Yield every part with its section number (RFC 9051 6.4.5.1): leaves, multiparts and enclosed mails.

    The root of a multipart mail has the section "" (it is the mail); a mail of one part has it as "1".
    """
    if root.children:
        yield "", root
        yield from _walk_children(root, "")
    else:
        yield from _walk_part(root, "1")


def _walk_children(part: Part, prefix: str) -> Iterator[tuple[str, Part]]:
    for number, child in enumerate(part.children, 1):
        yield from _walk_part(child, f"{prefix}{number}")


def _walk_part(part: Part, section: str) -> Iterator[tuple[str, Part]]:
    yield section, part
    if part.children:
        yield from _walk_children(part, section + ".")
    elif part.message is not None:
        if part.message.children:
            yield from _walk_children(part.message, section + ".")
        else:
            yield from _walk_part(part.message, section + ".1")


def find_part(root: Part, section: str | Sequence[int]) -> Part | None:
    """Return the part that an IMAP section number names ("2", "1.3", "" for the root), or None.

    A number behind an enclosed mail counts inside that mail.
    """
    try:
        numbers = (
            [int(number) for number in section.split(".") if section] if isinstance(section, str) else section
        )
    except ValueError:
        return None
    part: Part | None = root
    is_mail = True  # whether the next number counts parts of a whole mail, whose single part is 1
    for number in numbers:
        if part is None:
            return None
        if part.message is not None and not is_mail:
            part, is_mail = part.message, True
        if part.children:
            part = part.children[number - 1] if 0 < number <= len(part.children) else None
        elif not (is_mail and number == 1):
            return None
        is_mail = False
    return part


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Part)


def encode_structure(part: Part) -> bytes:
    """Return the JSON a structure is stored as."""
    return _encoder.encode(part)


def decode_structure(data: bytes) -> Part:
    """Read back what `encode_structure` wrote; raises msgspec.DecodeError on anything else."""
    return _decoder.decode(data)
