"""Who is at the page: sessions, CSRF, the visitor's language and time zone. Every handler stands behind it.

The session cookie is HttpOnly and SameSite=Lax; what changes something also needs the session's CSRF token,
in a header (scripts) or a field (plain forms). Cookies: RFC 6265.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from postroad.directory.identity.sessions import Session, Sessions
from postroad.directory.principals import ACCOUNTS, Kind, PrincipalId
from postroad.web.shell.clients import Network, client_address, is_secure
from postroad.web.shell.forms import Form, read_form
from postroad.web.shell.languages import Dates, Languages, zone_named
from postroad.web.shell.pages import Pages
from postroad.web.shell.views import Owner

SESSION_COOKIE = "postroad_session"
LANGUAGE_COOKIE = "postroad_language"
ZONE_COOKIE = "postroad_zone"
LANGUAGE_SECONDS = 365 * 86400
# Says that somebody has signed in with this browser before, and nothing more; it outlives sessions.
DEVICE_COOKIE = "postroad_device"
DEVICE_SECONDS = 400 * 86400  # the longest that browsers keep a cookie (RFC 6265bis 5.5)


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of somebody who is signed in."""

    request: Request
    session: Session
    token: str
    dates: Dates

    @property
    def principal(self) -> PrincipalId:
        """Who it is: the kind and the id."""
        return self.session.principal

    @property
    def account_id(self) -> int:
        """Whose mail it is about. Raises `NotAnAccount` for any other kind."""
        return self.session.account_id

    @property
    def owner(self) -> Owner:
        """Whose pages these are, without the mailbox's size."""
        return Owner(self.session.account_id, self.session.display_name, str(self.session.address))

    def say(self, message: str, **values: object) -> str:
        """Translate one sentence."""
        return self.dates.language.say(message, **values)

    @property
    def is_fragment(self) -> bool:
        """Whether a part of a page is asked for (htmx), not the whole."""
        return self.request.headers.get("hx-request-type") == "partial"


Handler = Callable[[Visit], Awaitable[Response]]
FormHandler = Callable[[Visit, Form], Awaitable[Response]]
Endpoint = Callable[[Request], Awaitable[Response]]


class Visits:
    """Lets requests in: those of `kinds` of principals, each area its own."""

    def __init__(
        self,
        sessions: Sessions,
        languages: Languages,
        pages: Pages,
        clock: Callable[[], datetime],
        trusted_proxies: Sequence[Network],
        kinds: Collection[Kind] = ACCOUNTS,
    ) -> None:
        self._sessions = sessions
        self._languages = languages
        self._pages = pages
        self._clock = clock
        self._trusted = trusted_proxies
        self._kinds = kinds

    # -- who it is

    def dates(self, request: Request, account_language: str | None = None) -> Dates:
        """The language and time zone of a visitor, signed in or not."""
        language = self._languages.choose(
            request.cookies.get(LANGUAGE_COOKIE),
            account_language,
            request.headers.get("accept-language", ""),
        )
        return Dates(language, zone_named(request.cookies.get(ZONE_COOKIE)), self._clock())

    async def visit(self, request: Request) -> Visit | None:
        """Who is signed in; None when nobody is."""
        token = request.cookies.get(SESSION_COOKIE, "")
        session = await self._sessions.find(token, self._kinds) if token else None
        if session is None:
            return None
        return Visit(request, session, token, self.dates(request, session.language))

    def client(self, request: Request) -> str:
        """The client's IP address."""
        return client_address(request, self._trusted)

    def device(self, request: Request) -> str:
        """The browser's own token, by which it is known; "" without one."""
        return request.cookies.get(DEVICE_COOKIE, "")

    # -- what handlers stand behind

    def reading(self, handler: Handler) -> Endpoint:
        """An endpoint that only reads: signed in, no token needed."""

        async def endpoint(request: Request) -> Response:
            visit = await self.visit(request)
            return await handler(visit) if visit is not None else self.refused(request)

        return endpoint

    def changing(self, handler: FormHandler) -> Endpoint:
        """An endpoint that changes something: signed in, with the session's token and a form."""

        async def endpoint(request: Request) -> Response:
            visit = await self.visit(request)
            if visit is None:
                return self.refused(request)
            form = await read_form(request)
            check_token(visit, form.get("csrf"))
            return await handler(visit, form)

        return endpoint

    def uploading(self, handler: Handler) -> Endpoint:
        """An endpoint that takes files: the token stands in the header, before any byte is read."""

        async def endpoint(request: Request) -> Response:
            visit = await self.visit(request)
            if visit is None:
                return self.refused(request)
            check_token(visit, "")
            return await handler(visit)

        return endpoint

    def refused(self, request: Request) -> Response:
        """What somebody gets who is not signed in: the sign-in page, or for scripts the plain status."""
        if wants_json(request) or "hx-request" in request.headers or request.method != "GET":
            text = self.dates(request).language.say("You are not signed in.")
            return JSONResponse({"error": text}, 401)
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        after = "" if target in ("/mail", "/mail/") else f"?next={quote(target)}"
        return RedirectResponse(f"/mail/login{after}", 303)

    # -- answers

    def page(
        self,
        template: str,
        dates: Dates,
        values: Mapping[str, object],
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> HTMLResponse:
        """Render a template into an answer."""
        return HTMLResponse(self._pages.render(template, dates, values), status, headers)

    def set_session(self, request: Request, response: Response, token: str, seconds: int) -> None:
        """Put the session into its cookie."""
        self.set_cookie(request, response, SESSION_COOKIE, token, seconds)

    def set_language(self, request: Request, response: Response, code: str) -> None:
        """Remember the language a visitor chose."""
        self.set_cookie(request, response, LANGUAGE_COOKIE, code, LANGUAGE_SECONDS)

    def set_device(self, request: Request, response: Response, token: str) -> None:
        """Let the browser be known as one that somebody has signed in with."""
        self.set_cookie(request, response, DEVICE_COOKIE, token, DEVICE_SECONDS)

    def set_cookie(
        self, request: Request, response: Response, name: str, value: str, seconds: int, path: str = "/"
    ) -> None:
        """Set a cookie that scripts cannot read; SameSite=Lax, so that other sites' posts come without it."""
        response.set_cookie(
            name,
            value,
            max_age=seconds,
            path=path,
            secure=is_secure(request, self._trusted),
            httponly=True,
            samesite="lax",
        )


def check_token(visit: Visit, field: str) -> None:
    """Compare the CSRF token of header or form with the session's. Raises HTTP 403."""
    if not has_token(visit, field):
        raise HTTPException(403, visit.say("This page is out of date. Load it again, then try once more."))


def has_token(visit: Visit, field: str) -> bool:
    """Whether header or form carries the session's CSRF token."""
    given = visit.request.headers.get("x-csrf-token", "") or field
    return hmac.compare_digest(given.encode(), visit.session.csrf_token.encode())


def wants_json(request: Request) -> bool:
    """Whether a script asks, which reads errors as JSON."""
    return "application/json" in request.headers.get("accept", "")
