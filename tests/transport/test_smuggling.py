"""What leaves this house has one reading, also for a peer that takes anything for the end of a mail.

SMTP smuggling (CVE-2023-51764 and its kin), outwards: whoever writes here must not have a peer of ours
believe that we send a second mail.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from postroad.message.address import Address
from postroad.protocols.smtp.envelope import Envelope
from postroad.protocols.smtp.events import Authenticate, MessageComplete
from postroad.protocols.smtp.limits import ServerLimits
from postroad.protocols.smtp.server import ServerConfig, SmtpServer
from tests.sink import Sink
from tests.transport.conftest import House, recipients

SECOND = b"MAIL FROM:<president@here.example>\nRCPT TO:<victim@there.example>\nDATA\nsmuggled"
# What servers of the field have been seen to take for CRLF.CRLF, and a NUL that some leave out.
ENDINGS = (
    b"\n.\n", b"\r\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\n.\r", b"\r.\n",
    b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\r\r\n.\r\r\n", b"\n\n.\n\n", b"\r\n.\r\n",
)  # fmt: skip
LINE = re.compile(rb"\r\n|\n|\r")


@dataclass
class Lenient:
    """A peer for which CR, LF and CRLF all end a line, and NUL is nothing."""

    port: int = 0
    mails: list[bytes] = field(default_factory=list)
    senders: list[bytes] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer whatever is said."""
        writer.write(b"220 lenient\r\n")
        waiting = b""
        content: list[bytes] | None = None
        try:
            while piece := await reader.read(65_536):
                waiting += piece.replace(b"\0", b"")
                while (end := LINE.search(waiting)) is not None:
                    if end[0] == b"\r" and end.end() == len(waiting):
                        break  # perhaps an LF follows
                    line, waiting = waiting[: end.start()], waiting[end.end() :]
                    if content is not None and line != b".":
                        content.append(line.removeprefix(b"."))
                    elif content is not None:
                        self.mails.append(b"\n".join(content))
                        content = None
                        self.arrived.set()
                        writer.write(b"250 Ok\r\n")
                    elif line.upper().startswith(b"DATA"):
                        content = []
                        writer.write(b"354 Go on\r\n")
                    else:
                        if line.upper().startswith(b"MAIL"):
                            self.senders.append(line)
                        writer.write(b"221 Bye\r\n" if line.upper() == b"QUIT" else b"250 Ok\r\n")
        finally:
            writer.close()


@asynccontextmanager
async def lenient_peer() -> AsyncIterator[Lenient]:
    peer = Lenient()
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    peer.port = server.sockets[0].getsockname()[1]
    async with server:
        yield peer


def written(ending: bytes, number: int) -> bytes:
    head = (
        b"From: <anna@here.example>\r\nTo: <victim@there.example>\r\nSubject: x\r\n"
        b"Date: Fri, 02 Jan 2026 03:04:05 +0000\r\nMessage-ID: <%d@here.example>\r\n\r\n" % number
    )
    return head + b"first part" + ending + SECOND + ending + b"last words\r\n"


def as_taken(content: bytes, *, signed_in: bool) -> bytes | None:
    """What our own door makes of a content that comes by DATA; None when it refuses it."""
    server = SmtpServer(ServerConfig("mx.here.example", ServerLimits(), allows_plain_auth=True))
    server.greet()
    said = b"EHLO a\r\n"
    if signed_in:
        said += b"AUTH PLAIN AGFubmEAc2VjcmV0\r\n"
    server.receive(said)
    if isinstance(server.question, Authenticate):
        server.accept()
    server.receive(b"MAIL FROM:<anna@here.example>\r\nRCPT TO:<victim@there.example>\r\nDATA\r\n")
    for _ in range(3):
        if server.question is not None:
            server.accept()
    server.receive(content + b"\r\n.\r\n")
    question = server.question
    return question.content if isinstance(question, MessageComplete) else None


@pytest.mark.timeout(120)
async def test_a_lenient_peer_gets_one_mail_for_one(house: House) -> None:
    anna = await house.account()
    to = recipients("victim@there.example")
    sender = Address.parse("anna@here.example")
    sent: list[bytes] = []
    async with lenient_peer() as peer, house.worker(Sink(port=peer.port)) as worker:
        ways: list[Callable[[bytes], Awaitable[object]]] = [
            # The webmail and the interfaces hand mails over as they are: nobody has judged their line ends.
            lambda content: worker.submission.send(anna, content, [to[0].address], saves_to_sent=False),
            lambda content: worker.acceptance.accept(Envelope(sender, to), content, house.session(anna)),
        ]
        for number, ending in enumerate(ENDINGS):
            content = written(ending, number)
            for way in ways:
                await way(content)
                sent.append(content)
        await house.until_empty()
    assert len(peer.mails) == len(sent)
    assert len(peer.senders) == len(sent)
    assert all(b"anna@here.example" in each for each in peer.senders)
    assert all(b"smuggled" in mail and b"last words" in mail for mail in peer.mails)


@pytest.mark.parametrize("ending", ENDINGS[:-1], ids=range(len(ENDINGS) - 1))
def test_strangers_are_refused_and_people_mended(ending: bytes) -> None:
    content = written(ending, 1)
    taken = as_taken(content, signed_in=False)
    assert taken is None
    mended = as_taken(content, signed_in=True)
    if b"\0" in ending:
        assert mended is None
    else:
        assert mended is not None
        assert b"\n" not in mended.replace(b"\r\n", b"")
        assert b"\r" not in mended.replace(b"\r\n", b"")
