"""The way into the webmail: the sign-in page, the session behind a right password, what a refusal says.

Used by the page's own form and by the bridges that other systems' pages post to; those hold an address with a
password in it, so nothing of the request's own address goes into a page here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Literal
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from postroad.directory.errors import AccountDisabled, SignInBusy, SignInRefused, TooManyFailures
from postroad.directory.identity.sessions import Sessions
from postroad.directory.identity.sign_in import SignIn
from postroad.directory.principals import Principal
from postroad.web.mail.handover import Handover, is_from, is_posted_elsewhere
from postroad.web.shell.languages import NAMES, Dates
from postroad.web.shell.visits import LANGUAGE_COOKIE, SESSION_COOKIE, Visits

Place = Literal["mailbox", "summary", "compose"]

MAX_USERNAME = 320
MAX_RECIPIENTS = (
    1000  # characters of an address line, so that the page's address stays one that browsers take
)
_PATHS: Mapping[Place, str] = {
    "mailbox": "/mail",
    "summary": "/mail/summary",
    "compose": "/mail/compose",
}


class SignOn:
    """Lets people in, or shows them the sign-in page.

    Pages on `trusted_hosts` ("host" or "host:port", lower case) may sign somebody on in place of somebody
    else without a question.
    """

    def __init__(
        self,
        visits: Visits,
        sign_in: SignIn,
        sessions: Sessions,
        handover: Handover,
        session_seconds: int,
        trusted_hosts: Collection[str] = (),
    ) -> None:
        self._visits = visits
        self._sign_in = sign_in
        self._sessions = sessions
        self._handover = handover
        self._session_seconds = session_seconds
        self._trusted_hosts = frozenset(trusted_hosts)

    def client(self, request: Request) -> str:
        """The client's IP address, by which failures are counted."""
        return self._visits.client(request)

    def device(self, request: Request) -> str:
        """The browser's token, by which it is known to have been signed in with before."""
        return self._visits.device(request)

    # -- for bridges beside the webmail

    async def page(self, request: Request, place: Place, account: str = "") -> Response:
        """The sign-in page before `place`; who is signed in already goes on to it."""
        if await self._visits.visit(request) is not None:
            return RedirectResponse(_PATHS[place], 303)
        return self.form(request, self._visits.dates(request), _PATHS[place], username=account)

    async def enter(
        self, request: Request, principal: Principal, place: Place, recipients: str = ""
    ) -> Response:
        """Open a session and go to `place`; ask first when that would end somebody else's session.

        A link on a stranger's page must not let people write in the stranger's mailbox while they take it for
        their own.
        """
        next_page = _path(place, recipients)
        if is_from(request, self._trusted_hosts):
            return await self.open(request, principal, next_page)
        if is_posted_elsewhere(request):
            # The browser sent no session with it (SameSite): whether there is one shows at the next page.
            return await self._handover.wait(request, principal, next_page)
        visit = await self._visits.visit(request)
        if visit is not None and visit.session.principal != principal.principal_id:
            return await self._handover.wait(request, principal, next_page)
        return await self.open(request, principal, next_page)

    def refused(
        self, request: Request, refusal: SignInRefused, place: Place, account: str = "", recipients: str = ""
    ) -> Response:
        """The sign-in page with the account filled in and the reason above it."""
        return self.explained(request, refusal, _path(place, recipients), account)

    def stale(self, request: Request, place: Place, recipients: str = "") -> Response:
        """The sign-in page for whose ticket is not good, or not any more."""
        dates = self._visits.dates(request)
        text = dates.language.say("This link has run out or was used already. Please sign in.")
        return self.form(request, dates, _path(place, recipients), text, "", 401)

    # -- for the page's own form as well

    async def open(self, request: Request, principal: Principal, next_page: str) -> Response:
        """Open a session and go to `next_page`."""
        token = await self._sessions.open(principal)
        before = request.cookies.get(SESSION_COOKIE, "")
        if before:
            await self._sessions.close(before)
        device = await self._sign_in.remember_device(principal.principal_id, self._visits.device(request))
        response = RedirectResponse(next_page, 303)
        self._visits.set_session(request, response, token, self._session_seconds)
        self._visits.set_device(request, response, device)
        session = await self._sessions.find(token)
        if session is not None and session.language in NAMES and LANGUAGE_COOKIE not in request.cookies:
            # Pages that know no account (errors, the next sign-in) speak its language too.
            self._visits.set_language(request, response, session.language)
        return response

    def explained(
        self, request: Request, refusal: SignInRefused, next_page: str, username: str = ""
    ) -> Response:
        """The sign-in page again, with the refusal in the visitor's words, its status and headers."""
        dates = self._visits.dates(request)
        text, status, headers = explanation(refusal, dates)
        return self.form(request, dates, next_page, text, username, status, headers)

    def form(
        self,
        request: Request,
        dates: Dates,
        next_page: str,
        error: str = "",
        username: str = "",
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """The sign-in page that goes on to `next_page`."""
        query = urlencode({"next": next_page}) if next_page not in ("", "/mail") else ""
        values = {
            "error": error,
            "message": "",
            "username": username[:MAX_USERNAME],
            "next": next_page,
            "csrf": "",
            "here": "/mail/login" + (f"?{query}" if query else ""),
        }
        return self._visits.page("login.html", dates, values, status, headers)


def explanation(refusal: SignInRefused, dates: Dates) -> tuple[str, int, dict[str, str]]:
    """A refusal in the visitor's words, its status, and the headers that go with it."""
    say = dates.language.say
    if isinstance(refusal, SignInBusy):
        return say("The server is busy. Please try again."), 503, {"retry-after": str(refusal.retry_after)}
    if isinstance(refusal, TooManyFailures):
        until = dates.clock(dates.now + timedelta(seconds=refusal.retry_after))
        text = say("Too many failed attempts. Please try again after %(time)s.", time=until)
        return text, 429, {"retry-after": str(refusal.retry_after)}
    if isinstance(refusal, AccountDisabled):
        return say("This account is disabled. Please ask your administrator."), 403, {}
    return say("The address or the password is wrong."), 401, {}


def _path(place: Place, recipients: str) -> str:
    """Where a place is; a line of recipients that is too long for an address is left out."""
    if place == "compose" and recipients and len(recipients) <= MAX_RECIPIENTS and recipients.isprintable():
        return f"{_PATHS[place]}?{urlencode({'to': recipients})}"
    return _PATHS[place]
