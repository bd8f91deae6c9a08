"""Mails enter folders: UIDs, counters, locks."""

from __future__ import annotations

import asyncio
import random

import pytest

from postroad.mailstore.delivery import Delivery
from postroad.mailstore.errors import BadKeyword
from postroad.mailstore.flags import Flag
from postroad.mailstore.folders import Role
from postroad.message.summary import summarise

from .conftest import START, Store, mail


async def test_a_mail_for_many_accounts_is_stored_once(store: Store) -> None:
    accounts = await store.accounts(5)
    placed = await store.deliver(accounts)
    assert [each.uid for each in placed if each] == [1] * 5
    assert await store.database.fetchval("SELECT count(*) FROM content") == 1
    entries = await store.database.fetch("SELECT DISTINCT message_id FROM entry")
    assert len(entries) == 1


async def test_counters_follow(store: Store) -> None:
    account = await store.account()
    await store.fill(account, 3)
    folder = await store.folders.get_by_role(account, Role.INBOX)
    sizes = await store.database.fetchval("SELECT sum(size_bytes)::bigint FROM entry")
    assert (folder.message_count, folder.unseen_count, folder.uid_next) == (3, 3, 4)
    assert folder.size_bytes == sizes == (await store.quota.usage(account)).used_bytes


async def test_two_mails_of_one_batch_for_one_folder(store: Store) -> None:
    account = await store.account()
    news = [await store.messages.prepare(mail(), summarise(mail())) for _ in range(4)]
    async with store.database.transaction() as connection:
        await store.messages.store_in(connection, news)
        placed = await store.entries.deliver_in(
            connection, [Delivery.of(new, account, START) for new in news]
        )
    assert [each.uid for each in placed if each] == [1, 2, 3, 4]


async def test_the_inbox_is_made_when_missing(store: Store) -> None:
    account = await store.account()
    await store.database.execute("DELETE FROM folder WHERE account_id = $1", account)
    (placed,) = await store.deliver([account])
    assert placed is not None and placed.uid == 1
    assert len(await store.folders.list(account)) == len(Role)


async def test_an_account_that_has_gone_is_told_and_the_others_get_theirs(store: Store) -> None:
    account = await store.account()
    placed = await store.deliver([account, 999_999])
    assert placed[0] is not None and placed[1] is None


async def test_a_folder_that_has_gone_means_the_inbox(store: Store) -> None:
    account = await store.account()
    folder = await store.folders.create(account, "Lists")
    new = await store.messages.prepare(mail(), summarise(mail()))
    other = await store.messages.prepare(mail(), summarise(mail()))
    await store.folders.delete(account, folder.id)
    kept = await store.folders.create(account, "Kept")
    async with store.database.transaction() as connection:
        await store.messages.store_in(connection, [new, other])
        gone, there = await store.entries.deliver_in(
            connection,
            [
                Delivery.of(new, account, START, folder_id=folder.id),
                Delivery.of(other, account, START, folder_id=kept.id, flags=Flag.SEEN, keywords=("work",)),
            ],
        )
    assert gone is not None and gone.folder_id == await store.inbox(account)
    assert there is not None and there.folder_id == kept.id
    kept = await store.folders.get(account, kept.id)
    assert (kept.unseen_count, kept.keywords) == (0, ("work",))


async def test_nobody_delivers_into_a_strangers_folder(store: Store) -> None:
    one, other = await store.accounts(2)
    new = await store.messages.prepare(mail(), summarise(mail()))
    async with store.database.transaction() as connection:
        await store.messages.store_in(connection, [new])
        (placed,) = await store.entries.deliver_in(
            connection, [Delivery.of(new, one, START, folder_id=await store.inbox(other))]
        )
    assert placed is not None and placed.folder_id == await store.inbox(one)


async def test_too_many_keywords_are_refused(store: Store) -> None:
    account = await store.account()
    new = await store.messages.prepare(mail(), summarise(mail()))
    words = tuple(f"word{number}" for number in range(101))
    with pytest.raises(BadKeyword):
        async with store.database.transaction() as connection:
            await store.messages.store_in(connection, [new])
            await store.entries.deliver_in(connection, [Delivery.of(new, account, START, keywords=words)])


async def test_parallel_deliveries_to_one_folder_give_each_uid_once(store: Store) -> None:
    account = await store.account()
    mine = []

    async def pour(count: int) -> None:
        for _ in range(count):
            (placed,) = await store.deliver([account])
            assert placed is not None
            mine.append(placed.uid)

    await asyncio.gather(*(pour(10) for _ in range(8)))
    assert sorted(mine) == list(range(1, 81))
    folder = await store.folders.get_by_role(account, Role.INBOX)
    assert (folder.message_count, folder.uid_next) == (80, 81)
    # Ascending in the order of commits: within one writer a later mail has the higher UID and mod-sequence.
    rows = await store.database.fetch("SELECT uid, mod_sequence FROM entry ORDER BY uid")
    assert [row["mod_sequence"] for row in rows] == sorted(row["mod_sequence"] for row in rows)


async def test_batches_with_overlapping_folders_do_not_wait_for_each_other_in_a_circle(store: Store) -> None:
    accounts = await store.accounts(12)
    shuffle = random.Random(7)

    async def pour() -> None:
        for _ in range(10):
            chosen = shuffle.sample(accounts, 10)
            await store.deliver(chosen)

    await asyncio.gather(*(pour() for _ in range(6)))
    assert await store.database.fetchval("SELECT count(*) FROM entry") == 600
    counted = await store.database.fetchval("SELECT sum(message_count)::bigint FROM folder")
    assert counted == 600
