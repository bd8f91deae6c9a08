"""The `ctrlclnt` command: one command for a control server, as JDMail's own client gives it.

Flags, output, error texts and exit codes are those of interface page ctrl-protocol.md, section 8, with what
sections 8.6 and 9 say a new client should do better. It needs neither settings nor a database.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO

from postroad.protocols.ctrl.client import (
    BAD_RESPONSE,
    BROKEN_OFF,
    LINE_TOO_LONG,
    REFUSED,
    CtrlClient,
    Errand,
    Failed,
    Finished,
    HandshakeDue,
    ListBegins,
    ListLine,
    UploadWanted,
)

PORT = 6017
TIMEOUT_SECONDS = 90
MAX_NAME = 255  # bytes of user and password; the rest is cut off
RECEIVE_BYTES = 64 * 1024
MAX_UPLOAD = 64 * 1024 * 1024
UPLOADS = frozenset({"usersetmproc", "custdomset", "cfgfileset"})

DONE, BAD_USAGE, FAILED = 0, 3, 4
KERNEL, TIMED_OUT, CANNOT_CREATE, CANNOT_OPEN, BAD_ADDRESS = -3, -5, -10, -19, -40
BAD_ARGUMENT, CANNOT_CONNECT, NO_TLS = -190, -217, -234
BAD_CERTIFICATE, BAD_KEY, KEY_MISMATCH = -235, -236, -243
TEXTS = {
    KERNEL: "Network kernel error",
    TIMED_OUT: "Timeout error",
    CANNOT_CREATE: "Unable to create file",
    CANNOT_OPEN: "Unable to open file",
    BAD_ADDRESS: "Invalid server address",
    BAD_RESPONSE: "Invalid controller response",
    REFUSED: "Controller response error",
    BROKEN_OFF: "End of socket stream data",
    LINE_TOO_LONG: "Stream line too long",
    BAD_ARGUMENT: "Bad characters in command line",
    CANNOT_CONNECT: "Error connecting to remote address",
    NO_TLS: "Error establishing SSL connection (connect)",
    BAD_CERTIFICATE: "Error setting the SSL certificate file",
    BAD_KEY: "Error setting the SSL key file",
    KEY_MISMATCH: "SSL private key check failed",
}
USAGE = """use :  {name}  [-snuptfSLcKCXHD]  ...
options :
       -s server        = set server address
       -n port          = set server port [6017]
       -u user          = set username
       -p pass          = set password
       -t timeout       = set timeout [90000]
       -f filename      = set I/O filename [stdin/stdout]
       -S               = enable SSL link negotiation
       -L               = use native SSL link
       -K filename      = set the SSL private key file
       -C filename      = set the SSL certificate file
       -X filename      = set the SSL certificate-list file
       -H dir           = set the SSL certificate-store directory
       -c               = disable MD5 authentication
       -D               = enable debug
