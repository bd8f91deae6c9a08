"""The server's half of the control protocol, without I/O: bytes in, requests to whoever has the directory,
bytes out.

`receive` takes bytes; `next_request` returns the first request that needs somebody else, who answers by one
of the methods below before asking for the next, so pipelined commands stay in order. Interface page ctrl-
protocol.md, sections 1 to 5 and 10.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from postroad.protocols.ctrl.lines import Lines, LineTooLong
from postroad.protocols.ctrl.replies import TEXTS, Code
from postroad.protocols.ctrl.states import LINES, State
from postroad.protocols.ctrl.wire import (
    END,
    START_TLS,
    BadCharacters,
    fields_of,
    quoted,
    reply_line,
    stuffed,
    unstuffed,
)

# Rules of processing and lists are a few lines; what comes after this many bytes is thrown away up to its
# end.
MAX_UPLOAD = 64 * 1024
# Whoever sends this much without ending it is no client.
MAX_THROWN_AWAY = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Greeting:
    """What the banner says: `timestamp` with its brackets, and `date` as a mail would write it."""

    timestamp: str
    product: str
    date: str


@dataclass(frozen=True, slots=True)
class Login:
    """Somebody signs in: `signed_in` or `refuse_login`. `secret` is a password, or with `is_digest` the MD5
    of `challenge` and the password in hex."""

    name: str
    secret: str = field(repr=False)
    is_digest: bool
    challenge: bytes


@dataclass(frozen=True, slots=True)
class StartTls:
    """The client begins a handshake behind what is to be sent; then `tls_established`."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command, its name in lower case: `done`, `fail`, `begin_list` … `end_list`, or `want_upload`."""

    name: str
    arguments: tuple[str, ...] = field(repr=False)  # passwords are among them


@dataclass(frozen=True, slots=True)
class Upload:
    """What was asked for by `want_upload`: `done` or `fail`."""

    lines: tuple[bytes, ...] = field(repr=False)


Request = Login | StartTls | Command | Upload


