"""Connections to other mail servers: asyncio around the SMTP client engine.

A session is opened (addresses, greeting, TLS, sign-in) by a coroutine; after that mails go out and outcomes
come in by callbacks, without a task switch a mail. RFC 5321 4.5.3.2 (time-outs), RFC 7435 (opportunistic
TLS), RFC 8314.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from postroad.protocols.smtp.client import ClientConfig, SmtpClient
from postroad.protocols.smtp.envelope import Envelope
from postroad.protocols.smtp.outcomes import (
    TIMEOUTS,
    ClientEvent,
    EnvelopeDone,
    HandshakeWanted,
    Outcome,
    Ready,
    SessionEnded,
    SessionFailed,
    Stage,
)
from postroad.transport.delivery.destinations import Host
from postroad.transport.delivery.source import Failure

CONNECT_SECONDS = 30.0  # Postfix smtp_connect_timeout
SETUP_SECONDS = 300.0  # greeting, TLS and sign-in together
IDLE_SECONDS = 5.0  # an idle connection is kept so long (Postfix: 2 s cached, and longer under load)
TICK_SECONDS = 5.0  # how exactly time-outs are kept


class CannotConnect(Exception):
    """No session could be opened there; `failure` is what the senders are told."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.text)
        self.failure = failure


class TlsBroken(CannotConnect):
    """The host offers TLS and cannot do it: without TLS it may work."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. Stages have those of RFC 5321 4.5.3.2, bounded by `longest`."""

    connect: float = CONNECT_SECONDS
    setup: float = SETUP_SECONDS
    idle: float = IDLE_SECONDS
    longest: float = 600.0


