"""A connection as a session that is a coroutine sees it: read what came, write, wait for the writing.

Bytes, time, TLS and compression live here; no protocol's words do. POP3 and IMAP stand on it. Both
directions are bounded: reading stops when nobody takes what came, and `drained` waits for a client that does
not read. RFC 4978 (COMPRESS=DEFLATE).
"""

from __future__ import annotations

import asyncio
import enum
import zlib
from collections.abc import Callable, Hashable
from typing import cast

from postroad.listeners.sockets import acknowledge_now
from postroad.listeners.tls import ServerTls

MAX_UNREAD = 64 * 1024  # bytes that wait for the session; thousands of sessions may have as many
MAX_INFLATED = (
    256 * 1024
)  # bytes taken at a time out of compressed input, which may hold a thousand times more
LINGER_SECONDS = 10.0  # for a client to read our last words before the connection is cut
DISMISSED_SECONDS = 0.5  # for an answer under way, once who asked for it may not stay
WRITE_SECONDS = 300.0  # for a client to take what it asked for; 256 KB within it are under 1 KB/s


class Gone(Exception):
    """The client has left, or does not read what it asked for."""


class Silent(Exception):
    """Nothing was heard for as long as the session waits."""


class Farewell(enum.Enum):
    """Why a session ends from our side; the value is its last word."""

    SHUTTING_DOWN = "Shutting down; connect again"
    MAKING_ROOM = "Too many connections, and this one was idle; try again later"
    TOO_MUCH = "Too much mail is coming in at once; try again"
    NOT_ANY_MORE = "The account or its password has changed; sign in again"


class Draining(Exception):
    """The session has to end: say a last word and go."""

    def __init__(self, farewell: Farewell) -> None:
        super().__init__(farewell.value)
        self.farewell = farewell


