"""Signing on where somebody else is signed in: the session that is to come waits until they say yes.

Who came is proved already; what waits is a session of theirs in a cookie that only the page of this question
gets. The session before stays open until the answer, which needs its CSRF token: no stranger's page has it.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from postroad.directory.identity.sessions import Session, Sessions
from postroad.directory.identity.sign_in import SignIn
from postroad.directory.principals import Principal
from postroad.web.shell.forms import Form, local_path
from postroad.web.shell.visits import Visit, Visits

WAITING_COOKIE = "postroad_waiting"
WAITING = timedelta(minutes=10)  # for the answer
PAGE = "/mail/sign-on"


def is_from(request: Request, hosts: Collection[str]) -> bool:
    """Whether the page that sent the browser here is on one of `hosts`, as the browser says (Fetch 3.1)."""
    for name in ("origin", "referer"):
        try:
            came_from = urlsplit(request.headers.get(name, ""))
            host = (came_from.hostname or "").lower()
            port = came_from.port
        except ValueError:
            continue
        if host:
            return host in hosts or (port is not None and f"{host}:{port}" in hosts)
    return False


def is_posted_elsewhere(request: Request) -> bool:
    """Whether a form on another site's page was posted, so that cookies stayed behind."""
    if request.method != "POST":
        return False
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc.lower() != request.headers.get("host", "").lower()


class Handover:
    """The question, and what follows from its answer."""

    def __init__(self, visits: Visits, sign_in: SignIn, sessions: Sessions, session_seconds: int) -> None:
        self._visits = visits
        self._sign_in = sign_in
        self._sessions = sessions
        self._session_seconds = session_seconds

    def routes(self) -> list[BaseRoute]:
        """The question and its answer."""
        return [
            Route(PAGE, self.question, methods=["GET"]),
            Route(PAGE, self._visits.changing(self.answer), methods=["POST"]),
        ]

    async def wait(self, request: Request, principal: Principal, next_page: str) -> Response:
        """Let a session of `principal` wait, and ask."""
        token = await self._sessions.open(principal, at_most=WAITING)
        response = RedirectResponse(f"{PAGE}?{urlencode({'next': next_page})}", 303)
        seconds = int(WAITING.total_seconds())
        self._visits.set_cookie(request, response, WAITING_COOKIE, token, seconds, path=PAGE)
        return response

    async def question(self, request: Request) -> Response:
        """Ask who is signed in as somebody else; everybody else goes on at once."""
        next_page = local_path(request.query_params.get("next", "")) or "/mail"
        waiting = await self._waiting(request)
        visit = await self._visits.visit(request)
        if waiting is None:
            return self._done(RedirectResponse("/mail", 303))
        if visit is None or visit.session.principal == waiting.principal:
            return await self._go_on(request, waiting, next_page)
        values = {
            "csrf": visit.session.csrf_token,
            "next": next_page,
            "here": f"{PAGE}?{urlencode({'next': next_page})}",
            "now": visit.session.name,
            "coming": waiting.name,
        }
        return self._visits.page("handover.html", visit.dates, values)

    async def answer(self, visit: Visit, form: Form) -> Response:
        """Yes: the waiting session takes the place of this one. No: it is closed, nothing else happens."""
        request = visit.request
        if form.get("answer") != "yes":
            await self._sessions.close(request.cookies.get(WAITING_COOKIE, ""))
            return self._done(RedirectResponse("/mail", 303))
        waiting = await self._waiting(request)
        if waiting is None:
            return self._done(RedirectResponse("/mail", 303))
        await self._sessions.close(visit.token)
        response = await self._go_on(request, waiting, local_path(form.get("next", 2000)) or "/mail")
        # What scripts kept in the browser (drafts' copies) belongs to who was signed in.
        response.headers["clear-site-data"] = '"storage"'
        return response

    async def _waiting(self, request: Request) -> Session | None:
        token = request.cookies.get(WAITING_COOKIE, "")
        return await self._sessions.find(token) if token else None

    async def _go_on(self, request: Request, waiting: Session, next_page: str) -> Response:
        token = request.cookies[WAITING_COOKIE]
        await self._sessions.keep(token)
        device = await self._sign_in.remember_device(waiting.principal, self._visits.device(request))
        response = RedirectResponse(next_page, 303)
        self._visits.set_session(request, response, token, self._session_seconds)
        self._visits.set_device(request, response, device)
        return self._done(response)

    def _done(self, response: Response) -> Response:
        response.delete_cookie(WAITING_COOKIE, path=PAGE)
        return response
