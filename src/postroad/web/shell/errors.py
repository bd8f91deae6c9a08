"""Errors as pages, in the visitor's language; for scripts the same words as JSON.

Nothing of an exception's text reaches a page: what happened goes to the log, under the request's path.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from postroad.db.pool import DatabaseUnavailable
from postroad.mailstore.errors import (
    BlobMissing,
    BlobsUnavailable,
    NoSuchFolder,
    NoSuchMessage,
    QuotaExceeded,
)
from postroad.web.shell.assets import FrontEndMissing
from postroad.web.shell.visits import Visits, wants_json
from postroad.web.shell.words import N_

RETRY_SECONDS = 3

_PAGES: Mapping[int, tuple[str, str]] = {
    400: (N_("This request cannot be understood"), N_("Something in it is missing or malformed.")),
    403: (N_("Not allowed"), N_("This page is out of date, or it is not yours.")),
    404: (N_("Not found"), N_("This page or message is not here any more.")),
    405: (N_("Not possible this way"), N_("This address does not answer to that.")),
    413: (N_("Too large"), N_("What was sent is larger than this server takes.")),
    500: (N_("Something went wrong here"), N_("It was noted. Please try again; nothing of yours was lost.")),
    503: (N_("The mail store is away for a moment"), N_("Your mail is safe. It should be back shortly.")),
    507: (N_("The mailbox is full"), N_("Delete something, empty the trash, then try again.")),
}


class ErrorPages:
    """Turns exceptions into answers."""

    def __init__(self, visits: Visits) -> None:
        self._visits = visits
        self._log = structlog.get_logger("postroad.web")

    def handlers(self) -> dict[Any, Any]:
        """What Starlette calls for which exception."""
        return {
            HTTPException: self.http,
            NoSuchMessage: self.gone,
            NoSuchFolder: self.gone,
            QuotaExceeded: self.full,
            DatabaseUnavailable: self.away,
            BlobsUnavailable: self.away,
            BlobMissing: self.broken,
            FrontEndMissing: self.not_built,
            Exception: self.broken,
        }

    async def http(self, request: Request, error: HTTPException) -> Response:
        """A refusal that a handler raised; its detail is shown when it is the visitor's own language."""
        detail = error.detail if error.status_code == 403 else ""
        return self._answer(request, error.status_code, detail, error.headers)

    async def gone(self, request: Request, error: Exception) -> Response:
        """A mail or folder that is no longer there."""
        return self._answer(request, 404)

    async def full(self, request: Request, error: Exception) -> Response:
        """No room in the mailbox (RFC 4918 11.5)."""
        return self._answer(request, 507)

    async def away(self, request: Request, error: Exception) -> Response:
        """The database or the blob store cannot be reached now; the page tries again by itself."""
        self._log.warning("store-unavailable", path=request.url.path, reason=str(error))
        return self._answer(request, 503, headers={"retry-after": str(RETRY_SECONDS)})

    async def broken(self, request: Request, error: Exception) -> Response:
        """A fault of ours."""
        self._log.error("request-failed", path=request.url.path, method=request.method, exc_info=error)
        return self._answer(request, 500)

    async def not_built(self, request: Request, error: Exception) -> Response:
        """The scripts and styles are missing: only the operator can help."""
        return PlainTextResponse(f"{error}\n", 500)

    def _answer(
        self, request: Request, status: int, detail: str = "", headers: Mapping[str, str] | None = None
    ) -> Response:
        dates = self._visits.dates(request)
        title, text = _PAGES.get(status, _PAGES[400 if status < 500 else 500])
        say = dates.language.say
        if wants_json(request):
            return JSONResponse({"error": detail or f"{say(title)}. {say(text)}"}, status, headers)
        if "hx-request" in request.headers:
            return PlainTextResponse(detail or say(title), status, headers)
        # Only a page that is tried again keeps its query: a mistyped address may hold a secret.
        query = request.url.query if status == 503 else ""
        path = request.scope["path"].partition("?")[0]  # a "?" that came encoded may mean to start one
        here = path + (f"?{query}" if query else "")
        values = {
            "status": status,
            "title": say(title),
            "text": detail or say(text),
            "retry_seconds": RETRY_SECONDS if status == 503 and request.method == "GET" else None,
            "here": here,
            "csrf": "",
        }
        try:
            return self._visits.page("error.html", dates, values, status, headers)
        except FrontEndMissing as error:
            return PlainTextResponse(f"{error}\n", status, headers)
