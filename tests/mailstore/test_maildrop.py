"""The inbox in the hand of one POP3 session: one at a time, over workers, and never longer than it lives."""

from __future__ import annotations

import pytest

from postroad.db.advisory_locks import AdvisoryLocks
from postroad.mailstore.errors import NoSuchMessage
from postroad.mailstore.maildrop import MaildropInUse, Maildrops

from .conftest import Store, mail


def maildrops(store: Store, locks: AdvisoryLocks) -> Maildrops:
    return Maildrops(store.database, locks, store.folders, store.entries, store.messages)


async def test_mails_are_listed_read_and_removed(store: Store) -> None:
    account = await store.account()
    uids = await store.fill(account, 3)
    async with AdvisoryLocks(store.database) as locks:
        drop = await maildrops(store, locks).open(account)
        content = await drop.content(uids[0])
        assert [uid async for uid, _ in drop.mails()] == uids
        assert [size async for uid, size in drop.mails() if uid == uids[0]] == [len(content)]
        assert content.startswith(b"Return-Path: <x@y>\r\n")
        assert content.endswith(mail("Mail 0", message_id="0@test.example"))
        beginning, is_all = await drop.beginning(uids[0], 10)
        assert not is_all
        assert content.startswith(beginning)
        assert (await drop.beginning(uids[0], 10_000)) == (content, True)
        await drop.remove([uids[0]])
        with pytest.raises(NoSuchMessage):
            await drop.content(uids[0])
        await drop.close()


async def test_one_session_at_a_time_in_one_process_and_over_several(store: Store) -> None:
    account, other = await store.accounts(2)
    async with AdvisoryLocks(store.database) as here, AdvisoryLocks(store.database) as there:
        drop = await maildrops(store, here).open(account)
        for locks in (here, there):
            with pytest.raises(MaildropInUse):
                await maildrops(store, locks).open(account)
        await (await maildrops(store, there).open(other)).close()
        await drop.close()
        await (await maildrops(store, there).open(account)).close()


async def test_a_lock_dies_with_its_process_and_the_session_that_lost_it_knows(store: Store) -> None:
    account = await store.account()
    async with AdvisoryLocks(store.database) as here, AdvisoryLocks(store.database) as there:
        lost = await maildrops(store, here).open(account)
        # What a kill does: the connection that held the lock ends.
        await store.database.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory' AND "
            "database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        drop = await maildrops(store, there).open(account)
        assert not lost.is_held
        await lost.close()  # gives back nothing of what is another's now
        with pytest.raises(MaildropInUse):
            await maildrops(store, here).open(account)
        await drop.close()
