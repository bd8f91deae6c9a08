"""Receivers are told of every mail, in order an account, whatever they do; a dead one delays nobody."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from postroad.config import Delivery, Listen, Notifications, Settings
from postroad.db.pool import Database
from postroad.mailstore.folders import Role as Folder
from postroad.message.address import Address
from postroad.notifications import telling
from postroad.notifications.lines import Lines, Tried
from postroad.notifications.log import NotificationLog
from postroad.notifications.receivers import BadReceiver, Receivers, UnknownReceiver
from postroad.notifications.telling import Failed, Telling, again_in
from postroad.notifications.ways import open_ways
from postroad.protocols.smtp.envelope import Envelope, EnvelopeRecipient, Role, SessionInfo
from postroad.server.parts import Parts, open_parts

LI, WANG, OTHER = "li@d1.test", "wang@d1.test", "anna@d2.test"
NEWS = Notifications(allowed_networks=["127.0.0.0/8"], timeout_seconds=10)
LETTER = (
    "From: =?utf-8?b?546L?= <wang@elsewhere.test>\r\nTo: Li <li@d1.test>\r\nCc: c@elsewhere.test\r\n"
    "Subject: {}\r\nMessage-ID: <{}@elsewhere.test>\r\nDate: Sat, 21 Nov 2026 19:03:39 +0800\r\n"
    "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nThe text\r\n"
    "--b\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=a.pdf\r\n\r\nPDF\r\n"
    "--b--\r\n"
)


@dataclass
class Hook:
    """Somebody's program that is called: what it got, and what it says to each path in turn."""

    port: int = 0
    calls: list[tuple[str, dict[str, str], dict[str, Any], bytes]] = field(default_factory=list)
    statuses: dict[str, list[int]] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    hanging: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.rstrip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = await reader.readexactly(int(headers["content-length"]))
        path = first.split(" ")[1]
        if path in self.silent:
            self.hanging += 1
            await reader.read()
        else:
            self.calls.append((path, headers, json.loads(body), body))
            said = self.statuses.get(path)
            status = said.pop(0) if said else 200
            writer.write(f"HTTP/1.1 {status} said\r\nContent-Length: 4\r\n\r\nwhat".encode())
        writer.close()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def subjects(self, path: str, account: str = "") -> list[str]:
        """Of the mails it was told of."""
        return [
            body["data"]["subject"]
            for at, _, body, _ in self.calls
            if at == path and body["data"].get("account", account) == (account or body["data"].get("account"))
        ]


@dataclass
class Room:
    """A worker's services, and a program that is called."""

    parts: Parts
    receivers: Receivers
    hook: Hook
    numbers: int = 0

    async def arrive(self, *recipients: str) -> str:
        """A mail comes in; gives its subject."""
        self.numbers += 1
        subject = f"mail {self.numbers:03}"
        content = LETTER.format(subject, self.numbers).encode()
        to = tuple(EnvelopeRecipient(Address.parse(each)) for each in recipients)
        session = SessionInfo(Role.MX, "192.0.2.9", "client.test", True)
        envelope = Envelope(Address.parse("wang@elsewhere.test"), to)
        await self.parts.transport.acceptance.accept(envelope, content, session)
        return subject

    async def log(self, receiver: int) -> list[str]:
        """Outcomes, the oldest first."""
        kept = await NotificationLog(self.parts.database, timedelta(days=1)).list(receiver, limit=1000)
        return [each.outcome for each in reversed(kept)]

    def another(self, settings: Notifications = NEWS) -> Telling:
        """A second worker."""
        database = self.parts.database
        from postroad.dns.lookups import Lookups

        ways = open_ways(settings, Lookups(), self.parts.messages, lambda: datetime.now(UTC))
        return Telling(database, Lines(database), self.receivers, ways, settings)

    async def waiting(self) -> int:
        count: int = await self.parts.database.fetchval("SELECT count(*) FROM notification")
        return count


@pytest.fixture
async def room(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Room]:
    monkeypatch.setattr(telling, "FIRST_AGAIN", 0.02)
    monkeypatch.setattr(telling, "LOOK_SECONDS", 0.05)
    hook = Hook()
    server = await asyncio.start_server(hook.serve, "127.0.0.1", 0)
    hook.port = server.sockets[0].getsockname()[1]
    settings = Settings(
        data_dir=tmp_path / "data",
        hostname="mx.d1.test",
        workers=1,
        listen=Listen(smtp="127.0.0.1:1"),
        delivery=Delivery(relay="127.0.0.1:1"),
        notifications=NEWS,
    )
    await database.execute("INSERT INTO domain (name) VALUES ('d1.test'), ('d2.test')")
    async with server, open_parts(settings, database.dsn, lambda: datetime.now(UTC)) as parts:
        for address in (LI, WANG, OTHER):
            await parts.accounts.add(Address.parse(address), "a-good-Password-9")
        yield Room(parts, Receivers(parts.database), hook)


