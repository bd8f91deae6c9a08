"""Where a road is walked: a database with two accounts, a wire in front of it, a sink behind it.

What the walker does goes through the wire; what it looks at afterwards is read past it.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import asyncpg

from postroad.config import Delivery, Listen, Settings, Smtp
from postroad.db.group_commit import CommitFailed
from postroad.db.pool import Database, DatabaseUnavailable
from postroad.mailstore.blobs import Blobs
from postroad.mailstore.verify import verify
from postroad.message.address import Address
from postroad.protocols.smtp.envelope import Envelope, EnvelopeRecipient, Principal, Role, SessionInfo
from postroad.protocols.smtp.replies import SmtpReply
from postroad.server.parts import Parts, open_parts
from postroad.transport.queue.queued_mails import Selection
from postroad.transport.service import Transport
from tests.faults import wire
from tests.sink import Sink
from tests.sink import running as running_sink
from tests.transport.conftest import House

HOSTNAME = "mx.walk.test"
PASSWORD = "walked-the-whole-Road-9"
ANNA = Address.parse("anna@walk.test")
BERT = Address.parse("bert@walk.test")
PATIENCE = 90.0  # for whatever must come by itself within seconds, on a busy machine

Answer = TypeVar("Answer")


class Clock:
    """A worker's clock, which may jump."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@dataclass
class Scene:
    """One database and everything around it."""

    database: Database
    wire: wire.Wire
    sink: Sink
    blobs: Blobs
    settings: Settings
    accounts: dict[Address, int] = field(default_factory=dict)

    @asynccontextmanager
    async def worker(self, clock: Callable[[], datetime] | None = None) -> AsyncIterator[Parts]:
        """Open all services of a worker behind the wire, and wait until it has said who it is."""
        async with open_parts(self.settings, self.wire.dsn, clock or Clock()) as parts:
            await until(lambda: _true(parts.transport.presence.is_held), "presence is held")
            yield parts

    @cached_property
    def taker(self) -> Transport:
        """A transport past the wire that leaves what it takes in the queue."""
        house = House(self.database, self.blobs)
        return house.worker(self.sink, delivers=False, smtp={"relay_networks": ["127.0.0.0/8"]})

    async def problems(self) -> list[str]:
        """What the store's own consistency check finds."""
        return [str(each) async for each in verify(self.database, self.blobs)]

    async def inboxes(self, mark: str) -> Counter[tuple[str, str, str]]:
        """How often each mail of a walk lies where: (name, address, role of the folder)."""
        rows = await self.database.fetch(
            "SELECT m.subject AS name, a.address, coalesce(f.role, f.name) AS folder, "
            "count(*) AS copies FROM message m JOIN entry e ON e.message_id = m.id "
            "JOIN folder f ON f.id = e.folder_id JOIN account a ON a.id = e.account_id "
            "WHERE starts_with(m.subject, $1) GROUP BY 1, 2, 3",
            mark,
        )
        return Counter({(row["name"], row["address"], row["folder"]): row["copies"] for row in rows})

    def at_sink(self, mark: str) -> Counter[tuple[str, str]]:
        """How often each mail of a walk went out: (name, recipient)."""
        found: Counter[tuple[str, str]] = Counter()
        for mail in self.sink.mails:
            name = mail.content.partition(b"Subject: ")[2].partition(b"\r\n")[0].decode()
            if name.startswith(mark):
                found.update((name, recipient) for recipient in mail.recipients)
        return found

    async def clear(self) -> None:
        """Forget what a walk that failed has left behind, so that the next one is judged by itself."""
        await self.database.execute(
            "TRUNCATE queue_envelope, queue_recipient, queue_worker, event, entry, expunged, message, "
            "content, message_release, search_document, oa.websent, oa_websent_state, web_session"
        )
        await self.database.execute(
            "TRUNCATE customer, contact, sender_domain, recipient, ledger_chunk CASCADE"
        )
        await self.database.execute("UPDATE folder SET message_count = 0, unseen_count = 0, size_bytes = 0")

    async def queued(self) -> list[asyncpg.Record]:
        """The recipients in the queue."""
        return await self.database.fetch(
            "SELECT *, lease_owner IS NULL AND next_attempt_at > now() AS is_put_off FROM queue_recipient"
        )


