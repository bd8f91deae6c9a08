"""An SMTP server for tests that answers as real providers do: greylisting, refusals, full mailboxes, lost
connections.

What it says to a recipient follows from the name before the @ (`ANSWERS`); what it does with connections,
from its settings. Everything it took is kept in `mails`. Loopback only.
"""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

# By the beginning of the local part. `greylisted…` is refused the first time only.
ANSWERS: dict[str, str] = {
    "unknown": "550 5.1.1 <{0}>: Recipient address rejected: User unknown",
    "full": "452 4.2.2 <{0}>: The email account that you tried to reach is over quota",
    "later": "451 4.3.2 Please try again later",
    "refused": "550 5.7.1 <{0}>: Message rejected due to local policy",
    "closed": "550 5.2.1 <{0}>: The account is disabled",
}
CONTENT_ANSWERS: dict[str, str] = {
    "spam": "554 5.7.1 [DT:SPM] message content rejected as spam",
    "busy": "451 4.7.1 Too many messages, try again later",
}
STAGES = ("connect", "greeting", "ehlo", "mail", "rcpt", "data", "content", "dot")


@dataclass(frozen=True)
class SinkMail:
    """One mail as it arrived: a line of MAIL and of each RCPT that was accepted, and the bytes of DATA."""

    mail_line: str
    recipient_lines: tuple[str, ...]
    content: bytes
    is_tls: bool
    connection: int

    @property
    def recipients(self) -> tuple[str, ...]:
        """The addresses without their parameters."""
        return tuple(line.partition("<")[2].partition(">")[0] for line in self.recipient_lines)

    @property
    def sender(self) -> str:
        """The address of MAIL FROM."""
        return self.mail_line.partition("<")[2].partition(">")[0]


@dataclass
class Sink:
    """How the server behaves, and what it saw. Change settings before it is met, or while it runs.

    `disconnects` counts down: at a stage (see `STAGES`), so many connections are dropped there.
    """

    hostname: str = "sink.example"
    extensions: list[str] = field(
        default_factory=lambda: ["PIPELINING", "SIZE 10000000", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"]
    )
    greeting: str = "220 {hostname} ESMTP"
    disconnects: Counter[str] = field(default_factory=Counter)
    tls: ssl.SSLContext | None = None
    is_tls_at_once: bool = False
    breaks_tls: bool = False
    knows_ehlo: bool = True
    delay_seconds: float = 0.0
    credentials: tuple[str, str] | None = None
    hold: asyncio.Event | None = None  # answers the end of a mail only when this is set
    max_connections: int | None = None
    on_mail: Callable[[SinkMail], None] = lambda mail: None
    mails: list[SinkMail] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)  # every command, as it was read
    seen: Counter[str] = field(default_factory=Counter)
    clients: Counter[str] = field(default_factory=Counter)  # what they called themselves in EHLO
    connections: int = 0
    open_connections: int = 0
    most_open: int = 0
    port: int = 0
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def recipients(self) -> list[str]:
        """Every accepted recipient of every mail, in order."""
        return [recipient for mail in self.mails for recipient in mail.recipients]

    async def wait_for(self, count: int, seconds: float = 20.0) -> None:
        """Wait until so many recipients have got their mail."""
        async with asyncio.timeout(seconds):
            while len(self.recipients) < count:
                self.arrived.clear()
                await self.arrived.wait()

    def drops(self, stage: str) -> bool:
        """Whether this connection is dropped here."""
        self.seen[stage] += 1
        if self.disconnects[stage] > 0:
            self.disconnects[stage] -= 1
            return True
        return False

    def answer(self, address: str) -> str:
        """What RCPT is answered."""
        name = address.partition("@")[0]
        if name.startswith("greylisted"):
            self.seen[address] += 1
            if self.seen[address] == 1:
                return "450 4.2.0 Greylisted, please try again in 5 minutes"
        for beginning, text in ANSWERS.items():
            if name.startswith(beginning):
                return text.format(address)
        return "250 2.1.5 Ok"


class _Dropped(Exception):
    pass


