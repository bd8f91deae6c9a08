"""The HTML of a stranger made fit for the frame it is shown in, and for quoting in an answer.

The frame's sandbox allows `allow-same-origin` and not `allow-scripts`. Same origin lets our page measure the
content and lets the mail's pictures carry the session's cookie. No script can run in the frame (sandbox of
the element, sandbox and policy of the answer, and the sanitiser before both), so the mail gains nothing from
sharing it. Forms, plug-ins and navigating the page around it stay forbidden; links open in a new window.
"""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from postroad.message.sanitise import SCOPE, sanitise_html
from postroad.message.scan import Part, walk

_WRAPPER = f'<div class="{SCOPE}">'


@dataclass(frozen=True, slots=True)
class Framed:
    """Safe markup; whether the mail has pictures from elsewhere; the Content-IDs whose pictures it shows."""

    markup: Markup
    has_remote: bool
    content_ids: frozenset[str]


def framed(html: str, message_url: str, structure: Part, *, shows_images: bool) -> Framed:
    """Make `html` safe; its enclosed pictures are loaded from their parts below `message_url`."""
    sections = {part.content_id: section for section, part in walk(structure) if part.content_id}
    shown: set[str] = set()

    def address_of(content_id: str) -> str | None:
        section = sections.get(content_id)
        if section is None:
            return None
        shown.add(content_id)
        return f"{message_url}/part/{section}?preview=1"

    clean = sanitise_html(html, allow_remote=shows_images, cid_url=address_of)
    # The one place where a stranger's HTML becomes markup: what the sanitiser let through.
    return Framed(Markup(clean.html), clean.has_remote, frozenset(shown))  # noqa: S704


def quotable(html: str) -> str:
    """Make `html` safe to write on: no style sheet, no pictures, no wrapper that grows with each save."""
    clean = sanitise_html(html, allow_remote=False, cid_url=lambda _: None).html
    start = clean.find(_WRAPPER)
    return clean[start + len(_WRAPPER) :].removesuffix("</div>") if start >= 0 else clean
