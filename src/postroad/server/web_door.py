"""uvicorn as a door of the worker: our own sockets, our own loop, signals and logs; plain or with TLS."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from postroad.listeners.sockets import bind
from postroad.server.health import App
from postroad.server.http_protocol import BoundedHttp

KEEP_ALIVE_SECONDS = 30  # idle connections of browsers; reverse proxies reopen without a fuss
BACKLOG = 1024
MOST_CONNECTIONS = 2000  # a worker; past it 503, so that a flood cannot take all memory
SILENT_MILLISECONDS = 120_000  # a client that takes nothing of an answer for so long is gone


class WebServer(uvicorn.Server):
    """A uvicorn server that leaves signals to the worker."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do not touch the worker's signal handlers."""
        yield


def web_server(app: App, drain_seconds: float, context: ssl.SSLContext | None = None) -> WebServer:
    """Make a server for `app`: `await server.serve(sockets)` runs it, `should_exit = True` ends it."""
    config = uvicorn.Config(
        app,
        http=BoundedHttp,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # who is believed is a setting of the pages
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=max(1, int(drain_seconds)),
        backlog=BACKLOG,
        limit_concurrency=MOST_CONNECTIONS,
        workers=1,
        ssl_context_factory=None if context is None else lambda _config, _default: context,
    )
    return WebServer(config)


def bind_web(address: str) -> list[socket.socket]:
    """Listen on `address`, with the kernel watching clients that stop reading. Raises `BadListenAddress`."""
    listening = bind(address, BACKLOG)
    for each in listening:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # RFC 5482; Linux, inherited by what is accepted
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_MILLISECONDS)
    return listening
