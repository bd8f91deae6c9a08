"""Where readers of a run's mails come: the addresses of its pixel, links and pages. Pure.

Short, since every mail carries some: `/t/` and a letter for what it is, then the token.
"""

from __future__ import annotations

import re

from postroad.campaigns.tracking.tokens import Kind, Tokens

# Nothing that could leave an attribute of HTML, and no query of its own.
_BASE = re.compile(r"https?://[A-Za-z0-9.-]+(?::\d{1,5})?(?:/[A-Za-z0-9._~/-]*)?\Z")
PREFIX = "/t/"
LETTERS = {
    Kind.PIXEL: "o",  # opened
    Kind.LINK: "c",  # clicked
    Kind.UNSUBSCRIBE: "u",
    Kind.PREFERENCES: "p",
    Kind.WEB: "w",
}


class Urls:
    """Makes addresses on `base`, such as `https://news.example.com`: a tracking domain, or the platform's
    host.

    Raises `ValueError` for a base that is none.
    """

    def __init__(self, tokens: Tokens, base: str) -> None:
        if not _BASE.match(base):
            raise ValueError(f"{base!r} is no base of addresses")
        self._tokens = tokens
        self._at = {kind: f"{base.rstrip('/')}{PREFIX}{letter}/" for kind, letter in LETTERS.items()}

    def pixel(self, run_id: int, email_id: int) -> str:
        """The picture that tells of an open."""
        return self._at[Kind.PIXEL] + self._tokens.pixel(run_id, email_id)

    def link(self, run_id: int, email_id: int, link_id: int, target: str = "") -> str:
        """A link of the run."""
        return self._at[Kind.LINK] + self._tokens.link(run_id, email_id, link_id, target)

    def unsubscribe(self, run_id: int, email_id: int) -> str:
        """The page to leave by; a POST to the same address is RFC 8058's one click."""
        return self._at[Kind.UNSUBSCRIBE] + self._tokens.unsubscribe(run_id, email_id)

    def preferences(self, run_id: int, email_id: int) -> str:
        """The page of the recipient's lists."""
        return self._at[Kind.PREFERENCES] + self._tokens.preferences(run_id, email_id)

    def web(self, run_id: int, email_id: int) -> str:
        """The mail as a page."""
        return self._at[Kind.WEB] + self._tokens.web(run_id, email_id)
