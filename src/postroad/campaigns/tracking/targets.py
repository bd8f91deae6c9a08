"""Where a link of a run leads: from the stored table of links, and nowhere else.

A link with a contact's values in it has its target sealed in the token; it must begin as the stored link
does. So a redirect leads where a customer's template said, whatever anybody makes of the address.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from urllib.parse import quote, urlsplit

from postroad.campaigns.tracking.tokens import Token
from postroad.db.pool import Database
from postroad.message.address import BadAddress, canonical_domain

MAX_KEPT = 20_000  # links, about 10 MB
_CODE = re.compile(r"\{\{|\{%")
_HTTP = re.compile(r"https?://[^/?#\s]", re.IGNORECASE)
# RFC 3986 2: what may stand in a URL as it is; everything else is percent-encoded.
_SAFE = "!#$%&'()*+,/:;=?@[]~"


class Targets:
    """Looks links up, and keeps what it found: a link never changes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: OrderedDict[int, tuple[int, str]] = OrderedDict()

    async def find(self, token: Token) -> str | None:
        """The address to send a reader to, fit for a Location field; None when there is none any more.

        Raises `DatabaseUnavailable`.
        """
        found = self._kept.get(token.link_id)
        if found is None:
            row = await self._database.fetchrow("SELECT run_id, url FROM link WHERE id = $1", token.link_id)
            if row is None:
                return None
            found = self._kept[token.link_id] = (row["run_id"], row["url"])
            if len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)
        run_id, url = found
        if run_id != token.run_id:
            return None
        code = _CODE.search(url)
        if code is not None:
            if not token.target.startswith(url[: code.start()]):
                return None
            url = token.target
        return location(url)


def location(url: str) -> str | None:
    """A URL of the web in the letters that a Location field takes; None for what is none."""
    url = url.strip()
    if not _HTTP.match(url):
        return None
    encoded = url
    try:
        host = urlsplit(url).hostname or ""
        if not host.isascii():  # browsers do not agree on what a percent in a host means
            encoded = url.replace(host, canonical_domain(host), 1)
    except (ValueError, BadAddress):
        return None
    return quote(encoded, safe=_SAFE)
