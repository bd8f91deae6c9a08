"""Contents: stored once, read whole or in part; appended and replaced; counted against the quota."""

from __future__ import annotations

import asyncio

import pytest

from postroad.mailstore.errors import BlobMissing, NoSuchFolder, NoSuchMessage, QuotaExceeded
from postroad.mailstore.flags import Flag
from postroad.mailstore.folders import Role
from postroad.mailstore.ids import IdBlocks
from postroad.mailstore.messages import thread_of
from postroad.message.scan import find_part
from postroad.message.summary import summarise

from .conftest import Store, mail


async def test_ids_are_given_once(store: Store) -> None:
    one, other = IdBlocks(store.database, "message_id_seq"), IdBlocks(store.database, "message_id_seq")
    taken = await asyncio.gather(*(ids.take_many(400) for ids in (one, other) for _ in range(4)))
    flat = [each for some in taken for each in some]
    assert len(flat) == len(set(flat)) == 3200


@pytest.mark.parametrize("length", [100, 20_000])
async def test_content_comes_back_as_it_went_in(store: Store, length: int) -> None:
    account = await store.account()
    body = mail(text="文" * (length // 3))
    await store.deliver([account], body)
    entry = await store.entries.get(account, await store.inbox(account), 1)
    content = await store.messages.content(entry.message_id)
    assert content.body == body and content.prefix == b"Return-Path: <x@y>\r\n" and content.trace_offset == 20
    assert entry.size_bytes == len(body) + 20
    assert await store.messages.prefix(entry.message_id) == content.prefix
    assert (await store.messages.describe([entry.message_id]))[
        entry.message_id
    ].message_id == "one@test.example"


@pytest.mark.parametrize("length", [100, 20_000])
async def test_a_part_is_read_by_its_offsets(store: Store, length: int) -> None:
    account = await store.account()
    body = mail(text="x" * length)
    await store.deliver([account], body)
    entry = await store.entries.get(account, await store.inbox(account), 1)
    structure = (await store.messages.describe([entry.message_id]))[entry.message_id].structure
    part = find_part(structure, "1")
    assert part is not None
    found = await store.messages.body_range(entry.message_id, part.body_start, part.body_end)
    assert found == b"x" * length
    assert await store.messages.body_range(entry.message_id, 5, 5) == b""


async def test_missing_mails_are_told(store: Store) -> None:
    for reading in (store.messages.content(5), store.messages.body_range(5, 0, 1), store.messages.prefix(5)):
        with pytest.raises(NoSuchMessage):
            await reading
    assert await store.messages.describe([5]) == {}
    account = await store.account()
    await store.deliver([account], mail(text="x" * 20_000))
    entry = await store.entries.get(account, await store.inbox(account), 1)
    store.is_damaged = True
    await store.blobs.delete([await store.database.fetchval("SELECT blob FROM content")])
    with pytest.raises(BlobMissing):
        await store.messages.content(entry.message_id)


def test_threads_are_positive_numbers() -> None:
    assert thread_of(None) == 0
    assert thread_of("a@b") == thread_of("a@b") != thread_of("b@b")
    assert 0 < thread_of("a@b") < 2**63


async def test_hostile_headers_are_storable(store: Store) -> None:
    account = await store.account()
    for body in (
        b"Date: Mon, 01 Jan 0001 00:00:00 +2300\r\nSubject: \x00\xff\xfe\r\nMessage-ID: <"
        + b"x" * 5000
        + b"@y>\r\n\r\n\x00",
        b"Date: Fri, 31 Dec 9999 23:59:59 -2300\r\nFrom: \x00 <\x00@\x00>\r\n\r\n",
        b"",
        b"\x00" * 100,
    ):
        (placed,) = await store.deliver([account], body)
        assert placed is not None
        entry = await store.entries.get(account, placed.folder_id, placed.uid)
        assert (await store.messages.content(entry.message_id)).body == body


async def test_a_draft_is_replaced(store: Store) -> None:
    account = await store.account()
    drafts = await store.folders.get_by_role(account, Role.DRAFTS)
    first = await store.append.put(account, Role.DRAFTS, mail("one"), Flag.DRAFT | Flag.SEEN)
    second = await store.append.replace(account, drafts.id, first.uid, mail("two"), Flag.DRAFT | Flag.SEEN)
    (entry,) = await store.entries.page(account, drafts.id)
    assert entry.subject == "two" and entry.uid == second.uid == 2 and entry.flags == Flag.DRAFT | Flag.SEEN
    third = await store.append.replace(account, drafts.id, first.uid, mail("three"))
    assert third.uid == 3


async def test_append_refuses_what_does_not_fit_and_where_it_cannot_go(store: Store) -> None:
    one, other = await store.account("one", quota_bytes=400), await store.account("other")
    await store.append.put(one, Role.SENT, mail())
    with pytest.raises(QuotaExceeded):
        await store.append.put(one, Role.SENT, mail())
    with pytest.raises(QuotaExceeded):
        await store.append.put(one, await store.inbox(one), mail(text="x" * 1000))
    assert (await store.quota.usage(one)).message_count == 1
    with pytest.raises(NoSuchFolder):
        await store.append.put(other, await store.inbox(one), mail())
    assert await store.database.fetchval("SELECT count(*) FROM entry") == 1


async def test_quota_is_remembered_for_two_seconds(store: Store) -> None:
    account = await store.account(quota_bytes=1000)
    assert not await store.quota.exceeded(account, 1000)
    assert await store.quota.exceeded(account, 1001)
    await store.deliver([account], mail(text="x" * 2000))
    assert not await store.quota.exceeded(account)
    store.clock.move(seconds=3)
    assert await store.quota.exceeded(account)
    assert not await store.quota.exceeded(account + 1)
    assert not await store.quota.exceeded(await store.account("free"), 10**15)
    assert summarise(mail()).size_bytes == len(mail())
