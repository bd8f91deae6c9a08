"""Contents and blobs go when nothing points at them, and never before."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta

import pytest

from postroad.mailstore import sweeper as sweeper_module
from postroad.mailstore.delivery import Delivery
from postroad.mailstore.folders import Role
from postroad.mailstore.messages import release_in
from postroad.mailstore.sweeper import Sweeper
from postroad.message.summary import summarise

from .conftest import START, Store, mail
from .test_blobs import files_in


def sweeper(store: Store, expunged_kept: int = 10_000) -> Sweeper:
    return Sweeper(
        store.database,
        store.blobs,
        store.clock,
        timedelta(0),
        expunged_kept=expunged_kept,
        suspected_for=timedelta(0),
    )


async def remove_all(store: Store, account: int) -> None:
    await store.entries.empty(account, await store.inbox(account))
    store.clock.now = datetime.now(UTC) + timedelta(seconds=10)


async def test_content_goes_with_its_last_entry(store: Store) -> None:
    one, other = await store.accounts(2)
    await store.deliver([one, other])
    await remove_all(store, one)
    assert (await sweeper(store).sweep()).messages == 0
    await remove_all(store, other)
    assert (await sweeper(store).sweep()).messages == 1
    for table in ("message", "content", "message_release", "search_pending", "search_document"):
        assert await store.database.fetchval(f"SELECT count(*) FROM {table}") == 0


async def test_a_queue_row_keeps_content(store: Store) -> None:
    account = await store.account()
    await store.deliver([account])
    await store.database.execute(
        "INSERT INTO queue_envelope (id, message_id, envelope_from, owns_message, size_bytes, "
        "recipient_count, "
        "queued_at) SELECT 1, id, '', false, 1, 1, now() FROM message"
    )
    await remove_all(store, account)
    assert (await sweeper(store).sweep()).messages == 0
    async with store.database.transaction() as connection:
        rows = await connection.fetch("DELETE FROM queue_envelope RETURNING message_id")
        await release_in(connection, [row["message_id"] for row in rows])
    assert (await sweeper(store).sweep()).messages == 1


async def test_blobs_go_along(store: Store) -> None:
    account = await store.account()
    await store.deliver([account], mail(text="x" * 20_000))
    assert len(files_in(store.blob_directory)) == 1
    await remove_all(store, account)
    assert (await sweeper(store).sweep()).blobs == 1
    assert files_in(store.blob_directory) == []


async def test_orphaned_blobs_go_by_age(store: Store) -> None:
    account = await store.account()
    await store.deliver([account], mail(text="x" * 20_000))
    orphan = await store.blobs.put(b"nobody named me")
    store.clock.now = datetime.now(UTC)
    assert (await sweeper(store).sweep_blobs()).blobs == 0
    store.clock.move(days=2)
    assert (await sweeper(store).sweep_blobs()).blobs == 0  # seen, and looked at again next time
    assert (await sweeper(store).sweep_blobs()).blobs == 1
    assert await store.database.fetchval("SELECT count(*) FROM blob_suspect") == 0
    assert await store.blobs.size(orphan) is None
    assert len(files_in(store.blob_directory)) == 1


async def test_half_written_blobs_are_orphans(store: Store) -> None:
    half = store.blob_directory / "ab" / "abc.part"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"half")
    os.utime(half, (0, 0))
    store.clock.now = datetime.now(UTC)
    assert (await sweeper(store).sweep_blobs()).blobs == 0
    assert (await sweeper(store).sweep_blobs()).blobs == 1
    assert not half.exists()


async def test_a_clock_that_jumps_ahead_makes_no_orphan_of_a_mail_that_is_being_taken(store: Store) -> None:
    account = await store.account()
    body = mail(text="x" * 20_000)
    new = await store.messages.prepare(body, summarise(body))  # its blob is written, its rows are not
    store.clock.now = datetime.now(UTC) + timedelta(days=3)
    assert (await sweeper(store).sweep_blobs()).blobs == 0
    async with store.database.transaction() as connection:
        await store.messages.store_in(connection, [new])
        await store.entries.deliver_in(connection, [Delivery.of(new, account, START)])
    assert (await sweeper(store).sweep_blobs()).blobs == 0
    content = await store.messages.content(new.id)
    assert content.body == body


async def test_a_mail_that_somebody_holds_is_left(store: Store) -> None:
    account = await store.account()
    await store.deliver([account])
    (row,) = await store.database.fetch("SELECT id, size_bytes + 20 AS size_bytes, thread FROM message")
    await remove_all(store, account)
    async with store.database.transaction() as connection:
        assert await store.messages.hold_in(connection, [row["id"], 77]) == {row["id"]}
        assert (await sweeper(store).sweep()).messages == 0
        await store.entries.deliver_in(
            connection, [Delivery(account, row["id"], row["size_bytes"], START, thread=row["thread"])]
        )
    assert (await sweeper(store).sweep()).messages == 0
    assert len(await store.entries.page(account, await store.inbox(account))) == 1


async def test_sweeping_while_mails_come_move_and_go(store: Store) -> None:
    account = await store.account()
    inbox = await store.inbox(account)
    archive = (await store.folders.get_by_role(account, Role.ARCHIVE)).id
    store.clock.now = datetime.now(UTC) + timedelta(hours=1)
    done = asyncio.Event()

    async def sweep() -> None:
        while not done.is_set():
            await sweeper(store).sweep()

    async def live() -> None:
        for _ in range(15):
            (placed,) = await store.deliver([account])
            assert placed is not None
            await store.entries.copy(account, inbox, [placed.uid], archive)
            await store.entries.expunge(account, inbox, [placed.uid])

    sweeping = asyncio.gather(sweep(), sweep())
    await asyncio.gather(*(live() for _ in range(4)))
    done.set()
    await sweeping
    assert len(await store.entries.page(account, archive, limit=100)) == 60
    missing = await store.database.fetch(
        "SELECT e.uid FROM entry e LEFT JOIN content c USING (message_id) LEFT JOIN message m ON m.id = "
        "e.message_id "
        "WHERE c.message_id IS NULL OR m.id IS NULL"
    )
    assert missing == []
    await store.entries.empty(account, archive)
    await sweeper(store).sweep()
    assert await store.database.fetchval("SELECT count(*) FROM content") == 0


async def test_removals_are_forgotten_beyond_a_bound(store: Store) -> None:
    account = await store.account()
    inbox = await store.inbox(account)
    await store.fill(account, 6)
    for uid in range(1, 7):
        await store.entries.expunge(account, inbox, [uid])
    latest = (await store.folders.get(account, inbox)).mod_sequence
    assert (await sweeper(store, 2).sweep()).expunged == 4
    assert await store.entries.expunged_since(account, inbox, 1) is None
    assert await store.entries.expunged_since(account, inbox, latest - 2) == [5, 6]


async def test_two_mails_prepared_but_never_stored_cost_nothing(store: Store) -> None:
    body = mail(text="y" * 20_000)
    await store.messages.prepare(body, summarise(body))
    store.clock.now = datetime.now(UTC) + timedelta(days=2)
    assert [(await sweeper(store).sweep_blobs()).blobs for _ in range(3)] == [0, 1, 0]


async def test_the_place_of_a_round_outlives_the_worker_that_keeps_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few folders a sweep, each by a sweeper that has just started: all have their turn."""
    monkeypatch.setattr(sweeper_module, "FOLDERS_AT_ONCE", 1)
    accounts = await store.accounts(3)
    for account in accounts:
        uids = await store.fill(account, 3)
        for uid in uids:
            await store.entries.expunge(account, await store.inbox(account), [uid])
    for _ in accounts:
        assert (await sweeper(store, expunged_kept=1).sweep()).expunged == 2
    assert await store.database.fetchval("SELECT count(*) FROM expunged") == 3
    # And then from the beginning.
    inbox = await store.inbox(accounts[0])
    [uid] = await store.fill(accounts[0], 1)
    await store.entries.expunge(accounts[0], inbox, [uid])
    swept = [(await sweeper(store, expunged_kept=1).sweep()).expunged for _ in range(2)]
    assert sum(swept) == 1