class Connection(asyncio.Protocol):
    """One connection. The listener is told of its beginning and its end."""

    def __init__(self, began: Callable[[Connection], None], ended: Callable[[Connection], None]) -> None:
        self._began = began
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self.client = ""
        self.is_tls = False
        self.farewell: Farewell | None = None  # the session ends as soon as it waits, or has answered
        self._unread = bytearray()
        self._inflater: zlib._Decompress | None = None
        self._deflater: zlib._Compress | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._waiting_since = 0.0
        self._writable: asyncio.Event | None = None
        self._is_reading = True
        self._is_handshaking = False
        self._is_eof = False
        self._is_lost = False
        self._linger: asyncio.TimerHandle | None = None
        # Counts the connection as an account's; False when that one has too many. The listener's to fill in.
        self.settle: Callable[[Hashable], bool] = lambda _account: True

    # -- what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self.client = str(peer[0]) if peer else "0.0.0.0"  # noqa: S104 - gone already; nothing is bound
        self.is_tls = transport.get_extra_info("ssl_object") is not None
        self._began(self)

    def data_received(self, data: bytes) -> None:
        """Keep what came, and stop reading when the session is behind."""
        self._unread += data
        if len(self._unread) > MAX_UNREAD and not self._is_handshaking:
            self._read(False)
        self._wake()

    def eof_received(self) -> bool:
        """The client says no more; what it asked is still answered (a half-closed `nc` reads on)."""
        self._is_eof = True
        self._wake()
        return not self.is_tls

    def pause_writing(self) -> None:
        """The client does not take what we write."""
        self._writable = asyncio.Event()

    def resume_writing(self) -> None:
        """It does again."""
        if self._writable is not None:
            self._writable.set()
            self._writable = None

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._is_lost = self._is_eof = True
        if self._linger is not None:
            self._linger.cancel()
        self.resume_writing()
        self._wake()
        self._ended(self)

    # -- what the session calls

    @property
    def has_begun(self) -> bool:
        """Whether the connection has been made."""
        return self._transport is not None

    @property
    def server(self) -> str:
        """Our own address of this connection."""
        name = self._transport.get_extra_info("sockname") if self._transport is not None else None
        return str(name[0]) if isinstance(name, tuple) else "0.0.0.0"  # noqa: S104 - nothing is bound

    @property
    def is_gone(self) -> bool:
        """Whether nobody is there any more."""
        return self._is_lost

    @property
    def is_at_end(self) -> bool:
        """Whether everything the client says has been read."""
        return self._is_eof and not self.has_unread

    @property
    def has_unread(self) -> bool:
        """Whether something waits to be read."""
        return bool(self._unread) or self._has_more_inflated()

    async def wait_readable(self, seconds: float) -> None:
        """Return when there is something to read, or the end of it. Raises `Silent`, `Draining`."""
        while not self.has_unread and not self._is_eof:
            if self.farewell is not None:
                raise Draining(self.farewell)
            self._waiter = self._loop.create_future()
            self._waiting_since = self._loop.time()
            timer = self._loop.call_later(seconds, self._silent, self._waiter)
            try:
                await self._waiter
            finally:
                timer.cancel()
                self._waiter = None

    async def read(self, seconds: float) -> bytes:
        """Return what came, at least a byte.

        Raises `Gone` at the end of what the client says, `Silent` after so many seconds, `Draining`.
        """
        while True:
            await self.wait_readable(seconds)
            data = self.take()
            if data:
                return data
            if self._is_eof and not self.has_unread:
                raise Gone

    def take(self) -> bytes:
        """Return what came so far, maybe nothing. Raises `Gone` when compressed input is broken."""
        if self._inflater is None:
            data = bytes(self._unread)
            self._unread.clear()
        else:
            source = self._inflater.unconsumed_tail + self._unread
            self._unread.clear()
            try:
                data = self._inflater.decompress(source, MAX_INFLATED)
            except zlib.error as error:
                raise Gone from error
            if self._inflater.eof:
                self._is_eof = True
        if not self._is_handshaking:
            self._read(True)
        return data

    def acknowledge(self) -> None:
        """Acknowledge at once what has come, for a client that writes one thing in two pieces."""
        if not self.is_tls and self._transport is not None:
            connection = self._transport.get_extra_info("socket")
            if connection is not None:
                acknowledge_now(connection)

    def write(self, data: bytes) -> None:
        """Send, soon. Whoever writes much awaits `drained` in between."""
        if self._transport is None or self._is_lost or not data:
            return
        if self._deflater is not None:
            data = self._deflater.compress(data) + self._deflater.flush(zlib.Z_SYNC_FLUSH)
        self._transport.write(data)

    async def drained(self) -> None:
        """Wait until the client has taken most of what was written. Raises `Gone`."""
        if self._writable is not None:
            try:
                async with asyncio.timeout(WRITE_SECONDS):
                    await self._writable.wait()
            except TimeoutError as error:
                self.abort()
                raise Gone from error
        if self._is_lost:
            raise Gone

    async def start_tls(self, tls: ServerTls, seconds: float) -> None:
        """Put TLS on the connection, behind what was written. What came before in plain text is dropped.

        Raises `Gone`, with the reason, when the client could not.
        """
        assert self._transport is not None
        self._read(False)
        self._unread.clear()
        self._is_handshaking = True
        try:
            upgraded = await self._loop.start_tls(
                self._transport, self, tls.context, server_side=True, ssl_handshake_timeout=seconds
            )
        except (OSError, RuntimeError) as error:  # ssl.SSLError and time-outs are OSErrors
            self.abort()
            raise Gone(str(error)) from error
        finally:
            self._is_handshaking = False
        if upgraded is None:  # without an error: the client left in the middle
            self.abort()
            raise Gone("left during the handshake")
        self._transport = upgraded
        self._is_reading = True
        self.is_tls = True

    def start_compression(self) -> None:
        """From here on both directions are DEFLATE (RFC 4978 4)."""
        self._deflater = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)

    @property
    def is_compressed(self) -> bool:
        """Whether compression is on."""
        return self._deflater is not None

    def drain(self) -> None:
        """Have the session hear that the worker stops, as soon as it waits for its client."""
        self._say_farewell(Farewell.SHUTTING_DOWN)

    def dismiss(self) -> None:
        """End: who signed in may not stay. An answer under way is cut soon."""
        self._say_farewell(Farewell.NOT_ANY_MORE)
        if self._waiter is None:
            self._linger = self._loop.call_later(DISMISSED_SECONDS, self.abort)

    @property
    def waiting_since(self) -> float | None:
        """Since when the session has waited for its client; None while it is at work."""
        return self._waiting_since if self._waiter is not None else None

    def give_way(self) -> None:
        """End: the house is full, and this client is the one that says nothing."""
        self._say_farewell(Farewell.MAKING_ROOM)

    def let_go(self) -> None:
        """End: what came so far takes memory that others need, and only a whole command could be refused."""
        self._say_farewell(Farewell.TOO_MUCH)

    def interrupt(self) -> None:
        """Have whoever waits for the client hear `Silent` now."""
        if self._waiter is not None:
            self._silent(self._waiter)

    def close(self) -> None:
        """Close when everything is sent, and cut the connection if the client does not take it."""
        transport = self._transport
        if transport is None or self._is_lost or transport.is_closing():
            return
        transport.close()
        if self._linger is not None:
            self._linger.cancel()
        self._linger = self._loop.call_later(LINGER_SECONDS, transport.abort)

    def abort(self) -> None:
        """Cut the connection."""
        if self._transport is not None and not self._is_lost:
            self._transport.abort()

    # -- small things

    def _say_farewell(self, farewell: Farewell) -> None:
        self.farewell = farewell
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(Draining(farewell))

    def _has_more_inflated(self) -> bool:
        return self._inflater is not None and bool(self._inflater.unconsumed_tail)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    @staticmethod
    def _silent(waiter: asyncio.Future[None]) -> None:
        if not waiter.done():
            waiter.set_exception(Silent())

    def _read(self, wanted: bool) -> None:
        transport = self._transport
        if transport is None or self._is_lost or transport.is_closing() or wanted == self._is_reading:
            return
        self._is_reading = wanted
        if wanted:
            transport.resume_reading()
        else:
            transport.pause_reading()
