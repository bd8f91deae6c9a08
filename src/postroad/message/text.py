"""What a mail says to a reader: its text, decoded, from whichever parts carry it.

RFC 2046 5.1.4 rules the choice inside multipart/alternative. Bounded by the caller's limit; never raises.
"""

from __future__ import annotations

import re
from html import escape

from .charsets import decode
from .html_text import html_to_text
from .scan import Part
from .summary import is_body
from .transfer import decoded

MAX_TEXT_PARTS = 50  # read of one mail; more text parts than that are a digest nobody reads whole
_HTML_FACTOR = 20  # characters of HTML read for one of text: newsletters carry ten of markup for one of text
_MAX_LINES_JOINED = re.compile(r"\n{3,}")

__all__ = ["attachment_names", "decoded", "html_body", "part_text", "readable_text", "text_body"]


def part_text(content: bytes, part: Part, limit: int | None = None) -> str:
    """Return the text of a text part as Unicode with LF line ends; `limit` counts characters."""
    data = decoded(content, part, None if limit is None else limit * 4)
    text = decode(data, part.charset).replace("\r\n", "\n").replace("\r", "\n")
    return text if limit is None else text[:limit]


def text_body(content: bytes, root: Part) -> str | None:
    """Return the plain text people are meant to read first, or None where the mail has none.

    Where HTML stands between plain parts (Apple Mail does that), it is there as text.
    """
    leaves = body_leaves(root, preferred="plain")
    if not any(leaf.subtype == "plain" for leaf in leaves):
        return None
    return "\n".join(
        html_to_text(part_text(content, leaf)) if leaf.subtype == "html" else part_text(content, leaf)
        for leaf in leaves
    )


def html_body(content: bytes, root: Part) -> str | None:
    """Return the HTML people are meant to read first, unsanitised, or None where the mail has none.

    Plain parts beside it (a mailing list's footer) are in it, escaped.
    """
    leaves = body_leaves(root, preferred="html")
    if not any(leaf.subtype == "html" for leaf in leaves):
        return None
    return "<hr>".join(
        part_text(content, leaf)
        if leaf.subtype == "html"
        else f'<div style="white-space:pre-wrap">{escape(part_text(content, leaf))}</div>'
        for leaf in leaves
    )


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
    pieces: list[str] = []
    room = limit
    for mail in _mails(root):
        for piece in _mail_text(content, mail, room):
            pieces.append(piece)
            room -= len(piece) + 1
            if room <= 0:
                return "\n".join(pieces)[:limit]
    return "\n".join(pieces)[:limit]


def _mail_text(content: bytes, root: Part, limit: int) -> list[str]:
    pieces = []
    for preferred in ("plain", "html"):
        for part in body_leaves(root, preferred=preferred):
            if part.subtype == "html":
                text = html_to_text(part_text(content, part, limit * _HTML_FACTOR))
            else:
                text = part_text(content, part, limit)
            if text.strip():
                pieces.append(_MAX_LINES_JOINED.sub("\n\n", text).strip())
        if pieces:
            break
    return pieces


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
