"""What readers of campaigns touch, as a raw ASGI callable in front of all other pages: `/t/` and a token.

The token is the right: no session, no cookie. Only a POST changes anything; whatever else comes (HEAD,
previews of messengers, scanners that follow every link) is answered and unsubscribes nobody (RFC 8058 3.1).
Nothing of a token is logged. A pixel and a redirect write nothing themselves: their hits are gathered
(`campaigns/tracking/hits.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from postroad.campaigns.contacts.subscriptions import Source
from postroad.campaigns.errors import NotFound
from postroad.campaigns.keys import SealingKeys
from postroad.campaigns.tracking.agents import looks_ahead
from postroad.campaigns.tracking.hits import Hit, Hits
from postroad.campaigns.tracking.leaving import Leaving
from postroad.campaigns.tracking.targets import Targets
from postroad.campaigns.tracking.tokens import Kind, Token
from postroad.campaigns.tracking.urls import LETTERS, PREFIX
from postroad.db.pool import DatabaseUnavailable
from postroad.web.public.pages import PublicPages
from postroad.web.public.requests import (
    NOT_KEPT,
    Caller,
    FormTooLarge,
    answer,
    caller_of,
    fields_of,
    is_one_click,
    read_body,
)
from postroad.web.shell.clients import Network
from postroad.web.shell.languages import Languages

# One transparent point: GIF 89a, 43 bytes.
PIXEL = bytes.fromhex(
    "47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b"
)
_PIXEL_HEADERS = ((b"content-type", b"image/gif"), NOT_KEPT)
_KINDS = {letter: kind for kind, letter in LETTERS.items()}
_SAFE = (
    NOT_KEPT,
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-robots-tag", b"noindex, nofollow"),
)
# A customer's HTML on our address: no script, no form, no origin of ours.
_MAIL_POLICY = (
    b"default-src 'none'; img-src http: https: data:; style-src 'unsafe-inline' http: https:; "
    b"font-src http: https: data:; media-src http: https:; form-action 'none'; base-uri 'none'; "
    b"frame-ancestors 'none'; sandbox allow-popups allow-popups-to-escape-sandbox "
    b"allow-top-navigation-by-user-activation"
)

Answered = Callable[[str, int, float], None]

log = structlog.get_logger("postroad.web.public")


class WebVersions(Protocol):
    """Gives mails as pages."""

    async def page(self, run_id: int, email_id: int) -> str:
        """The HTML of a recipient's mail. Raises `NotFound`, `DatabaseUnavailable`."""
        ...


