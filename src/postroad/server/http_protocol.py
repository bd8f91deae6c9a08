"""uvicorn's HTTP/1.1 connection with bounds on what a client may send before anybody answers (RFC 9112).

uvicorn itself bounds neither the size of a request's head nor the time a client takes for it; bodies are
bounded by whoever reads them, and are read no faster than that.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from postroad.listeners.limits import Connections

LARGEST_HEAD = 64 * 1024  # bytes of request line and headers; nginx takes 32 KB, Apache 8 KB a line
MOST_HEADERS = 200  # Apache LimitRequestFields is 100
HEAD_SECONDS = 30.0  # nginx client_header_timeout is 60
BODY_IDLE_SECONDS = 60.0  # between two pieces of a body; nginx client_body_timeout
UNKNOWN = "0.0.0.0"  # noqa: S104 - a client that was gone before it could be asked; nothing is bound
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\nretry-after: 5\r\n"
    b"content-length: 51\r\nconnection: close\r\n\r\nThe server has too many connections. Try it again.\n"
)


class HeadTooLarge(Exception):
    """The head of a request is larger than anything honest."""


class BoundedHttp(HttpToolsProtocol):
    """One connection. `places` counts it among all of the worker's; see `bounded`."""

    places: ClassVar[Connections]
    is_admitted = False  # before its handshake

    _is_counted = False
    _heard_at = 0.0
    _head_bytes = 0
    _is_head = True
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected: its first request's head is due."""
        super().connection_made(transport)
        self._heard_at = self.loop.time()
        address = self.client[0] if self.client is not None else UNKNOWN
        if not self.is_admitted and not self.places.admit(address):
            transport.write(_FULL)
            transport.close()
            return
        self._is_counted = True
        self.places.join(address, self)
        self._arm(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._disarm()
        if self._is_counted:
            self._is_counted = False
            self.places.release(self.client[0] if self.client is not None else UNKNOWN, self)
        super().connection_lost(exc)

    @property
    def has_begun(self) -> bool:
        """Whether the connection was made, so that it counts itself out."""
        return self._is_counted

    @property
    def waiting_since(self) -> float | None:
        """Since when a request, or the rest of one, is awaited; None while one is being answered."""
        is_answering = self.cycle is not None and not self.cycle.response_complete
        if is_answering and self._timer is None:  # its body is whole
            return None
        return self._heard_at

    def give_way(self) -> None:
        """Close: the house is full."""
        cast("Any", self.transport).abort()

    def data_received(self, data: bytes) -> None:
        """Take a piece of a request."""
        if not self._is_counted:
            return
        self._heard_at = self.loop.time()
        if self._is_head:
            self._head_bytes += len(data)
        elif self._timer is not None:
            self._arm(BODY_IDLE_SECONDS)
        super().data_received(data)
        if self._is_head and self._head_bytes > LARGEST_HEAD and not self.transport.is_closing():
            self.send_400_response("The request's head is too large.")

    def on_message_begin(self) -> None:
        """A request begins."""
        self._is_head = True
        self._head_bytes = 0
        self._arm(HEAD_SECONDS)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its head is whole. Raising makes the parser refuse the request."""
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > LARGEST_HEAD or len(self.headers) > MOST_HEADERS:
            raise HeadTooLarge
        self._is_head = False
        self._arm(BODY_IDLE_SECONDS)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Its body is whole."""
        self._disarm()
        super().on_message_complete()

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._timer = self.loop.call_later(seconds, self._late)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = None
        if self.flow.read_paused:  # it is we who do not read on
            self._arm(BODY_IDLE_SECONDS)
        elif self.cycle is not None and not self.cycle.response_complete:
            cast("Any", self.transport).abort()  # in the middle of a body: nothing sensible can be said
        else:
            self.transport.close()


def bounded(places: Connections) -> type[BoundedHttp]:
    """The protocol of the servers that share these places; uvicorn makes its connections by class."""
    return type("BoundedHttp", (BoundedHttp,), {"places": places})
