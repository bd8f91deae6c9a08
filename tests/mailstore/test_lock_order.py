"""Roads that lock folders crosswise would meet in a deadlock: each of these would, were one order not kept.

One side is held at the point where it would hurt, until the other waits for it.
"""

from __future__ import annotations

import asyncio

import pytest

from postroad.db import pool
from postroad.db.pool import Connection, Database
from postroad.directory.addresses.accounts import Accounts
from postroad.directory.passwords import PasswordHashing
from postroad.events.outbox import Outbox
from postroad.mailstore.delivery import Delivery, deliver_in, lock_targets_in
from postroad.mailstore.folders import Role, ensure_defaults_in
from postroad.message.summary import summarise

from .conftest import START, Store, mail


async def until_somebody_waits(database: Database) -> None:
    async with asyncio.timeout(60):
        while not await database.fetchval(  # noqa: ASYNC110 - PostgreSQL tells nobody
            "SELECT EXISTS (SELECT FROM pg_stat_activity "
            "WHERE datname = current_database() AND wait_event_type = 'Lock')"
        ):
            await asyncio.sleep(0.01)


async def deliver(store: Store, connection: Connection, account_ids: list[int]) -> None:
    content = mail()
    new = await store.messages.prepare(content, summarise(content))
    await store.messages.store_in(connection, [new])
    placed = await deliver_in(connection, [Delivery.of(new, each, START) for each in account_ids])
    assert all(placed)


async def test_a_delivery_that_waits_for_folders_to_be_made_holds_none_that_their_maker_wants(
    store: Store,
) -> None:
    settled = await store.account("settled")
    fresh = await store.account("fresh")
    await store.database.execute("DELETE FROM folder WHERE account_id = $1", fresh)

    async def deliver_to_both() -> None:
        async with store.database.transaction() as connection:
            await deliver(store, connection, [settled, fresh])

    async with store.database.transaction() as maker:
        await ensure_defaults_in(maker, [fresh])
        waiting = asyncio.create_task(deliver_to_both())
        await until_somebody_waits(store.database)
        await deliver(store, maker, [settled])
    await waiting
    assert (await store.folders.get_by_role(settled, Role.INBOX)).message_count == 2
    assert (await store.folders.get_by_role(fresh, Role.INBOX)).message_count == 1


async def test_two_that_make_the_same_folders_wait_in_a_line(store: Store) -> None:
    accounts = await store.accounts(30)
    await store.database.execute("DELETE FROM folder")

    async def make(order: list[int]) -> None:
        async with store.database.transaction() as connection:
            await ensure_defaults_in(connection, order)

    await asyncio.gather(*(make(accounts[turn:] + accounts[:turn]) for turn in range(8)))
    assert await store.database.fetchval("SELECT count(*) FROM folder") == 30 * len(Role)


async def test_who_removes_a_draft_and_delivers_locks_in_one_order(store: Store) -> None:
    account = await store.account()
    archive = (await store.folders.get_by_role(account, Role.ARCHIVE)).id
    drafts = (await store.folders.get_by_role(account, Role.DRAFTS)).id
    assert archive < drafts
    new = await store.messages.prepare(mail(), summarise(mail()))

    async def send_a_draft() -> None:
        async with store.database.transaction() as connection:
            await lock_targets_in(connection, [drafts], [Delivery.of(new, account, START, Role.ARCHIVE)])

    lock = "SELECT FROM folder WHERE id = $1 FOR NO KEY UPDATE"
    async with store.database.transaction() as other:
        await other.execute(lock, archive)
        waiting = asyncio.create_task(send_a_draft())
        await until_somebody_waits(store.database)
        await other.execute(lock, drafts)
    await waiting


async def test_who_renames_a_tree_locks_in_one_order(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "CONFLICT_RETRIES", 0)  # which would hide it
    account = await store.account()
    below = await store.folders.create(account, "b")
    top = await store.folders.create(account, "a")
    await store.folders.rename(account, below.id, "a/b")  # behind the other one now, by name and by place
    assert below.id < top.id

    lock = "SELECT FROM folder WHERE id = $1 FOR NO KEY UPDATE"
    async with store.database.transaction() as other:
        await other.execute(lock, below.id)
        renaming = asyncio.create_task(store.folders.rename(account, top.id, "z"))
        await until_somebody_waits(store.database)
        await other.execute(lock, top.id)
    assert (await renaming).name == "z"


async def test_who_removes_an_account_locks_its_folders_in_one_order(store: Store) -> None:
    account = await store.account()
    first = min(folder.id for folder in await store.folders.list(account))
    last = (await store.folders.create(account, "A")).id
    # The first by name, and written anew the other lies behind it: whichever way the cascade would go.
    await store.database.execute("UPDATE folder SET name = 'B', role = NULL WHERE id = $1", first)
    hashing = PasswordHashing()
    accounts = Accounts(store.database, Outbox(), hashing, ensure_defaults_in)

    async def remove() -> None:
        async with store.database.transaction() as connection:
            await accounts.remove_in(connection, ["anna@test.example"])

    lock = "SELECT FROM folder WHERE id = $1 FOR NO KEY UPDATE"
    try:
        async with store.database.transaction() as other:
            await other.execute(lock, first)
            removing = asyncio.create_task(remove())
            await until_somebody_waits(store.database)
            await other.execute(lock, last)
        await removing
    finally:
        hashing.close()
    assert await store.database.fetchval("SELECT count(*) FROM folder") == 0
