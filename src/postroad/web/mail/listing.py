"""The middle pane: a folder's mails or what a search found, page by page, by key and never by offset."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from postroad.mailstore.entries import Entries, Only
from postroad.mailstore.errors import BadQuery, NoSuchFolder
from postroad.mailstore.folders import Role
from postroad.mailstore.search import Search, SearchKey
from postroad.web.mail.rows import address, rows_of
from postroad.web.mail.surroundings import Around, Surroundings
from postroad.web.mail.views import FolderItem, ListPage, Row
from postroad.web.mail.words import folder_name
from postroad.web.shell.forms import entry_name
from postroad.web.shell.visits import Visit, Visits

PAGE = 50  # rows fetched at once: two screens
MAX_REFRESHED = 300  # rows a refresh fetches; a list grown longer is cut there and can be walked on
MAX_QUERY = 500
FILTERS = {"unread": Only.UNSEEN, "flagged": Only.FLAGGED, "attachments": Only.WITH_ATTACHMENTS}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which list an address means."""

    folder: FolderItem | None
    shown_filter: str
    query: str

    @property
    def context(self) -> str:
        """The query string that brings a mail's page back to this list."""
        if self.query:
            inside = {"folder": self.folder.id} if self.folder else {}
            return address("", q=self.query, **inside)[1:]
        return address("", filter=self.shown_filter)[1:]

    @property
    def base_url(self) -> str:
        """The list's own page."""
        if self.query:
            return f"/mail/search?{self.context}"
        assert self.folder is not None
        return address(f"/mail/folder/{self.folder.id}", filter=self.shown_filter)

    def rows_url(self, kind: str, **query: object) -> str:
        """Where its rows come from: `kind` is "list" for all of the pane's, "rows" for the next ones."""
        if self.query:
            inside = self.folder.id if self.folder else ""
            return address(f"/mail/search/{kind}", q=self.query, folder=inside, **query)
        assert self.folder is not None
        return address(f"/mail/folder/{self.folder.id}/{kind}", filter=self.shown_filter, **query)