class Session(asyncio.Protocol):
    """One connection to one host. After `open`, `submit` sends and `on_done` hears.

    `on_room` is called whenever one more mail could go out; `on_closed` once, at the end, with what ended it
    when that was not our wish.
    """

    def __init__(
        self, host: Host, address: str, config: ClientConfig, timeouts: Timeouts, *, is_tls: bool = False
    ) -> None:
        """`is_tls`: TLS from the first byte (RFC 8314 3.3)."""
        self.host = host
        self.address = address
        self.submitted = 0
        self.answered = 0  # mails whose outcome was heard here; counted by who listens
        self.is_ready = False
        self.is_given_up = False  # by us, for a reason that is not the host's
        self._engine = SmtpClient(config, is_tls)
        self._is_tls_at_once = is_tls
        self._timeouts = timeouts
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._setup: asyncio.Future[Ready | HandshakeWanted] = self._loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._active_at = self._loop.time()
        self._unsent = 0
        self._is_quitting = False
        self._is_shaking_hands = False
        self._ended: Failure | None = None
        self._on_done: Callable[[int, tuple[Outcome, ...]], None] = lambda _key, _outcomes: None
        self._on_room: Callable[[], None] = lambda: None
        self._on_closed: Callable[[Failure | None], None] = lambda _failure: None

    @property
    def remote(self) -> str:
        """Who this is, for notices, events and logs: `mx.example.org [192.0.2.1]`."""
        return f"{self.host.name} [{self.address}]"

    @property
    def offers_dsn(self) -> bool:
        """Whether the host takes over the duty of telling the sender (RFC 3461)."""
        return self._engine.extensions.dsn

    @property
    def is_tls(self) -> bool:
        """Whether what is sent is encrypted."""
        return self._engine.is_tls

    @property
    def max_recipients(self) -> int | None:
        """RFC 9422 RCPTMAX."""
        return self._engine.extensions.recipients

    @property
    def wants_more(self) -> bool:
        """Whether one more mail can be submitted now."""
        return self._engine.wants_more and not self._is_quitting

    @property
    def unfinished(self) -> int:
        """How many mails are on their way."""
        return self._engine.unfinished

    @property
    def silent_seconds(self) -> float:
        """How long the host has let us wait for something it owes us."""
        if self._engine.stage_awaited is None:
            return 0.0
        return self._loop.time() - self._active_at

    @property
    def has_sent_content(self) -> bool:
        """Whether the host has a whole mail and owes us its answer: ended now, it may arrive twice."""
        return self._engine.stage_awaited is Stage.CONTENT

    async def open(self, tls: ssl.SSLContext) -> None:
        """Connect and set the session up. Raises `CannotConnect`, `TlsBroken`."""
        loop = self._loop
        try:
            async with asyncio.timeout(self._timeouts.connect):
                if self._is_tls_at_once:
                    name = self.host.name.strip("[]")
                    await loop.create_connection(
                        lambda: self, self.address, self.host.port, ssl=tls, server_hostname=name
                    )
                else:
                    await loop.create_connection(lambda: self, self.address, self.host.port)
        except TimeoutError:
            raise CannotConnect(self._failure(0, "4.4.1", "the connection timed out")) from None
        except ssl.SSLError as error:
            raise TlsBroken(self._failure(0, "4.7.5", f"the TLS handshake failed: {error}")) from None
        except OSError as error:
            text = f"cannot connect: {error.strerror or error}"
            raise CannotConnect(self._failure(0, "4.4.1", text)) from None
        try:
            async with asyncio.timeout(self._timeouts.setup):
                while isinstance(await self._setup, HandshakeWanted):
                    self._setup = loop.create_future()
                    await self._shake_hands(tls)
        except TimeoutError:
            raise CannotConnect(
                self._failure(0, "4.4.2", f"no answer in time ({self._engine.stage_awaited})")
            ) from None
        finally:
            if not self.is_ready:
                self.abort()

    def start(
        self,
        on_done: Callable[[int, tuple[Outcome, ...]], None],
        on_room: Callable[[], None],
        on_closed: Callable[[Failure | None], None],
    ) -> None:
        """Begin to send: from now on the callbacks are called."""
        self._on_done, self._on_room, self._on_closed = on_done, on_room, on_closed
        self._active_at = self._loop.time()
        self._timer = self._loop.call_later(min(TICK_SECONDS, self._timeouts.idle), self._tick)
        if self._transport is None:
            on_closed(self._ended)
        else:
            on_room()

    def submit(self, key: int, envelope: Envelope, content: bytes) -> None:
        """Send a mail; its outcome comes to `on_done` with `key`."""
        self._active_at = self._loop.time()
        self.submitted += 1
        events = self._engine.submit(key, envelope, content)
        self._flush()
        self._handle(events)

    def quit(self) -> None:
        """End the session when what is on its way has been answered."""
        if not self._is_quitting:
            self._is_quitting = True
            self._engine.quit()
            self._flush()

    def give_up(self, text: str) -> None:
        """Drop the connection for the host's own fault."""
        self._lose(text)

    def abort(self, text: str = "given up") -> None:
        """Drop the connection at once; what is on its way is told as failed."""
        self.is_given_up = True
        self._lose(text)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._is_shaking_hands:
            return
        self._active_at = self._loop.time()
        events = self._engine.receive(data)
        self._flush()
        self._handle(events)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self._is_shaking_hands:
            return
        text = "the connection was lost" if exc is None else f"the connection was lost: {exc}"
        self._lose(text)

    # Inside

    async def _shake_hands(self, tls: ssl.SSLContext) -> None:
        if self._transport is None:
            raise TlsBroken(self._failure(0, "4.7.5", "the connection was lost before the TLS handshake"))
        self._is_shaking_hands = True
        try:
            transport = await self._loop.start_tls(
                self._transport,
                self,
                tls,
                server_hostname=self.host.name.strip("[]"),
                ssl_handshake_timeout=min(60.0, self._timeouts.setup),
            )
        except (OSError, ssl.SSLError, TimeoutError) as error:
            self._transport.abort()
            self._transport = None
            raise TlsBroken(self._failure(0, "4.7.5", f"the TLS handshake failed: {error}")) from None
        finally:
            self._is_shaking_hands = False
        if transport is None:
            raise TlsBroken(self._failure(0, "4.7.5", "the connection was lost in the TLS handshake"))
        self._transport = transport
        self._engine.tls_established()
        self._flush()

    def _flush(self) -> None:
        pieces = self._engine.pieces_to_send()
        if pieces and self._transport is not None and not self._transport.is_closing():
            self._transport.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def _handle(self, events: Sequence[ClientEvent]) -> None:
        for event in events:
            if isinstance(event, EnvelopeDone):
                self._on_done(event.key, event.outcomes)
            elif isinstance(event, (Ready, HandshakeWanted)):
                self.is_ready = isinstance(event, Ready)
                if not self._setup.done():
                    self._setup.set_result(event)
            elif isinstance(event, SessionFailed):
                failure = self._failure(event.code, event.status, event.text, event.stage)
                kind = TlsBroken if event.stage is Stage.TLS else CannotConnect
                if not self._setup.done():
                    self._setup.set_exception(kind(failure))
                self._close(failure)
            elif isinstance(event, SessionEnded):
                self._close(None if self._is_quitting else self._failure(421, "4.4.2", event.text))
                return
        if self.is_ready:
            self._on_room()

    def _failure(self, code: int, status: str, text: str, stage: Stage | None = None) -> Failure:
        # RFC 5321 3.1: even a 5xx greeting speaks of the host, not of the mail: another time, another answer.
        if status.startswith("5"):
            status = f"4{status[1:]}"
        where = f" ({stage})" if stage is not None and code else ""
        shown = f"{code} {text}" if code >= 500 else text
        return Failure(code if 400 <= code < 500 else 451, status or "4.4.0", f"{shown}{where}", self.remote)

    def _lose(self, text: str) -> None:
        if self._transport is None and self._ended is not None:
            return
        events = self._engine.connection_lost(text)
        self._ended = self._ended or self._failure(0, "4.4.2", text)
        self._handle(events)
        self._close(self._ended)

    def _close(self, failure: Failure | None) -> None:
        transport, self._transport = self._transport, None
        self._ended = failure
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if transport is not None:
            if failure is None:
                transport.close()
            else:
                transport.abort()
        if not self._setup.done():
            self._setup.set_exception(CannotConnect(failure or self._failure(0, "4.4.2", "closed")))
            self._setup.exception()
        on_closed, self._on_closed = self._on_closed, lambda _failure: None
        on_closed(failure)

    def _tick(self) -> None:
        if self._transport is None:
            return
        now = self._loop.time()
        waited = now - self._active_at
        stage = self._engine.stage_awaited
        unsent = self._transport.get_write_buffer_size()
        if unsent and unsent != self._unsent:
            self._active_at = now  # a slow line, but it moves
        elif stage is None or not (self._engine.unfinished or self._is_quitting):
            if waited >= self._timeouts.idle:
                self.quit()
        elif waited >= min(TIMEOUTS[stage], self._timeouts.longest):
            self._lose(f"no answer in time ({stage})")
            return
        self._unsent = unsent
        self._timer = self._loop.call_later(min(TICK_SECONDS, self._timeouts.idle), self._tick)
