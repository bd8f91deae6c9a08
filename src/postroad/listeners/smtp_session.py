"""One SMTP connection: bytes between the socket and the engine, questions to the acceptor, time.

No decision about mail is made here. Every question gets an answer: whatever fails behind the acceptor is a
451 and an event in the log, never a socket closed without a word.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, cast

import structlog

from postroad.listeners.budget import ContentBudget, Share
from postroad.listeners.interfaces import Acceptor, SignIn
from postroad.listeners.limits import Connections, Network, is_within
from postroad.listeners.smtp_metrics import DoorMetrics
from postroad.listeners.sockets import acknowledge_now
from postroad.listeners.tls import ServerTls
from postroad.protocols.smtp.envelope import Principal, Role, SessionInfo
from postroad.protocols.smtp.events import (
    Authenticate,
    Closing,
    ContentAnnounced,
    Event,
    Greeted,
    MailFrom,
    MessageComplete,
    MessageRefused,
    Question,
    Quit,
    RecipientGiven,
    StartTls,
)
from postroad.protocols.smtp.limits import ServerLimits
from postroad.protocols.smtp.replies import SmtpReply
from postroad.protocols.smtp.server import ServerConfig, SmtpServer
from postroad.protocols.smtp.states import State

# What a client may send ahead while its last command is being judged; RFC 2920 leaves it to the TCP window,
# and this is about one.
MAX_READ_AHEAD = 256 * 1024
LINGER_SECONDS = 10.0  # for a client to read our last words before the connection is cut

_NO_ROOM: Final = SmtpReply(452, "4.3.1", "Too much mail is coming in at once; try again")
_FAILED: Final = SmtpReply(451, "4.3.0", "Something went wrong here; try again later")
_BROKEN: Final = SmtpReply(421, "4.3.0", "Something went wrong here; try again later")
_TOO_SLOW: Final = SmtpReply(451, "4.3.0", "Could not be saved in time; try again later")
_TOO_MANY: Final = SmtpReply(421, "4.7.0", "Too many connections; try again later")
_MAKING_ROOM: Final = SmtpReply(421, "4.7.0", "Too many connections, and this one was idle; try again later")
_IDLE: Final = SmtpReply(421, "4.4.2", "Nothing was heard for too long; closing")
_TOO_LONG: Final = SmtpReply(421, "4.4.2", "The session lasted too long without a mail; closing")
_TOO_MANY_OF_ACCOUNT: Final = SmtpReply(454, "4.7.0", "Too many connections of this account")
_NOT_ANY_MORE: Final = SmtpReply(
    421, "4.7.0", "The account or its password has changed; connect and sign in again"
)
_DRAINED: Final = SmtpReply(421, "4.3.2", "Shutting down; connect again")


@dataclass(frozen=True, slots=True)
class Door:
    """What all sessions of one door share."""

    role: Role
    hostname: str
    limits: ServerLimits
    plain_auth_networks: tuple[Network, ...]
    acceptor: Acceptor
    sign_in: SignIn
    connections: Connections
    budget: ContentBudget
    metrics: DoorMetrics
    tls: ServerTls | None


class SmtpSession(asyncio.Protocol):
    """The asyncio side of one connection."""

    def __init__(
        self,
        door: Door,
        opened: Callable[[SmtpSession], None],
        closed: Callable[[SmtpSession], None],
        is_admitted: bool = False,
    ) -> None:
        """`is_admitted`: the client has been counted in already, before a handshake."""
        self._door = door
        self._opened = opened
        self._closed = closed
        self._is_admitted = is_admitted
        self._loop = asyncio.get_running_loop()
        self._log = structlog.get_logger("smtp")
        self._transport: asyncio.Transport | None = None
        self._engine: SmtpServer | None = None  # None when the connection was turned away
        self._client = ""
        self._principal: Principal | None = None
        self._tls_version = ""
        self._tls_cipher = ""
        self._info: SessionInfo | None = None  # made when asked for, forgotten when something in it changes
        self._work: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._heard_at = 0.0
        self._asked_at = 0.0  # when the open question was put to the acceptor
        self._is_overdue = False  # its work is being cancelled for taking too long
        self._result_at = 0.0  # when the session last brought a mail, or began
        self._share: Share | None = None
        self._unwatch: Callable[[], None] | None = None
        self._is_dismissed = False
        self._is_reading = True
        self._is_writable = True
        self._is_handshaking = False
        self._early: list[bytes] = []
        self._is_ended = False  # nothing more is read
        self._is_lost = False

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Admit the client and say the banner."""
        self._transport = cast(asyncio.Transport, transport)
        self._opened(self)
        door = self._door
        peer = transport.get_extra_info("peername")
        self._client = str(peer[0]) if peer else "0.0.0.0"  # noqa: S104 - gone already; nothing is bound
        if not self._is_admitted and not door.connections.admit(self._client):
            door.metrics.turned_away.inc()
            self._transport.write(_TOO_MANY.render())
            self._close_transport()
            return
        door.connections.join(self._client, self)
        self._share = door.budget.share(self._client, self)
        door.metrics.admitted.inc()
        door.metrics.open.inc()
        is_tls_first = door.role is Role.SUBMISSIONS
        self._engine = SmtpServer(
            ServerConfig(
                door.hostname,
                door.limits,
                offers_starttls=door.tls is not None and not is_tls_first,
                allows_plain_auth=is_within(self._client, door.plain_auth_networks),
                requires_auth=door.role is not Role.MX,
            ),
            is_tls=is_tls_first,
        )
        self._heard_at = self._result_at = self._loop.time()
        self._arm_timer()
        if is_tls_first:
            self._note_tls(self._transport)
        self._engine.greet()
        self._settle()

    def data_received(self, data: bytes) -> None:
        """Feed the engine."""
        engine = self._engine
        if engine is None or self._is_ended:
            return
        self._heard_at = self._loop.time()
        if self._is_handshaking:
            # Reading in plain text has stopped: this came under TLS, ahead of the news that it is up.
            self._early.append(data)
            return
        self._observe(engine.receive(data))
        if self._work is not None:
            if engine.bytes_held > MAX_READ_AHEAD:
                self._read(False)
        elif engine.question is not None:
            self._start(self._answer())  # and all replies leave in one write behind it
        else:
            self._settle()

    def eof_received(self) -> bool:
        """The client says no more. What it asked is still answered (a half-closed `nc` reads on)."""
        if self._work is None:
            self._close_transport()
        else:
            self._is_ended = True
        return not self._tls_version

    def pause_writing(self) -> None:
        """The client does not read its replies: read nothing more from it until it does."""
        self._is_writable = False
        self._read(False)

    def resume_writing(self) -> None:
        """The client has read its replies."""
        self._is_writable = True
        if self._work is None:
            self._read(True)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone. A mail that is being saved is saved: its client may have heard nothing of
        it.
        """
        self._is_ended = self._is_lost = True
        if self._timer is not None:
            self._timer.cancel()
        if self._unwatch is not None:
            self._unwatch()
        if self._engine is not None:
            self._door.connections.release(self._client, self)
            self._door.metrics.open.dec()
            if self._work is None:
                self._hold(0)
        self._closed(self)

    # What the listener calls.

    @property
    def has_begun(self) -> bool:
        """Whether the connection has been made."""
        return self._transport is not None

    @property
    def waiting_since(self) -> float | None:
        """Since when the client has said nothing; None while a question of its is being answered."""
        return self._heard_at if self._work is None and not self._is_ended else None

    def give_way(self) -> None:
        """Close: the house is full, and this client is the one that says nothing."""
        self._end(_MAKING_ROOM)

    def let_go(self) -> None:
        """Keep nothing of the mail that is coming: its memory is needed, and its client sends slowly."""
        engine = self._engine
        if engine is not None and engine.question is None and engine.state in (State.CONTENT, State.CHUNK):
            engine.refuse_content(_NO_ROOM)

    def dismiss(self) -> None:
        """End, once the mail in hand is saved: who signed in may not stay."""
        self._is_dismissed = True
        if self._work is None:
            self._end(_NOT_ANY_MORE)

    def drain(self) -> None:
        """End as soon as no mail is in hand."""
        if self._engine is None or self._is_ended:
            return
        if self._is_handshaking:
            self.abort()
            return
        self._observe(self._engine.drain())
        if self._work is None:
            self._settle()

    def abort(self) -> None:
        """End now, whatever is in hand."""
        if self._work is not None:
            self._work.cancel()
        self._end(_DRAINED)

    # Questions.

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._work = self._loop.create_task(work)

    async def _answer(self) -> None:
        """Answer the open question and those behind it."""
        engine = self._engine
        assert engine is not None
        try:
            while (question := engine.question) is not None:
                if isinstance(question, StartTls):
                    await self._start_tls(engine)
                    continue
                refusal, text = await self._judge(question)
                if self._is_lost or engine.question is not question:
                    break  # the session was ended meanwhile
                self._observe(engine.accept(text) if refusal is None else engine.reject(refusal))
        except Exception:
            # A mistake of ours outside the acceptor: the client hears a last word all the same.
            self._log.exception("smtp.broken", client=self._client)
            self._door.metrics.failures.inc()
            self._end(_BROKEN)
        finally:
            self._work = None
            if self._is_lost:
                self._hold(0)
        self._heard_at = self._loop.time()
        if self._is_dismissed:
            self._end(_NOT_ANY_MORE)
            return
        self._settle()

    async def _judge(self, question: Question) -> tuple[SmtpReply | None, str]:
        """Return the refusal, or None and the text behind 250."""
        door = self._door
        text = ""
        refusal: SmtpReply | None = None
        word = _WORDS.get(type(question), "")
        self._asked_at = self._loop.time()
        self._is_overdue = False
        try:
            match question:
                case MailFrom():
                    await door.acceptor.sender(question.envelope(), self._session_info())
                case RecipientGiven():
                    await door.acceptor.recipient(question.envelope, question.recipient, self._session_info())
                case ContentAnnounced():
                    if not door.budget.has_room_for(question.size_bytes or 0, self._loop.time()):
                        refusal = _NO_ROOM
                case MessageComplete():
                    text = await self._save(question)
                case Authenticate():
                    await self._sign_in(question)
        except SmtpReply as reply:
            refusal = _FAILED if reply.is_positive else reply
        except asyncio.CancelledError:
            if not self._is_overdue:
                raise
            self._uncancel()
            self._log.error("smtp.too-slow", question=word, client=self._client)
            door.metrics.failures.inc()
            refusal = _TOO_SLOW
        except Exception:
            self._log.exception("smtp.failed", question=word, client=self._client)
            door.metrics.failures.inc()
            refusal = _FAILED
        if word:
            door.metrics.answered(word, 2 if refusal is None else refusal.code // 100)
        return refusal, text

    def _uncancel(self) -> None:
        if self._work is not None:
            self._work.uncancel()

    async def _save(self, message: MessageComplete) -> str:
        door = self._door
        size = len(message.content)
        self._hold(size)
        try:
            queue_id = await door.acceptor.accept(message.envelope, message.content, self._session_info())
        finally:
            self._hold(0)
        door.metrics.accepted_bytes.inc(size)
        self._result_at = self._loop.time()
        return f"Ok: queued as {queue_id}"

    async def _sign_in(self, question: Authenticate) -> None:
        try:
            principal = await self._door.sign_in.check(question.username, question.password, self._client)
        except SmtpReply as reply:
            self._log.info(
                "smtp.sign-in-refused", username=question.username, client=self._client, code=reply.code
            )
            raise
        if not self._door.connections.settle(self._client, self, principal.account_id):
            raise _TOO_MANY_OF_ACCOUNT
        self._unwatch = self._door.sign_in.watch(principal, self.dismiss)
        self._principal = principal
        self._info = None
        self._result_at = self._loop.time()
        self._log.info("smtp.signed-in", account=str(principal.address), client=self._client)

    def _session_info(self) -> SessionInfo:
        info = self._info
        if info is None:
            engine = self._engine
            assert engine is not None
            info = self._info = SessionInfo(
                role=self._door.role,
                client_address=self._client,
                helo=engine.helo,
                is_extended=engine.is_extended,
                tls_version=self._tls_version,
                tls_cipher=self._tls_cipher,
                principal=self._principal,
            )
        return info

    # TLS.

    async def _start_tls(self, engine: SmtpServer) -> None:
        # Nothing more is read in plain text, so that nothing of it can be taken for what came under TLS.
        self._read(False)
        engine.accept()
        self._flush()
        if await self._shake_hands():
            engine.tls_established()
            self._observe(engine.receive(self._take_early()))

    def _take_early(self) -> bytes:
        early = b"".join(self._early)
        self._early.clear()
        return early

    async def _shake_hands(self) -> bool:
        """Put TLS on the connection; False, and the connection gone, when the client could not."""
        transport, tls = self._transport, self._door.tls
        assert transport is not None
        assert tls is not None
        self._is_handshaking = True
        try:
            upgraded = await self._loop.start_tls(
                transport,
                self,
                tls.context,
                server_side=True,
                ssl_handshake_timeout=self._door.limits.handshake_seconds,
            )
        except (OSError, RuntimeError) as error:  # ssl.SSLError and time-outs are OSErrors
            self._log.info("smtp.handshake-failed", client=self._client, reason=str(error))
            upgraded = None
        finally:
            self._is_handshaking = False
        if upgraded is None:  # without an error: the client left in the middle
            self._door.metrics.handshake_failed.inc()
            self._is_ended = True
            transport.abort()
            return False
        self._transport = upgraded
        self._is_reading = True
        self._heard_at = self._loop.time()
        self._note_tls(upgraded)
        return True

    def _note_tls(self, transport: asyncio.Transport) -> None:
        agreed = transport.get_extra_info("ssl_object")
        self._tls_version = agreed.version() or ""
        cipher = agreed.cipher()
        self._tls_cipher = cipher[0] if cipher else ""
        self._info = None

    # Bytes and time.

    def _observe(self, events: list[Event]) -> None:
        """Take note of what the engine only tells."""
        for event in events:
            match event:
                case Greeted():
                    self._info = None
                case MessageRefused():
                    self._door.metrics.answered("content", event.reply.code // 100)
                case Closing():
                    self._log.info("smtp.closing", client=self._client, reply=str(event.reply))
                    self._is_ended = True
                case Quit():
                    self._is_ended = True

    def _settle(self) -> None:
        """After anything happened: send, close, read on."""
        engine, transport = self._engine, self._transport
        if engine is None or transport is None or transport.is_closing():
            return
        self._flush()
        if self._is_ended:
            self._close_transport()
            return
        if not self._hold(engine.bytes_held):
            self.let_go()
            self._hold(engine.bytes_held)
        if self._is_writable:
            self._read(True)
        if engine.is_mid_line and not self._tls_version:
            acknowledge_now(transport.get_extra_info("socket"))

    def _flush(self) -> None:
        assert self._engine is not None
        data = self._engine.bytes_to_send()
        if data and self._transport is not None:
            self._transport.write(data)

    def _hold(self, held: int) -> bool:
        """Tell the budget how many bytes of content this session holds; False when that is too much."""
        share = self._share
        return share is None or share.held == held or share.hold(held)

    def _read(self, wanted: bool) -> None:
        transport = self._transport
        if transport is None or transport.is_closing() or wanted == self._is_reading:
            return
        self._is_reading = wanted
        if wanted:
            transport.resume_reading()
        else:
            transport.pause_reading()

    def _close_transport(self) -> None:
        """Close when everything is sent, and cut the connection if the client does not take it."""
        self._is_ended = True
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        transport.close()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(LINGER_SECONDS, transport.abort)

    def _end(self, reply: SmtpReply) -> None:
        """Say a last word and close."""
        if self._is_ended or self._engine is None or self._is_handshaking or not self._is_writable:
            if self._transport is not None:
                self._transport.abort()
            return
        self._engine.close(reply)
        self._flush()
        self._close_transport()

    def _arm_timer(self) -> None:
        """Look again when something may be due: one timer a session, cheaper than one a question."""
        limits = self._door.limits
        now = self._loop.time()
        if self._work is not None and not self._is_handshaking:
            due = self._asked_at + limits.saving_seconds
        else:
            due = min(self._heard_at + limits.idle_seconds, self._result_at + limits.session_seconds)
            # A question may be put meanwhile, and then its own deadline counts.
            due = min(due, now + limits.saving_seconds)
        self._timer = self._loop.call_at(max(due, now + 0.01), self._on_timer)

    def _on_timer(self) -> None:
        now = self._loop.time()
        limits = self._door.limits
        if self._work is not None:
            # The client waits for us, not we for it. A handshake has its own deadline.
            if not self._is_handshaking and now - self._asked_at >= limits.saving_seconds:
                self._is_overdue = True
                self._work.cancel()
        elif now - self._result_at >= limits.session_seconds:
            self._door.metrics.timed_out.inc()
            self._end(_TOO_LONG)
            return
        elif now - self._heard_at >= limits.idle_seconds:
            self._door.metrics.timed_out.inc()
            self._end(_IDLE)
            return
        self._arm_timer()


_WORDS: Final[dict[type, str]] = {
    MailFrom: "mail",
    RecipientGiven: "rcpt",
    MessageComplete: "content",
    Authenticate: "auth",
}
