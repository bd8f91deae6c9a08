"""A mail store on a fresh database, with accounts made as needed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from postroad.db.pool import Database
from postroad.mailstore.append import Append
from postroad.mailstore.blobs import Blobs
from postroad.mailstore.changes import FolderChanged
from postroad.mailstore.delivery import Delivered, Delivery
from postroad.mailstore.entries import Entries
from postroad.mailstore.folders import Folders, Role
from postroad.mailstore.messages import Messages
from postroad.mailstore.quota import Quota
from postroad.mailstore.verify import verify
from postroad.message.summary import summarise

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class RecordedChanges:
    """A change sink that remembers."""

    def __init__(self) -> None:
        self.changes: list[FolderChanged] = []

    def announce(self, changes: Iterable[FolderChanged]) -> None:
        self.changes.extend(changes)


@dataclass
class Clock:
    """A clock that stands until it is moved."""

    now: datetime = START

    def __call__(self) -> datetime:
        return self.now

    def move(self, **step: float) -> None:
        self.now += timedelta(**step)


def mail(
    subject: str = "Hello", text: str = "A line.\r\n", message_id: str = "one@test.example", more: str = ""
) -> bytes:
    """A small mail."""
    return (
        f"From: Anna <anna@test.example>\r\nTo: Bert <bert@test.example>\r\nSubject: {subject}\r\n"
        f"Date: Fri, 02 Jan 2026 03:04:05 +0000\r\nMessage-ID: <{message_id}>\r\n{more}"
        f"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}"
    ).encode()


@dataclass
class Store:
    """The services under test, over one database."""

    database: Database
    blobs: Blobs
    blob_directory: Path
    clock: Clock = field(default_factory=Clock)
    changes: RecordedChanges = field(default_factory=RecordedChanges)
    is_damaged: bool = False  # by the test, on purpose

    def __post_init__(self) -> None:
        self.messages = Messages(self.database, self.blobs, inline_bytes=10_000)
        self.folders = Folders(self.database, self.changes)
        self.entries = Entries(self.database, self.changes)
        self.quota = Quota(self.database, self.clock)
        self.append = Append(self.database, self.messages, self.changes, self.clock)

    async def account(self, name: str = "anna", quota_bytes: int | None = None) -> int:
        """A new account of the domain test.example, with its folders."""
        await self.database.execute(
            "INSERT INTO domain (name) VALUES ('test.example') ON CONFLICT DO NOTHING"
        )
        account_id: int = await self.database.fetchval(
            "INSERT INTO account (domain_id, address, quota_bytes) "
            "SELECT id, $1, $2 FROM domain WHERE name = 'test.example' RETURNING id",
            f"{name}@test.example",
            quota_bytes,
        )
        async with self.database.transaction() as connection:
            await self.folders.ensure_defaults_in(connection, account_id)
        return account_id

    async def accounts(self, count: int) -> list[int]:
        """Several new accounts."""
        return [await self.account(f"a{number}") for number in range(count)]

    async def inbox(self, account_id: int) -> int:
        """The id of an account's inbox."""
        return (await self.folders.get_by_role(account_id, Role.INBOX)).id

    async def deliver(self, account_ids: list[int], body: bytes | None = None) -> list[Delivered | None]:
        """Store one mail and deliver it to the inboxes of accounts."""
        content = body if body is not None else mail()
        new = await self.messages.prepare(content, summarise(content), b"Return-Path: <x@y>\r\n", 20)
        async with self.database.transaction() as connection:
            await self.messages.store_in(connection, [new])
            return await self.entries.deliver_in(
                connection, [Delivery.of(new, each, self.clock()) for each in account_ids]
            )

    async def fill(self, account_id: int, count: int) -> list[int]:
        """Deliver `count` mails to an inbox; returns their UIDs."""
        uids = []
        for number in range(count):
            placed = await self.deliver(
                [account_id], mail(f"Mail {number}", message_id=f"{number}@test.example")
            )
            assert placed[0] is not None
            uids.append(placed[0].uid)
        return uids


@pytest.fixture
async def store(database: Database, tmp_path: Path) -> AsyncIterator[Store]:
    """A store with nobody in it; whatever a test did to it, it is consistent afterwards."""
    directory = tmp_path / "blobs"
    store = Store(database, Blobs(str(directory)), directory)
    yield store
    if not store.is_damaged:
        assert [problem async for problem in verify(database, store.blobs)] == []
