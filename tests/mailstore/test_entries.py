"""Lists, flags, moves, copies, removals: counters stay true through all of it."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta

import asyncpg
import pytest

from postroad.db.pool import Database
from postroad.mailstore import entries as entries_module
from postroad.mailstore.entries import Entries, Only
from postroad.mailstore.errors import BadKeyword, NoSuchFolder, NoSuchMessage, QuotaExceeded
from postroad.mailstore.flags import MAX_KEYWORDS, NO_FLAGS, Flag, FlagChange
from postroad.mailstore.folders import Role
from postroad.mailstore.sweeper import Sweeper

from .conftest import Store, mail

SEEN = FlagChange.adding(Flag.SEEN)


async def test_pages_by_key_newest_first(store: Store) -> None:
    account = await store.account()
    inbox = await store.inbox(account)
    await store.fill(account, 7)
    first = await store.entries.page(account, inbox, limit=3)
    assert [each.uid for each in first] == [7, 6, 5]
    second = await store.entries.page(account, inbox, before=5, limit=10)
    assert [each.uid for each in second] == [4, 3, 2, 1]
    assert first[0].subject == "Mail 6" and first[0].sender == "Anna" and first[0].recipients == "Bert"
    assert await store.entries.neighbours(account, inbox, 4) == (5, 3)
    assert await store.entries.neighbours(account, inbox, 7) == (None, 6)


async def test_filters(store: Store) -> None:
    account = await store.account()
    inbox = await store.inbox(account)
    await store.fill(account, 4)
    attached = (
        b"Subject: file\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; "
        b"boundary=b\r\n\r\n--b\r\n\r\ntext\r\n"
        b"--b\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; "
        b"filename=a.pdf\r\n\r\nx\r\n--b--\r\n"
    )
    await store.deliver([account], attached)
    await store.entries.set_flags(account, inbox, [1, 2], FlagChange.adding(Flag.SEEN))
    await store.entries.set_flags(account, inbox, [2], FlagChange.adding(Flag.FLAGGED))

    async def uids(only: Only) -> list[int]:
        return [each.uid for each in await store.entries.page(account, inbox, only=only)]

    assert await uids(Only.UNSEEN) == [5, 4, 3]
    assert await uids(Only.FLAGGED) == [2]
    assert await uids(Only.WITH_ATTACHMENTS) == [5]


async def test_strangers_see_nothing(store: Store) -> None:
    one, other = await store.accounts(2)
    await store.fill(one, 2)
    inbox = await store.inbox(one)
    assert await store.entries.page(other, inbox) == []
    with pytest.raises(NoSuchMessage):
        await store.entries.get(other, inbox, 1)
    with pytest.raises(NoSuchFolder):
        await store.entries.set_flags(other, inbox, [1], FlagChange.adding(Flag.SEEN))
    with pytest.raises(NoSuchFolder):
        await store.entries.expunge(other, inbox, [1])
    with pytest.raises(NoSuchFolder):
        await store.entries.move(one, inbox, [1], await store.inbox(other))


async def test_flags_raise_the_mod_sequence_only_where_something_changed(store: Store) -> None:
    account = await store.account()
    inbox = await store.inbox(account)
    await store.fill(account, 3)
    done = await store.entries.set_flags(account, inbox, [1, 2], FlagChange.adding(Flag.SEEN))
    assert [each.uid for each in done.changed] == [1, 2]
    again = await store.entries.set_flags(account, inbox, None, FlagChange.adding(Flag.SEEN))
    assert [each.uid for each in again.changed] == [3]
    assert again.mod_sequence == done.mod_sequence + 1
    assert (await store.folders.get(account, inbox)).unseen_count == 0
    nothing = await store.entries.set_flags(account, inbox, None, FlagChange.adding(Flag.SEEN))
    assert nothing.changed == () and nothing.mod_sequence == again.mod_sequence
    await store.entries.set_flags(account, inbox, [3], FlagChange.removing(Flag.SEEN))
    assert (await store.folders.get(account, inbox)).unseen_count == 1


async def test_keywords(store: Store) -> None:
    account = await store.account()
    inbox = await store.inbox(account)
    await store.fill(account, 1)

    async def keywords() -> tuple[str, ...]:
        return (await store.entries.get(account, inbox, 1)).keywords

    await store.entries.set_flags(account, inbox, [1], FlagChange.adding(Flag.SEEN, ["$Forwarded", "Work"]))
    assert await keywords() == ("$forwarded", "work")
    await store.entries.set_flags(account, inbox, [1], FlagChange.removing(Flag(0), ["work"]))
    assert await keywords() == ("$forwarded",)
    await store.entries.set_flags(account, inbox, [1], FlagChange.replacing(Flag.FLAGGED, ["later"]))
    assert await keywords() == ("later",)
    assert (await store.entries.get(account, inbox, 1)).flags == Flag.FLAGGED
    assert (await store.folders.get(account, inbox)).keywords == ("$forwarded", "later", "work")
    for bad in ("two words", "", "x" * 65, "\\seen", "a(b"):
        with pytest.raises(BadKeyword):
            FlagChange.adding(Flag(0), [bad])
    with pytest.raises(BadKeyword):
        await store.entries.set_flags(
            account, inbox, [1], FlagChange.adding(Flag(0), [f"k{number}" for number in range(100)])
        )
    assert await keywords() == ("later",)


async def test_unchanged_since_refuses_what_changed_later(store: Store) -> None:
    account = await store.account()
    inbox = await store.inbox(account)
    await store.fill(account, 2)
    seen = (await store.folders.get(account, inbox)).mod_sequence
    await store.entries.set_flags(account, inbox, [1], FlagChange.adding(Flag.FLAGGED))
    done = await store.entries.set_flags(
        account, inbox, [1, 2], FlagChange.adding(Flag.SEEN), unchanged_since=seen
    )
    assert done.refused == (1,) and [each.uid for each in done.changed] == [2]


async def test_move_gives_new_uids_in_order_and_keeps_counters(store: Store) -> None:
    account = await store.account()
    inbox = await store.inbox(account)
    trash = (await store.folders.get_by_role(account, Role.TRASH)).id
    await store.fill(account, 4)
    await store.entries.set_flags(account, inbox, [2], FlagChange.adding(Flag.SEEN, ["tag"]))
    before = (await store.folders.get(account, inbox)).mod_sequence
    done = await store.entries.move(account, inbox, [4, 2, 99], trash)
    assert done.uids == ((2, 1), (4, 2))
    assert (await store.entries.get(account, trash, 1)).keywords == ("tag",)
    assert await store.entries.expunged_since(account, inbox, before) == [2, 4]
    assert (await store.folders.get(account, trash)).unseen_count == 1
    assert (await store.entries.move(account, inbox, [1], inbox)).uids == ()
    assert (await store.entries.move(account, inbox, None, trash)).uids == ((1, 3), (3, 4))
    assert await store.database.fetchval("SELECT count(*) FROM message_release") == 0


async def test_copy_shares_the_content_and_counts_for_the_quota(store: Store) -> None:
    account = await store.account(quota_bytes=900)
    inbox = await store.inbox(account)
    archive = (await store.folders.get_by_role(account, Role.ARCHIVE)).id
    await store.fill(account, 1)
    copied = await store.entries.copy(account, inbox, [1], archive)
    assert copied.uids == ((1, 1),)
    assert (await store.entries.copy(account, inbox, [1], inbox)).uids == ((1, 2),)
    assert await store.database.fetchval("SELECT count(*) FROM content") == 1
    with pytest.raises(QuotaExceeded):
        await store.entries.copy(account, inbox, None, archive)
    assert len(await store.entries.page(account, archive)) == 1


async def test_expunge(store: Store) -> None:
    account = await store.account()
    inbox = await store.inbox(account)
    await store.fill(account, 5)
    await store.entries.set_flags(account, inbox, [2, 3], FlagChange.adding(Flag.DELETED))
    assert await store.entries.expunge_deleted(account, inbox, [3, 4]) == [3]
    assert await store.entries.expunge_deleted(account, inbox) == [2]
    assert await store.entries.expunge(account, inbox, [4, 77]) == [4]
    assert await store.entries.empty(account, inbox) == 2
    assert await store.entries.expunged_since(account, inbox, 0) == [1, 2, 3, 4, 5]
    assert await store.database.fetchval("SELECT count(*) FROM message_release") == 5
    (placed,) = await store.deliver([account])
    assert placed is not None and placed.uid == 6


async def test_changes_since(store: Store) -> None:
    account = await store.account()
    inbox = await store.inbox(account)
    await store.fill(account, 3)
    seen = (await store.folders.get(account, inbox)).mod_sequence
    await store.entries.set_flags(account, inbox, [3, 1], FlagChange.adding(Flag.SEEN))
    assert [each.uid for each in await store.entries.changed_since(account, inbox, seen, limit=1)] == [1, 3]


async def test_a_thread_over_folders(store: Store) -> None:
    account = await store.account()
    inbox = await store.inbox(account)
    sent = (await store.folders.get_by_role(account, Role.SENT)).id
    await store.deliver([account], mail(message_id="root@x"))
    store.clock.move(minutes=5)
    await store.append.put(account, sent, mail(message_id="re@x", more="References: <root@x>\r\n"), Flag.SEEN)
    thread = (await store.entries.get(account, inbox, 1)).thread
    found = await store.entries.thread(account, thread)
    assert [each.folder_id for each in found] == [inbox, sent]
    assert await store.entries.thread(account, 0) == []


async def test_what_changes_is_announced(store: Store) -> None:
    account = await store.account()
    inbox = await store.inbox(account)
    await store.fill(account, 1)
    store.changes.changes.clear()
    await store.entries.set_flags(account, inbox, [1], FlagChange.adding(Flag.SEEN))
    await store.entries.set_flags(account, inbox, [1], FlagChange.adding(Flag.SEEN))
    (told,) = store.changes.changes
    assert told.mod_sequence == (await store.folders.get(account, inbox)).mod_sequence


async def test_counters_stay_true_under_everything_at_once(store: Store) -> None:
    account = await store.account()
    folders = [each.id for each in await store.folders.list(account)][:4]
    await store.fill(account, 30)
    chance = random.Random(3)

    async def disturb() -> None:
        for _ in range(12):
            source, target = chance.sample(folders, 2)
            uids = [each.uid for each in await store.entries.page(account, source, limit=10)]
            chosen = chance.sample(uids, min(len(uids), 4))
            action = chance.randrange(5)
            if action == 0:
                await store.entries.move(account, source, chosen, target)
            elif action == 1:
                await store.entries.copy(account, source, chosen, target)
            elif action == 2:
                await store.entries.set_flags(account, source, chosen, FlagChange.adding(Flag.SEEN))
            elif action == 3:
                await store.entries.set_flags(account, source, None, FlagChange.removing(Flag.SEEN))
            else:
                await store.entries.expunge(account, source, chosen[:1])
            await store.deliver([account])

    await asyncio.gather(*(disturb() for _ in range(6)))


async def test_changes_to_many_come_in_pieces(store: Store) -> None:
    account = await store.account()
    inbox = await store.inbox(account)
    trash = (await store.folders.get_by_role(account, Role.TRASH)).id
    await store.fill(account, 10)
    entries = Entries(store.database, store.changes, at_once=3)
    every = list(range(1, 11))
    assert [each.uid for each in (await entries.set_flags(account, inbox, None, SEEN)).changed] == every
    assert (await store.folders.get(account, inbox)).unseen_count == 0
    unseen = await entries.set_flags(account, inbox, [9, 1, 5, 7, 7, 3], FlagChange.removing(Flag.SEEN))
    assert [each.uid for each in unseen.changed] == [1, 3, 5, 7, 9]
    assert unseen.mod_sequence == (await store.folders.get(account, inbox)).mod_sequence
    assert (await entries.set_flags(account, inbox, [], SEEN)).changed == ()
    assert (await entries.move(account, inbox, None, trash)).uids == tuple(zip(every, every, strict=True))
    assert (await entries.set_flags(account, inbox, None, SEEN)).changed == ()
    assert await entries.empty(account, trash) == 10
    with pytest.raises(NoSuchFolder):
        await entries.set_flags(account, 10**9, None, SEEN)


async def test_removals_and_how_far_back_they_reach_are_of_one_moment(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep between two reads would leave a part of the removals, which would pass for all of them."""
    account = await store.account()
    inbox = await store.inbox(account)
    for uid in await store.fill(account, 10):
        await store.entries.expunge(account, inbox, [uid])
    before = (await store.folders.get(account, inbox)).mod_sequence - 10
    sweeper = Sweeper(store.database, store.blobs, store.clock, timedelta(0), expunged_kept=1)

    class SweptBetween(Database):
        """Sweeps before every read but the first."""

        reads = 0

        async def fetchrow(self, query: str, *arguments: object) -> asyncpg.Record | None:
            await self._sweep()
            return await super().fetchrow(query, *arguments)

        async def fetchval(self, query: str, *arguments: object) -> object:
            await self._sweep()
            return await super().fetchval(query, *arguments)

        async def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
            await self._sweep()
            return await super().fetch(query, *arguments)

        async def _sweep(self) -> None:
            self.reads += 1
            if self.reads == 2:
                await sweeper.sweep()

    async with SweptBetween(store.database.dsn) as database:
        told = await Entries(database, store.changes).expunged_since(account, inbox, before)
    assert told == list(range(1, 11))
    await sweeper.sweep()
    assert await store.entries.expunged_since(account, inbox, before) is None
    assert await store.entries.expunged_since(account, inbox, before + 9) == [10]


