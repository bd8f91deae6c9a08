"""The live stream: tells an open page that a folder changed (HTML living standard 9.2, server-sent events).

The stream only says "look": counts and rows are fetched by the page from where they always come from.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Protocol

from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from postroad.db.pool import DatabaseUnavailable
from postroad.directory.identity.sessions import Sessions
from postroad.directory.principals import Principal
from postroad.mailstore.changes import FolderChanged
from postroad.web.shell.visits import Visit, Visits

HEARTBEAT_SECONDS = 20.0  # proxies cut streams that are silent for 30 to 60 s
SESSION_CHECK_SECONDS = 60.0  # how long a stream may outlive its session
MAX_STREAMS_EACH = 20  # of an account in this process; a browser opens one however many tabs it has
MAX_STREAMS = 1000  # of all: each keeps a connection that nobody else can have


class ChangeFeed(Protocol):
    """What the stream needs of the mail store."""

    def subscribe(self, account_id: int) -> AbstractAsyncContextManager[AsyncIterator[FolderChanged]]:
        """Watch an account."""


class Watches(Protocol):
    """What tells whether who signed in may stay (`directory.identity.standing.Standing`)."""

    def watch(self, principal: Principal, end: Callable[[], None]) -> Callable[[], None]:
        """Call `end` when not; returns what stops watching."""


class Live:
    """The endpoint of the stream. `stop` ends all streams, so that the process can leave."""

    def __init__(
        self,
        visits: Visits,
        changes: ChangeFeed,
        sessions: Sessions,
        monotonic: Callable[[], float],
        standing: Watches | None = None,
        most: int = MAX_STREAMS,
    ) -> None:
        """`most` streams at once, of all accounts together."""
        self._visits = visits
        self._changes = changes
        self._sessions = sessions
        self._monotonic = monotonic
        self._standing = standing
        self._most = most
        self._open: dict[int, list[_Stream]] = {}
        self._count = 0
        self._is_stopping = False

    def routes(self) -> list[BaseRoute]:
        """One endpoint."""
        return [Route("/mail/events", self._visits.reading(self.events), methods=["GET"])]

    def stop(self) -> None:
        """End every stream; browsers come back to another process by themselves."""
        self._is_stopping = True
        for streams in self._open.values():
            for stream in streams:
                stream.end.set()

    async def events(self, visit: Visit) -> Response:
        """The stream of an account's changes."""
        own = self._open.get(visit.account_id, [])
        if len(own) >= MAX_STREAMS_EACH or (self._count >= self._most and not self._make_room(len(own))):
            return PlainTextResponse("", 429, {"retry-after": "30"})
        stream = _Stream(visit.account_id)
        self._open.setdefault(visit.account_id, []).append(stream)
        self._count += 1
        if self._is_stopping:
            stream.end.set()
        return _Counted(self._stream(visit, stream), lambda: self._forget(stream))

    def _make_room(self, own: int) -> bool:
        """End the oldest stream of whoever has most, when that is more than who asks has."""
        most = max(self._open.values(), key=len)
        if len(most) <= own + 1:
            return False
        most[0].end.set()
        self._forget(most[0])
        return True

    def _forget(self, stream: _Stream) -> None:
        streams = self._open.get(stream.account_id, [])
        if stream in streams:
            streams.remove(stream)
            self._count -= 1
            if not streams:
                del self._open[stream.account_id]

    async def _stream(self, visit: Visit, stream: _Stream) -> AsyncIterator[bytes]:
        ended = asyncio.ensure_future(stream.end.wait())
        upcoming: asyncio.Task[FolderChanged] | None = None
        unwatch = self._watch(visit, stream)
        try:
            async with self._changes.subscribe(visit.account_id) as feed:
                yield b"retry: 2000\n\n"
                checked_at = self._monotonic()
                upcoming = asyncio.ensure_future(_following(feed))
                while not ended.done():
                    await asyncio.wait(
                        (upcoming, ended), timeout=HEARTBEAT_SECONDS, return_when=asyncio.FIRST_COMPLETED
                    )
                    if ended.done():
                        return
                    if upcoming.done():
                        changed = upcoming.result()
                        upcoming = asyncio.ensure_future(_following(feed))
                        yield b"event: change\ndata: %d\n\n" % changed.folder_id
                    else:
                        yield b": still here\n\n"
                    if self._monotonic() - checked_at >= SESSION_CHECK_SECONDS:
                        checked_at = self._monotonic()
                        if not await self._is_in_force(visit.token):
                            return
        finally:
            unwatch()
            ended.cancel()
            if upcoming is not None:
                upcoming.cancel()
                with suppress(asyncio.CancelledError, StopAsyncIteration):
                    await upcoming

    def _watch(self, visit: Visit, stream: _Stream) -> Callable[[], None]:
        """End the stream at once when the password that opened its session is another one now."""
        session = visit.session
        if self._standing is None:
            return lambda: None
        whose = session.principal
        opened = Principal(
            whose.kind, whose.id, session.name, session.credential_version, "password", session.mailbox
        )
        return self._standing.watch(opened, stream.end.set)

    async def _is_in_force(self, token: str) -> bool:
        try:
            return await self._sessions.find(token) is not None
        except DatabaseUnavailable:
            return True  # not known: the next check says


class _Stream:
    """One open stream; `end` ends it."""

    def __init__(self, account_id: int) -> None:
        self.account_id = account_id
        self.end = asyncio.Event()


class _Counted(StreamingResponse):
    """A stream that is counted out however it ends, also before its first byte."""

    def __init__(self, content: AsyncIterator[bytes], ended: Callable[[], None]) -> None:
        super().__init__(content, media_type="text/event-stream", headers={"x-accel-buffering": "no"})
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until it ends."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._ended()


async def _following(feed: AsyncIterator[FolderChanged]) -> FolderChanged:
    return await anext(feed)