class CtrlServer:
    """One session."""

    def __init__(self, greeting: Greeting, *, offers_tls: bool, is_tls: bool = False) -> None:
        self._greeting = greeting
        self._offers_tls = offers_tls
        self._is_tls = is_tls
        self.state = State.LOGIN
        self._input = Lines()
        self._output: list[bytes] = []
        self._request: Request | None = None
        self._upload: list[bytes] = []
        self._upload_bytes = 0
        self._is_upload_bad = False

    # -- bytes

    def greet(self) -> None:
        """Say the banner."""
        greeting = self._greeting
        self._reply(0, f"{greeting.timestamp} {greeting.product} CTRL Server; {greeting.date}")

    def turn_away(self, code: Code) -> None:
        """Say a refusal instead of the banner, and end (section 4)."""
        self._fail(code)
        self.state = State.CLOSED

    def receive(self, data: bytes) -> None:
        """Take what came from the client."""
        if self.state is not State.CLOSED:
            self._input.feed(data)

    @property
    def is_closed(self) -> bool:
        """Whether the session is over once everything is sent."""
        return self.state is State.CLOSED

    @property
    def is_mid_line(self) -> bool:
        """Whether part of a line has come and the rest has not."""
        return self._request is None and self._input.pending > 0

    def output(self) -> bytes:
        """Take what is to be sent."""
        data = b"".join(self._output)
        self._output.clear()
        return data

    def next_request(self) -> Request | None:
        """Answer what needs nobody else; return the first request that does, None when no more has come."""
        while self._request is None and self.state is not State.CLOSED:
            try:
                line = self._input.take(LINES[self.state])
            except LineTooLong:
                self._overlong()
                continue
            if line is None:
                return None
            self._take(line)
        return self._request

    # -- answers of whoever serves the requests

    def signed_in(self) -> None:
        """The login was right."""
        self._request = None
        self.state = State.COMMANDS
        self._reply(0, "OK")

    def refuse_login(self, code: Code) -> None:
        """The login was wrong: one attempt a connection (section 4)."""
        self._request = None
        self.turn_away(code)

    def tls_established(self) -> None:
        """The handshake succeeded: a login follows, without another banner."""
        self._request = None
        self._is_tls = True
        self._input.clear()

    def done(self) -> None:
        """The command, or the upload, did what it should."""
        self._request = None
        self._reply(0, "OK")

    def fail(self, code: Code) -> None:
        """The command, or the upload, is refused; the session goes on."""
        self._request = None
        self._fail(code)

    def begin_list(self) -> None:
        """Rows or lines follow."""
        self._reply(100, "OK")

    def rows(self, rows: Iterable[Iterable[str]]) -> None:
        """Rows of a list: values in quotes."""
        self._output += [stuffed(quoted(row)) for row in rows]

    def lines(self, lines: Iterable[bytes]) -> None:
        """Lines of a list as they are, without their ends."""
        self._output += [stuffed(line) for line in lines]

    def end_list(self) -> None:
        """The list is whole."""
        self._request = None
        self._output.append(END + b"\r\n")

    def want_upload(self) -> None:
        """Ask the client for lines; they come as `Upload`."""
        self._request = None
        self.state = State.UPLOAD
        self._upload = []
        self._upload_bytes = 0
        self._is_upload_bad = False
        self._reply(101, "OK")

    # -- lines

    def _take(self, line: bytes) -> None:
        match self.state:
            case State.LOGIN:
                self._login(line)
            case State.COMMANDS:
                self._command(line)
            case State.UPLOAD:
                self._uploaded(line)

    def _overlong(self) -> None:
        # Section 10: swallowed, and told of at the end of the upload. Of a command nothing is known, so the
        # session ends, as the original's does.
        if self.state is State.UPLOAD:
            self._is_upload_bad = True
        else:
            self.turn_away(Code.LINE_TOO_LONG)

    def _login(self, line: bytes) -> None:
        if line == START_TLS:
            self._start_tls()
            return
        try:
            fields = fields_of(line)
        except BadCharacters:
            self.turn_away(Code.BAD_CHARACTERS)
            return
        if len(fields) != 2:
            self.turn_away(Code.BAD_LOGIN)
            return
        name, secret = fields
        is_digest = secret.startswith("#")
        self._request = Login(name, secret.removeprefix("#"), is_digest, self._greeting.timestamp.encode())

    def _start_tls(self) -> None:
        if self._is_tls:
            self.turn_away(Code.TLS_ACTIVE)
        elif not self._offers_tls:
            self.turn_away(Code.TLS_OFF)
        else:
            self._reply(0, "Ready to start TLS mode")
            self._input.clear()  # what came in plain text behind it must not count as said under TLS
            self._request = StartTls()

    def _command(self, line: bytes) -> None:
        try:
            fields = fields_of(line)
        except BadCharacters:
            self._fail(Code.BAD_CHARACTERS)
            return
        name = fields[0].lower() if fields else ""
        if name not in ("quit", "noop"):
            if name:
                self._request = Command(name, tuple(fields[1:]))
            else:
                self._fail(Code.SYNTAX)
        elif len(fields) > 1:
            self._fail(Code.SYNTAX)
        else:
            self._reply(0, "OK")
            if name == "quit":
                self.state = State.CLOSED

    def _uploaded(self, line: bytes) -> None:
        if line == END:
            lines, self._upload = tuple(self._upload), []
            self.state = State.COMMANDS
            if self._is_upload_bad:
                self._fail(Code.LINE_TOO_LONG)
            else:
                self._request = Upload(lines)
            return
        self._upload_bytes += len(line) + 2
        if self._upload_bytes > MAX_UPLOAD:
            self._is_upload_bad = True
            self._upload = []
            if self._upload_bytes > MAX_THROWN_AWAY:
                self.turn_away(Code.LINE_TOO_LONG)
        elif not self._is_upload_bad:
            self._upload.append(unstuffed(line))

    def _reply(self, code: int, text: str) -> None:
        self._output.append(reply_line(code, text))

    def _fail(self, code: Code) -> None:
        self._reply(-code, TEXTS[code])
