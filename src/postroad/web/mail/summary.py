"""The mailbox at a glance: the newest unread mails, every folder's counts, how full it is."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from postroad.mailstore.entries import Entries, Only
from postroad.mailstore.folders import Role
from postroad.web.mail.rows import rows_of
from postroad.web.mail.surroundings import Surroundings
from postroad.web.shell.visits import Visit, Visits

NEWEST = 6  # unread mails that are shown; the list has them all


class Summary:
    """One page."""

    def __init__(self, visits: Visits, surroundings: Surroundings, entries: Entries) -> None:
        self._visits = visits
        self._surroundings = surroundings
        self._entries = entries

    def routes(self) -> list[BaseRoute]:
        """The page."""
        return [Route("/mail/summary", self._visits.reading(self.page), methods=["GET"])]

    async def page(self, visit: Visit) -> Response:
        """The summary of the mailbox, or its part that changes."""
        around = await self._surroundings.around(visit.account_id)
        inbox = around.by_role(Role.INBOX)
        unread = await self._entries.page(visit.account_id, inbox.id, None, NEWEST, Only.UNSEEN)
        values = {
            **await self._surroundings.whole(visit, around, None),
            "inbox": inbox,
            "newest": rows_of(unread, around, "", names_folder=False),
            "here": "/mail/summary",
        }
        template = "parts/summary.html" if visit.is_fragment else "summary.html"
        return self._visits.page(template, visit.dates, values)
