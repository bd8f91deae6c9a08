"""The client's half of the control protocol, without I/O: one login, one command, quit.

`receive` takes bytes, `output` gives bytes; in between `next_event` says what happened: a handshake is due,
lines of a list came, an upload is wanted, it is over. What the client may say of a failure is section 7.2 of
interface page ctrl-protocol.md, the order of things 8.2, lists and uploads 8.6.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from postroad.protocols.ctrl.lines import Lines, LineTooLong
from postroad.protocols.ctrl.wire import (
    END,
    MAX_DATA_LINE,
    START_TLS,
    NotAReply,
    Reply,
    digest,
    parse_reply,
    stuffed,
    unstuffed,
)

BAD_RESPONSE = -137
REFUSED = -138
BROKEN_OFF = -152
LINE_TOO_LONG = -162


@dataclass(frozen=True, slots=True)
class Failed:
    """It went wrong; `info` is what `ErrInfo` says, None for no such line."""

    code: int
    info: bytes | None = None


@dataclass(frozen=True, slots=True)
class HandshakeDue:
    """Begin TLS on the connection, then call `tls_established`."""


@dataclass(frozen=True, slots=True)
class ListBegins:
    """A list follows: lines come from now on."""


@dataclass(frozen=True, slots=True)
class ListLine:
    """One line of the list, without its end."""

    line: bytes


@dataclass(frozen=True, slots=True)
class UploadWanted:
    """Call `upload` with the lines."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The command succeeded, and `quit` is on its way: its reply is waited for, and not looked at."""


Event = HandshakeDue | ListBegins | ListLine | UploadWanted | Finished | Failed


@dataclass(frozen=True, slots=True)
class Errand:
    """What the client is to do."""

    user: bytes
    password: bytes = field(repr=False)
    command: Sequence[bytes] = field(repr=False)
    starts_tls: bool = False
    is_clear: bool = False  # the password itself, never its digest


class Phase(StrEnum):
    """What is awaited."""

    BANNER = "banner"
    TLS = "tls"
    LOGIN = "login"
    COMMAND = "command"
    LIST = "list"
    UPLOAD = "upload"
    RESULT = "result"
    QUIT = "quit"
    OVER = "over"


class CtrlClient:
    """One run of the client."""

    def __init__(self, errand: Errand) -> None:
        self._errand = errand
        self.phase = Phase.BANNER
        self._lines = Lines()
        self._output: list[bytes] = []
        self._timestamp: bytes | None = None
        self._events: list[Event] = []
        self._is_eof = False

    def receive(self, data: bytes) -> None:
        """Take what came from the server."""
        self._lines.feed(data)

    def end_of_input(self) -> None:
        """The server has closed, or said nothing for too long: nothing more will come."""
        self._is_eof = True

    def output(self) -> bytes:
        """Take what is to be sent."""
        data = b"".join(self._output)
        self._output.clear()
        return data

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be read or sent."""
        return self.phase is Phase.OVER

    @property
    def is_quitting(self) -> bool:
        """Whether the errand is done: what fails from now on changes nothing (section 8.2)."""
        return self.phase in (Phase.QUIT, Phase.OVER)

    def next_event(self) -> Event | None:
        """Return what happened next; None when more bytes are needed, or it is over."""
        while not self._events:
            if self.phase in (Phase.OVER, Phase.UPLOAD):
                return None
            try:
                line = self._lines.take(MAX_DATA_LINE)
            except LineTooLong:
                self._overlong()
                continue
            if line is not None:
                self._take(line)
            elif self._is_eof:
                self._broken_off()
            else:
                return None
        return self._events.pop(0)

    def tls_established(self) -> None:
        """The link is encrypted: sign in."""
        self._lines.clear()
        self._sign_in()

    def upload(self, lines: Iterable[bytes]) -> None:
        """Send lines without their ends, each cut to what a server takes."""
        for line in lines:
            pieces = [line[at : at + MAX_DATA_LINE] for at in range(0, len(line), MAX_DATA_LINE)]
            self._output += [stuffed(piece) for piece in pieces or [b""]]
        self._output.append(END + b"\r\n")
        self.phase = Phase.RESULT

    # -- lines of the server

    def _take(self, line: bytes) -> None:
        if self.phase is Phase.LIST:
            self._list_line(line)
            return
        if self.phase is Phase.QUIT:
            self.phase = Phase.OVER
            return
        try:
            reply = parse_reply(line)
        except NotAReply:
            self._fail(Failed(BAD_RESPONSE, line))
            return
        if not reply.is_success:
            self._fail(Failed(REFUSED, reply.text))
            return
        match self.phase:
            case Phase.BANNER:
                self._greeted(reply)
            case Phase.TLS:
                # Section 5: a timestamp is looked for here now, and usually there is none.
                self._timestamp = reply.timestamp
                self._events.append(HandshakeDue())
            case Phase.LOGIN:
                self._send(self._errand.command)
                self.phase = Phase.COMMAND
            case Phase.COMMAND:
                self._answered(reply)
            case _:
                self._finish()

    def _greeted(self, reply: Reply) -> None:
        self._timestamp = reply.timestamp
        if self._errand.starts_tls:
            self._output.append(START_TLS + b"\r\n")
            self.phase = Phase.TLS
        else:
            self._sign_in()

    def _sign_in(self) -> None:
        errand = self._errand
        secret = errand.password
        if self._timestamp is not None and not errand.is_clear:
            secret = b"#" + digest(self._timestamp, errand.password).encode()
        self._send([errand.user, secret])
        self.phase = Phase.LOGIN

    def _answered(self, reply: Reply) -> None:
        if reply.begins_list:
            self._events.append(ListBegins())
            self.phase = Phase.LIST
        elif reply.wants_upload:
            self._events.append(UploadWanted())
            self.phase = Phase.UPLOAD
        else:
            self._finish()

    def _list_line(self, line: bytes) -> None:
        if line == END:
            self._finish()
        else:
            self._events.append(ListLine(unstuffed(line)))

    def _finish(self) -> None:
        self._quit()
        self._events.append(Finished())

    def _quit(self) -> None:
        self._send([b"quit"])
        self.phase = Phase.QUIT

    def _fail(self, failure: Failed) -> None:
        """Section 8.2: after a failed command `quit` is still sent, after a failed login it is not."""
        if self.phase in (Phase.COMMAND, Phase.RESULT):
            self._quit()
        else:
            self.phase = Phase.OVER
        self._events.append(failure)

    def _overlong(self) -> None:
        if self.phase is Phase.LIST:  # section 8.6: the rest is thrown away, what came is shown
            self.phase = Phase.OVER
            self._events.append(Finished())
        elif self.phase is Phase.QUIT:
            self.phase = Phase.OVER
        else:
            self._fail(Failed(LINE_TOO_LONG))

    def _broken_off(self) -> None:
        if self.phase is Phase.LIST:  # section 8.6: no error
            self._events.append(Finished())
        elif self.phase is not Phase.QUIT:
            self._events.append(Failed(BROKEN_OFF))
        self.phase = Phase.OVER

    def _send(self, values: Sequence[bytes]) -> None:
        self._output.append(b"\t".join(b'"' + value + b'"' for value in values) + b"\r\n")
