"""The server's half of POP3, without I/O: bytes in, requests to whoever has the mails, bytes out.

`receive` takes bytes; `next_request` answers what needs nobody else and returns the first request that does;
whoever serves it answers by one of the methods below before asking for the next, so pipelined commands stay
in order (RFC 2449 6.6). RFC 1939, RFC 2449 (CAPA, response codes), RFC 2595 (STLS), RFC 3206 (AUTH and SYS
codes), RFC 5034 (AUTH), RFC 6856 (UTF8).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from postroad.protocols import sasl
from postroad.protocols.pop3.content import stuffed
from postroad.protocols.pop3.maildrop import Maildrop
from postroad.protocols.pop3.states import COMMANDS, KNOWN, State
from postroad.protocols.smtp.input_buffer import InputBuffer, LineTooLong

COMMAND_LINE = 255  # RFC 2449 4: with its CRLF
# User names and passwords may be longer than RFC 1939 thought, and a response of AUTH is.
LINE = sasl.MAX_RESPONSE
MAX_ERRORS = 20  # as many as the SMTP door forgives
MAX_SIGN_INS = 5  # guesses a connection; the limits over connections are the directory's
MAX_NUMBER = 10  # digits
PIECE = 32 * 1024  # bytes of a long answer made at a time


@dataclass(frozen=True, slots=True)
class SignIn:
    """Check a password; then open the maildrop (`signed_in`), or refuse (`refuse`)."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Retrieve:
    """Fetch a mail (`deliver`, `refuse`). `lines` None is all of it, else so many lines of its body."""

    number: int
    uid: int
    lines: int | None


@dataclass(frozen=True, slots=True)
class StartTls:
    """The client begins a handshake behind what is to be sent; then `tls_established`."""


@dataclass(frozen=True, slots=True)
class Update:
    """QUIT of somebody signed in: remove these mails, then `updated` or `refuse`."""

    uids: tuple[int, ...]


Request = SignIn | Retrieve | StartTls | Update


@dataclass(frozen=True, slots=True)
class Pop3Config:
    """What a session offers. `allows_plain_auth`: passwords are taken without TLS."""

    hostname: str
    offers_stls: bool = False
    allows_plain_auth: bool = False


