"""The change feed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from postroad.db.notify import Announcer, Listener
from postroad.mailstore.changes import Changes, FolderChanged
from postroad.mailstore.entries import Entries
from postroad.mailstore.flags import Flag, FlagChange

from .conftest import Store


@pytest.fixture
async def changes(store: Store) -> AsyncIterator[Changes]:
    async with (
        Announcer(store.database) as announcer,
        Listener(store.database.dsn) as listener,
        Changes(store.database, announcer, listener) as changes,
    ):
        await listener.listening()
        yield changes


async def test_a_watcher_hears_of_its_account_only(store: Store, changes: Changes) -> None:
    one, other = await store.accounts(2)
    await store.fill(one, 1)
    inbox = await store.inbox(one)
    async with changes.subscribe(one) as feed:
        changes.announce([FolderChanged(other, 5, 9)])
        await Entries(store.database, changes).set_flags(one, inbox, [1], FlagChange.adding(Flag.SEEN))
        told = await anext(feed)
    assert (told.account_id, told.folder_id) == (one, inbox)
    assert told.mod_sequence == (await store.folders.get(one, inbox)).mod_sequence


async def test_many_changes_of_a_folder_are_one(store: Store, changes: Changes) -> None:
    async with changes.subscribe(7) as feed:
        for number in range(2000):
            changes.announce([FolderChanged(7, 1, number + 1)])
        assert await anext(feed) == FolderChanged(7, 1, 2000)


async def test_many_folders_fit_into_announcements(store: Store, changes: Changes) -> None:
    async with changes.subscribe(7) as feed:
        changes.announce([FolderChanged(7, number, 10**12) for number in range(1, 3001)])
        told = {(await anext(feed)).folder_id for _ in range(3000)}
    assert told == set(range(1, 3001))


async def test_a_lost_announcement_costs_time_only(store: Store) -> None:
    account = await store.account()
    async with (
        Announcer(store.database) as announcer,
        Listener(store.database.dsn) as listener,
        Changes(store.database, announcer, listener, poll_seconds=0.05) as changes,
        changes.subscribe(account) as feed,
    ):
        await store.deliver([account])
        told = await anext(feed)
        assert told.folder_id == await store.inbox(account)
        folder = await store.folders.create(account, "new")
        assert (await anext(feed)).folder_id == folder.id
        await store.folders.delete(account, folder.id)
        assert await anext(feed) == FolderChanged(account, folder.id, 0)


async def test_who_leaves_is_forgotten(store: Store, changes: Changes) -> None:
    async with changes.subscribe(1), changes.subscribe(1):
        pass
    changes.announce([FolderChanged(1, 1, 1)])
    changes.flush()
    await asyncio.sleep(0)
