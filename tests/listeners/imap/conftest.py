"""An IMAP door over a real store, and a client that says lines and keeps its own picture of nothing."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from postroad.db.notify import Announcer, Listener
from postroad.db.pool import Database
from postroad.directory.errors import WrongCredentials
from postroad.directory.identity.sign_in import Entrance
from postroad.directory.principals import Kind, Principal
from postroad.listeners.access import AccessListener
from postroad.listeners.access_metrics import AccessMetrics
from postroad.listeners.access_sign_in import AccessSignIn
from postroad.listeners.budget import ContentBudget
from postroad.listeners.imap import imap_listener
from postroad.listeners.imap_session import ImapDoor, MailServices
from postroad.listeners.limits import Connections
from postroad.listeners.sockets import bind
from postroad.listeners.tls import ServerTls
from postroad.mailstore.append import Append
from postroad.mailstore.blobs import Blobs
from postroad.mailstore.changes import Changes
from postroad.mailstore.entries import Entries
from postroad.mailstore.exact_search import ExactSearch
from postroad.mailstore.folders import Folders
from postroad.mailstore.quota import Quota
from postroad.mailstore.verify import verify
from postroad.mailstore.views import Views
from postroad.message.address import Address
from tests.listeners.conftest import LOOPBACK
from tests.mailstore.conftest import Store, mail

LARGEST = 1_000_000
_LITERAL = re.compile(rb"\{(\d+)\}\r\n\Z")


class Client:
    """Says commands and returns the lines of the answers, literals inside."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._count = 0

    async def line(self) -> bytes:
        """The next line, with its literals."""
        whole = b""
        while True:
            line = await self.reader.readline()
            whole += line
            literal = _LITERAL.search(line)
            if literal is None:
                return whole.removesuffix(b"\r\n")
            whole += await self.reader.readexactly(int(literal[1]))

    def send(self, text: str | bytes) -> str:
        """Say a command; returns its tag."""
        self._count += 1
        tag = f"t{self._count}"
        data = text.encode() if isinstance(text, str) else text
        self.writer.write(tag.encode() + b" " + data + b"\r\n")
        return tag

    async def answer(self, tag: str) -> tuple[list[str], str]:
        """The untagged lines up to the tagged one, and that."""
        lines: list[str] = []
        while True:
            line = await self.line()
            if not line:
                raise EOFError(lines)
            text = line.decode("utf-8", "surrogateescape")
            if text.startswith(tag + " "):
                return lines, text.removeprefix(tag + " ")
            lines.append(text)

    async def ask(self, text: str | bytes) -> tuple[list[str], str]:
        """Say a command and hear it out."""
        return await self.answer(self.send(text))

    async def ok(self, text: str | bytes) -> list[str]:
        """Say a command that must succeed; its untagged lines."""
        lines, tagged = await self.ask(text)
        assert tagged.startswith("OK"), (text, lines, tagged)
        return lines

    async def append(self, folder: str, body: bytes, options: str = "") -> str:
        """APPEND a mail; the tagged answer."""
        return (await self.ask(f"APPEND {folder} {options}{{{len(body)}+}}\r\n".encode() + body))[1]

    async def close(self) -> None:
        """Hang up."""
        self.writer.close()


class Passwords:
    """Everybody of test.example whose password is `secret`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def check(self, username: str, password: str, client: str, entrance: Entrance) -> Principal:
        found = await self._database.fetchval("SELECT id FROM account WHERE address = $1", username)
        if found is None or password != "secret":
            raise WrongCredentials
        return Principal(Kind.ACCOUNT, found, username, 1, "password", Address.parse(username))


@dataclass
class House:
    """A door on a store; `listeners` are its workers, each with a change feed of its own."""

    store: Store
    ports: list[int]
    listeners: list[AccessListener]
    registry: CollectorRegistry

    async def connect(self, worker: int = 0) -> Client:
        """A client that has read the greeting."""
        client = Client(*await asyncio.open_connection("127.0.0.1", self.ports[worker], limit=10_000_000))
        assert (await client.line()).startswith(b"* OK [CAPABILITY ")
        return client

    async def client(self, name: str = "anna", select: str = "", worker: int = 0, enable: str = "") -> Client:
        """A client that is signed in."""
        client = await self.connect(worker)
        await client.ok(f"LOGIN {name}@test.example secret")
        if enable:
            await client.ok(f"ENABLE {enable}")
        if select:
            await client.ok(f"SELECT {select}")
        return client


Opener = Callable[[], Awaitable[House]]


@pytest.fixture
def budget() -> ContentBudget:
    """What all doors of a house may hold in memory."""
    return ContentBudget(1_500_000)


@pytest.fixture
async def house(
    database: Database, certificate: ServerTls, tmp_path: Path, budget: ContentBudget
) -> AsyncIterator[House]:
    """Two workers over one database, with the account anna@test.example."""
    blobs = Blobs(str(tmp_path / "blobs"))
    store = Store(database, blobs, tmp_path / "blobs")
    await store.account()
    registry = CollectorRegistry()
    metrics = AccessMetrics(registry)
    ports: list[int] = []
    listeners: list[AccessListener] = []
    async with AsyncExitStack() as stack:
        announcer = await stack.enter_async_context(Announcer(database))
        heard = await stack.enter_async_context(Listener(database.dsn))
        for name in ("imap", "imap"):
            changes = await stack.enter_async_context(Changes(database, announcer, heard))
            door = ImapDoor(
                hostname="imap.example.com",
                version="1",
                plain_auth_networks=LOOPBACK,
                sign_in=AccessSignIn(Passwords(database), "imap"),
                store=MailServices(
                    folders=Folders(database, changes),
                    entries=Entries(database, changes),
                    append=Append(database, store.messages, changes, store.clock),
                    quota=Quota(database, store.clock),
                    views=Views(database, blobs),
                    search=ExactSearch(database, store.messages),
                    changes=changes,
                ),
                budget=budget,
                metrics=metrics.door(name),
                tls=certificate,
                largest_mail=LARGEST,
                idle_seconds=1800,
            )
            listener = imap_listener(name, door, Connections(most_per_client=1000))
            sockets = bind("127.0.0.1:0")
            await listener.start(sockets)
            ports.append(sockets[0].getsockname()[1])
            listeners.append(listener)
        yield House(store, ports, listeners, registry)
        for listener in listeners:
            await listener.drain(0.2)
        assert [problem async for problem in verify(database, blobs)] == []


__all__ = ["Client", "House", "mail"]
