"""Signing on from an OA's own pages: the login box that posts to the webmail's address, and `login.asp`.

No CSRF token, by design: a stranger's form can sign a browser in and do nothing else. What follows is the
webmail, behind its own session and tokens.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from postroad.bridges.fields import BadForm, Fields, read_fields, read_form
from postroad.bridges.webmail import Place, Webmail, secretive
from postroad.directory.errors import SignInRefused
from postroad.directory.identity.sign_in import SignIn

_GO: Mapping[str, Place] = {"0": "summary", "1": "mailbox", "4": "compose"}


def place_of(go: str) -> Place:
    """Which page a `go` means; any other counts as 0."""
    return _GO.get(go.strip(), "summary")


class Login:
    """The two addresses. With `takes_md5` the MD5 of the password opens `login.asp` as well."""

    def __init__(self, webmail: Webmail, sign_in: SignIn, *, takes_md5: bool) -> None:
        self._webmail = webmail
        self._sign_in = sign_in
        self._takes_md5 = takes_md5

    def routes(self) -> list[BaseRoute]:
        """The documents write `login.asp` with and without the prefix."""
        return [
            *(secretive(path, ("POST",), self._box) for path in ("/mail", "/mail/")),
            *(secretive(path, ("GET", "POST"), self._asp) for path in ("/mail/login.asp", "/login.asp")),
        ]

    async def _box(self, request: Request, query: bytes) -> Response:
        try:
            form = await read_form(request)
        except BadForm as problem:
            raise HTTPException(problem.status) from problem
        return await self._enter(request, form, "mailbox", takes_md5=False)

    async def _asp(self, request: Request, query: bytes) -> Response:
        try:
            given = read_fields(query)
            form = await read_form(request) if request.method == "POST" else given
        except BadForm as problem:
            raise HTTPException(problem.status) from problem
        place = place_of(given.get("go") or form.get("go"))
        return await self._enter(request, form, place, takes_md5=self._takes_md5)

    async def _enter(self, request: Request, form: Fields, place: Place, *, takes_md5: bool) -> Response:
        names = ("fm_strAccount", "fm_strPassword") if request.method == "POST" else ("acc", "pwd")
        account, password = form.get(names[0]).strip(), form.get(names[1])
        if not password and not (request.method == "POST" and form.has(*names)):
            return await self._webmail.page(request, place, account)
        client, device = self._webmail.client(request), self._webmail.device(request)
        try:
            principal = await self._sign_in.check(
                account, password, client, "web", takes_md5=takes_md5, device=device
            )
        except SignInRefused as refusal:
            return self._webmail.refused(request, refusal, place, account)
        return await self._webmail.enter(request, principal, place)