class Listing:
    """Pages that show lists."""

    def __init__(self, visits: Visits, surroundings: Surroundings, entries: Entries, search: Search) -> None:
        self._visits = visits
        self._surroundings = surroundings
        self._entries = entries
        self._search = search

    def routes(self) -> list[BaseRoute]:
        """Folder pages, search pages, and the rows that they load."""
        reading = self._visits.reading
        return [
            Route("/mail", reading(self.start), methods=["GET"]),
            Route("/mail/folder/{folder:int}", reading(self.page), methods=["GET"]),
            Route("/mail/search", reading(self.page), methods=["GET"]),
            Route("/mail/folder/{folder:int}/{kind:str}", reading(self.rows), methods=["GET"]),
            Route("/mail/search/{kind:str}", reading(self.rows), methods=["GET"]),
            Route("/mail/sidebar", reading(self.sidebar), methods=["GET"]),
        ]

    async def start(self, visit: Visit) -> Response:
        """The mailbox's front page is the inbox."""
        around = await self._surroundings.around(visit.account_id)
        if visit.is_fragment:
            return await self._pane(visit, around, Wanted(around.by_role(Role.INBOX), "", ""))
        return RedirectResponse(f"/mail/folder/{around.by_role(Role.INBOX).id}", 303)

    async def page(self, visit: Visit) -> Response:
        """A list as a whole page, or as the panes of one that is open."""
        around = await self._surroundings.around(visit.account_id)
        wanted = self.wanted(visit.request, around)
        if wanted is None:
            return RedirectResponse("/mail", 303)
        return await self._pane(visit, around, wanted)

    async def rows(self, visit: Visit) -> Response:
        """The next rows of a list ("rows"), or all that are shown, as they are now ("list")."""
        kind = visit.request.path_params["kind"]
        if kind not in ("rows", "list"):
            raise HTTPException(404)
        around = await self._surroundings.around(visit.account_id)
        wanted = self.wanted(visit.request, around)
        if wanted is None:
            raise HTTPException(404)
        query = visit.request.query_params
        count = min(max(_number(query.get("count")) or PAGE, PAGE), MAX_REFRESHED) if kind == "list" else PAGE
        shown = await self.list_page(
            visit,
            around,
            wanted,
            before=query.get("before", "")[:200],
            count=count,
            until=query.get("until", "")[:50],
            open_entry=query.get("open", "")[:50],
        )
        values = {**self._surroundings.fragment(visit, around, None), "list": shown}
        template = "rows_frame_page.html" if kind == "list" else "rows_page.html"
        return self._visits.page(template, visit.dates, values)

    async def sidebar(self, visit: Visit) -> Response:
        """The folder tree with its counts."""
        around = await self._surroundings.around(visit.account_id)
        current = _number(visit.request.query_params.get("current"))
        values = self._surroundings.fragment(visit, around, current)
        return self._visits.page("folders_page.html", visit.dates, values)

    def wanted(self, request: Request, around: Around, folder_id: int | None = None) -> Wanted | None:
        """Read from an address which list is meant. Raises `NoSuchFolder`; None for an empty search."""
        query = " ".join(request.query_params.get("q", "")[:MAX_QUERY].split())
        if folder_id is None:
            folder_id = request.path_params.get("folder")
        if query or request.url.path.startswith("/mail/search"):
            inside = _number(request.query_params.get("folder"))
            folder = around.by_id(inside) if inside else None
            return Wanted(folder, "", query) if query else None
        folder = around.by_id(folder_id) if folder_id is not None else around.by_role(Role.INBOX)
        if folder is None:
            raise NoSuchFolder("there is no such folder")
        shown_filter = request.query_params.get("filter", "")
        return Wanted(folder, shown_filter if shown_filter in FILTERS else "", "")

    async def list_page(
        self,
        visit: Visit,
        around: Around,
        wanted: Wanted,
        before: str = "",
        count: int = PAGE,
        until: str = "",
        open_entry: str = "",
    ) -> ListPage:
        """Read one page of a list: `count` rows, and however many more came in above the row `until`."""
        error, more = "", None
        if wanted.query:
            inside = wanted.folder.id if wanted.folder else None
            key = SearchKey.parse(before) if before else None
            try:
                found = await self._search.search(
                    visit.account_id, wanted.query, inside, key, count, visit.dates.zone
                )
                entries, more = list(found.entries), str(found.next) if found.next else None
            except BadQuery as problem:
                entries, error = [], visit.say("This search cannot be understood: %(reason)s", reason=problem)
        else:
            assert wanted.folder is not None
            last = entry_name(until)
            limit = MAX_REFRESHED if last else count
            entries = await self._entries.page(
                visit.account_id,
                wanted.folder.id,
                _number(before),
                limit + 1,
                FILTERS.get(wanted.shown_filter),
            )
            if last is not None:
                shown = sum(entry.uid >= last.uid for entry in entries)
                limit = min(max(shown, PAGE), MAX_REFRESHED)
            if len(entries) > limit:
                entries = entries[:limit]
                more = str(entries[-1].uid)
        rows: list[Row] = rows_of(entries, around, wanted.context, names_folder=bool(wanted.query))
        return ListPage(
            title=self._title(visit, wanted),
            rows=rows,
            base_url=wanted.base_url,
            refresh_url=wanted.rows_url("list"),
            more_url=wanted.rows_url("rows", before=more) if more else None,
            folder=wanted.folder,
            shown_filter=wanted.shown_filter,
            filter_urls=_filters(wanted),
            query=wanted.query,
            query_error=error,
            open_entry=open_entry,
        )

    async def _pane(self, visit: Visit, around: Around, wanted: Wanted) -> Response:
        shown = await self.list_page(visit, around, wanted)
        current = wanted.folder.id if wanted.folder and not wanted.query else None
        values: dict[str, object] = {
            "list": shown,
            "list_url": shown.base_url,
            "page_title": f"{shown.title} · Postroad",
        }
        if visit.is_fragment:
            fragment = self._surroundings.fragment(visit, around, current)
            return self._visits.page("panes_page.html", visit.dates, {**fragment, **values})
        whole = await self._surroundings.whole(visit, around, current)
        return self._visits.page("mail.html", visit.dates, {**whole, **values})

    def _title(self, visit: Visit, wanted: Wanted) -> str:
        if wanted.query:
            return visit.say("Search: %(query)s", query=wanted.query)
        assert wanted.folder is not None
        return folder_name(wanted.folder, visit.dates.language)


def _filters(wanted: Wanted) -> dict[str, str]:
    if wanted.query or wanted.folder is None or wanted.folder.role == "drafts":
        return {}
    path = f"/mail/folder/{wanted.folder.id}"
    return {code: address(path, filter=code) for code in ("", *FILTERS)}


def _number(text: str | None) -> int | None:
    if not text or not text.isascii() or not text.isdigit() or len(text) > 18:
        return None
    return int(text)
