"""`/healthz`, `/readyz`, `/metrics` in front of the pages; a log line a request, without its query string."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any, Protocol, TypeAlias

import msgspec
import structlog

from postroad.server.metrics import CONTENT_TYPE

Message: TypeAlias = MutableMapping[str, Any]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
Check: TypeAlias = Callable[[], Awaitable[str | None]]

QUIET_PATHS = ("/healthz", "/readyz", "/metrics")
QUIET_PREFIXES = ("/static/", "/mail/static/")

log = structlog.get_logger("postroad.server.web")


class ScrapeText(Protocol):
    """Gives the metrics."""

    async def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        ...


class RequestCount(Protocol):
    """Counts requests."""

    def answered(self, method: str, status: int, seconds: float) -> None:
        """Count one."""
        ...


class Health:
    """An ASGI application that answers the three and hands everything else to `app`."""

    def __init__(
        self,
        app: App,
        *,
        checks: Mapping[str, Check],
        scrape: ScrapeText,
        count: RequestCount,
        metrics_networks: Sequence[IPv4Network | IPv6Network],
    ) -> None:
        """A check gives None when all is well, else the reason. Metrics are for `metrics_networks` only."""
        self._app = app
        self._checks = checks
        self._scrape = scrape
        self._count = count
        self._networks = tuple(metrics_networks)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 500

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            match scope["path"]:
                case "/healthz":
                    await answer(watch, 200, b"ok\n")
                case "/readyz":
                    await self._ready(watch)
                case "/metrics":
                    await self._metrics(scope, watch)
                case _:
                    await self._app(scope, receive, watch)
        finally:
            self._note(scope, status, time.perf_counter() - began)

    async def _ready(self, send: Send) -> None:
        reasons = {
            name: reason for name, check in self._checks.items() if (reason := await check()) is not None
        }
        body = msgspec.json.encode({"ready": not reasons, "missing": reasons})
        await answer(send, 503 if reasons else 200, body, "application/json")

    async def _metrics(self, scope: Scope, send: Send) -> None:
        client = scope.get("client")
        try:
            allowed = client is not None and any(
                ip_address(client[0]) in network for network in self._networks
            )
        except ValueError:
            allowed = False
        if not allowed:
            await answer(send, 403, b"metrics are for web.metrics_networks only\n")
            return
        await answer(send, 200, await self._scrape.text(), CONTENT_TYPE)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        method, path = scope["method"], scope["path"]
        is_quiet = path in QUIET_PATHS or path.startswith(QUIET_PREFIXES)
        if not is_quiet:
            self._count.answered(method, status, seconds)
        write = log.debug if is_quiet else log.info
        client = scope.get("client")
        write(
            "http_request",
            method=method[:16],
            path=path.partition("?")[0][:500],  # a "?" that came encoded starts no query, but may mean to
            status=status,
            milliseconds=round(seconds * 1000, 1),
            client=client[0] if client else None,
        )


def remembered(seconds: float, check: Check, monotonic: Callable[[], float] = time.monotonic) -> Check:
    """A check whose answer is good for so long: for what costs more than a look."""
    known: tuple[float, str | None] | None = None

    async def ask() -> str | None:
        nonlocal known
        if known is None or monotonic() - known[0] >= seconds:
            known = (monotonic(), await check())
        return known[1]

    return ask


async def answer(
    send: Send, status: int, body: bytes, content_type: str = "text/plain; charset=utf-8"
) -> None:
    """Send a whole answer."""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", content_type.encode()),
                (b"content-length", str(len(body)).encode()),
                (b"cache-control", b"no-store"),
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})