class Pop3Server:
    """One session."""

    def __init__(self, config: Pop3Config, *, is_tls: bool = False) -> None:
        self._config = config
        self._is_tls = is_tls
        self.state = State.AUTHORIZATION
        self._input = InputBuffer()
        self._output: deque[bytes | Iterator[bytes]] = deque()
        self._username: str | None = None
        self._maildrop: Maildrop | None = None
        self._request: Request | None = None
        self._errors = 0
        self._sign_ins = 0

    # -- bytes

    def greet(self) -> None:
        """Say the banner."""
        self._ok(f"{self._config.hostname} POP3 ready")

    def receive(self, data: bytes) -> None:
        """Take what came from the client."""
        self._input.feed(data)

    @property
    def is_closed(self) -> bool:
        """Whether the session is over once everything is sent."""
        return self.state is State.CLOSED

    @property
    def is_mid_line(self) -> bool:
        """Whether part of a line has come and the rest has not."""
        return self._request is None and self._input.pending > 0

    def output(self) -> Iterator[bytes]:
        """Yield what is to be sent, in pieces made as they are asked for."""
        while self._output:
            piece = self._output.popleft()
            if isinstance(piece, bytes):
                yield piece
            else:
                yield from piece

    def next_request(self) -> Request | None:
        """Answer waiting commands up to one that needs somebody else, and return that one.

        None when there is no whole command, or a long answer should be sent first: ask again after
        `output`.
        """
        while self._request is None and self.state is not State.CLOSED and not self._has_long_answer():
            try:
                line = self._input.take_line(LINE)
            except LineTooLong:
                self._error("Line too long")
                continue
            if line is None:
                return None
            self._take(line)
        return self._request

    @property
    def has_more(self) -> bool:
        """Whether `next_request` stopped for a long answer."""
        return self._has_long_answer()

    def _has_long_answer(self) -> bool:
        return len(self._output) > 100 or any(not isinstance(piece, bytes) for piece in self._output)

    # -- answers of whoever serves the requests

    def signed_in(self, maildrop: Maildrop) -> None:
        """The password was right and the maildrop is ours."""
        self._request = None
        self._maildrop = maildrop
        self.state = State.TRANSACTION
        self._ok(f"{maildrop.count} messages ({maildrop.octets} octets)")

    def refuse(self, text: str) -> None:
        """Answer the open request with -ERR; `text` may begin with a response code in brackets."""
        request, self._request = self._request, None
        if isinstance(request, Update):
            self.state = State.CLOSED
        elif isinstance(request, SignIn):
            self._username = None
            self.state = State.AUTHORIZATION
            self._sign_ins += 1
            if self._sign_ins >= MAX_SIGN_INS:
                self.state = State.CLOSED
        self._send(f"-ERR {text}")

    def deliver(self, content: bytes) -> None:
        """Answer the open `Retrieve` with this content."""
        self._request = None
        self._ok(f"{len(content)} octets")
        self._output.append(stuffed(content))

    def updated(self) -> None:
        """The marked mails are gone; the session is at its end."""
        self._request = None
        self.state = State.CLOSED
        self._ok("Bye")

    def tls_established(self) -> None:
        """The handshake succeeded: the client begins anew (RFC 2595 4), and nothing read before it counts."""
        self._request = None
        self._is_tls = True
        self._username = None
        self._input.clear()

    def close(self, text: str) -> None:
        """End the session from our side; nothing is deleted (RFC 1939 3)."""
        if self.state is not State.CLOSED:
            self.state = State.CLOSED
            self._send(f"-ERR {text}")

    # -- commands

    def capabilities(self) -> list[str]:
        """The lines of CAPA (RFC 2449 6)."""
        lines = ["TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "UTF8 USER"]
        lines += ["EXPIRE NEVER", "LOGIN-DELAY 0"]
        if self.state is not State.TRANSACTION:
            if self._takes_passwords:
                lines += ["USER", "SASL PLAIN"]
            if self._config.offers_stls and not self._is_tls:
                lines.append("STLS")
        return [*lines, "IMPLEMENTATION Postroad"]

    @property
    def _takes_passwords(self) -> bool:
        return self._is_tls or self._config.allows_plain_auth

    def _take(self, line: bytes) -> None:
        if self.state is State.SIGNING_IN:
            self.state = State.AUTHORIZATION
            self._respond(line)
            return
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            self._error("Commands are UTF-8")
            return
        verb, _, rest = text.partition(" ")
        verb = verb.upper()
        if verb != "PASS":
            rest = rest.strip()
        if "\0" in text or (len(line) + 2 > COMMAND_LINE and verb not in ("PASS", "USER", "AUTH")):
            self._error("Line too long or with a NUL")
        elif verb not in KNOWN:
            self._error("Unknown command")
        elif verb not in COMMANDS[self.state]:
            self._error("Not in this state")
        else:
            getattr(self, f"_{verb.lower()}")(rest)

    def _capa(self, _: str) -> None:
        self._ok("Capabilities")
        self._output.append("".join(f"{line}\r\n" for line in self.capabilities()).encode() + b".\r\n")

    def _noop(self, _: str) -> None:
        self._ok("")

    def _utf8(self, _: str) -> None:
        self._ok("UTF-8 it is")  # RFC 6856 2: content goes out as it came in either way

    def _stls(self, _: str) -> None:
        if not self._config.offers_stls or self._is_tls:
            self._error("TLS is not offered, or active already")
            return
        self._ok("Begin TLS")
        self._input.clear()  # what came in plain text behind it must not count as said under TLS
        self._request = StartTls()

    def _user(self, rest: str) -> None:
        if not self._takes_passwords:
            self._error("Use STLS first")
        elif not rest or len(rest) > sasl.MAX_CREDENTIAL:
            self._error("A user name is wanted")
        else:
            self._username = rest
            self._ok("And the password")

    def _pass(self, rest: str) -> None:
        username, self._username = self._username, None
        if username is None:
            self._error("Send USER first")
        elif len(rest) > sasl.MAX_CREDENTIAL:
            self._error("Password too long")
        else:
            self._request = SignIn(username, rest)

    def _auth(self, rest: str) -> None:
        if not self._takes_passwords:
            self._error("Use STLS first")
            return
        words = rest.split()
        if not words:  # RFC 1734's successors list mechanisms by CAPA; some clients still ask like this
            self._ok("Mechanisms")
            self._output.append(b"PLAIN\r\n.\r\n")
        elif words[0].upper() != "PLAIN" or len(words) > 2:
            self._error("Mechanisms: PLAIN")
        elif len(words) == 1:
            self.state = State.SIGNING_IN
            self._output.append(b"+ \r\n")
        else:
            self._respond(words[1].encode())

    def _respond(self, line: bytes) -> None:
        try:
            credentials = sasl.plain(line)
        except sasl.Cancelled:
            self._error("Cancelled")
        except sasl.Malformed as error:
            self._error(str(error))
        except sasl.Unusable as error:
            self._request = SignIn("", "")
            self.refuse(f"[AUTH] {error}")
        else:
            self._request = SignIn(credentials.username, credentials.password)

    def _stat(self, _: str) -> None:
        maildrop = self._drop()
        self._ok(f"{maildrop.count} {maildrop.octets}")

    def _list(self, rest: str) -> None:
        maildrop = self._drop()
        if rest:
            number = self._number(rest)
            if number is not None:
                self._ok(f"{number} {maildrop.size(number)}")
            return
        self._ok(f"{maildrop.count} messages ({maildrop.octets} octets)")
        self._output.append(_pieces(f"{each} {maildrop.size(each)}\r\n" for each in maildrop.numbers()))

    def _uidl(self, rest: str) -> None:
        maildrop = self._drop()
        if rest:
            number = self._number(rest)
            if number is not None:
                self._ok(f"{number} {maildrop.unique_id(number)}")
            return
        self._ok("Unique ids")
        self._output.append(_pieces(f"{each} {maildrop.unique_id(each)}\r\n" for each in maildrop.numbers()))

    def _retr(self, rest: str) -> None:
        number = self._number(rest)
        if number is not None:
            self._request = Retrieve(number, self._drop().uid(number), None)

    def _top(self, rest: str) -> None:
        words = rest.split()
        if len(words) != 2 or not _is_number(words[1]):
            self._error("TOP takes a message number and a number of lines")
            return
        number = self._number(words[0])
        if number is not None:
            self._request = Retrieve(number, self._drop().uid(number), int(words[1]))

    def _dele(self, rest: str) -> None:
        number = self._number(rest)
        if number is not None:
            self._drop().mark(number)
            self._ok("Marked")

    def _rset(self, _: str) -> None:
        self._drop().unmark_all()
        self._ok("")

    def _quit(self, _: str) -> None:
        if self._maildrop is None:
            self.state = State.CLOSED
            self._ok("Bye")
            return
        uids = self._maildrop.marked_uids()
        self._request = Update(tuple(uids))
        if not uids:
            self.updated()

    # -- small things

    def _drop(self) -> Maildrop:
        assert self._maildrop is not None
        return self._maildrop

    def _number(self, text: str) -> int | None:
        if _is_number(text) and self._drop().has(int(text)):
            return int(text)
        self._error("No such message")
        return None

    def _ok(self, text: str) -> None:
        self._send(f"+OK {text}".rstrip())

    def _error(self, text: str) -> None:
        self._send(f"-ERR {text}")
        self._errors += 1
        if self._errors >= MAX_ERRORS and self.state is not State.TRANSACTION:
            self.state = State.CLOSED

    def _send(self, line: str) -> None:
        self._output.append(f"{line}\r\n".encode())


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= MAX_NUMBER


def _pieces(lines: Iterable[str]) -> Iterator[bytes]:
    held: list[str] = []
    length = 0
    for line in lines:
        held.append(line)
        length += len(line)
        if length >= PIECE:
            yield "".join(held).encode()
            held.clear()
            length = 0
    yield "".join(held).encode() + b".\r\n"
