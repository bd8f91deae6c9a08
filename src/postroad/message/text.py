"""What a mail says to a reader: its text, decoded, from whichever parts carry it.

RFC 2046 5.1.4 rules the choice inside multipart/alternative. Bounded by the caller's limit; never raises.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from .budget import Budget
from .charsets import decode_body
from .html_text import html_to_text
from .scan import Part
from .summary import is_body
from .transfer import decoded

MAX_TEXT = 2_000_000  # characters read of one mail's bodies, as many as a mail may be written with
MAX_TEXT_PARTS = 50  # read of one mail; more text parts than that are a digest nobody reads whole
_HTML_FACTOR = 20  # characters of HTML read for one of text: newsletters carry ten of markup for one of text
_MAX_HTML_READ = 500_000  # characters of HTML parsed for the text of one mail
_HTML_DOCUMENT = 20_000  # characters that a document counts for beside its own: small ones can be dense
_MAX_LINES_JOINED = re.compile(r"\n{3,}")

__all__ = ["attachment_names", "decoded", "html_body", "part_text", "readable_text", "text_body"]


def part_text(content: bytes, part: Part, budget: Budget, limit: int = MAX_TEXT) -> str:
    """Return the text of a text part as Unicode with LF line ends; `limit` counts characters.

    `budget` is shared by all parts that are read of a mail.
    """
    data = decoded(content, part, limit * 4)
    text = decode_body(data, part.charset, budget).replace("\r\n", "\n").replace("\r", "\n")
    return text[:limit]


def text_body(content: bytes, root: Part) -> str | None:
    """Return the plain text people are meant to read first, or None where the mail has none.

    Where HTML stands between plain parts (Apple Mail does that), it is there as text. Of more than `MAX_TEXT`
    characters the rest is left out.
    """
    leaves = body_leaves(root, preferred="plain")
    if not any(leaf.subtype == "plain" for leaf in leaves):
        return None
    return "\n".join(
        html_to_text(text) if leaf.subtype == "html" else text for leaf, text in _texts(content, leaves)
    )


def html_body(content: bytes, root: Part) -> str | None:
    """Return the HTML people are meant to read first, unsanitised, or None where the mail has none.

    Plain parts beside it (a mailing list's footer) are in it, escaped. Of more than `MAX_TEXT` characters the
    rest is left out.
    """
    leaves = body_leaves(root, preferred="html")
    if not any(leaf.subtype == "html" for leaf in leaves):
        return None
    return "<hr>".join(
        text if leaf.subtype == "html" else f'<div style="white-space:pre-wrap">{escape(text)}</div>'
        for leaf, text in _texts(content, leaves)
    )


def _texts(content: bytes, leaves: list[Part]) -> Iterator[tuple[Part, str]]:
    """Yield the leaves with their texts, `MAX_TEXT` characters at most in all."""
    budget = Budget()
    room = MAX_TEXT
    for leaf in leaves:
        if room <= 0:
            return
        text = part_text(content, leaf, budget, room)
        room -= len(text) + 1
        yield leaf, text


def body_leaves(root: Part, *, preferred: str) -> list[Part]:
    """List the text parts a reader sees one after another; of alternatives the `preferred` subtype if any.

    Parts that are files and enclosed mails are left out.
    """
    if not root.children:
        return [root] if is_body(root) else []
    found: list[Part] = []
    _collect(root, preferred, found)
    return found


def _collect(part: Part, preferred: str, found: list[Part]) -> None:
    if len(found) >= MAX_TEXT_PARTS:
        return
    if not part.children:
        if part.content_type == "text" and not part.is_attachment and part.subtype != "calendar":
            found.append(part)
        return
    if part.subtype == "alternative":
        choices: list[list[Part]] = []
        for child in part.children:
            leaves: list[Part] = []
            _collect(child, preferred, leaves)
            if leaves:
                choices.append(leaves)
        fitting = [choice for choice in choices if any(leaf.subtype == preferred for leaf in choice)]
        # RFC 2046 5.1.4: the last of the alternatives is the richest
        for choice in fitting[-1:] or choices[-1:]:
            found.extend(choice)
        return
    for child in part.children[:1] if part.subtype == "related" else part.children:
        _collect(child, preferred, found)


def readable_text(content: bytes, root: Part, limit: int) -> str:
    """Return at most `limit` characters of what the mail says, for search and quoting.

    Plain text is preferred; HTML is turned into text where there is no other, or where the plain part is
    empty. Enclosed mails are read as well, after the mail's own text.
    """
    reading = _Reading(content, Budget(), limit, min(limit * _HTML_FACTOR, _MAX_HTML_READ))
    pieces: list[str] = []
    for mail in _mails(root):
        for preferred in ("plain", "html"):
            found = reading.pieces(body_leaves(mail, preferred=preferred))
            pieces += found
            if found:
                break
        if reading.room <= 0:
            break
    return "\n".join(pieces)[:limit]


@dataclass(slots=True)
class _Reading:
    """What may still be read of one mail: characters of text, and of HTML that is made into text."""

    content: bytes
    budget: Budget
    room: int
    html_room: int

    def pieces(self, leaves: list[Part]) -> list[str]:
        found = []
        for part in leaves:
            if self.room <= 0 or (part.subtype == "html" and self.html_room <= 0):
                break
            if part.subtype == "html":
                html = part_text(
                    self.content, part, self.budget, min(self.room * _HTML_FACTOR, self.html_room)
                )
                self.html_room -= len(html) + _HTML_DOCUMENT
                text = html_to_text(html)
            else:
                text = part_text(self.content, part, self.budget, self.room)
            if text.strip():
                found.append(_MAX_LINES_JOINED.sub("\n\n", text).strip())
                self.room -= len(found[-1]) + 1
        return found


def _mails(root: Part) -> list[Part]:
    """List the mail's root and the roots of the mails enclosed in it, in order."""
    found = [root]
    stack = [root]
    while stack and len(found) < MAX_TEXT_PARTS:
        part = stack.pop()
        if part.message is not None:
            found.append(part.message)
            stack.append(part.message)
        stack.extend(reversed(part.children))
    return found


def attachment_names(root: Part) -> list[str]:
    """List the names of the files a mail carries, enclosed mails' subjects included, in order."""
    names: list[str] = []
    stack = [root]
    while stack:
        part = stack.pop()
        if part.filename is not None:
            names.append(part.filename)
        if part.message is not None:
            stack.append(part.message)
        stack.extend(reversed(part.children))
    return names
