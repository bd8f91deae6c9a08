"""The SMTP client engine: envelopes in, bytes and outcomes out. No socket, no loop, no clock.

Where PIPELINING is offered, MAIL, every RCPT and DATA leave in one write, and the next envelope rides right
behind a body; otherwise one command at a time. Whatever happens, each recipient gets exactly one outcome.
RFC 5321, 2920 (PIPELINING), 3207 (STARTTLS), 4954 (AUTH), 1870, 6152, 6531, 3461, 9422.
"""

from __future__ import annotations

import base64
import enum
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from postroad.protocols.smtp.auth import Credentials
from postroad.protocols.smtp.content import has_bare_line_ends, with_crlf
from postroad.protocols.smtp.envelope import Envelope
from postroad.protocols.smtp.envelope_lines import mail_itself_needs_smtputf8, mail_line, recipient_line
from postroad.protocols.smtp.outcomes import (
    ClientEvent,
    EnvelopeDone,
    Extensions,
    HandshakeWanted,
    Outcome,
    Ready,
    SessionEnded,
    SessionFailed,
    Stage,
    Verdict,
    verdict_of,
)
from postroad.protocols.smtp.remote_replies import BadReply, RemoteReply, ReplyReader


class TlsUse(enum.Enum):
    """Whether STARTTLS is used. Opportunistic goes on without it when it is refused (RFC 7435)."""

    OFF = "off"
    OPPORTUNISTIC = "opportunistic"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """How the client behaves. `hostname` is what EHLO says.

    `credentials` are sent under TLS only, unless `allows_plain_auth`.
    """

    hostname: str
    tls: TlsUse = TlsUse.OPPORTUNISTIC
    credentials: Credentials | None = None
    allows_plain_auth: bool = False


class Phase(enum.Enum):
    """How far a session is set up."""

    GREETING = enum.auto()
    HELO = enum.auto()
    STARTTLS = enum.auto()
    HANDSHAKE = enum.auto()
    AUTH = enum.auto()
    READY = enum.auto()
    QUITTING = enum.auto()
    CLOSED = enum.auto()


_SETTING_UP: Final = frozenset((Phase.GREETING, Phase.HELO, Phase.STARTTLS, Phase.HANDSHAKE, Phase.AUTH))


class NotReady(RuntimeError):
    """The application asked for something that the session cannot do now."""


@dataclass(slots=True)
class _Job:
    """One mail on its way. `settled` has an outcome for each recipient that is finished, by position."""

    key: int
    envelope: Envelope
    content: bytes
    settled: dict[int, Outcome] = field(default_factory=dict)
    asked: list[int] = field(default_factory=list)  # positions to be offered in RCPT
    accepted: list[int] = field(default_factory=list)
    is_content_sent: bool = False
    is_refused: bool = False  # MAIL was refused; what RCPT says then is of no interest