class _Session:
    def __init__(self, sink: Sink, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.sink = sink
        self.reader = reader
        self.writer = writer
        self.number = sink.connections
        self.is_tls = sink.is_tls_at_once
        self.is_signed_in = False
        self.mail_line = ""
        self.recipient_lines: list[str] = []

    async def say(self, text: str) -> None:
        if self.sink.delay_seconds:
            await asyncio.sleep(self.sink.delay_seconds)
        self.writer.write(text.encode() + b"\r\n")
        await self.writer.drain()

    def stage(self, name: str) -> None:
        if self.sink.drops(name):
            raise _Dropped

    async def run(self) -> None:
        sink = self.sink
        self.stage("connect")
        if sink.max_connections is not None and sink.open_connections > sink.max_connections:
            await self.say(f"421 4.7.0 {sink.hostname} too many connections from you")
            return
        await self.say(sink.greeting.format(hostname=sink.hostname))
        self.stage("greeting")
        while line := await self.reader.readline():
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            sink.lines.append(text)
            verb = text.partition(" ")[0].upper()
            if verb == "QUIT":
                await self.say("221 2.0.0 Bye")
                return
            await self.command(verb, text)

    async def command(self, verb: str, text: str) -> None:
        sink = self.sink
        if verb == "EHLO" and sink.knows_ehlo:
            self.stage("ehlo")
            sink.clients[text.partition(" ")[2]] += 1
            offered = list(sink.extensions)
            if (sink.tls is not None or sink.breaks_tls) and not self.is_tls:
                offered.append("STARTTLS")
            if sink.credentials is not None:
                offered.append("AUTH PLAIN LOGIN")
            lines = [sink.hostname, *offered]
            for place, line in enumerate(lines):
                await self.say(f"250{' ' if place == len(lines) - 1 else '-'}{line}")
        elif verb == "HELO":
            await self.say(f"250 {sink.hostname}")
        elif verb == "STARTTLS" and (sink.tls is not None or sink.breaks_tls):
            await self.say("220 2.0.0 Ready to start TLS")
            if sink.breaks_tls:
                self.writer.write(b"this is no TLS record at all\r\n")
                await self.writer.drain()
                raise _Dropped
            assert sink.tls is not None
            await self.writer.start_tls(sink.tls)
            self.is_tls = True
        elif verb == "AUTH" and sink.credentials is not None:
            await self.sign_in(text)
        elif verb == "MAIL":
            self.stage("mail")
            if sink.credentials is not None and not self.is_signed_in:
                await self.say("530 5.7.0 Authentication required")
                return
            self.mail_line, self.recipient_lines = text, []
            await self.say("250 2.1.0 Ok")
        elif verb == "RCPT":
            self.stage("rcpt")
            answer = sink.answer(text.partition("<")[2].partition(">")[0])
            if answer.startswith("250"):
                self.recipient_lines.append(text)
            await self.say(answer)
        elif verb == "DATA":
            await self.data()
        elif verb in ("RSET", "NOOP"):
            self.mail_line, self.recipient_lines = "", []
            await self.say("250 2.0.0 Ok")
        else:
            await self.say("502 5.5.2 Command not recognized")

    async def sign_in(self, text: str) -> None:
        import base64

        assert self.sink.credentials is not None
        username, password = self.sink.credentials
        expected = base64.b64encode(f"\0{username}\0{password}".encode()).decode()
        self.is_signed_in = text.split()[1:] == ["PLAIN", expected]
        await self.say("235 2.7.0 Ok" if self.is_signed_in else "535 5.7.8 Wrong credentials")

    async def data(self) -> None:
        sink = self.sink
        self.stage("data")
        if not self.recipient_lines:
            await self.say("554 5.5.1 No valid recipients")
            return
        await self.say("354 End data with <CR><LF>.<CR><LF>")
        lines: list[bytes] = []
        while (line := await self.reader.readline()) != b".\r\n":
            if not line:
                raise _Dropped
            if not lines:
                self.stage("content")
            lines.append(line[1:] if line.startswith(b".") else line)
        if sink.hold is not None:
            await sink.hold.wait()
        self.stage("dot")
        name = self.recipient_lines[0].partition("<")[2].partition("@")[0]
        for beginning, answer in CONTENT_ANSWERS.items():
            if name.startswith(beginning):
                await self.say(answer)
                return
        mail = SinkMail(
            self.mail_line, tuple(self.recipient_lines), b"".join(lines), self.is_tls, self.number
        )
        sink.mails.append(mail)
        sink.arrived.set()
        sink.on_mail(mail)
        self.mail_line, self.recipient_lines = "", []
        self.stage("after")
        await self.say("250 2.0.0 Ok: queued")


@asynccontextmanager
async def running(sink: Sink) -> AsyncIterator[Sink]:
    """Run a sink on a free port of the loopback interface (`sink.port`)."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        sink.connections += 1
        sink.open_connections += 1
        sink.most_open = max(sink.most_open, sink.open_connections)
        try:
            await _Session(sink, reader, writer).run()
        except (_Dropped, OSError, ssl.SSLError):
            writer.transport.abort()
        finally:
            sink.open_connections -= 1
            tasks.discard(task)
            with suppress(OSError, ssl.SSLError):
                writer.close()

    at_once = sink.tls if sink.is_tls_at_once else None
    server = await asyncio.start_server(serve, "127.0.0.1", sink.port, limit=2**24, ssl=at_once)
    sink.port = server.sockets[0].getsockname()[1]
    try:
        yield sink
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def self_signed(directory: Path, name: str = "sink.example") -> ssl.SSLContext:
    """A server's TLS context with a certificate made for the occasion."""
    key, certificate = directory / "sink.key", directory / "sink.crt"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-keyout", str(key), "-out", str(certificate), "-days", "2", "-subj", f"/CN={name}"],
        check=True,
        capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context