async def test_all_that_is_asked_for_is_told_however_much(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entries_module, "FETCHED_AT_ONCE", 3)
    account = await store.account()
    uids = await store.fill(account, 10)
    found = await store.entries.fetch(account, await store.inbox(account), [*reversed(uids), uids[4], 999])
    assert [each.uid for each in found] == uids


async def test_a_keyword_that_no_mail_bears_any_more_makes_room_for_another(store: Store) -> None:
    account = await store.account()
    inbox = await store.inbox(account)
    first, second = await store.fill(account, 2)
    await store.entries.set_flags(account, inbox, [second], FlagChange.adding(NO_FLAGS, ["kept"]))
    for number in range(MAX_KEYWORDS + 20):
        change = FlagChange.replacing(NO_FLAGS, [f"word{number}"])
        await store.entries.set_flags(account, inbox, [first], change)
    assert (await store.entries.get(account, inbox, first)).keywords == (f"word{MAX_KEYWORDS + 19}",)
    known = (await store.folders.get(account, inbox)).keywords
    assert len(known) <= MAX_KEYWORDS
    assert {"kept", f"word{MAX_KEYWORDS + 19}"} <= set(known)
    # A hundred that are in use are still the most.
    many = [f"used{number}" for number in range(MAX_KEYWORDS - 1)]
    await store.entries.set_flags(account, inbox, [first], FlagChange.replacing(NO_FLAGS, many))
    with pytest.raises(BadKeyword):
        await store.entries.set_flags(account, inbox, [second], FlagChange.adding(NO_FLAGS, ["another"]))


async def test_mails_with_many_keywords_can_always_be_moved_and_are_all_known_there(store: Store) -> None:
    account = await store.account()
    inbox = await store.inbox(account)
    trash = (await store.folders.get_by_role(account, Role.TRASH)).id
    for turn in range(3):
        [uid] = await store.fill(account, 1)
        words = [f"turn{turn}-{number}" for number in range(MAX_KEYWORDS - 1)]
        await store.entries.set_flags(account, inbox, [uid], FlagChange.replacing(NO_FLAGS, words))
        await store.entries.move(account, inbox, [uid], trash)
    assert len((await store.folders.get(account, trash)).keywords) == 3 * (MAX_KEYWORDS - 1)
    await store.entries.expunge(account, trash, [1, 2])
    [uid] = await store.fill(account, 1)
    await store.entries.set_flags(account, inbox, [uid], FlagChange.adding(NO_FLAGS, ["last"]))
    await store.entries.move(account, inbox, [uid], trash)
    assert len((await store.folders.get(account, trash)).keywords) == MAX_KEYWORDS
