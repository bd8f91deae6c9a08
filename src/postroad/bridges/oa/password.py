"""`password.asp`: an OA tells us the new password of somebody whose old one it knows.

Everything about the request is judged before the old password is looked at, so that nothing is changed when
the way on is not allowed. Failures are one line of text, never a redirect.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NoReturn

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute

from postroad.bridges.fields import BadForm, Fields, read_fields, read_form
from postroad.bridges.oa.targets import BadTarget, redirect_target
from postroad.bridges.webmail import Webmail, secretive
from postroad.db.pool import DatabaseUnavailable
from postroad.directory.addresses.accounts import Accounts
from postroad.directory.errors import (
    AccountDisabled,
    SignInBusy,
    TooManyFailures,
    UnknownAccount,
    WeakPassword,
    WrongCredentials,
)
from postroad.directory.identity.sign_in import SignIn
from postroad.directory.passwords import TooBusyToHash

AFTERWARDS = "login.asp"  # where to when nothing is said
BUSY_RETRY_SECONDS = 5
# How the parameters are called in a query string and in a form.
_GET = ("acc", "pwd", "old")
_POST = ("fm_strAccount", "fm_strPassword", "fm_strOldPassword")


class _Refused(Exception):
    """What the answer says instead of OK."""

    def __init__(self, status: int, reason: str, retry_after: int | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.headers = {} if retry_after is None else {"retry-after": str(retry_after)}


class PasswordChange:
    """Changes passwords."""

    def __init__(
        self, webmail: Webmail, sign_in: SignIn, accounts: Accounts, redirect_hosts: Collection[str]
    ) -> None:
        self._webmail = webmail
        self._sign_in = sign_in
        self._accounts = accounts
        self._hosts = frozenset(redirect_hosts)

    def routes(self) -> list[BaseRoute]:
        """With and without the prefix, as `login.asp`."""
        paths = ("/mail/password.asp", "/password.asp")
        return [secretive(path, ("GET", "POST"), self._asp) for path in paths]

    async def _asp(self, request: Request, query: bytes) -> Response:
        try:
            target = await self._change(request, query)
        except _Refused as refused:
            return PlainTextResponse(f"ERROR {refused}", refused.status, refused.headers)
        return PlainTextResponse("OK") if target is None else RedirectResponse(target, 303)

    async def _change(self, request: Request, query: bytes) -> str | None:
        """Change the password; gives where to go on to, None for nowhere."""
        try:
            given = read_fields(query)
            form = await read_form(request) if request.method == "POST" else given
        except BadForm as problem:
            raise _Refused(400, str(problem)) from problem
        names = _POST if request.method == "POST" else _GET
        account, new, old = (_present(form, name) for name in names)
        target = self._target(request.url.path, given, form)
        try:
            client, device = self._webmail.client(request), self._webmail.device(request)
            principal = await self._sign_in.check(account, old, client, "web", device=device)
            await self._accounts.set_password(principal.address, new)
        except WeakPassword as refusal:
            raise _Refused(400, str(refusal)) from refusal
        except (WrongCredentials, UnknownAccount) as refusal:
            raise _Refused(401, "the account or the old password is wrong") from refusal
        except AccountDisabled as refusal:
            raise _Refused(403, "the account is disabled") from refusal
        except SignInBusy as refusal:
            _busy(refusal, refusal.retry_after)
        except TooManyFailures as refusal:
            raise _Refused(429, str(refusal), refusal.retry_after) from refusal
        except (TooBusyToHash, DatabaseUnavailable) as refusal:
            _busy(refusal, BUSY_RETRY_SECONDS)
        return target

    def _target(self, path: str, given: Fields, form: Fields) -> str | None:
        jump = given.get("jump") or form.get("jump") or "1"
        if jump not in ("0", "1"):
            raise _Refused(400, "the parameter jump is neither 0 nor 1")
        if jump == "0":
            return None
        # The documents spell the field in two ways; in a query string it is `url`.
        text = form.get("fm_strGoBack", "fm_strGoBank") if form is not given else form.get("url")
        try:
            return redirect_target(text or AFTERWARDS, path.rpartition("/")[0] + "/", self._hosts)
        except BadTarget as problem:
            raise _Refused(400, str(problem)) from problem


def _present(form: Fields, name: str) -> str:
    value = form.get(name)
    if not value:
        raise _Refused(400, f"the parameter {name} is missing")
    return value


def _busy(refusal: Exception, retry_after: int) -> NoReturn:
    raise _Refused(503, "the server is busy, try again later", retry_after) from refusal
