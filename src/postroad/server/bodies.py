"""Bodies of requests and answers under way, bounded over all of a worker: in memory, uploads on the disk.

Each page bounds its own body; thousands at once are no page's matter. A form counts in the budget that mails
and literals share, an upload in one of its own: it lies in a temporary file until it is whole. An answer
counts until its reader has taken it, and slow readers are many. Who holds most gives way first
(`listeners.budget`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from starlette.exceptions import HTTPException

from postroad.listeners.budget import ContentBudget
from postroad.server.health import App, Message, Receive, Scope, Send, answer

FREE_BYTES = 64 * 1024  # of a body that nobody counts: what a connection's own buffers take
RETRY_SECONDS = "30"
UNKNOWN = "0.0.0.0"  # noqa: S104 - a client that was gone before it could be asked; nothing is bound

Result = TypeVar("Result")


class BoundedBodies:
    """An ASGI application that counts what `app` receives and sends."""

    def __init__(
        self, app: App, memory: ContentBudget, disk: ContentBudget, monotonic: Callable[[], float]
    ) -> None:
        """`monotonic` is the clock of all who hold something in these budgets."""
        self._app = app
        self._memory = memory
        self._disk = disk
        self._monotonic = monotonic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        client = scope.get("client")
        address = client[0] if client else UNKNOWN
        answered = _Answer(_Holding(self._memory, address, self._monotonic), send)
        try:
            if scope["method"] in ("GET", "HEAD"):
                await self._app(scope, receive, answered.send)
                return
            budget = self._disk if _is_upload(scope) else self._memory
            asked = _Asked(_Holding(budget, address, self._monotonic), receive)
            try:
                await self._app(scope, asked.receive, answered.send)
            finally:
                asked.holding.hold(0)
        finally:
            answered.holding.hold(0)


class LetGo(Exception):
    """Somebody else needs the room."""


class _Holding:
    """Bytes in a budget, which are given up when it is asked for them while it waits."""

    def __init__(self, budget: ContentBudget, client: str, monotonic: Callable[[], float]) -> None:
        self._share = budget.share(client, self)
        self._monotonic = monotonic
        self._waiting_since: float | None = None
        self._patience: asyncio.Timeout | None = None
        self._has_let_go = False

    @property
    def waiting_since(self) -> float | None:
        """Since when the client has been awaited; None when it is not."""
        return self._waiting_since

    def let_go(self) -> None:
        """End the exchange."""
        self._has_let_go = True
        if self._patience is not None:
            self._patience.reschedule(self._monotonic())

    def hold(self, size_bytes: int) -> bool:
        """Say how much is held; False when there is no room for it."""
        return self._share.hold(size_bytes) and not self._has_let_go

    async def while_waiting(self, client: Awaitable[Result]) -> Result:
        """Wait for the client. Raises `LetGo`."""
        self._waiting_since = self._monotonic()
        try:
            async with asyncio.timeout(None) as self._patience:
                return await client
        except TimeoutError:
            if not self._has_let_go:
                raise
            raise LetGo from None
        finally:
            self._waiting_since = self._patience = None


class _Asked:
    """The body of a request."""

    def __init__(self, holding: _Holding, receive: Receive) -> None:
        self.holding = holding
        self._receive = receive
        self._size = 0

    async def receive(self) -> Message:
        """Receive a piece. Raises HTTP 503 when there is no room for it."""
        try:
            if self._size <= FREE_BYTES:
                message = await self._receive()
            else:
                message = await self.holding.while_waiting(self._receive())
        except LetGo:
            raise _no_room() from None
        self._size += len(message.get("body", b""))
        if self._size > FREE_BYTES and not self.holding.hold(self._size):
            raise _no_room()
        return message


class _Answer:
    """An answer on its way; a large body goes in pieces, each as its reader has taken the one before."""

    def __init__(self, holding: _Holding, send: Send) -> None:
        self.holding = holding
        self._send = send
        self._start: Message | None = None  # not sent yet: there may be no room for what follows

    async def send(self, message: Message) -> None:
        """Send a message. Raises `LetGo` in the middle of a body that is read too slowly."""
        if message["type"] == "http.response.start":
            self._start = message
            return
        body = message.get("body", b"")
        start, self._start = self._start, None
        if len(body) <= FREE_BYTES:
            if start is not None:
                await self._send(start)
            await self._send(message)
            return
        if not self.holding.hold(len(body)):
            if start is None:
                raise LetGo
            await answer(self._send, 503, b"The server is busy. Try it again.\n")
            return
        if start is not None:
            await self._send(start)
        more = message.get("more_body", False)
        for at in range(0, len(body), FREE_BYTES):
            is_last = at + FREE_BYTES >= len(body)
            piece = {
                "type": "http.response.body",
                "body": body[at : at + FREE_BYTES],
                "more_body": more or not is_last,
            }
            await self.holding.while_waiting(self._send(piece))
        self.holding.hold(0)


def _no_room() -> HTTPException:
    return HTTPException(503, "busy", {"retry-after": RETRY_SECONDS, "connection": "close"})


def _is_upload(scope: Scope) -> bool:
    return any(
        name == b"content-type" and value.lower().lstrip().startswith(b"multipart/")
        for name, value in scope["headers"]
    )
