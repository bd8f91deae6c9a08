"""What bridges for other systems' pages need of the webmail, and how they stand beside it.

They are called with passwords in the query string: it is taken off the request before anything else sees it,
so that no error page, log line or link can hold any of it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, Protocol

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from postroad.directory.errors import SignInRefused
from postroad.directory.principals import Principal

Place = Literal["mailbox", "summary", "compose"]
Handler = Callable[[Request, bytes], Awaitable[Response]]


class Webmail(Protocol):
    """The way into the webmail. Pages are in the visitor's language and hold nothing of the query string."""

    def client(self, request: Request) -> str:
        """The client's IP address."""
        ...

    def device(self, request: Request) -> str:
        """The browser's token, by which it is known to have been signed in with before."""
        ...

    async def page(self, request: Request, place: Place, account: str = "") -> Response:
        """The sign-in page before `place`; who is signed in already goes on to it."""
        ...

    async def enter(
        self, request: Request, principal: Principal, place: Place, recipients: str = ""
    ) -> Response:
        """Open a session and go to `place`; ask first when that would end somebody else's session."""
        ...

    def refused(
        self, request: Request, refusal: SignInRefused, place: Place, account: str = "", recipients: str = ""
    ) -> Response:
        """The sign-in page with the account filled in and the reason above it."""
        ...

    def stale(self, request: Request, place: Place, recipients: str = "") -> Response:
        """The sign-in page for whose ticket is not good, or not any more."""
        ...


def secretive(path: str, methods: Sequence[str], handler: Handler) -> Route:
    """A route whose handler gets the query string apart from the request, which loses it.

    HEAD is refused: who only wants to know whether a page is there must not sign in or change a password.
    The path is taken in any case, as the systems of old that served these pages know none: `/mail/LOGIN.ASP`.
    """

    async def endpoint(request: Request) -> Response:
        query: bytes = request.scope["query_string"]
        request.scope["query_string"] = b""
        if request.method not in methods:
            raise HTTPException(405, headers={"allow": ", ".join(methods)})
        return await handler(request, query)

    route = Route(path, endpoint, methods=list(methods))
    route.path_regex = re.compile(route.path_regex.pattern, re.IGNORECASE)
    return route