@asynccontextmanager
async def running(*workers: Telling) -> AsyncIterator[None]:
    """Let workers tell."""
    tasks = [asyncio.create_task(each.run()) for each in workers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(condition: Callable[[], Awaitable[bool] | bool]) -> None:
    """Wait; the test's own time-out ends a wait in vain."""
    while True:
        held = condition()
        if await held if isinstance(held, Awaitable) else held:
            return
        await asyncio.sleep(0.01)


async def test_a_webhook_is_told_what_the_page_says_and_signed(room: Room) -> None:
    hook = await room.receivers.add_webhook(room.hook.url("/new?mail=1"))
    await room.arrive(LI)
    async with running(room.parts.telling):
        await until(lambda: _has(room, hook.id, "delivered"))
    path, headers, body, raw = room.hook.calls[0]
    assert (path, body["type"]) == ("/new?mail=1", "mail.arrived")
    data = body["data"]
    assert {key: data[key] for key in ("account", "folder", "subject", "text", "priority", "eml")} == {
        "account": LI, "folder": "INBOX", "subject": "mail 001", "text": "The text", "priority": 0,
        "eml": None,
    }  # fmt: skip
    assert data["message_id"] == "1@elsewhere.test"
    assert data["date"] == "2026-11-21T11:03:39+00:00"
    assert data["from"] == [{"name": "王", "address": "wang@elsewhere.test"}]
    assert (data["to"][0]["address"], data["cc"][0]["address"]) == (LI, "c@elsewhere.test")
    assert data["attachments"] == [{"name": "a.pdf", "content_type": "application/pdf", "size": 3}]
    key = base64.b64decode(hook.secrets[0].removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + raw
    expected = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert await room.log(hook.id) == ["delivered"]


async def test_failures_are_tried_again_in_order(room: Room) -> None:
    hook = await room.receivers.add_webhook(room.hook.url("/x"))
    room.hook.statuses["/x"] = [500, 302, 200, 404, 200]
    subjects = [await room.arrive(LI) for _ in range(4)]
    await room.parts.telling.fan_out()
    async with running(room.parts.telling):
        await until(lambda: _is_zero(room.waiting()))
    told = room.hook.subjects("/x")
    assert told == [subjects[0]] * 3 + [subjects[1]] * 2 + subjects[2:]
    assert await room.log(hook.id) == ["failed", "failed", "delivered", "failed", *["delivered"] * 3]
    log = await NotificationLog(room.parts.database, timedelta(1)).list(hook.id)
    assert {each.detail for each in log} == {"200", "500 what", "302 what", "404 what"}
    ids = [headers["webhook-id"] for _, headers, _, _ in room.hook.calls]
    assert len(set(ids)) == 4  # a mail has the same id however often it is told of
    standing = await room.receivers.standing(hook.id)
    assert (standing.waiting, standing.failing_accounts, standing.last_error) == (0, 0, None)


async def test_a_receiver_that_hangs_delays_no_other(room: Room) -> None:
    dead = await room.receivers.add_webhook(room.hook.url("/dead"))
    await room.receivers.add_webhook(room.hook.url("/alive"))
    room.hook.silent.add("/dead")
    async with running(room.parts.telling):
        await room.arrive(LI, WANG, OTHER)
        await until(lambda: room.hook.hanging == 3)  # all accounts' lines of the dead one are at work
        for _ in range(10):
            await room.arrive(LI, WANG, OTHER)
        await until(lambda: len(room.hook.subjects("/alive")) == 33)
        assert await room.log(dead.id) == []
        for account in (LI, WANG, OTHER):
            told = room.hook.subjects("/alive", account)
            assert told == sorted(told)
    assert (await room.receivers.standing(dead.id)).waiting == 33


async def test_two_workers_tell_each_mail_once_and_in_order(room: Room) -> None:
    await room.receivers.add_webhook(room.hook.url("/x"))
    async with running(room.parts.telling, room.another()):
        for _ in range(20):
            await room.arrive(LI, WANG)
        await until(lambda: len(room.hook.calls) >= 40)
        await until(lambda: _is_zero(room.waiting()))
    for account in (LI, WANG):
        told = room.hook.subjects("/x", account)
        assert told == sorted(set(told))
        assert len(told) == 20


async def test_who_is_told_of_whose_mail(room: Room) -> None:
    await room.receivers.add_webhook(room.hook.url("/domain"), domain="d1.test")
    await room.receivers.add_webhook(room.hook.url("/account"), account=WANG)
    async with running(room.parts.telling):
        await room.arrive(LI, WANG, OTHER)
        await until(lambda: len(room.hook.calls) == 3)
        await until(lambda: _is_zero(room.waiting()))
    told = sorted((path, body["data"]["account"]) for path, _, body, _ in room.hook.calls)
    assert told == [("/account", WANG), ("/domain", LI), ("/domain", WANG)]


async def test_files_are_whole_named_by_arrival_and_wait_for_their_directory(
    room: Room, tmp_path: Path
) -> None:
    directory = tmp_path / "new"
    files = await room.receivers.add_files(str(directory), with_raw=True)
    await room.receivers.add_files(str(tmp_path), account=WANG, form="xml")
    async with running(room.parts.telling):
        subjects = [await room.arrive(LI) for _ in range(3)]
        await until(lambda: _has(room, files.id, "failed"))  # the directory is not there
        assert "No such file" in str((await room.receivers.standing(files.id)).last_error)
        await room.arrive(WANG)
        await until(lambda: bool(list_of(tmp_path, "*.xml")))  # one directory's trouble is not the other's
        directory.mkdir()
        await until(lambda: _is_zero(room.waiting()))
    documents = sorted(list_of(directory, "*.json"))
    assert [json.loads(each.read_bytes())["subject"] for each in documents if LI in each.name] == subjects
    assert not list(list_of(directory, ".*"))
    one = json.loads(documents[0].read_bytes())
    raw = (directory / one["eml"]).read_bytes()
    assert raw.endswith(LETTER.format("mail 001", 1).encode())
    assert (
        documents[0].name
        == f"{one['received_at'][:-6].replace('-', '').replace(':', '')}Z-{LI}-{one['id']}.json"
    )
    (xml,) = list_of(tmp_path, "*.xml")
    root = ElementTree.fromstring(xml.read_bytes())
    assert (root.findtext("account"), root.findtext("subject")) == (WANG, "mail 004")
    assert root.findtext("from/item/name") == "王"


async def test_a_mail_that_is_removed_is_told_of_all_the_same(room: Room, tmp_path: Path) -> None:
    await room.receivers.add_webhook(room.hook.url("/x"))
    await room.receivers.add_files(str(tmp_path), with_raw=True)
    subject = await room.arrive(LI)
    await room.parts.telling.fan_out()
    account = await room.parts.accounts.get_by_address(Address.parse(LI))
    inbox = await room.parts.folders.get_by_role(account.id, Folder.INBOX)
    await room.parts.entries.expunge(account.id, inbox.id, [1])
    await room.parts.database.execute("DELETE FROM message")
    await room.parts.database.execute("DELETE FROM content")
    async with running(room.parts.telling):
        await until(lambda: _is_zero(room.waiting()))
    data = room.hook.calls[0][2]["data"]
    assert (data["subject"], data["text"], data["from"][0]["name"]) == (subject, None, "王")
    (document,) = list_of(tmp_path, "*.json")
    assert json.loads(document.read_bytes())["eml"] is None


async def test_what_fails_for_too_long_is_given_up_and_the_next_is_told(room: Room) -> None:
    hook = await room.receivers.add_webhook(room.hook.url("/x"))
    old, new = await room.arrive(LI), await room.arrive(LI)
    await room.parts.telling.fan_out()
    await room.parts.database.execute(
        "UPDATE notification SET arrived_at = now() - interval '73 hours' WHERE facts->>'subject' = $1", old
    )
    room.hook.statuses["/x"] = [500]
    async with running(room.parts.telling):
        await until(lambda: _is_zero(room.waiting()))
    assert room.hook.subjects("/x") == [old, new]
    assert await room.log(hook.id) == ["given up", "delivered"]


async def test_a_claim_that_was_lost_writes_nothing(room: Room) -> None:
    await room.receivers.add_webhook(room.hook.url("/x"))
    await room.arrive(LI)
    await room.parts.telling.fan_out()
    lines = Lines(room.parts.database, timedelta(0))  # a claim that is over at once
    (receiver,) = await lines.receivers_due()
    (first,) = await lines.claim(receiver, 5)
    (second,) = await lines.claim(receiver, 5)
    waiting = await lines.read(first)
    tried = [Tried(each.event_id, "delivered", "") for each in waiting]
    assert not await lines.settle(first, tried, has_more=False, again_in=timedelta(0))
    assert await room.waiting() == 1
    await room.arrive(LI)
    await room.parts.telling.fan_out()  # while the line is claimed
    assert await lines.settle(second, tried, has_more=False, again_in=timedelta(0))
    assert await room.waiting() == 1
    assert await lines.receivers_due() == [receiver]  # so it does not rest


async def test_pausing_replaying_rotating_removing(room: Room) -> None:
    hook = await room.receivers.add_webhook(room.hook.url("/x"))
    await room.receivers.set_paused(hook.id, True)
    subjects = [await room.arrive(LI) for _ in range(2)]
    async with running(room.parts.telling):
        await until(lambda: _is(room.waiting(), 2))
        assert not room.hook.calls
        await room.receivers.set_paused(hook.id, False)
        await until(lambda: _is_zero(room.waiting()))
        rotated = await room.receivers.rotate(hook.id)
        assert len(rotated.secrets) == 2 and rotated.secrets[1] == hook.secrets[0]
        assert await Lines(room.parts.database).replay(hook.id, timedelta(hours=1)) == 2
        await until(lambda: _is_zero(room.waiting()))
    assert room.hook.subjects("/x") == subjects * 2
    assert len(room.hook.calls[-1][1]["webhook-signature"].split(" ")) == 2
    await room.parts.telling.ping(rotated)
    assert room.hook.calls[-1][2]["type"] == "ping"
    room.hook.statuses["/x"] = [500]
    with pytest.raises(Failed, match="500"):
        await room.parts.telling.ping(rotated)
    await room.receivers.remove(hook.id)
    with pytest.raises(UnknownReceiver):
        await room.receivers.get(hook.id)


async def test_a_server_that_tells_nobody_lets_go_of_events(room: Room) -> None:
    old = [await room.arrive(LI) for _ in range(2)]
    assert await room.parts.telling.fan_out() == 0
    last = await room.parts.database.fetchval("SELECT max(id) FROM event")
    assert last == await room.parts.database.fetchval(
        "SELECT position FROM event_consumer WHERE name = $1", telling.READER
    )
    between = await room.arrive(LI)  # not let go of yet
    hook = await room.receivers.add_webhook(room.hook.url("/x"))
    new = await room.arrive(LI)
    async with running(room.parts.telling):
        await until(lambda: _has(room, hook.id, "delivered"))
        await until(lambda: _is_zero(room.waiting()))
        assert room.hook.subjects("/x") == [new]  # nothing that came before it was there
        assert await Lines(room.parts.database).replay(hook.id, timedelta(hours=1)) == 4
        await until(lambda: _is_zero(room.waiting()))
    assert room.hook.subjects("/x") == [new, *old, between, new]


async def test_what_cannot_be_a_receiver(room: Room, tmp_path: Path) -> None:
    receivers = room.receivers
    for wrong in (
        receivers.add_webhook("ftp://x/"),
        receivers.add_files("relative"),
        receivers.add_webhook("https://x.test/", domain="no.test"),
        receivers.add_webhook("https://x.test/", account="nobody@d1.test"),
        receivers.add_webhook("https://x.test/", domain="d1.test", account=LI),
    ):
        with pytest.raises(BadReceiver):
            await wrong
    files = await receivers.add_files(str(tmp_path / "new"))
    with pytest.raises(Failed):
        await room.parts.telling.ping(files)
    (tmp_path / "new").mkdir()
    assert await room.parts.telling.ping(files) == "written"
    assert not list((tmp_path / "new").iterdir())
    shutil.rmtree(tmp_path / "new")


async def test_an_account_that_is_removed_takes_what_waits_along(room: Room) -> None:
    await room.receivers.add_webhook(room.hook.url("/x"))
    await room.arrive(LI, WANG)
    await room.parts.telling.fan_out()
    await room.parts.accounts.remove(Address.parse(LI))
    async with running(room.parts.telling):
        await until(lambda: _is_zero(room.waiting()))
    assert len(room.hook.calls) == 1


def test_how_long_a_receiver_waits() -> None:
    waits = [again_in(failures, 0.5).total_seconds() for failures in range(30)]
    assert waits == sorted(waits)
    assert waits[0] == telling.FIRST_AGAIN
    assert waits[-1] == telling.LAST_AGAIN


def list_of(directory: Path, pattern: str) -> list[Path]:
    """Files of a directory."""
    return list(directory.glob(pattern))


async def _is_zero(count: Awaitable[int]) -> bool:
    return await count == 0


async def _is(count: Awaitable[int], wanted: int) -> bool:
    return await count == wanted


async def _has(room: Room, receiver: int, outcome: str) -> bool:
    return outcome in await room.log(receiver)