@asynccontextmanager
async def scene(dsn: str) -> AsyncIterator[Scene]:
    """Set a scene on the fresh, migrated database at `dsn`."""
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="walk-")))
        database = await stack.enter_async_context(
            Database(dsn, max_size=3, acquire_seconds=PATIENCE, statement_seconds=PATIENCE)
        )
        sink = await stack.enter_async_context(running_sink(Sink()))
        line = await stack.enter_async_context(wire.running(dsn, directory))
        settings = Settings(
            data_dir=directory / "data",
            hostname=HOSTNAME,
            workers=1,
            listen=Listen(smtp="127.0.0.1:1"),
            smtp=Smtp(relay_networks=["127.0.0.0/8"]),
            delivery=Delivery(relay=f"127.0.0.1:{sink.port}"),
        )
        made = Scene(database, line, sink, Blobs(settings.blob_location), settings)
        await database.execute("INSERT INTO domain (name) VALUES ('walk.test')")
        async with open_parts(settings, dsn, Clock()) as parts:
            for address in (ANNA, BERT):
                made.accounts[address] = (await parts.accounts.add(address, PASSWORD)).id
        yield made


@dataclass
class Walk:
    """One walk of a road. `is_strict`: nothing is broken any more, so everything must be had in the end."""

    scene: Scene
    parts: Parts
    is_strict: bool
    mark: str = field(default_factory=lambda: f"w{secrets.token_hex(6)}")

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)
        self.acknowledged: set[str] = set()
        self.tried: set[str] = set()
        self._asks_again_at = 0.0

    def name(self) -> str:
        """A name that no other mail has."""
        name = f"{self.mark}.{next(self._numbers)}"
        self.tried.add(name)
        return name

    async def ask(self, act: Callable[[], Awaitable[Answer]]) -> Answer | None:
        """Ask for something; None when the answer was an honest "not now". Asked again when strict."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE
        while True:
            try:
                return await act()
            except (DatabaseUnavailable, CommitFailed) as error:
                refusal: Exception = error
            except SmtpReply as error:
                if not 400 <= error.code < 500:
                    raise
                refusal = error
            if not self.is_strict:
                return None
            if loop.time() > deadline:
                raise AssertionError(f"no service after {PATIENCE:.0f} s: {refusal}")
            await asyncio.sleep(0.05)

    async def send(
        self, transport: Transport, *recipients: str, sender: Address | None = ANNA, as_account: bool = False
    ) -> str:
        """Hand in a mail by SMTP, so to speak; gives its name once it is acknowledged."""
        name = self.name()
        principal = Principal(self.scene.accounts[ANNA], ANNA) if as_account else None
        envelope = Envelope(sender, tuple(EnvelopeRecipient(Address.parse(each)) for each in recipients))
        session = SessionInfo(Role.MX, "127.0.0.1", "client.test", True, principal=principal)
        await transport.acceptance.accept(envelope, mail(name), session)
        self.acknowledged.add(name)
        return name

    async def until_queue_rests(self) -> None:
        """Wait until nothing is under way in the queue; when strict, until it is empty.

        What was put off is asked for again as an operator would.
        """
        dispatcher = self.parts.transport.dispatcher
        loop = asyncio.get_running_loop()

        async def rests() -> bool:
            rows = await self.scene.queued()
            if not rows:
                return dispatcher.in_flight == 0
            if self.is_strict:
                if any(row["is_put_off"] for row in rows) and loop.time() > self._asks_again_at:
                    self._asks_again_at = loop.time() + 0.3
                    await self.ask(lambda: self.parts.transport.queued_mails.retry(Selection()))
                return False
            return all(row["is_put_off"] for row in rows)

        if self.is_strict:
            await until(rests, "the queue is empty")
            return
        try:
            async with asyncio.timeout(2.0):
                await until(rests, "the queue rests")
        except TimeoutError:
            return  # held up by the fault; the strict walk waits for it

    def hold_copies(self, copies: dict[str, int]) -> None:
        """Every acknowledged mail once, every other at most once. `copies` are counted by name."""
        lost = sorted(self.acknowledged - {name for name, count in copies.items() if count})
        twice = sorted(name for name, count in copies.items() if count > 1)
        assert not lost, f"acknowledged and lost: {lost}"
        assert not twice, f"there more than once: {twice}"


def mail(name: str, to: str = "someone@walk.test") -> bytes:
    """A small mail known by its subject."""
    return (
        f"From: <{ANNA}>\r\nTo: <{to}>\r\nSubject: {name}\r\nDate: Fri, 02 Jan 2026 03:04:05 +0000\r\n"
        f"Message-ID: <{name}@walk.test>\r\n\r\nA line.\r\n"
    ).encode()


async def until(holds: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait until something holds; a database that is away cannot tell yet. Raises `AssertionError`."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while True:
        with suppress(DatabaseUnavailable):
            if await holds():
                return
        assert asyncio.get_running_loop().time() < deadline, f"after {PATIENCE:.0f} s still not: {what}"
        await asyncio.sleep(0.04)


async def _true(value: bool) -> bool:
    return value
