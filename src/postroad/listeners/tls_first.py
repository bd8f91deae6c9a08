"""Doors that speak TLS from the first byte: accept, admit, shake hands, and only then begin the protocol.

Connections are accepted by hand, since a server with `ssl=` counts a client only after the handshake, and
`start_tls` on a fresh connection may lose its first bytes (uvloop reads as soon as it is made). RFC 8314.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable
from functools import partial
from typing import Generic, TypeVar

from postroad.db.tasks import Kept, TaskSupervisor
from postroad.listeners.tls import ServerTls

RETRY_SECONDS = 0.1  # when the process has no file descriptor left: wait for one to be given back


P = TypeVar("P", bound=asyncio.Protocol)


class TlsFirst(Generic[P]):
    """Accepts on some sockets for one protocol."""

    def __init__(
        self,
        tls: ServerTls,
        handshake_seconds: float,
        *,
        admit: Callable[[str], bool],
        failed: Callable[[str, str], None],
        new_protocol: Callable[[], P],
        has_begun: Callable[[P], bool],
        tasks: TaskSupervisor | None = None,
    ) -> None:
        """`admit` judges the client's IP address before any work is done for it; who is refused is closed.

        `failed` hears the address and the reason when an admitted client could not shake hands.
        `new_protocol` makes the protocol; once its connection was made (`has_begun`), the client is the
        protocol's to count out.
        """
        self._tls = tls
        self._handshake_seconds = handshake_seconds
        self._admit = admit
        self._failed = failed
        self._new_protocol = new_protocol
        self._has_begun = has_begun
        self._tasks = tasks or TaskSupervisor()
        self._listening: list[socket.socket] = []
        self._accepting: list[Kept] = []
        self._handshakes: set[asyncio.Task[None]] = set()

    def start(self, listening: Iterable[socket.socket]) -> None:
        """Accept on these sockets, which are closed by `close`."""
        for sock in listening:
            self._listening.append(sock)
            self._accepting.append(self._tasks.keep("tls accept", partial(self._accept, sock)))

    def close(self) -> None:
        """Stop accepting and give up handshakes under way."""
        for accepting in self._accepting:
            accepting.end()
        for task in self._handshakes:
            task.cancel()
        for sock in self._listening:
            sock.close()
        self._accepting.clear()
        self._listening.clear()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, peer = await loop.sock_accept(listening)
            except OSError:  # the client left the queue, or descriptors ran out
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if not self._admit(peer[0]):
                connection.close()
                continue
            task = loop.create_task(self._begin(connection, peer[0]))
            self._handshakes.add(task)
            task.add_done_callback(self._handshakes.discard)

    async def _begin(self, connection: socket.socket, client: str) -> None:
        protocol = self._new_protocol()
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: protocol,
                connection,
                ssl=self._tls.context,
                ssl_handshake_timeout=self._handshake_seconds,
            )
        except OSError as error:  # ssl.SSLError and time-outs are OSErrors
            if not self._has_begun(protocol):
                self._failed(client, str(error))
        except asyncio.CancelledError:
            if not self._has_begun(protocol):
                self._failed(client, "shutting down")
            raise
