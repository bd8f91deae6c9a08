"""The consistency check finds every kind of damage, and the repair mends what it can."""

from __future__ import annotations

import pytest

from postroad.mailstore.flags import Flag, FlagChange
from postroad.mailstore.verify import Progress, repair_counters, structure_problem, verify
from postroad.message.scan import scan

from .conftest import Store, mail

DAMAGES = {
    "counter": "UPDATE folder SET unseen_count = unseen_count + 1 WHERE role = 'inbox'",
    "uid_next": "UPDATE folder SET uid_next = 2 WHERE role = 'inbox'",
    "mod_sequence": "UPDATE folder SET mod_sequence = 1 WHERE role = 'inbox'",
    "account": "UPDATE entry SET account_id = 99 WHERE uid = 2",
    "expunged": "INSERT INTO expunged SELECT folder_id, 2, 2 FROM entry WHERE uid = 2",
    "keywords": "UPDATE entry SET keywords = '{x}' WHERE uid = 2",
    "uid_validity": "UPDATE folder SET uid_validity = 4294967296 WHERE role = 'inbox'",
    "entry_folder": "UPDATE entry SET folder_id = 9999 WHERE uid = 2",
    "entry_message": "DELETE FROM message WHERE id = (SELECT message_id FROM entry WHERE uid = 2)",
    "entry_content": "DELETE FROM content WHERE message_id = (SELECT message_id FROM entry WHERE uid = 2)",
    "entry_size": "UPDATE entry SET size_bytes = 1 WHERE uid = 2",
    "entry_summary": "UPDATE entry SET thread = 1 WHERE uid = 2",
    "message_content": "DELETE FROM content WHERE message_id = (SELECT message_id FROM entry WHERE uid = 2)",
    "message_size": "UPDATE content SET body = 'short' WHERE body IS NOT NULL",
    "message_blob": "UPDATE content SET blob = 'aa/bb' WHERE blob IS NOT NULL",
    "message_trace": "UPDATE content SET trace_offset = 1000",
    "message_unreferenced": "DELETE FROM entry WHERE uid = 2",
    "message_structure": "UPDATE message SET structure = 'x'",
    "content_unreferenced": "DELETE FROM message WHERE id = (SELECT message_id FROM entry WHERE uid = 2)",
    "content_blob": "INSERT INTO content (message_id, blob) VALUES (5, 'aa/cc')",
    "content_trace": "INSERT INTO content (message_id, body, trace_offset) VALUES (5, '', 7)",
    "stray_search_document": "INSERT INTO search_document VALUES (77, '')",
    "stray_expunged": "INSERT INTO expunged VALUES (77, 1, 1)",
}


async def kinds(store: Store) -> set[str]:
    return {problem.kind async for problem in verify(store.database, store.blobs)}


async def filled(store: Store) -> int:
    account = await store.account()
    await store.fill(account, 3)
    await store.deliver([account], mail(text="x" * 20_000))
    return account


async def test_every_damage_is_found(store: Store) -> None:
    await filled(store)
    assert await kinds(store) == set()
    store.is_damaged = True
    for kind, damage in DAMAGES.items():
        for table in (
            "folder",
            "entry",
            "message",
            "content",
            "expunged",
            "search_document",
            "message_release",
        ):
            await store.database.execute(f"CREATE TABLE saved_{table} AS TABLE {table}")
        await store.database.execute(damage)
        assert kind in await kinds(store), kind
        await store.database.execute("ALTER TABLE folder DISABLE TRIGGER folder_removed")
        for table in (
            "folder",
            "entry",
            "message",
            "content",
            "expunged",
            "search_document",
            "message_release",
        ):
            await store.database.execute(f"DELETE FROM {table}")
            overriding = "OVERRIDING SYSTEM VALUE" if table == "folder" else ""
            await store.database.execute(f"INSERT INTO {table} {overriding} SELECT * FROM saved_{table}")
            await store.database.execute(f"DROP TABLE saved_{table}")
    assert await kinds(store) == set()


async def test_counters_are_mended(store: Store) -> None:
    account = await filled(store)
    await store.entries.set_flags(account, await store.inbox(account), [1], FlagChange.adding(Flag.SEEN))
    before = await store.folders.list(account)
    await store.database.execute(
        "UPDATE folder SET unseen_count = 7, message_count = 0, size_bytes = 1, uid_next = 1, mod_sequence = "
        "1 "
        "WHERE role = 'inbox'"
    )
    assert {"counter", "uid_next", "mod_sequence"} <= await kinds(store)
    assert await repair_counters(store.database) == 1
    assert await store.folders.list(account) == before
    assert await repair_counters(store.database) == 0


async def test_progress_is_told(store: Store) -> None:
    await filled(store)
    told: list[Progress] = []
    assert [problem async for problem in verify(store.database, store.blobs, told.append)] == []
    assert {each.step: each.done for each in told} == {
        "folders": 6,
        "entries": 4,
        "messages": 4,
        "contents": 4,
    }


@pytest.mark.parametrize("size", [0, 10, 100])
def test_offsets_outside_the_body_are_told(size: int) -> None:
    body = mail()
    assert structure_problem(scan(body), len(body)) is None
    assert structure_problem(scan(body), size) is not None
