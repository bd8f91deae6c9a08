"""uvicorn as a door of the worker: our own sockets, our own loop, signals and logs; plain or with TLS."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from postroad.server.health import App

KEEP_ALIVE_SECONDS = 30  # idle connections of browsers; reverse proxies reopen without a fuss
BACKLOG = 1024
MOST_CONNECTIONS = 2000  # a worker; past it 503, so that a flood cannot take all memory
LARGEST_HEAD = 64 * 1024  # bytes of request line and headers; nginx takes 32 KB


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
        http="httptools",
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
        h11_max_incomplete_event_size=LARGEST_HEAD,
        workers=1,
        ssl_context_factory=None if context is None else lambda _config, _default: context,
    )
    return WebServer(config)
