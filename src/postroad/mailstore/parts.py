"""A stored mail taken apart for who shows it: which parts are read, which are files, and their bytes.

Only the parts that are shown are fetched: offsets were computed when the mail came (message/scan.py).
"""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, ParamSpec, TypeVar

import msgspec

from ..message.budget import Budget
from ..message.headers import decode_text
from ..message.html_bounds import MAX_HTML
from ..message.scan import Part, find_part, walk
from ..message.text import body_leaves, decoded, part_text
from .messages import Description, Messages

P = ParamSpec("P")
R = TypeVar("R")

MAX_SUBJECT = 80  # characters of a saved mail's name
IN_THREAD_BYTES = 8 * 1024  # working through more would hold up everybody else's requests
# What browsers show without running anything. SVG is a document with scripts, so it is no picture here.
IMAGE_SIGNATURES = {
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/gif": (b"GIF87a", b"GIF89a"),
    "image/webp": (b"RIFF",),
    "image/bmp": (b"BM",),
}


@dataclass(frozen=True, slots=True)
class FoundPart:
    """A part and the section number that names it in addresses."""

    section: str
    part: Part


def shown_parts(
    structure: Part, root: Part | None = None, preferred: Literal["html", "plain"] = "html"
) -> list[FoundPart]:
    """The text parts one reads, in order, of alternatives the `preferred` one.

    `root` is the mail that is read: `structure` itself, or one enclosed in it.
    """
    sections = _sections(structure)
    return [
        FoundPart(sections[id(part)], part)
        for part in body_leaves(root or structure, preferred=preferred)
        if id(part) in sections
    ]


def calendar_part(structure: Part, root: Part | None = None) -> FoundPart | None:
    """The first calendar part, shown as a card."""
    sections = _sections(structure)
    for part in _leaves(root or structure):
        if part.media_type in ("text/calendar", "application/ics") and id(part) in sections:
            return FoundPart(sections[id(part)], part)
    return None


def file_parts(
    structure: Part, shown_content_ids: frozenset[str] = frozenset(), root: Part | None = None
) -> list[FoundPart]:
    """The parts shown as files: attachments, and pictures of the text that its HTML does not show.

    Enclosed mails are files as a whole.
    """
    sections = _sections(structure)
    found = []
    for part in _leaves(root or structure):
        if part.media_type == "text/calendar" or id(part) not in sections:
            continue
        is_picture = part.content_type == "image" and not part.is_attachment
        if part.is_attachment or (is_picture and part.content_id not in shown_content_ids):
            found.append(FoundPart(sections[id(part)], part))
    return found


def _sections(structure: Part) -> dict[int, str]:
    return {id(part): section for section, part in walk(structure)}


def _leaves(root: Part) -> Iterator[Part]:
    """Every part that holds no others, but those inside enclosed mails."""
    stack = [root]
    while stack:
        part = stack.pop()
        if part.children:
            stack.extend(reversed(part.children))
        else:
            yield part


def file_name(part: Part, fallback: str) -> str:
    """The name a file is shown and saved under; an enclosed mail without one is called by its subject."""
    if part.filename:
        return part.filename.replace("/", "_").replace("\\", "_")[:200]
    if part.message is not None or part.content_type == "message":
        subject = part.envelope.subject if part.envelope else None
        return eml_name(decode_text((subject or "").encode("utf-8", "replace")), fallback)
    ending = {"plain": "txt", "jpeg": "jpg", "svg+xml": "svg"}.get(part.subtype, part.subtype)
    return f"{fallback}.{ending}" if ending.isalnum() and len(ending) <= 5 else fallback


def eml_name(subject: str, fallback: str) -> str:
    """The name a mail is saved under."""
    kept = "".join(sign for sign in subject[:MAX_SUBJECT] if sign not in '/\\:*?"<>|')
    return f"{kept.strip() or fallback}.eml"


def decoded_size(part: Part) -> int:
    """About how many bytes a part has when decoded: base64 carries three in four, but for line ends."""
    if part.encoding != "base64":
        return part.size_bytes
    return max(part.size_bytes - 2 * part.line_count, 0) * 3 // 4


class MessageParts:
    """Fetches and decodes parts of stored mails."""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages

    async def text(self, message_id: int, part: Part, budget: Budget, limit: int = MAX_HTML) -> str:
        """At most `limit` characters of a text part, as Unicode. `budget` is the page's."""
        # A character takes up to 12 bytes: four in UTF-8 or GB 18030, each of them three in quoted-printable.
        end = min(part.body_end, part.body_start + limit * 12 + 1_000)
        body = await self._messages.body_range(message_id, part.body_start, end)
        return await in_thread(len(body), part_text, body, _moved(part, body), budget, limit)

    async def content(self, message_id: int, part: Part) -> bytes:
        """A part's bytes, decoded."""
        body = await self._messages.body_range(message_id, part.body_start, part.body_end)
        return await in_thread(len(body), decoded, body, _moved(part, body))


async def in_thread(size_bytes: int, function: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R:
    """Call a pure function: at once for little data, in a thread for much."""
    if size_bytes > IN_THREAD_BYTES:
        return await to_thread(function, *arguments, **named)
    return function(*arguments, **named)


def part_of(description: Description, section: str) -> Part | None:
    """The leaf or enclosed mail that a section names; None for a container or nothing."""
    if len(section) > 100:
        return None
    part = find_part(description.structure, section)
    return None if part is None or part.children else part


def is_safe_image(media_type: str, content: bytes) -> bool:
    """Whether the bytes are what the type says, and the type is one that may be shown."""
    return any(content.startswith(signature) for signature in IMAGE_SIGNATURES.get(media_type, ()))


def _moved(part: Part, body: bytes) -> Part:
    return msgspec.structs.replace(part, header_start=0, body_start=0, body_end=len(body))