class PublicApplication:
    """The ASGI callable: answers what begins with `/t/`, and hands everything else to `app`."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        keys: SealingKeys,
        hits: Hits,
        targets: Targets,
        leaving: Leaving,
        web_versions: WebVersions,
        trusted_proxies: Sequence[Network] = (),
        answered: Answered = lambda _method, _status, _seconds: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`answered` is told of each request: its method, its status, and the seconds it took."""
        self._app = app
        self._answered = answered
        self._keys = keys
        self._hits = hits
        self._targets = targets
        self._leaving = leaving
        self._web_versions = web_versions
        self._trusted = tuple(trusted_proxies)
        self._monotonic = monotonic
        self._pages = PublicPages(Languages())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        began = self._monotonic()
        caller = caller_of(scope, self._trusted)
        try:
            status = await self._serve(scope, caller, receive, send)
        except (DatabaseUnavailable, NotFound, FormTooLarge) as error:
            status = {NotFound: 404, FormTooLarge: 400}.get(type(error), 503)
        if status >= 400:
            await self._trouble(scope, caller, send, status)
        self._answered(scope["method"], status, self._monotonic() - began)

    async def _serve(self, scope: Scope, caller: Caller, receive: Receive, send: Send) -> int:
        """Answer, or say by which status it cannot be done."""
        letter, _, text = scope["path"][len(PREFIX) :].partition("/")
        kind, method = _KINDS.get(letter), scope["method"]
        if kind is None:
            return 404
        if method not in ("GET", "HEAD") and not (
            method == "POST" and kind in (Kind.UNSUBSCRIBE, Kind.PREFERENCES)
        ):
            return 405
        token = self._keys.opened(text) or await self._keys.read_token(text)
        if token is None or token.kind is not kind:
            return 404
        if kind is Kind.PIXEL:
            self._note(token, scope, caller)
            await answer(send, 200, PIXEL, _PIXEL_HEADERS, without_body=method == "HEAD")
        elif kind is Kind.LINK:
            target = await self._targets.find(token)
            if target is None:
                return 404
            self._note(token, scope, caller)
            await answer(send, 302, b"", [(b"location", target.encode("ascii")), *_SAFE])
            return 302
        elif kind is Kind.WEB:
            page = await self._web_versions.page(token.run_id, token.email_id)
            await self._show(scope, send, page.encode("utf-8", "replace"), _MAIL_POLICY)
        elif method == "POST":
            return await self._change(token, scope, caller, receive, send)
        elif kind is Kind.UNSUBSCRIBE:
            reader = await self._leaving.reader(token.run_id, token.email_id)
            language = self._pages.language(caller.language)
            has_choice = bool(await self._leaving.lists(reader))
            other = await self._preferences_url(token) if has_choice else None
            await self._show(scope, send, self._pages.leave(language, reader, other))
        else:
            await self._show_preferences(token, scope, caller, send, is_saved=False)
        return 200

    def _note(self, token: Token, scope: Scope, caller: Caller) -> None:
        self._hits.add(
            Hit(
                token.run_id,
                token.email_id,
                token.link_id if token.kind is Kind.LINK else None,
                self._monotonic(),
                caller.user_agent,
                caller.ip,
                looks_ahead(scope["method"], caller.purpose),
            )
        )

    async def _change(self, token: Token, scope: Scope, caller: Caller, receive: Receive, send: Send) -> int:
        body = await read_body(receive)
        fields = fields_of(body)
        reader = await self._leaving.reader(token.run_id, token.email_id)
        language = self._pages.language(caller.language)
        if token.kind is Kind.UNSUBSCRIBE:
            source: Source = "one-click" if is_one_click(body) else "link"
            if source == "link" and ("confirm", "1") not in fields:
                return 400
            await self._leaving.leave(reader, source)
            log.info("reader_left", customer=reader.customer_id, run=reader.run_id, source=source)
            page = self._pages.left(language, reader, await self._preferences_url(token))
            await self._show(scope, send, page)
            return 200
        if ("save", "1") not in fields:
            return 400
        if ("none", "1") in fields:
            await self._leaving.leave_all(reader, "link")
        else:
            wanted = {
                int(value)
                for name, value in fields
                if name == "list" and value.isascii() and value.isdigit() and len(value) < 19
            }
            await self._leaving.choose(reader, wanted)
        log.info("reader_chose", customer=reader.customer_id, run=reader.run_id)
        await self._show_preferences(token, scope, caller, send, is_saved=True)
        return 200

    async def _show_preferences(
        self, token: Token, scope: Scope, caller: Caller, send: Send, *, is_saved: bool
    ) -> None:
        reader = await self._leaving.reader(token.run_id, token.email_id)
        lists = await self._leaving.lists(reader)
        language = self._pages.language(caller.language)
        await self._show(scope, send, self._pages.preferences(language, reader, lists, is_saved=is_saved))

    async def _preferences_url(self, token: Token) -> str:
        made = (await self._keys.get()).tokens.preferences(token.run_id, token.email_id)
        return f"{PREFIX}{LETTERS[Kind.PREFERENCES]}/{made}"

    async def _show(
        self, scope: Scope, send: Send, page: bytes, policy: bytes | None = None, status: int = 200
    ) -> None:
        await answer(
            send,
            status,
            page,
            [
                (b"content-type", b"text/html; charset=utf-8"),
                (b"content-security-policy", policy or self._pages.policy.encode()),
                *_SAFE,
                *([(b"retry-after", b"60")] if status == 503 else []),
                *([(b"allow", b"GET, HEAD, POST")] if status == 405 else []),
            ],
            without_body=scope["method"] == "HEAD",
        )

    async def _trouble(self, scope: Scope, caller: Caller, send: Send, status: int) -> None:
        page = self._pages.trouble(self._pages.language(caller.language), status)
        await self._show(scope, send, page, status=status)
