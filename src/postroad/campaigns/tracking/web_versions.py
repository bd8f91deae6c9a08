"""A recipient's mail as a page: rendered anew from the version that was sent, with his links and his values.

Nothing is stored for it. When the contact is gone its values are too: the page then says what the mail says
to nobody in particular.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass

import minijinja

from postroad.campaigns.contacts.contacts import person_of
from postroad.campaigns.contacts.values import Person
from postroad.campaigns.errors import BadTemplate, NotFound
from postroad.campaigns.keys import SealingKeys
from postroad.campaigns.templates.language import CannotRender, Compiled, compile_template
from postroad.campaigns.templates.values import values_of
from postroad.campaigns.tracking.marking import Marked, mark
from postroad.campaigns.tracking.urls import Urls
from postroad.db.pool import Database

MAX_KEPT = 50  # compiled versions

# Templates are dealt out by the recipient's number, in the order of the task.
_MAIL = """
SELECT n.customer_id, r.address, r.contact_id, t.track, v.version_id
FROM run n
JOIN task t ON t.customer_id = n.customer_id AND t.id = n.task_id
CROSS JOIN LATERAL (
    SELECT * FROM recipient r
    WHERE r.customer_id = n.customer_id AND r.run_id = n.id AND r.shelf = n.shelf
      AND r.number = $2 - n.email_base LIMIT 1
) r
JOIN LATERAL (
    SELECT coalesce(p.version_id, m.version_id) AS version_id FROM task_template p
    JOIN template m ON m.customer_id = p.customer_id AND m.id = p.template_id
    WHERE p.customer_id = n.customer_id AND p.task_id = n.task_id ORDER BY p.position
    OFFSET (r.number - 1) % (SELECT count(*) FROM task_template c
                             WHERE c.customer_id = n.customer_id AND c.task_id = n.task_id) LIMIT 1
) v ON true
WHERE n.id = $1
"""


@dataclass(frozen=True, slots=True)
class _Version:
    marked: Marked
    html: Compiled


class WebVersions:
    """Renders mails as pages."""

    def __init__(self, database: Database, keys: SealingKeys, base: str) -> None:
        """`base` is where the pages of readers stand; the page's own links lead there."""
        self._database = database
        self._keys = keys
        self._base = base
        self._versions: OrderedDict[tuple[int, int], _Version] = OrderedDict()

    async def page(self, run_id: int, email_id: int) -> str:
        """The HTML of a recipient's mail. Raises `NotFound`, `DatabaseUnavailable`."""
        row = await self._database.fetchrow(_MAIL, run_id, email_id)
        if row is None:
            raise NotFound("mail", email_id)
        contact = await self._database.fetchrow(
            "SELECT * FROM contact WHERE customer_id = $1 AND id = $2", row["customer_id"], row["contact_id"]
        )
        person = Person(row["address"]) if contact is None else person_of(contact)
        urls = Urls((await self._keys.get()).tokens, self._base)
        try:
            version = await self._version(row["customer_id"], row["version_id"], row["track"])
            ids = await self._link_ids(row["customer_id"], run_id, version.marked)
            values = values_of(person)
            links = {
                "unsubscribe_url": urls.unsubscribe(run_id, email_id),
                "preferences_url": urls.preferences(run_id, email_id),
                "web_url": urls.web(run_id, email_id),
            }
            marks = version.marked.values(urls, run_id, email_id, ids, values)
            # A link that the run does not know stays what it is.
            for link, link_id in zip(version.marked.links, ids, strict=True):
                if link_id == 0:
                    marks[link.name] = link.url if link.target is None else link.target.render(values)
            return version.html.render(
                {**values, **{name: minijinja.safe(url) for name, url in links.items()}, **marks}
            )
        except (BadTemplate, CannotRender) as error:
            raise NotFound("mail", email_id) from error

    async def _version(self, customer_id: int, version_id: int, track: int) -> _Version:
        key = (version_id, track)
        if key not in self._versions:
            html = await self._database.fetchval(
                "SELECT html FROM template_version WHERE customer_id = $1 AND id = $2",
                customer_id,
                version_id,
            )
            if html is None:
                raise NotFound("template", version_id)
            self._versions[key] = await asyncio.to_thread(_compiled, html, track)
            if len(self._versions) > MAX_KEPT:
                self._versions.popitem(last=False)
        self._versions.move_to_end(key)
        return self._versions[key]

    async def _link_ids(self, customer_id: int, run_id: int, marked: Marked) -> list[int]:
        rows = await self._database.fetch(
            "SELECT url, id FROM link WHERE customer_id = $1 AND run_id = $2", customer_id, run_id
        )
        known = {row["url"]: row["id"] for row in rows}
        return [known.get(link.url, 0) for link in marked.links]


def _compiled(html: str, track: int) -> _Version:
    marked = mark(html, opens=track > 0, clicks=track > 1)
    return _Version(marked, compile_template(marked.html, "html"))
