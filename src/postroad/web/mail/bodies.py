"""What a page shows of a mail's text: bodies made safe, within one budget for all of them.

A mail may have fifty texts of a megabyte each. The budget is taken before a text is read; texts it does not
reach are listed as files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from postroad.mailstore.parts import (
    IMAGE_SIGNATURES,
    FoundPart,
    MessageParts,
    decoded_size,
    file_name,
    file_parts,
    in_thread,
    shown_parts,
)
from postroad.message.budget import Budget
from postroad.message.html_bounds import MAX_HTML
from postroad.message.scan import Part
from postroad.web.mail.frame import framed
from postroad.web.mail.text_body import cut, text_markup, unflowed
from postroad.web.mail.views import Attachment, HtmlBody, TextBody

MAX_BODIES = 20  # shown of one mail
MAX_HTML_SHOWN = MAX_HTML  # characters of all its HTML
HTML_DOCUMENT = 20_000  # characters that a document counts for beside its own


@dataclass(frozen=True, slots=True)
class ShownBodies:
    """The bodies in order, the Content-IDs whose pictures stand in them, and texts that are files instead."""

    bodies: Sequence[HtmlBody | TextBody]
    content_ids: frozenset[str]
    left_out: Sequence[FoundPart]


class Bodies:
    """Makes bodies of stored mails."""

    def __init__(self, parts: MessageParts) -> None:
        self._parts = parts

    async def of(
        self, message_id: int, message_url: str, structure: Part, root: Part, quoted_label: str
    ) -> ShownBodies:
        """The bodies of `root`, which is `structure` or a mail enclosed in it; their addresses lie below
        `message_url`. `quoted_label` names a folded quote.
        """
        budget = Budget()
        html_room = MAX_HTML_SHOWN
        bodies: list[HtmlBody | TextBody] = []
        content_ids: set[str] = set()
        left_out: list[FoundPart] = []
        for found in shown_parts(structure, root):
            is_html = found.part.subtype == "html"
            room = html_room if is_html else min(budget.characters, budget.lines)
            if room <= 0 or len(bodies) >= MAX_BODIES:
                left_out.append(found)
                continue
            file_url = f"{message_url}/part/{found.section}"
            if is_html:
                html = await self._parts.text(message_id, found.part, budget, html_room + 1)
                is_whole = len(html) <= html_room
                html_room -= len(html) + HTML_DOCUMENT
                clean = await in_thread(len(html), framed, html, message_url, structure, shows_images=False)
                content_ids |= clean.content_ids
                url = f"{message_url}/body/{found.section}"
                bodies.append(
                    HtmlBody(url, clean.has_remote, f"{url}?images=1", "" if is_whole else file_url)
                )
                continue
            text = await self._parts.text(message_id, found.part, budget, budget.characters + 1)
            if text.strip():
                body = await in_thread(
                    len(text), _text_body, text, found.part, file_url, quoted_label, budget
                )
                bodies.append(body)
        return ShownBodies(bodies, frozenset(content_ids), left_out)


def files_of(
    message_url: str, structure: Part, root: Part, shown: ShownBodies, fallback: str
) -> list[Attachment]:
    """The files of `root` as its page lists them, and the texts that were left out."""
    found = [*file_parts(structure, shown.content_ids, root), *shown.left_out]
    return [attachment(message_url, one, f"{fallback} {number}") for number, one in enumerate(found, 1)]


def attachment(message_url: str, found: FoundPart, fallback: str) -> Attachment:
    """A file as the page shows it."""
    part = found.part
    size = decoded_size(part)
    url = f"{message_url}/part/{found.section}"
    preview = f"{url}?preview=1" if part.media_type in IMAGE_SIGNATURES else None
    opened = f"{message_url}/enclosed/{found.section}" if part.message is not None else None
    return Attachment(file_name(part, fallback), part.media_type, size, url, preview, opened)


def _text_body(text: str, part: Part, file_url: str, quoted_label: str, budget: Budget) -> TextBody:
    is_read_whole = len(text) <= budget.characters  # one character more than may be shown was asked for
    shown, is_whole = cut(text, budget)
    if part.parameters.get("format", "").lower() == "flowed":
        shown = unflowed(shown, deletes_space=part.parameters.get("delsp", "").lower() == "yes")
    return TextBody(text_markup(shown, quoted_label, budget), "" if is_whole and is_read_whole else file_url)
