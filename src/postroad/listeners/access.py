"""A door through which people read their mail: listening, admitting, draining. POP3 and IMAP each fill in a
session.

No protocol's words but those a client hears when it is turned away. RFC 8314 (TLS from the first byte).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial

import structlog

from postroad.db.tasks import TaskSupervisor
from postroad.listeners.access_metrics import AccessDoorMetrics
from postroad.listeners.connection import Connection
from postroad.listeners.limits import Connections
from postroad.listeners.tls import ServerTls
from postroad.listeners.tls_first import TlsFirst

HANDSHAKE_SECONDS = 60.0  # asyncio's own default for a TLS handshake, nginx' too

Serve = Callable[[Connection], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Turned:
    """Last words: to whom there is no room for, and when a session of ours broke."""

    away: bytes
    broken: bytes


class AccessListener:
    """One door, open on some sockets. Each connection is served by a task of its own."""

    def __init__(
        self,
        name: str,
        serve: Serve,
        words: Turned,
        *,
        connections: Connections,
        metrics: AccessDoorMetrics,
        tls: ServerTls | None = None,
        is_tls_first: bool = False,
        tasks: TaskSupervisor | None = None,
    ) -> None:
        """`connections` may be shared by several doors. A door with `is_tls_first` needs `tls`."""
        self._name = name
        self._serve = serve
        self._words = words
        self._connections = connections
        self._metrics = metrics
        self._log = structlog.get_logger(name.rstrip("s"))
        self._sessions: dict[Connection, asyncio.Task[None] | None] = {}
        self._refused: set[Connection] = set()
        self._tls_first: TlsFirst[Connection] | None = None
        if is_tls_first:
            if tls is None:
                raise ValueError(f"the {name} door needs a certificate")
            self._tls_first = TlsFirst(
                tls,
                HANDSHAKE_SECONDS,
                admit=self._admit,
                failed=self._handshake_failed,
                new_protocol=lambda: Connection(self._begin, self._end),
                has_begun=lambda connection: connection.has_begun,
                tasks=tasks,
            )
        self._servers: list[asyncio.Server] = []
        self._nobody_left = asyncio.Event()
        self._is_draining = False

    @property
    def open_sessions(self) -> int:
        """How many connections are open."""
        return len(self._sessions)

    async def start(self, listening: Iterable[socket.socket]) -> None:
        """Accept connections on these sockets (`sockets.bind`), which are closed with the listener."""
        if self._tls_first is not None:
            self._tls_first.start(listening)
            return
        loop = asyncio.get_running_loop()
        for sock in listening:
            self._servers.append(
                await loop.create_server(lambda: Connection(self._admit_and_begin, self._end), sock=sock)
            )

    async def drain(self, grace_seconds: float) -> None:
        """Stop accepting; let commands in hand finish for so long; then close what is left."""
        self._is_draining = True
        if self._tls_first is not None:
            self._tls_first.close()
        for server in self._servers:
            server.close()
        for connection in tuple(self._sessions):
            connection.drain()
        if self._sessions:
            try:
                async with asyncio.timeout(grace_seconds):
                    await self._nobody_left.wait()
            except TimeoutError:
                tasks = [task for task in self._sessions.values() if task is not None]
                for connection in tuple(self._sessions):
                    connection.abort()
                for task in tasks:
                    task.cancel()
                if tasks:
                    await asyncio.wait(tasks)

    def _admit(self, client: str) -> bool:
        is_admitted = self._connections.admit(client)
        if not is_admitted:
            self._metrics.turned_away.inc()
        return is_admitted

    def _handshake_failed(self, client: str, reason: str) -> None:
        self._connections.release(client)
        self._metrics.handshake_failed.inc()
        self._log.info(f"{self._name}.handshake-failed", client=client, reason=reason)

    def _admit_and_begin(self, connection: Connection) -> None:
        if self._admit(connection.client):
            self._begin(connection)
            return
        self._refused.add(connection)
        connection.write(self._words.away)
        connection.close()

    def _begin(self, connection: Connection) -> None:
        self._metrics.admitted.inc()
        self._metrics.open.inc()
        self._connections.join(connection.client, connection)
        connection.settle = partial(self._connections.settle, connection.client, connection)
        if self._is_draining:
            connection.drain()
        self._sessions[connection] = asyncio.get_running_loop().create_task(self._run(connection))

    async def _run(self, connection: Connection) -> None:
        try:
            await self._serve(connection)
        except Exception:
            # A mistake of ours: the client hears a last word all the same.
            self._log.exception(f"{self._name}.broken", client=connection.client)
            self._metrics.failures.inc()
            connection.write(self._words.broken)
        finally:
            connection.close()
            if connection.is_gone:
                self._forget(connection)
            else:
                self._sessions[connection] = None

    def _end(self, connection: Connection) -> None:
        if connection in self._refused:
            self._refused.discard(connection)
            return
        self._connections.release(connection.client, connection)
        self._metrics.open.dec()
        if self._sessions.get(connection) is None:
            self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        self._sessions.pop(connection, None)
        if self._is_draining and not self._sessions:
            self._nobody_left.set()
