"""Signing in and out, the choice of language, the change of password. No rule of theirs lives here."""

from __future__ import annotations

from dataclasses import replace

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from postroad.directory.addresses.accounts import Accounts
from postroad.directory.errors import SignInRefused, WeakPassword, WrongCredentials
from postroad.directory.identity.sessions import Sessions
from postroad.directory.identity.sign_in import SignIn
from postroad.directory.passwords import TooBusyToHash
from postroad.web.mail.sign_on import MAX_USERNAME, SignOn, explanation
from postroad.web.shell.forms import Form, local_path, read_form
from postroad.web.shell.languages import NAMES
from postroad.web.shell.visits import SESSION_COOKIE, Visit, Visits, has_token
from postroad.web.shell.words import N_

MAX_LOGIN_BYTES = 16 * 1024
MAX_PASSWORD = 1024


class SigningIn:
    """Pages outside the mailbox."""

    def __init__(
        self,
        visits: Visits,
        sign_on: SignOn,
        accounts: Accounts,
        sign_in: SignIn,
        sessions: Sessions,
        session_seconds: int,
    ) -> None:
        self._visits = visits
        self._sign_on = sign_on
        self._accounts = accounts
        self._sign_in = sign_in
        self._sessions = sessions
        self._session_seconds = session_seconds

    def routes(self) -> list[BaseRoute]:
        """Sign-in, sign-out, language, password."""
        return [
            Route("/mail/login", self.login_page, methods=["GET"]),
            Route("/mail/login", self.login, methods=["POST"], max_body_size=MAX_LOGIN_BYTES),
            Route("/mail/logout", self._visits.changing(self.logout), methods=["POST"]),
            Route("/mail/language", self.language, methods=["POST"], max_body_size=MAX_LOGIN_BYTES),
            Route("/mail/password", self._visits.reading(self.password_page), methods=["GET"]),
            Route("/mail/password", self._visits.changing(self.password), methods=["POST"]),
        ]

    # -- signing in and out

    async def login_page(self, request: Request) -> Response:
        """The form; who is signed in already goes on."""
        next_page = local_path(request.query_params.get("next", ""))
        if await self._visits.visit(request) is not None:
            return RedirectResponse(next_page or "/mail", 303)
        username = request.query_params.get("username", "")
        return self._sign_on.form(request, self._visits.dates(request), next_page, username=username)

    async def login(self, request: Request) -> Response:
        """Check the password and open a session. 401 does not say which of the two was wrong."""
        dates = self._visits.dates(request)
        form = await read_form(request, MAX_LOGIN_BYTES)
        username, password = form.get("username", MAX_USERNAME), form.get("password", MAX_PASSWORD)
        next_page = local_path(form.get("next", 2000))
        # A stranger's page must not sign people in to a mailbox of its own (login CSRF).
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            text = dates.language.say("Please sign in on this page.")
            return self._sign_on.form(request, dates, next_page, text, username, 403)
        try:
            client, device = self._visits.client(request), self._visits.device(request)
            principal = await self._sign_in.check(username, password, client, "web", device=device)
        except SignInRefused as refusal:
            return self._sign_on.explained(request, refusal, next_page, username)
        return await self._sign_on.open(request, principal, next_page or "/mail")

    async def logout(self, visit: Visit, form: Form) -> Response:
        """End the session, here and in the store."""
        await self._sessions.close(visit.token)
        response = RedirectResponse("/mail/login", 303)
        response.delete_cookie(SESSION_COOKIE, path="/")
        # What scripts kept in the browser (drafts' copies) belongs to who was signed in.
        response.headers["clear-site-data"] = '"storage"'
        return response

    # -- language

    async def language(self, request: Request) -> Response:
        """Remember the chosen language: in a cookie, and with the account of who is signed in."""
        form = await read_form(request, MAX_LOGIN_BYTES)
        code = form.get("language")
        response = RedirectResponse(local_path(form.get("next", 2000)) or "/mail", 303)
        if code not in NAMES:
            return response
        visit = await self._visits.visit(request)
        # Without the token (an error page has none) the choice is this browser's only.
        if visit is not None and has_token(visit, form.get("csrf")):
            await self._accounts.update(visit.session.address, language=code)
        self._visits.set_language(request, response, code)
        return response

    # -- password

    async def password_page(self, visit: Visit) -> Response:
        """The form that changes the password."""
        return self._password_form(visit)

    async def password(self, visit: Visit, form: Form) -> Response:
        """Change the password; every session ends, and this browser gets a new one."""
        current, new = form.get("current", MAX_PASSWORD), form.get("new", MAX_PASSWORD)
        if new != form.get("again", MAX_PASSWORD):
            return self._password_form(visit, visit.say("The two new passwords are not the same."), 422)
        address = visit.session.address
        client, device = self._visits.client(visit.request), self._visits.device(visit.request)
        try:
            principal = await self._sign_in.check(str(address), current, client, "web", device=device)
            version = await self._accounts.set_password(address, new)
        except WrongCredentials:
            return self._password_form(visit, visit.say("The password now is not right."), 401)
        except WeakPassword as refusal:
            return self._password_form(visit, _policy(refusal, visit), 422)
        except SignInRefused as refusal:
            text, status, headers = explanation(refusal, visit.dates)
            return self._password_form(visit, text, status, headers)
        except TooBusyToHash:
            return self._password_form(visit, visit.say("The server is busy. Please try again."), 503)
        token = await self._sessions.open(replace(principal, credential_version=version))
        response = self._password_form(visit, is_done=True)
        self._visits.set_session(visit.request, response, token, self._session_seconds)
        return response

    def _password_form(
        self,
        visit: Visit,
        error: str = "",
        status: int = 200,
        headers: dict[str, str] | None = None,
        *,
        is_done: bool = False,
    ) -> Response:
        values = {
            "error": error,
            "is_done": is_done,
            "owner": visit.owner,
            "csrf": visit.session.csrf_token,
            "here": "/mail/password",
        }
        return self._visits.page("password.html", visit.dates, values, status, headers)


_POLICY = {
    "length": N_("The new password must have at least 8 characters."),
    "control": N_("The new password holds a character that cannot be typed everywhere."),
    "address": N_("The new password must not be your address or a part of it."),
    "repeated": N_("The new password repeats one or two characters."),
}


def _policy(refusal: WeakPassword, visit: Visit) -> str:
    reason = str(refusal.facts.get("reason", ""))
    return visit.say(_POLICY.get(reason, N_("The new password is too easy to guess.")))
