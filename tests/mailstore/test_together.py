"""Appends and moves that come together share a transaction, and each learns its own fate."""

from __future__ import annotations

import asyncio

import pytest

from postroad.db.pool import Database, DatabaseUnavailable
from postroad.mailstore.entries import Entries
from postroad.mailstore.errors import BadKeyword, NoSuchFolder, QuotaExceeded
from postroad.mailstore.flags import MAX_KEYWORDS, Flag
from postroad.mailstore.folders import Role

from .conftest import Store, mail


async def transactions(store: Store) -> int:
    """How many different transactions wrote the contents that are there."""
    return int(await store.database.fetchval("SELECT count(DISTINCT xmin::text) FROM content"))


async def test_appends_that_come_together_share_transactions(store: Store) -> None:
    accounts = await store.accounts(5)
    placed = await asyncio.gather(
        *(
            store.append.put(account, Role.INBOX, mail(f"{number}", message_id=f"{account}.{number}@x"))
            for account in accounts
            for number in range(20)
        )
    )
    assert await transactions(store) <= 5
    assert len({(each.folder_id, each.uid) for each in placed}) == 100
    for account in accounts:
        assert (await store.folders.get_by_role(account, Role.INBOX)).message_count == 20
    assert {(change.account_id, change.folder_id) for change in store.changes.changes} >= {
        (each.account_id, each.folder_id) for each in placed
    }


async def test_one_that_cannot_be_appended_spares_its_neighbours(store: Store) -> None:
    poor = await store.account("poor", quota_bytes=200)
    rich = await store.account("rich")
    gone = 10**6
    words = tuple(f"w{number}" for number in range(MAX_KEYWORDS + 1))
    inbox = await store.inbox(rich)
    outcomes = await asyncio.gather(
        *(store.append.put(rich, Role.INBOX, mail(f"{number}")) for number in range(10)),
        store.append.put(poor, Role.INBOX, mail()),
        store.append.put(rich, gone, mail()),
        store.append.put(rich, inbox, mail(), keywords=words),
        store.append.put(poor, inbox, mail()),  # another's folder
        return_exceptions=True,
    )
    assert [type(each) for each in outcomes[10:]] == [QuotaExceeded, NoSuchFolder, BadKeyword, NoSuchFolder]
    assert sorted(each.uid for each in outcomes[:10]) == list(range(1, 11))  # type: ignore[union-attr]
    assert await store.database.fetchval("SELECT count(*) FROM content") == 10
    assert (await store.folders.get_by_role(poor, Role.INBOX)).message_count == 0


async def test_drafts_saved_again_together_replace_theirs_and_no_other(store: Store) -> None:
    accounts = await store.accounts(6)
    drafts = [(await store.folders.get_by_role(each, Role.DRAFTS)).id for each in accounts]
    first = await asyncio.gather(
        *(
            store.append.put(account, folder, mail("1"), Flag.DRAFT)
            for account, folder in zip(accounts, drafts, strict=True)
        )
    )
    second = await asyncio.gather(
        *(
            store.append.replace(account, placed.folder_id, placed.uid, mail("2"), Flag.DRAFT)
            for account, placed in zip(accounts, first, strict=True)
        )
    )
    for account, folder, placed in zip(accounts, drafts, second, strict=True):
        assert [each.uid for each in await store.entries.page(account, folder)] == [placed.uid]


async def test_an_append_without_a_database_is_unavailable_and_not_a_success(
    store: Store, database_dsn: str
) -> None:
    account = await store.account()
    async with Database(database_dsn.replace("/test_", "/missing_")) as missing:
        with pytest.raises(DatabaseUnavailable):
            await type(store.append)(missing, store.messages, store.changes, store.clock).put(
                account, Role.INBOX, mail()
            )


async def test_moves_to_and_fro_at_once_neither_lose_nor_double_a_mail(store: Store) -> None:
    accounts = await store.accounts(4)
    entries = Entries(store.database, store.changes)
    other_process = Entries(store.database, store.changes)

    async def shuffle(account: int, mover: Entries, source: Role, target: Role) -> None:
        here = (await store.folders.get_by_role(account, source)).id
        there = (await store.folders.get_by_role(account, target)).id
        for _ in range(5):
            await mover.move(account, here, None, there)
            await mover.move(account, there, None, here)

    for account in accounts:
        await store.fill(account, 5)
    async with asyncio.timeout(120):
        await asyncio.gather(
            *(
                shuffle(account, mover, source, target)
                for account in accounts
                for mover, source, target in (
                    (entries, Role.INBOX, Role.TRASH),
                    (other_process, Role.ARCHIVE, Role.INBOX),
                )
            )
        )
    for account in accounts:
        counts = [folder.message_count for folder in await store.folders.list(account)]
        assert sum(counts) == 5


async def test_a_move_into_a_folder_that_is_not_there_spares_the_moves_beside_it(store: Store) -> None:
    one, two = await store.accounts(2)
    await store.fill(one, 1)
    await store.fill(two, 1)
    trash = (await store.folders.get_by_role(one, Role.TRASH)).id
    good, bad, anothers = await asyncio.gather(
        store.entries.move(one, await store.inbox(one), [1], trash),
        store.entries.move(two, await store.inbox(two), [1], 10**6),
        store.entries.move(two, await store.inbox(two), [1], trash),
        return_exceptions=True,
    )
    assert not isinstance(good, BaseException)
    assert good.uids == ((1, 1),)
    assert isinstance(bad, NoSuchFolder)
    assert isinstance(anothers, NoSuchFolder)