"""
ONE_OF_TWO = "Either none or both private key and certificate file must be supplied\n"

_WITH_VALUE = frozenset("snuptfKCXH")
_SWITCHES = frozenset("SLcD")
_NUMBER = re.compile(r"\s*([+-]?\d{1,9})")


class BadUsage(Exception):
    """The command line cannot be understood."""


class Trouble(Exception):
    """It failed: what the error block says; `info` None is no third line."""

    def __init__(self, code: int, info: bytes | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.info = info


@dataclass(frozen=True, slots=True)
class Options:
    """A command line, understood."""

    server: str
    port: int
    user: str
    password: str
    seconds: int
    file: str | None
    tls: str  # "", "S" negotiated, "L" native
    key: str | None
    certificate: str | None
    authorities: str | None
    authorities_directory: str | None
    is_clear: bool
    command: tuple[str, ...]


def main() -> int:
    """The console script."""
    return run(
        sys.argv[1:], Path(sys.argv[0]).name, os.environ, sys.stdin.buffer, sys.stdout.buffer, sys.stderr
    )


def run(
    arguments: Sequence[str],
    name: str,
    environment: Mapping[str, str],
    stdin: BinaryIO,
    stdout: BinaryIO,
    stderr: TextIO,
) -> int:
    """Run the command; gives its exit code."""
    try:
        options = parse(arguments, environment)
    except BadUsage:
        stderr.write(USAGE.format(name=name))
        return BAD_USAGE
    if (options.key is None) != (options.certificate is None):
        stderr.write(ONE_OF_TWO)
        return FAILED
    try:
        Session(options, stdin, stdout).run()
    except Trouble as trouble:
        stderr.flush()
        stderr.buffer.write(block(trouble))
        stderr.buffer.flush()
        return FAILED
    stdout.flush()
    return DONE


def block(trouble: Trouble) -> bytes:
    """The lines that tell of a failure (section 8.5)."""
    lines = [f"ErrCode   = {trouble.code}".encode(), f"ErrString = {TEXTS[trouble.code]}".encode()]
    if trouble.info is not None:
        lines.append(b"ErrInfo   = " + trouble.info)
    return b"\n".join(lines) + b"\n"


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Options:
    """Understand a command line (section 8.1). Raises `BadUsage`."""
    values: dict[str, str] = {}
    tls, is_clear, place = "", False, 0
    while place < len(arguments) and arguments[place].startswith("-"):
        letter = arguments[place][1:2]
        place += 1
        if letter in _WITH_VALUE and letter:
            if place == len(arguments):
                raise BadUsage
            values[letter] = arguments[place]
            place += 1
        elif letter in _SWITCHES and letter:
            tls = letter if letter in "SL" else tls
            is_clear = is_clear or letter == "c"
        else:
            raise BadUsage
    command = tuple(arguments[place:])
    if not command or not (values.get("s") and values.get("u") and values.get("p")):
        raise BadUsage
    return Options(
        server=values["s"],
        port=_number(values["n"], 0) if "n" in values else PORT,
        user=values["u"],
        password=values["p"],
        seconds=_number(values["t"], 0) if "t" in values else TIMEOUT_SECONDS,
        file=values.get("f"),
        tls=tls,
        key=values.get("K") or environment.get("CTRL_KEY_FILE") or None,
        certificate=values.get("C") or environment.get("CTRL_CERT_FILE") or None,
        authorities=values.get("X") or environment.get("CTRL_CA_FILE") or None,
        authorities_directory=values.get("H") or environment.get("CTRL_CA_PATH") or None,
        is_clear=is_clear,
        command=command,
    )


def address_of(server: str, port: int) -> tuple[str, int]:
    """Return the host and the port that `-s` names: `host`, `host:port`, `[host]:port`. Raises `Trouble`."""
    if server.startswith("["):
        host, closed, rest = server[1:].partition("]")
        if not closed:
            raise Trouble(BAD_ADDRESS)
    else:
        found = re.search(r"[:|;]", server)
        host, rest = (server, "") if found is None else (server[: found.start()], server[found.start() :])
    return host, _number(rest[1:], port) if rest else port


def _number(text: str, otherwise: int) -> int:
    """The number that a text begins with, as C reads one."""
    found = _NUMBER.match(text)
    return int(found[1]) if found else otherwise


class Session:
    """One run: connect, sign in, command, quit."""

    def __init__(self, options: Options, stdin: BinaryIO, stdout: BinaryIO) -> None:
        self._options = options
        self._stdin = stdin
        self._stdout = stdout
        self._timeout = None if options.seconds < 0 else float(options.seconds)
        self._target: BinaryIO | None = None
        self._trouble: Trouble | None = None
        values = [os.fsencode(each) for each in (options.user, options.password, *options.command)]
        if any(re.search(rb"[\x00-\x1f\x7f]", value) for value in values):
            raise Trouble(BAD_ARGUMENT)  # a line end would begin another command
        user, password, *command = values
        self._client = CtrlClient(
            Errand(
                user[:MAX_NAME],
                password[:MAX_NAME],
                command,
                starts_tls=options.tls == "S",
                is_clear=options.is_clear,
            )
        )

    def run(self) -> None:
        """Do the errand. Raises `Trouble`."""
        upload = None
        if self._options.file is not None and self._options.command[0].lower() in UPLOADS:
            upload = self._read_file(
                self._options.file
            )  # before connecting: what cannot be read is told at once
        context = self._context() if self._options.tls else None
        host, port = address_of(self._options.server, self._options.port)
        connection = self._connect(host, port)
        try:
            if self._options.tls == "L":
                connection = self._wrapped(context, connection, host)
            self._talk(connection, context, host, upload)
        finally:
            connection.close()
            if self._target is not None and self._target is not self._stdout:
                self._target.close()
        if self._trouble is not None:
            raise self._trouble

    # -- the connection

    def _connect(self, host: str, port: int) -> socket.socket:
        try:
            # What looks like an address and is none must not be looked for as a name.
            if re.fullmatch(r"[\d.]+", host):
                address = socket.inet_ntoa(socket.inet_aton(host))
            else:
                found = socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_STREAM)
                address = str(found[0][4][0])
        except (OSError, UnicodeError, OverflowError) as error:
            raise Trouble(BAD_ADDRESS, os.fsencode(host)) from error
        if self._timeout == 0:
            raise Trouble(TIMED_OUT)
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        connection.settimeout(self._timeout)
        try:
            connection.connect((address, port))
        except TimeoutError as error:
            connection.close()
            raise Trouble(TIMED_OUT) from error
        except (OSError, OverflowError) as error:
            connection.close()
            raise Trouble(CANNOT_CONNECT) from error
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _context(self) -> ssl.SSLContext:
        options = self._options
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if options.authorities is None and options.authorities_directory is None:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        else:
            for each in (options.authorities, options.authorities_directory):
                if each is not None and not os.access(each, os.R_OK):
                    raise Trouble(CANNOT_OPEN, os.fsencode(each))
            try:
                context.load_verify_locations(options.authorities, options.authorities_directory)
            except (OSError, ssl.SSLError) as error:
                raise Trouble(CANNOT_OPEN, os.fsencode(options.authorities or "")) from error
        if options.certificate is not None and options.key is not None:
            for path, code in ((options.certificate, BAD_CERTIFICATE), (options.key, BAD_KEY)):
                if not os.access(path, os.R_OK):
                    raise Trouble(code, os.fsencode(path))
            try:
                context.load_cert_chain(options.certificate, options.key)
            except ssl.SSLError as error:
                if error.reason == "KEY_VALUES_MISMATCH":
                    raise Trouble(KEY_MISMATCH, os.fsencode(options.key)) from error
                raise Trouble(BAD_CERTIFICATE, os.fsencode(options.certificate)) from error
        return context

    def _wrapped(self, context: ssl.SSLContext | None, connection: socket.socket, host: str) -> socket.socket:
        assert context is not None
        try:
            return context.wrap_socket(connection, server_hostname=host)
        except (OSError, ValueError) as error:  # ssl.SSLError and time-outs are OSErrors
            raise Trouble(NO_TLS) from error

    # -- the talk

    def _talk(
        self, connection: socket.socket, context: ssl.SSLContext | None, host: str, upload: list[bytes] | None
    ) -> None:
        client = self._client
        while True:
            while (event := client.next_event()) is not None:
                match event:
                    case HandshakeDue():
                        connection = self._wrapped(context, connection, host)
                        client.tls_established()
                    case ListBegins():
                        self._open_target()
                    case ListLine(line):
                        self._write(line + b"\n")
                    case UploadWanted():
                        client.upload(self._upload() if upload is None else upload)
                    case Failed(code, info):
                        self._trouble = self._trouble or Trouble(code, info)
                    case Finished():
                        pass
            if not self._send(connection) or client.is_over:
                return
            data = self._receive(connection)
            if data:
                client.receive(data)
            else:
                client.end_of_input()

    def _send(self, connection: socket.socket) -> bool:
        data = self._client.output()
        try:
            connection.sendall(data)
        except OSError:
            if not self._client.is_quitting:
                self._trouble = self._trouble or Trouble(KERNEL)
            return False
        return True

    @staticmethod
    def _receive(connection: socket.socket) -> bytes:
        """What came; nothing at the end, or when nothing came in time."""
        try:
            return connection.recv(RECEIVE_BYTES)
        except OSError:
            return b""

    # -- files

    def _open_target(self) -> None:
        path = self._options.file
        if path is None:
            self._target = self._stdout
            return
        try:
            self._target = Path(path).open("wb")  # noqa: SIM115 - closed when the run ends
        except OSError:
            self._trouble = Trouble(CANNOT_CREATE, os.fsencode(path))

    def _write(self, data: bytes) -> None:
        if self._target is None:
            return
        try:
            self._target.write(data)
        except OSError:
            self._trouble = self._trouble or Trouble(CANNOT_CREATE, os.fsencode(self._options.file or "-"))
            self._target = None

    def _upload(self) -> list[bytes]:
        if self._options.file is not None:
            return self._read_file(self._options.file)
        return lines_of(self._stdin.read(MAX_UPLOAD))

    @staticmethod
    def _read_file(path: str) -> list[bytes]:
        try:
            with Path(path).open("rb") as file:
                return lines_of(file.read(MAX_UPLOAD))
        except OSError as error:
            raise Trouble(CANNOT_OPEN, os.fsencode(path)) from error


def lines_of(data: bytes) -> list[bytes]:
    """Cut what is to be sent into lines: CRs and LFs at an end go, a NUL cuts the line (section 8.6)."""
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return [line.partition(b"\0")[0].rstrip(b"\r\n") for line in lines]


if __name__ == "__main__":
    sys.exit(main())
