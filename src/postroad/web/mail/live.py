"""The live stream: tells an open page that a folder changed (HTML living standard 9.2, server-sent events).

The stream only says "look": counts and rows are fetched by the page from where they always come from.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Protocol

from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from postroad.db.pool import DatabaseUnavailable
from postroad.directory.identity.sessions import Sessions
from postroad.mailstore.changes import FolderChanged
from postroad.web.shell.visits import Visit, Visits

HEARTBEAT_SECONDS = 20.0  # proxies cut streams that are silent for 30 to 60 s
SESSION_CHECK_SECONDS = 60.0  # how long a stream may outlive its session
MAX_STREAMS = 20  # of an account in this process; a browser opens one however many tabs it has


class ChangeFeed(Protocol):
    """What the stream needs of the mail store."""

    def subscribe(self, account_id: int) -> AbstractAsyncContextManager[AsyncIterator[FolderChanged]]:
        """Watch an account."""


class Live:
    """The endpoint of the stream. `stop` ends all streams, so that the process can leave."""

    def __init__(
        self, visits: Visits, changes: ChangeFeed, sessions: Sessions, monotonic: Callable[[], float]
    ) -> None:
        self._visits = visits
        self._changes = changes
        self._sessions = sessions
        self._monotonic = monotonic
        self._open: Counter[int] = Counter()
        self._stopping = asyncio.Event()

    def routes(self) -> list[BaseRoute]:
        """One endpoint."""
        return [Route("/mail/events", self._visits.reading(self.events), methods=["GET"])]

    def stop(self) -> None:
        """End every stream; browsers come back to another process by themselves."""
        self._stopping.set()

    async def events(self, visit: Visit) -> Response:
        """The stream of an account's changes."""
        if self._open[visit.account_id] >= MAX_STREAMS:
            return PlainTextResponse("", 429, {"retry-after": "30"})
        return StreamingResponse(
            self._stream(visit.account_id, visit.token),
            media_type="text/event-stream",
            headers={"x-accel-buffering": "no"},
        )

    async def _stream(self, account_id: int, token: str) -> AsyncIterator[bytes]:
        self._open[account_id] += 1
        stopping = asyncio.ensure_future(self._stopping.wait())
        upcoming: asyncio.Task[FolderChanged] | None = None
        try:
            async with self._changes.subscribe(account_id) as feed:
                yield b"retry: 2000\n\n"
                checked_at = self._monotonic()
                upcoming = asyncio.ensure_future(_following(feed))
                while not stopping.done():
                    await asyncio.wait(
                        (upcoming, stopping), timeout=HEARTBEAT_SECONDS, return_when=asyncio.FIRST_COMPLETED
                    )
                    if upcoming.done():
                        changed = upcoming.result()
                        upcoming = asyncio.ensure_future(_following(feed))
                        yield b"event: change\ndata: %d\n\n" % changed.folder_id
                    else:
                        yield b": still here\n\n"
                    if self._monotonic() - checked_at >= SESSION_CHECK_SECONDS:
                        checked_at = self._monotonic()
                        if not await self._is_in_force(token):
                            return
        finally:
            stopping.cancel()
            if upcoming is not None:
                upcoming.cancel()
                with suppress(asyncio.CancelledError, StopAsyncIteration):
                    await upcoming
            self._open[account_id] -= 1
            if not self._open[account_id]:
                del self._open[account_id]

    async def _is_in_force(self, token: str) -> bool:
        try:
            return await self._sessions.find(token) is not None
        except DatabaseUnavailable:
            return True  # not known: the next check says


async def _following(feed: AsyncIterator[FolderChanged]) -> FolderChanged:
    return await anext(feed)
