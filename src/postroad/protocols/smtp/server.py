"""The SMTP server engine: bytes in, events and bytes out. No socket, no loop, no clock.

`receive` takes what came and returns events. When the last of them is a question, the engine waits: `accept`
or `reject` answers it and returns the events that follow; commands that were pipelined wait in the buffer
until then, so replies stay in order. `bytes_to_send` returns everything to be sent, for one write.
RFC 5321, 2920 (PIPELINING), 3030 (CHUNKING), 3207 (STARTTLS), 4954 (AUTH), 2034, 1870, 6152, 6531, 3461,
9422.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from postroad.protocols.smtp import answers, commands
from postroad.protocols.smtp.auth import MECHANISMS, Challenge, Credentials, Exchange
from postroad.protocols.smtp.content import BareLineEnds
from postroad.protocols.smtp.envelope import Envelope, EnvelopeRecipient
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
    Reset,
    StartTls,
)
from postroad.protocols.smtp.input_buffer import InputBuffer, LineTooLong
from postroad.protocols.smtp.intake import Chunk, Intake
from postroad.protocols.smtp.limits import ServerLimits
from postroad.protocols.smtp.replies import SmtpReply
from postroad.protocols.smtp.states import OUT_OF_ORDER, TRANSITIONS, State, Step
from postroad.protocols.smtp.tally import Tally

# Commands of RFC 5321 and its past that are known and not offered.
_UNOFFERED: Final = frozenset(
    (b"EXPN", b"ETRN", b"TURN", b"ATRN", b"SEND", b"SOML", b"SAML", b"LHLO", b"BURL")
)
# A web browser made to talk here by a page; Postfix' smtpd_forbidden_commands closes at once, too.
_FOREIGN: Final = frozenset((b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"CONNECT", b"PATCH", b"DELETE"))

_REFUSALS: Final[tuple[Mapping[bytes, SmtpReply], ...]] = tuple(
    {verb.value.encode(): reply for verb, reply in OUT_OF_ORDER.get(state, {}).items()} for state in State
)
_NEXT: Final[tuple[Mapping[Step, State], ...]] = tuple(TRANSITIONS[state] for state in State)

_CONTENT: Final = State.CONTENT
_CHUNK: Final = State.CHUNK
_SIGNING_IN: Final = State.SIGNING_IN
_CONTENT_VERBS: Final = (b"DATA", b"BDAT")
_SILENT: Final = frozenset((State.CONNECTED, State.HANDSHAKE, State.CLOSED))
_IDLE: Final = frozenset((State.START, State.READY))


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """How one session behaves.

    `hostname` is a canonical domain. `allows_plain_auth`: AUTH may be used without TLS. The two line-end
    policies are for sessions before and after a sign-in.
    """

    hostname: str
    limits: ServerLimits = field(default_factory=ServerLimits)
    offers_starttls: bool = False
    offers_auth: bool = True
    allows_plain_auth: bool = False
    requires_auth: bool = False
    strangers_line_ends: BareLineEnds = BareLineEnds.REFUSE
    members_line_ends: BareLineEnds = BareLineEnds.REPAIR


class NotAsked(RuntimeError):
    """The application answered although the engine asked nothing, or with an answer that does not fit."""


class SmtpServer:
    """One session of the server. `is_tls` at the start: TLS from the first byte."""

    def __init__(self, config: ServerConfig, is_tls: bool = False) -> None:
        self._config = config
        self._limits = config.limits
        self._state = State.CONNECTED
        self._output: list[bytes] = []
        self._input = InputBuffer()
        self._tally = Tally(config.limits)
        self._question: Question | None = None
        self._paths = commands.PathRules(config.hostname)
        self.helo = ""
        self.is_extended = False
        self.is_tls = is_tls
        self.is_authenticated = False
        self._is_draining = False
        # The transaction.
        self._mail: MailFrom | None = None
        self._envelope: Envelope | None = None  # without recipients, as asked about
        self._recipients: list[EnvelopeRecipient] = []
        self._recipients_tried = 0
        self._intake: Intake | None = None  # from DATA or the first BDAT on
        self._unwanted_octets = 0  # of a refused BDAT
        self._unwanted_reply: SmtpReply | None = None
        self._exchange: Exchange | None = None
        self._handlers: dict[bytes, Callable[[bytes, list[Event]], None]] = {
            b"HELO": self._on_helo,
            b"EHLO": self._on_ehlo,
            b"MAIL": self._on_mail,
            b"RCPT": self._on_rcpt,
            b"DATA": self._on_data,
            b"BDAT": self._on_bdat,
            b"RSET": self._on_rset,
            b"NOOP": self._on_noop,
            b"VRFY": self._on_vrfy,
            b"HELP": self._on_help,
            b"QUIT": self._on_quit,
            b"STARTTLS": self._on_starttls,
            b"AUTH": self._on_auth,
        }

    # What the application sees.

    @property
    def state(self) -> State:
        """Where the session stands."""
        return self._state

    @property
    def question(self) -> Question | None:
        """The event that waits for `accept` or `reject`."""
        return self._question

    @property
    def is_in_transaction(self) -> bool:
        """Whether a mail is in hand: MAIL was accepted and not yet finished, or a question is open."""
        return self._mail is not None or self._question is not None

    @property
    def is_mid_line(self) -> bool:
        """Whether bytes have come that make sense only with bytes yet to come."""
        return self._question is None and (
            self._input.pending > 0 or (self._intake is not None and self._intake.has_begun)
        )

    @property
    def bytes_held(self) -> int:
        """Bytes of content and of waiting commands in memory."""
        held = self._input.pending
        return held + self._intake.held if self._intake is not None else held

    def bytes_to_send(self) -> bytes:
        """Return what is to be sent now, and forget it."""
        if not self._output:
            return b""
        data = self._output[0] if len(self._output) == 1 else b"".join(self._output)
        self._output.clear()
        return data

    def greet(self) -> None:
        """Queue the banner."""
        self._send(SmtpReply(220, "", f"{self._config.hostname} ESMTP Postroad"))
        self._step(Step.BANNER)

    def close(self, reply: SmtpReply) -> Closing:
        """End the session with this reply (421, or 554 instead of a banner), whatever was in hand."""
        self._send(reply)
        if self._state is not State.CLOSED:
            self._step(Step.CLOSED)
        self._end_transaction()
        self._question = None
        self._input.clear()
        return Closing(reply)

    def drain(self) -> list[Event]:
        """Finish the mail in hand, then end the session with 421; return `Closing` when that is now."""
        self._is_draining = True
        return self._advance() if self._question is None else []

    def receive(self, data: bytes) -> list[Event]:
        """Take bytes from the client; return what they mean so far."""
        if self._state is State.CLOSED:
            return []
        self._input.feed(data)
        return self._advance() if self._question is None else []

    def accept(self, text: str = "") -> list[Event]:
        """Answer yes to the open question; return the events that follow.

        `text` is what the client reads behind 250 for a complete message ("queued as 42").
        """
        question = self._answered()
        events: list[Event] = []
        match question:
            case MailFrom():
                self._mail = question
                self._envelope = question.envelope()
                self._step(Step.SENDER_ACCEPTED)
                self._output.append(answers.SENDER_OK)
            case RecipientGiven():
                self._recipients.append(question.recipient)
                self._step(Step.RECIPIENT_ACCEPTED)
                self._output.append(answers.RECIPIENT_OK)
            case ContentAnnounced():
                self._begin_content()
            case MessageComplete():
                self._output.append(SmtpReply(250, "2.0.0", text or "Ok").render())
                self._tally.mail_accepted()
                self._end_transaction(Step.TRANSACTION_ENDED)
            case Authenticate():
                self.is_authenticated = True
                self._paths = commands.PathRules(self._config.hostname, may_omit_brackets=True)
                self._tally.signed_in()
                self._step(Step.SIGN_IN_ENDED)
                self._output.append(answers.SIGNED_IN)
            case StartTls():
                self._output.append(answers.TLS_READY)
                self._step(Step.TLS_BEGUN)
                # RFC 3207 and CVE-2011-0411: what was pipelined behind STARTTLS must not be obeyed under TLS.
                self._input.clear()
        self._advance(events)
        return events

    def reject(self, reply: SmtpReply) -> list[Event]:
        """Answer no with a 4xx or 5xx; a 421 also ends the session. Return the events that follow."""
        if reply.is_positive:
            raise NotAsked(f"{reply} is no refusal")
        question = self._answered()
        if reply.code == 421:
            return [self.close(reply)]
        events: list[Event] = []
        match question:
            case RecipientGiven():
                self._send(reply)
                if not (reply.is_temporary or self.is_authenticated):
                    self._close_if(self._tally.failed_recipient(), events)
            case ContentAnnounced():
                self._refuse_announced(reply, events)
            case MessageComplete():
                self._send(reply)
                self._end_transaction(Step.TRANSACTION_ENDED)
            case Authenticate():
                self._step(Step.SIGN_IN_ENDED)
                self._send(reply)
                self._close_if(self._tally.failed_sign_in(), events)
            case MailFrom() | StartTls():
                if reply.is_temporary:
                    self._send(reply)
                else:
                    self._fault(reply, events)
        self._advance(events)
        return events

    def refuse_content(self, reply: SmtpReply) -> None:
        """Keep nothing more of the content being received; answer `reply` when it ends."""
        if self._question is not None or self._state not in (_CONTENT, _CHUNK, State.CHUNKS):
            raise NotAsked("no content is being received")
        assert self._intake is not None
        self._intake.refuse(reply)

    def tls_established(self) -> None:
        """The handshake is done: forget all the client said before it (RFC 3207 4.2)."""
        self._step(Step.TLS_ESTABLISHED)
        self._input.clear()
        self.is_tls = True
        self.helo = ""
        self.is_extended = False

    # The machine.

    def _step(self, step: Step) -> None:
        self._state = _NEXT[self._state][step]

    def _send(self, reply: SmtpReply) -> None:
        self._output.append(reply.render())

    def _answered(self) -> Question:
        question = self._question
        if question is None:
            raise NotAsked("nothing was asked")
        self._question = None
        return question

    def _ask(self, question: Question, events: list[Event]) -> None:
        self._question = question
        events.append(question)

    def _advance(self, events: list[Event] | None = None) -> list[Event]:
        """Go on until a question is open or the input is used up."""
        if events is None:
            events = []
        while self._question is None:
            state = self._state
            if state is _CONTENT:
                if not self._read_content(events):
                    break
            elif state is _CHUNK:
                if not self._read_chunk(events):
                    break
            elif state in _SILENT:
                break
            elif self._is_draining and state in _IDLE:
                events.append(self.close(answers.SHUTTING_DOWN))
            elif self._unwanted_reply is not None:
                if not self._skip_octets(events):
                    break
            else:
                line = self._read_line(events)
                if line is None:
                    break
                # Looked up anew: an overlong line before this one may have ended the exchange.
                if self._state is _SIGNING_IN:
                    self._on_sign_in_line(line, events)
                else:
                    self._on_command(line, events)
        return events

    def _read_line(self, events: list[Event]) -> bytes | None:
        """Return the next line without its CRLF, None when it is not there yet or the session has ended."""
        waiting = self._input
        while self._state is not State.CLOSED:
            limit = self._limits.command_line
            # Only an AUTH exchange may write long lines (RFC 4954 4).
            if waiting.pending > limit and (self._state is _SIGNING_IN or waiting.begins_with(b"AUTH ")):
                limit = self._limits.auth_line
            try:
                return waiting.take_line(limit)
            except LineTooLong:
                if self._state is _SIGNING_IN:
                    self._end_exchange()
                self._fault(answers.LINE_TOO_LONG, events)
        return None

    def _on_command(self, line: bytes, events: list[Event]) -> None:
        verb, _, argument = line.partition(b" ")
        handler = self._handlers.get(verb)
        if handler is None:
            verb = verb.upper()
            handler = self._handlers.get(verb)
        # RFC 5321 2.3.8: CR and LF only together, and never within a command; nor NUL.
        if b"\n" in line or b"\r" in line or b"\0" in line:
            self._fault(answers.BAD_LINE, events)
            return
        if handler is None:
            if verb in _FOREIGN:
                events.append(self.close(answers.WRONG_PROTOCOL))
            else:
                self._fault(
                    answers.NOT_IMPLEMENTED if verb in _UNOFFERED else answers.UNKNOWN_COMMAND, events
                )
            return
        refusal = _REFUSALS[self._state].get(verb)
        try:
            if refusal is None:
                handler(argument, events)
            else:
                self._on_out_of_order(verb, argument, refusal, events)
        except SmtpReply as reply:
            self._fault(reply, events)

    def _on_out_of_order(self, verb: bytes, argument: bytes, refusal: SmtpReply, events: list[Event]) -> None:
        if verb in _CONTENT_VERBS and self._recipients_tried and self._state is State.SENDER:
            refusal = answers.NO_VALID_RECIPIENTS  # RFC 2920 3.1: what a pipelining client counts on
        if verb == b"BDAT":
            # RFC 3030 2: the octets come whatever we answer, so they are read, and then refused.
            chunk = self._parse_chunk(argument, events)
            if chunk is not None:
                self._unwanted_octets, self._unwanted_reply = chunk.size, refusal
            return
        self._fault(refusal, events)

    def _fault(self, reply: SmtpReply, events: list[Event]) -> None:
        """Answer a command that could not be obeyed, and count it."""
        self._send(reply)
        self._close_if(self._tally.error(), events)

    def _is_junk_bearable(self, events: list[Event]) -> bool:
        """Count a command that brings no mail nearer; return whether the session goes on."""
        return not self._close_if(self._tally.junk(), events)

    def _close_if(self, reply: SmtpReply | None, events: list[Event]) -> bool:
        """End the session when there is a reply to end it with; return whether it ended."""
        if reply is None:
            return False
        events.append(self.close(reply))
        return True

    def _end_transaction(self, step: Step | None = None) -> None:
        self._mail = None
        self._envelope = None
        self._recipients = []
        self._recipients_tried = 0
        self._intake = None
        if step is not None:
            self._step(step)

    # Greeting and the small commands.

    def _greeted(self, argument: bytes, is_extended: bool, events: list[Event]) -> bool:
        helo = commands.parse_helo(argument)
        if self.helo and not self._is_junk_bearable(events):
            return False
        self.helo = helo
        self.is_extended = is_extended
        self._end_transaction(Step.GREETED)
        events.append(Greeted(helo, is_extended))
        return True

    def _on_helo(self, argument: bytes, events: list[Event]) -> None:
        if self._greeted(argument, False, events):
            self._send(SmtpReply(250, "", self._config.hostname))

    def _on_ehlo(self, argument: bytes, events: list[Event]) -> None:
        if self._greeted(argument, True, events):
            self._send(SmtpReply(250, "", "\n".join((self._config.hostname, *self.extensions()))))

    def extensions(self) -> list[str]:
        """Return the lines that EHLO offers in this session, as it stands now."""
        limits = self._limits
        offered = [
            "PIPELINING",
            f"SIZE {limits.message}",
            "ENHANCEDSTATUSCODES",
            "8BITMIME",
            "SMTPUTF8",
            "CHUNKING",
            "DSN",
            f"LIMITS MAILMAX={limits.mails} RCPTMAX={limits.recipients}",
            "HELP",
        ]
        if self._config.offers_starttls and not self.is_tls:
            offered.append("STARTTLS")
        if self._may_use_auth and not self.is_authenticated:
            offered.append(f"AUTH {' '.join(MECHANISMS)}")
        return offered

    def _on_rset(self, argument: bytes, events: list[Event]) -> None:
        if argument.strip():
            self._fault(answers.NO_ARGUMENT, events)
        elif self._is_junk_bearable(events):
            self._end_transaction(Step.RESET)
            self._output.append(answers.OK)
            events.append(Reset())

    def _on_noop(self, _argument: bytes, events: list[Event]) -> None:
        if self._is_junk_bearable(events):
            self._output.append(answers.OK)

    def _on_vrfy(self, _argument: bytes, events: list[Event]) -> None:
        if self._is_junk_bearable(events):
            self._output.append(answers.VRFY)

    def _on_help(self, _argument: bytes, events: list[Event]) -> None:
        if self._is_junk_bearable(events):
            self._output.append(answers.HELP)

    def _on_quit(self, _argument: bytes, events: list[Event]) -> None:
        self._output.append(answers.BYE)
        self._end_transaction(Step.CLOSED)
        self._input.clear()
        events.append(Quit())

    # The envelope.

    def _on_mail(self, argument: bytes, events: list[Event]) -> None:
        if self._config.requires_auth and not self.is_authenticated:
            self._fault(answers.SIGN_IN_FIRST, events)
            return
        if not self._close_if(self._tally.mail(), events):
            self._ask(commands.parse_mail(argument, self._paths, self._limits), events)

    def _on_rcpt(self, argument: bytes, events: list[Event]) -> None:
        assert self._mail is not None
        assert self._envelope is not None
        self._recipients_tried += 1
        if len(self._recipients) >= self._limits.recipients:  # RFC 5321 4.5.3.1.10
            if self._tally.is_overshoot_error():
                self._fault(answers.TOO_MANY_RECIPIENTS, events)
            else:
                self._send(answers.TOO_MANY_RECIPIENTS)
            return
        recipient = commands.parse_recipient(argument, self._paths, self._mail.smtputf8)
        self._ask(RecipientGiven(self._envelope, recipient), events)

    # The content.

    def _on_data(self, argument: bytes, events: list[Event]) -> None:
        if argument.strip():
            self._fault(answers.NO_ARGUMENT, events)
            return
        assert self._mail is not None
        self._intake = Intake(self._limits, None)
        self._ask(ContentAnnounced(self._mail.size_bytes), events)

    def _on_bdat(self, argument: bytes, events: list[Event]) -> None:
        chunk = self._parse_chunk(argument, events)
        if chunk is None:
            return
        assert self._mail is not None
        if self._intake is not None:
            self._intake.continue_with(chunk)
            self._step(Step.CHUNK_BEGUN)
        else:
            self._intake = Intake(self._limits, chunk)
            size = chunk.size if chunk.is_last else self._mail.size_bytes
            self._ask(ContentAnnounced(size), events)

    def _parse_chunk(self, argument: bytes, events: list[Event]) -> Chunk | None:
        """Parse a BDAT; one that makes no sense ends the session: nobody knows where commands resume."""
        try:
            size, is_last = commands.parse_chunk(argument)
        except SmtpReply as reply:
            events.append(self.close(reply))
            return None
        return Chunk(size, is_last)

    def _begin_content(self) -> None:
        assert self._intake is not None
        if self._intake.chunk is None:
            self._step(Step.CONTENT_BEGUN)
            self._output.append(answers.SEND_CONTENT)
        else:
            self._step(Step.CHUNK_BEGUN)

    def _refuse_announced(self, reply: SmtpReply, events: list[Event]) -> None:
        assert self._intake is not None
        chunk = self._intake.chunk
        self._end_transaction(Step.TRANSACTION_ENDED)
        if chunk is None:
            self._send(reply)
        else:
            self._unwanted_octets, self._unwanted_reply = chunk.size, reply
        events.append(MessageRefused(reply))

    def _read_content(self, events: list[Event]) -> bool:
        """Read DATA from what came; return whether the session can go on."""
        assert self._intake is not None
        if not self._intake.read_data(self._input):
            return False
        self._finish_content(self._intake, events)
        return True

    def _read_chunk(self, events: list[Event]) -> bool:
        """Read the octets of a BDAT from what came; return whether the session can go on."""
        intake = self._intake
        assert intake is not None
        assert intake.chunk is not None
        if not intake.read_chunk(self._input):
            return False
        if intake.is_over:
            self._finish_content(intake, events)
        else:
            self._step(Step.CHUNK_ENDED)
            self._send(SmtpReply(250, "2.0.0", f"{intake.chunk.size} octets received"))
        return True

    def _finish_content(self, intake: Intake, events: list[Event]) -> None:
        assert self._mail is not None
        config = self._config
        outcome = intake.judged(
            config.members_line_ends if self.is_authenticated else config.strangers_line_ends
        )
        if isinstance(outcome, bytes):
            self._intake = None
            self._ask(MessageComplete(self._mail.envelope(tuple(self._recipients)), outcome), events)
        else:
            self._send(outcome)
            self._end_transaction(Step.TRANSACTION_ENDED)
            events.append(MessageRefused(outcome))

    def _skip_octets(self, events: list[Event]) -> bool:
        """Throw the octets of a refused BDAT away; return whether the session can go on."""
        self._unwanted_octets -= len(self._input.take(self._unwanted_octets))
        if self._unwanted_octets:
            return False
        reply, self._unwanted_reply = self._unwanted_reply, None
        assert reply is not None
        self._fault(reply, events)
        return True

    # Signing in and TLS.

    @property
    def _may_use_auth(self) -> bool:
        config = self._config
        return config.offers_auth and (self.is_tls or config.allows_plain_auth)

    def _on_auth(self, argument: bytes, events: list[Event]) -> None:
        words = argument.split()
        if not self._config.offers_auth:
            self._fault(answers.NO_AUTH, events)
        elif self.is_authenticated:  # RFC 4954 4
            self._fault(answers.SIGNED_IN_ALREADY, events)
        elif not self._may_use_auth:
            self._fault(answers.TLS_FIRST, events)
        elif not words or len(words) > 2 or words[0].upper().decode("ascii", "replace") not in MECHANISMS:
            self._fault(answers.BAD_MECHANISM, events)
        else:
            exchange = Exchange(words[0].upper().decode("ascii"))
            outcome = exchange.begin(words[1] if len(words) == 2 else None)
            self._step(Step.SIGN_IN_BEGUN)
            self._exchange = exchange
            self._on_exchanged(outcome, events)

    def _on_sign_in_line(self, line: bytes, events: list[Event]) -> None:
        assert self._exchange is not None
        try:
            outcome = self._exchange.respond(line)
        except SmtpReply as reply:
            self._end_exchange()
            self._fault(reply, events)
        else:
            self._on_exchanged(outcome, events)

    def _on_exchanged(self, outcome: Challenge | Credentials, events: list[Event]) -> None:
        assert self._exchange is not None
        if isinstance(outcome, Challenge):
            self._output.append(outcome.render())
        else:
            mechanism = self._exchange.mechanism
            self._ask(Authenticate(mechanism, outcome.username, outcome.password), events)

    def _end_exchange(self) -> None:
        self._exchange = None
        self._step(Step.SIGN_IN_ENDED)

    def _on_starttls(self, argument: bytes, events: list[Event]) -> None:
        if argument.strip():
            self._fault(answers.NO_ARGUMENT, events)
        elif self.is_tls:
            self._fault(answers.TLS_ALREADY, events)
        elif not self._config.offers_starttls:
            self._fault(answers.NO_TLS, events)
        else:
            self._ask(StartTls(), events)