class SmtpClient:
    """One session of the client. `is_tls` at the start: TLS from the first byte."""

    def __init__(self, config: ClientConfig, is_tls: bool = False) -> None:
        self._config = config
        self._phase = Phase.GREETING
        self._reader = ReplyReader()
        self._output: list[bytes] = []
        self._awaited: deque[tuple[Stage, Callable[[RemoteReply, list[ClientEvent]], None]]] = deque()
        self._waiting: deque[_Job] = deque()
        self._offering: _Job | None = None  # its MAIL, RCPT, DATA are out and its content is not
        self._ending: deque[_Job] = deque()  # content sent, final answer awaited
        self._needs_reset = False
        self._mails = 0
        self._is_quit_wanted = False
        self.extensions = Extensions()
        self.is_tls = is_tls
        self._await(Stage.GREETING, self._on_greeting)

    # What the application sees.

    @property
    def phase(self) -> Phase:
        """How far the session is."""
        return self._phase

    @property
    def stage_awaited(self) -> Stage | None:
        """What the next reply answers; None when none is awaited. `TIMEOUTS` has how long to wait."""
        return self._awaited[0][0] if self._awaited else None

    @property
    def unfinished(self) -> int:
        """How many submitted mails have no outcome yet."""
        return len(self._waiting) + len(self._ending) + (self._offering is not None)

    @property
    def wants_more(self) -> bool:
        """Whether one more mail could go on the wire now, or would ride behind the body that is being
        sent.
        """
        limit = self.extensions.mails
        return (
            self._phase is Phase.READY
            and not self._is_quit_wanted
            and not self._waiting
            and (limit is None or self._mails < limit)
        )

    def pieces_to_send(self) -> list[bytes]:
        """Return what is to be sent now, in pieces that need no copying, and forget it."""
        pieces, self._output = self._output, []
        return pieces

    def bytes_to_send(self) -> bytes:
        """Return what is to be sent now, and forget it."""
        return b"".join(self.pieces_to_send())

    def submit(self, key: int, envelope: Envelope, content: bytes) -> list[ClientEvent]:
        """Send a mail when its turn comes; `key` comes back in `EnvelopeDone`.

        Returns the events of mails that need no sending (too large for the host …).
        """
        if self._phase in (Phase.CLOSED, Phase.QUITTING) or self._is_quit_wanted:
            raise NotReady("the session is ending")
        if not envelope.recipients:
            raise NotReady("a mail without recipients")
        self._waiting.append(_Job(key, envelope, content))
        events: list[ClientEvent] = []
        self._go_on(events)
        return events

    def quit(self) -> None:
        """End the session once everything submitted is finished."""
        self._is_quit_wanted = True
        self._go_on([])

    def receive(self, data: bytes) -> list[ClientEvent]:
        """Take bytes from the server; return what they mean."""
        events: list[ClientEvent] = []
        if self._is_closed():
            return events
        self._reader.feed(data)
        try:
            while not self._is_closed() and (reply := self._reader.next()) is not None:
                self._on_reply(reply, events)
                if self._phase is Phase.HANDSHAKE and not self._reader.is_empty:
                    # CVE-2011-0411 from the other side: what came in plain text must not be read under TLS.
                    raise BadReply("data behind the answer to STARTTLS")
        except BadReply as error:
            self._end(0, "", f"Bad answer from the host: {error}", events)
        return events

    def tls_established(self) -> None:
        """The handshake is done: all that was learnt before it is forgotten (RFC 3207 4.2)."""
        if self._phase is not Phase.HANDSHAKE:
            raise NotReady("no handshake was wanted")
        self.is_tls = True
        self.extensions = Extensions()
        self._say_ehlo()

    def connection_lost(self, text: str = "The connection was lost") -> list[ClientEvent]:
        """The connection is gone, or was given up: settle whatever is not finished."""
        events: list[ClientEvent] = []
        if self._phase is not Phase.CLOSED:
            self._end(0, "", text, events)
        return events

    # The machine.

    def _is_closed(self) -> bool:
        return self._phase is Phase.CLOSED

    def _await(self, stage: Stage, handler: Callable[[RemoteReply, list[ClientEvent]], None]) -> None:
        self._awaited.append((stage, handler))

    def _say(
        self, line: str, stage: Stage, handler: Callable[[RemoteReply, list[ClientEvent]], None]
    ) -> None:
        self._output.append(line.encode("ascii") + b"\r\n")
        self._await(stage, handler)

    def _on_reply(self, reply: RemoteReply, events: list[ClientEvent]) -> None:
        if self._awaited:
            _, handler = self._awaited.popleft()
            handler(reply, events)
        elif reply.code != 421:
            raise BadReply(f"an answer to nothing: {reply}")
        # RFC 5321 3.8: 421 may answer anything, and the connection closes behind it.
        if reply.code == 421 and self._phase is not Phase.CLOSED:
            self._end(reply.code, reply.status, reply.text, events)

    def _end(self, code: int, status: str, text: str, events: list[ClientEvent]) -> None:
        """The session is over: every recipient that has no outcome gets one."""
        stage = self.stage_awaited or Stage.QUIT
        if self._phase in _SETTING_UP:
            events.append(SessionFailed(stage, code, status, text))
        self._fail_all(stage, code, status, text, events)
        if self._phase not in _SETTING_UP:
            events.append(SessionEnded(text))
        self._phase = Phase.CLOSED
        self._awaited.clear()
        self._output.clear()

    def _fail_all(self, stage: Stage, code: int, status: str, text: str, events: list[ClientEvent]) -> None:
        offering = [self._offering] if self._offering is not None else []
        for job in (*self._ending, *offering, *self._waiting):
            verdict = Verdict.UNKNOWN if job.is_content_sent else Verdict.DEFERRED
            at = Stage.CONTENT if job.is_content_sent else stage
            for position, recipient in enumerate(job.envelope.recipients):
                job.settled.setdefault(position, Outcome(recipient, verdict, at, code, status, text))
            self._finish(job, events)
        self._ending.clear()
        self._waiting.clear()
        self._offering = None

    def _fail_setup(self, stage: Stage, reply: RemoteReply, events: list[ClientEvent]) -> None:
        self._fail_setup_because(stage, reply.code, reply.status, reply.text, events)

    def _fail_setup_because(
        self, stage: Stage, code: int, status: str, text: str, events: list[ClientEvent]
    ) -> None:
        events.append(SessionFailed(stage, code, status, text))
        self._fail_all(stage, code, status, text, events)
        self._phase = Phase.CLOSED
        self._awaited.clear()

    # Setting the session up.

    def _on_greeting(self, reply: RemoteReply, events: list[ClientEvent]) -> None:
        if reply.code // 100 != 2:
            self._fail_setup(Stage.GREETING, reply, events)
            return
        self._say_ehlo()

    def _say_ehlo(self) -> None:
        self._phase = Phase.HELO
        self._say(f"EHLO {self._config.hostname}", Stage.HELO, self._on_ehlo)

    def _on_ehlo(self, reply: RemoteReply, events: list[ClientEvent]) -> None:
        if reply.code // 100 == 5:  # RFC 5321 3.2: an old server; HELO is what it knows
            self._say(f"HELO {self._config.hostname}", Stage.HELO, self._on_helo)
        elif reply.code // 100 != 2:
            self._fail_setup(Stage.HELO, reply, events)
        else:
            self.extensions = Extensions.parse(reply)
            self._after_helo(events)

    def _on_helo(self, reply: RemoteReply, events: list[ClientEvent]) -> None:
        if reply.code // 100 != 2:
            self._fail_setup(Stage.HELO, reply, events)
        else:
            self._after_helo(events)

    def _after_helo(self, events: list[ClientEvent]) -> None:
        if not self.is_tls and self._config.tls is not TlsUse.OFF:
            if self.extensions.starttls:
                self._phase = Phase.STARTTLS
                self._say("STARTTLS", Stage.TLS, self._on_starttls)
                return
            if self._config.tls is TlsUse.REQUIRED:
                self._fail_setup_because(Stage.TLS, 0, "4.7.10", "The host does not offer TLS", events)
                return
        self._sign_in(events)

    def _on_starttls(self, reply: RemoteReply, events: list[ClientEvent]) -> None:
        if reply.code == 220:
            self._phase = Phase.HANDSHAKE
            events.append(HandshakeWanted())
        elif self._config.tls is TlsUse.REQUIRED:
            self._fail_setup(Stage.TLS, reply, events)
        else:
            self._sign_in(events)

    def _sign_in(self, events: list[ClientEvent]) -> None:
        credentials = self._config.credentials
        if credentials is None:
            self._become_ready(events)
            return
        self._phase = Phase.AUTH
        if not (self.is_tls or self._config.allows_plain_auth):
            self._fail_setup_because(Stage.AUTH, 0, "4.7.11", "The password is not sent without TLS", events)
        elif "PLAIN" in self.extensions.auth:
            response = _base64(f"\0{credentials.username}\0{credentials.password}")
            self._say(f"AUTH PLAIN {response}", Stage.AUTH, self._on_signed_in)
        elif "LOGIN" in self.extensions.auth:
            self._say("AUTH LOGIN", Stage.AUTH, self._on_login_username)
        else:
            self._fail_setup_because(Stage.AUTH, 0, "4.7.4", "The host offers no sign-in known here", events)

    def _on_login_username(self, reply: RemoteReply, events: list[ClientEvent]) -> None:
        assert self._config.credentials is not None
        if reply.code == 334:
            self._say(_base64(self._config.credentials.username), Stage.AUTH, self._on_login_password)
        else:
            self._fail_setup(Stage.AUTH, reply, events)

    def _on_login_password(self, reply: RemoteReply, events: list[ClientEvent]) -> None:
        assert self._config.credentials is not None
        if reply.code == 334:
            self._say(_base64(self._config.credentials.password), Stage.AUTH, self._on_signed_in)
        else:
            self._fail_setup(Stage.AUTH, reply, events)

    def _on_signed_in(self, reply: RemoteReply, events: list[ClientEvent]) -> None:
        if reply.code // 100 == 2:
            self._become_ready(events)
        else:
            self._fail_setup(Stage.AUTH, reply, events)

    def _become_ready(self, events: list[ClientEvent]) -> None:
        self._phase = Phase.READY
        events.append(Ready(self.extensions))
        self._go_on(events)

    # Envelopes.

    def _go_on(self, events: list[ClientEvent]) -> None:
        """Put the next envelope on the wire if there is one and the wire is free for it."""
        while (
            self._phase is Phase.READY
            and self._offering is None
            and self._waiting
            # The next envelope rides behind a body only where the server said it reads ahead (RFC 2920 3.1).
            and (self.extensions.pipelining or not self._awaited)
        ):
            job = self._waiting.popleft()
            if self._prepare(job, events):
                self._offer(job)
        if self._is_quit_wanted and self._phase is Phase.READY and not self.unfinished:
            self._phase = Phase.QUITTING
            self._say("QUIT", Stage.QUIT, self._on_quit)

    def _on_quit(self, reply: RemoteReply, events: list[ClientEvent]) -> None:
        self._phase = Phase.CLOSED
        events.append(SessionEnded(reply.text))

    def _prepare(self, job: _Job, events: list[ClientEvent]) -> bool:
        """Make the content fit to be sent and settle who cannot be served here; return whether anybody is
        left.
        """
        # Whatever is stored elsewhere, a bare CR or LF never leaves this house: it would smuggle. Nor does
        # NUL, which some hosts drop: a dot behind one would then stand at the beginning of its line.
        if b"\0" in job.content:
            job.content = job.content.replace(b"\0", b"")
        if has_bare_line_ends(job.content):
            job.content = with_crlf(job.content)
        if job.content and not job.content.endswith(b"\r\n"):
            job.content += b"\r\n"
        extensions = self.extensions
        recipients = job.envelope.recipients
        if extensions.size_bytes is not None and len(job.content) > extensions.size_bytes:
            text = f"The host takes mails of at most {extensions.size_bytes} bytes"
            self._settle(job, range(len(recipients)), Verdict.REFUSED, Stage.MAIL, 552, "5.3.4", text)
        elif not extensions.smtputf8:
            # RFC 6531 3.2: what needs SMTPUTF8 must not go to a host without it.
            for_all = mail_itself_needs_smtputf8(job.envelope, job.content)
            barred = [i for i, r in enumerate(recipients) if for_all or not r.address.is_ascii]
            text = "The host does not take internationalised mail (SMTPUTF8)"
            self._settle(job, barred, Verdict.REFUSED, Stage.MAIL, 550, "5.6.7", text)
        job.asked = [position for position in range(len(recipients)) if position not in job.settled]
        if job.asked:
            return True
        self._finish(job, events)
        return False

    def _offer(self, job: _Job) -> None:
        self._offering = job
        self._mails += 1
        if self._needs_reset:
            self._needs_reset = False
            self._output.append(b"RSET\r\n")
            self._await(Stage.RESET, _ignore)
        self._output.append(mail_line(job.envelope, job.content, self.extensions))
        self._await(Stage.MAIL, self._on_mail)
        if self.extensions.pipelining:
            for position in job.asked:
                self._offer_recipient(job, position)
            self._offer_content()

    def _offer_recipient(self, job: _Job, position: int) -> None:
        self._output.append(recipient_line(job.envelope.recipients[position], self.extensions))

        def answered(reply: RemoteReply, events: list[ClientEvent]) -> None:
            self._on_recipient(job, position, reply, events)

        self._await(Stage.RCPT, answered)

    def _offer_content(self) -> None:
        self._output.append(b"DATA\r\n")
        self._await(Stage.DATA, self._on_data)

    def _on_mail(self, reply: RemoteReply, events: list[ClientEvent]) -> None:
        job = self._offered()
        if reply.code // 100 != 2:
            job.is_refused = True
            self._settle_by(job, job.asked, Stage.MAIL, reply)
        if self.extensions.pipelining:
            return
        if job.is_refused:
            self._give_up_offer(job, events)
        else:
            self._offer_recipient(job, job.asked[0])

    def _on_recipient(self, job: _Job, position: int, reply: RemoteReply, events: list[ClientEvent]) -> None:
        if not job.is_refused:
            if reply.code // 100 == 2:
                job.accepted.append(position)
            else:
                self._settle_by(job, (position,), Stage.RCPT, reply)
        if self.extensions.pipelining:
            return
        following = job.asked.index(position) + 1
        if reply.code == 421:
            return  # the session ends behind it
        if following < len(job.asked):
            self._offer_recipient(job, job.asked[following])
        elif job.accepted:
            self._offer_content()
        else:
            self._give_up_offer(job, events)

    def _on_data(self, reply: RemoteReply, events: list[ClientEvent]) -> None:
        job = self._offered()
        if reply.code // 100 == 2:
            raise BadReply(f"DATA was answered {reply}")
        if reply.code // 100 != 3:
            self._settle_by(job, job.accepted, Stage.DATA, reply)
            if reply.code == 421:
                return
            self._give_up_offer(job, events)
        elif job.accepted:
            self._send_content(job)
            self._go_on(events)
        else:
            # RFC 2920 3.1: 354 without any recipient; a lone dot ends it, and whatever is answered is of no
            # interest.
            self._output.append(b".\r\n")
            self._await(Stage.CONTENT, _ignore)
            self._give_up_offer(job, events)

    def _send_content(self, job: _Job) -> None:
        content = job.content
        if b"\r\n." in content:
            content = content.replace(b"\r\n.", b"\r\n..")  # RFC 5321 4.5.2
        if content.startswith(b"."):
            self._output.append(b".")
        self._output += (content, b".\r\n")
        job.content = b""
        job.is_content_sent = True
        self._offering = None
        self._ending.append(job)
        self._await(Stage.CONTENT, self._on_content)

    def _on_content(self, reply: RemoteReply, events: list[ClientEvent]) -> None:
        job = self._ending.popleft()
        self._settle_by(job, job.accepted, Stage.CONTENT, reply)
        self._finish(job, events)
        self._go_on(events)

    def _offered(self) -> _Job:
        assert self._offering is not None
        return self._offering

    def _give_up_offer(self, job: _Job, events: list[ClientEvent]) -> None:
        # RFC 5321 4.1.1.5: whatever is left of the transaction at the server is cleared before the next.
        self._needs_reset = not job.is_refused
        self._offering = None
        self._finish(job, events)
        self._go_on(events)

    def _settle_by(self, job: _Job, positions: Sequence[int], stage: Stage, reply: RemoteReply) -> None:
        self._settle(job, positions, verdict_of(stage, reply), stage, reply.code, reply.status, reply.text)

    def _settle(
        self,
        job: _Job,
        positions: Sequence[int],
        verdict: Verdict,
        stage: Stage,
        code: int,
        status: str,
        text: str,
    ) -> None:
        for position in positions:
            recipient = job.envelope.recipients[position]
            job.settled[position] = Outcome(recipient, verdict, stage, code, status, text)

    def _finish(self, job: _Job, events: list[ClientEvent]) -> None:
        settled = job.settled
        events.append(EnvelopeDone(job.key, tuple(settled[position] for position in range(len(settled)))))


def _ignore(_reply: RemoteReply, _events: list[ClientEvent]) -> None:
    pass


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")
