"""uvicorn as a door of the worker: our own sockets, our own loop, signals and logs; plain or with TLS."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
import uvicorn

from postroad.listeners.limits import Connections
from postroad.listeners.sockets import bind
from postroad.listeners.tls import ServerTls
from postroad.listeners.tls_first import TlsFirst
from postroad.server.health import App
from postroad.server.http_protocol import BoundedHttp, bounded

KEEP_ALIVE_SECONDS = 30  # idle connections of browsers; reverse proxies reopen without a fuss
BACKLOG = 1024
HANDSHAKE_SECONDS = 15.0  # asyncio's default is 60
SILENT_MILLISECONDS = 120_000  # a client that takes nothing of an answer for so long is gone


log = structlog.get_logger("postroad.server.web")


class WebServer(uvicorn.Server):
    """A uvicorn server that leaves signals to the worker, and counts clients before their handshake."""

    def __init__(
        self, config: uvicorn.Config, protocol: type[BoundedHttp], tls: ServerTls | None = None
    ) -> None:
        super().__init__(config)
        self._protocol = protocol
        self._tls_first = (
            None
            if tls is None
            else TlsFirst(
                tls,
                HANDSHAKE_SECONDS,
                admit=protocol.places.admit,
                failed=self._handshake_failed,
                new_protocol=self._admitted,
                has_begun=lambda connection: connection.has_begun,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept; with TLS by hand, since uvicorn would know of a client only after its handshake."""
        if self._tls_first is None:
            await super().startup(sockets=sockets)
            return
        await self.lifespan.startup()
        self.servers: list[asyncio.base_events.Server] = []
        self._tls_first.start(sockets or [])
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, then end as uvicorn does."""
        if self._tls_first is not None:
            self._tls_first.close()
        await super().shutdown(sockets=sockets)

    def _admitted(self) -> BoundedHttp:
        connection = self._protocol(self.config, self.server_state, self.lifespan.state)
        connection.is_admitted = True
        return connection

    def _handshake_failed(self, client: str, reason: str) -> None:
        self._protocol.places.release(client)
        log.debug("web_handshake_failed", client=client, reason=reason)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do not touch the worker's signal handlers."""
        yield


def web_server(
    app: App, drain_seconds: float, tls: ServerTls | None = None, places: Connections | None = None
) -> WebServer:
    """Make a server for `app`: `await server.serve(sockets)` runs it, `should_exit = True` ends it.

    `places` may be shared by several servers of a worker.
    """
    protocol = bounded(places if places is not None else Connections())
    config = uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # who is believed is a setting of the pages
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=max(1, int(drain_seconds)),
        backlog=BACKLOG,
        workers=1,
    )
    return WebServer(config, protocol, tls)


def bind_web(address: str) -> list[socket.socket]:
    """Listen on `address`, with the kernel watching clients that stop reading. Raises `BadListenAddress`."""
    listening = bind(address, BACKLOG)
    for each in listening:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # RFC 5482; Linux, inherited by what is accepted
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_MILLISECONDS)
    return listening
