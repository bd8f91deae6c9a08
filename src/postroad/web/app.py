"""The webmail as one ASGI application. Everything it needs comes through `Services`; it reads no settings
file, no clock and no environment of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from postroad.config import Web
from postroad.directory.addresses.accounts import Accounts
from postroad.directory.identity.sessions import Sessions
from postroad.directory.identity.sign_in import SignIn
from postroad.directory.identity.standing import Standing
from postroad.mailstore.answered import Answered
from postroad.mailstore.append import Append
from postroad.mailstore.entries import Entries
from postroad.mailstore.folders import Folders
from postroad.mailstore.messages import Messages
from postroad.mailstore.parts import MessageParts
from postroad.mailstore.quota import Quota
from postroad.mailstore.search import Search
from postroad.transport.accepting.submission import Submission
from postroad.web.mail.actions import Actions
from postroad.web.mail.approvals import ApprovalPages, Approvals, NothingWaits
from postroad.web.mail.composing import Composing, People
from postroad.web.mail.drafts import Drafts
from postroad.web.mail.handover import Handover
from postroad.web.mail.listing import Listing
from postroad.web.mail.live import ChangeFeed, Live
from postroad.web.mail.reading import ReadingPages
from postroad.web.mail.sign_on import SignOn
from postroad.web.mail.signing_in import SigningIn
from postroad.web.mail.summary import Summary
from postroad.web.mail.surroundings import Surroundings
from postroad.web.mail.words import vocabulary
from postroad.web.shell.assets import STATIC, Assets
from postroad.web.shell.errors import ErrorPages
from postroad.web.shell.languages import Languages
from postroad.web.shell.pages import Pages
from postroad.web.shell.security import SecurityHeaders
from postroad.web.shell.visits import Visits

KEPT = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Services:
    """What the pages call."""

    accounts: Accounts
    sign_in: SignIn
    sessions: Sessions
    folders: Folders
    entries: Entries
    messages: Messages
    append: Append
    quota: Quota
    search: Search
    changes: ChangeFeed
    people: People
    submission: Submission
    approvals: Approvals = field(default_factory=NothingWaits)
    standing: Standing | None = None  # without it a live stream outlives its session for a minute


class WebApplication:
    """The ASGI callable. Call `stop` when the process begins to drain: it ends the live streams."""

    def __init__(self, app: ASGIApp, live: Live, pages: Pages, on_stop: Callable[[], None]) -> None:
        self._app = app
        self._on_stop = on_stop
        self._live = live
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        await self._app(scope, receive, send)

    def load(self) -> None:
        """Compile what pages are made of. Blocking: call it in a thread."""
        self._pages.load()

    def stop(self) -> None:
        """End the live streams, which would never end by themselves."""
        self._live.stop()
        self._on_stop()


def create_app(
    services: Services,
    settings: Web,
    clock: Callable[[], datetime],
    *,
    monotonic: Callable[[], float] = time.monotonic,
    beside: Callable[[SignOn], Sequence[BaseRoute]] = lambda _: (),
    sign_on_hosts: Collection[str] = (),
    on_stop: Callable[[], None] = lambda: None,
) -> WebApplication:
    """Build the webmail. `beside` makes the routes of bridges that lead into it; they come first.

    `on_stop` ends what these keep open when the process begins to drain.
    Pages on `sign_on_hosts` may sign somebody on in place of somebody else without a question.
    """
    pages = Pages(Assets.load(), vocabulary)
    visits = Visits(services.sessions, Languages(), pages, clock, settings.trusted_proxies)
    surroundings = Surroundings(services.folders, services.quota)
    listing = Listing(visits, surroundings, services.entries, services.search)
    parts = MessageParts(services.messages)
    live = Live(
        visits, services.changes, services.sessions, monotonic, services.standing, settings.max_streams
    )
    drafts = Drafts(services.folders, services.entries, services.messages, services.append, clock)
    handover = Handover(visits, services.sign_in, services.sessions, settings.session_seconds)
    sign_on = SignOn(
        visits,
        services.sign_in,
        services.sessions,
        handover,
        settings.session_seconds,
        sign_on_hosts,
    )
    all_routes: list[BaseRoute] = [
        *beside(sign_on),
        Route("/", _to_mail, methods=["GET"]),
        Route("/favicon.ico", _icon, methods=["GET"]),
        Route("/mail/", _to_mail, methods=["GET"]),
        Mount("/mail/static", _Static(directory=STATIC)),
        *handover.routes(),
        *SigningIn(
            visits, sign_on, services.accounts, services.sign_in, services.sessions, settings.session_seconds
        ).routes(),
        *Summary(visits, surroundings, services.entries).routes(),
        *ApprovalPages(visits, surroundings, services.approvals).routes(),
        *live.routes(),
        *Composing(
            visits,
            surroundings,
            drafts,
            Answered(services.entries, services.messages),
            services.people,
            services.submission,
            settings.max_upload_bytes,
            clock,
        ).routes(),
        *Actions(visits, surroundings, services.folders, services.entries).routes(),
        *ReadingPages(visits, surroundings, listing, services.entries, services.messages, parts).routes(),
        *listing.routes(),
    ]
    app = Starlette(
        routes=all_routes,
        middleware=[Middleware(SecurityHeaders)],
        exception_handlers=ErrorPages(visits).handlers(),
    )
    # The redirect would repeat the query string of a mistyped address, passwords included.
    app.router.redirect_slashes = False
    return WebApplication(app, live, pages, on_stop)


async def _to_mail(request: Request) -> Response:
    return RedirectResponse("/mail", 303)


async def _icon(request: Request) -> Response:
    return FileResponse(STATIC / "icon.svg", headers={"cache-control": "public, max-age=86400"})


class _Static(StaticFiles):
    """Files of the pages: their names hold a hash of their content, so browsers keep them."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Serve one file."""
        response = await super().get_response(path, scope)
        response.headers["cache-control"] = KEPT
        return response
