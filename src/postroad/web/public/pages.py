"""The few pages that readers see, in their browser's language. They stand alone: one file, no script, no
cookie, so that they work on a customer's own tracking domain as on ours.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from postroad.campaigns.tracking.leaving import ListChoice, Reader
from postroad.web.shell.languages import Language, Languages

TEMPLATES = Path(__file__).parent.parent / "templates"


class PublicPages:
    """Renders them."""

    def __init__(self, languages: Languages) -> None:
        self._languages = languages
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=select_autoescape(default=True, default_for_string=True),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        style = (TEMPLATES / "public" / "style.css").read_text(encoding="utf-8")
        digest = base64.b64encode(sha256(style.encode()).digest()).decode()
        self._environment.globals["style"] = style
        self.policy = (
            f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; base-uri 'none'; "
            "frame-ancestors 'none'"
        )

    def language(self, accept_language: str) -> Language:
        """What the browser asks for."""
        return self._languages.choose(None, None, accept_language)

    def leave(self, language: Language, reader: Reader, preferences: str | None) -> bytes:
        """Asks whether the reader really wants to leave."""
        return self._render(
            "leave.html", language, company=reader.company, address=masked(reader.address), other=preferences
        )

    def left(self, language: Language, reader: Reader, preferences: str) -> bytes:
        """Says that he has left."""
        return self._render(
            "left.html", language, company=reader.company, address=masked(reader.address), other=preferences
        )

    def preferences(
        self, language: Language, reader: Reader, lists: Sequence[ListChoice], *, is_saved: bool
    ) -> bytes:
        """Shows the lists to choose from."""
        return self._render(
            "preferences.html",
            language,
            company=reader.company,
            address=masked(reader.address),
            lists=lists,
            is_saved=is_saved,
        )

    def trouble(self, language: Language, status: int) -> bytes:
        """Says why there is nothing to see."""
        titles = {
            400: language.say("This cannot be done"),
            404: language.say("This link is no longer valid"),
            503: language.say("Please try again in a moment"),
        }
        texts = {
            400: language.say("The page was called in a way that it does not know."),
            404: language.say("It may be incomplete, or the mail it came with may be too old."),
            503: language.say("Something is being repaired here. Nothing was changed."),
        }
        title = titles.get(status, titles[400])
        return self._render("trouble.html", language, title=title, text=texts.get(status, texts[400]))

    def _render(self, template: str, language: Language, **values: object) -> bytes:
        words = {"_": language.say, "language_tag": language.tag}
        return self._environment.get_template(f"public/{template}").render({**words, **values}).encode()


def masked(address: str) -> str:
    """An address that its owner knows again and nobody else learns: mails are forwarded."""
    local_part, _, domain = address.partition("@")
    return f"{local_part[:1]}•••@{domain}"
