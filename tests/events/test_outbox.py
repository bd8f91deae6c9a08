"""Events are written with the thing that happened, and read in order without ever skipping a late commit."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from postroad.db.pool import Database
from postroad.events.outbox import Event, Outbox
from postroad.events.reader import KEEP_READ, KEEP_UNREAD, EventReader, Retention

OUTBOX = Outbox()


async def record(database: Database, *kinds: str) -> None:
    async with database.transaction() as connection:
        await OUTBOX.record_in(connection, [Event(kind) for kind in kinds])


async def kinds(reader: EventReader) -> list[str]:
    return [event.kind for event in await reader.read(100)]


async def test_events_come_back_as_they_were_written(database: Database) -> None:
    async with database.transaction() as connection:
        await OUTBOX.record_in(connection, [Event("a", 7, {"名": [1, None]}), Event("b")])
    first, second = await EventReader(database, "reader").read(10)
    assert (first.kind, first.account_id, first.payload) == ("a", 7, {"名": [1, None]})
    assert (second.kind, second.account_id, second.payload) == ("b", None, {})


async def test_an_event_of_a_rolled_back_transaction_never_happened(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as connection:
            await OUTBOX.record_in(connection, [Event("a")])
            raise ZeroDivisionError
    assert await kinds(EventReader(database, "reader")) == []


async def test_what_is_acknowledged_is_not_read_again_and_readers_are_independent(database: Database) -> None:
    one, other = EventReader(database, "one"), EventReader(database, "other")
    await record(database, "a", "b", "c")
    events = await one.read(2)
    await one.acknowledge(events[-1].position)
    assert await kinds(one) == ["c"]
    assert await kinds(other) == ["a", "b", "c"]
    await one.acknowledge(events[0].position)  # an older acknowledgement moves nothing back
    assert await kinds(one) == ["c"]


async def test_a_late_commit_holds_back_what_came_after_it(database: Database, database_dsn: str) -> None:
    reader = EventReader(database, "reader")
    late = await asyncpg.connect(database_dsn)
    transaction = late.transaction()
    await transaction.start()
    await late.execute("INSERT INTO event (kind) VALUES ('late')")
    await record(database, "early")
    assert await kinds(reader) == []
    await transaction.commit()
    assert await kinds(reader) == ["late", "early"]
    await late.close()


async def test_an_id_drawn_before_the_transaction_number_is_not_skipped(
    database: Database, database_dsn: str
) -> None:
    reader = EventReader(database, "reader")
    late = await asyncpg.connect(database_dsn)
    drawn = await late.fetchval("SELECT nextval(pg_get_serial_sequence('event', 'id'))")
    await record(database, "other")
    [other] = await reader.read(10)
    await reader.acknowledge(other.position)
    assert drawn < other.position.id
    await late.execute("INSERT INTO event (id, kind) OVERRIDING SYSTEM VALUE VALUES ($1, 'late')", drawn)
    assert await kinds(reader) == ["late"]
    await late.close()


async def test_a_claim_acknowledges_when_its_body_ends_and_only_then(database: Database) -> None:
    reader = EventReader(database, "reader")
    await record(database, "a")
    with pytest.raises(ZeroDivisionError):
        async with reader.claim(10) as (_, events):
            assert [event.kind for event in events] == ["a"]
            raise ZeroDivisionError
    async with reader.claim(10) as (_, events):
        assert [event.kind for event in events] == ["a"]
    assert await kinds(reader) == []


async def test_two_claims_never_hold_the_same_event(database: Database) -> None:
    await record(database, "a")
    async with EventReader(database, "reader").claim(10) as (_, events):
        async with asyncio.timeout(5), EventReader(database, "reader").claim(10) as (_, others):
            assert others == []
        assert len(events) == 1


async def test_retention_keeps_unread_events_for_longer(database: Database) -> None:
    now = datetime.now(UTC)
    reader = EventReader(database, "reader")
    await record(database, "read")
    [event] = await reader.read(10)
    await reader.acknowledge(event.position)
    await record(database, "unread")
    assert await Retention(database, lambda: now).sweep() == 0
    assert await Retention(database, lambda: now + KEEP_READ + timedelta(hours=1)).sweep() == 1
    assert await kinds(reader) == ["unread"]
    assert await Retention(database, lambda: now + KEEP_UNREAD + timedelta(hours=1)).sweep() == 1


async def test_positions_of_another_cluster_are_made_right(database: Database) -> None:
    """As after a restore: the old cluster's transaction numbers lie in the new one's future."""
    await record(database, "read", "unread")
    first = (await EventReader(database, "reader").read(1))[0]
    await EventReader(database, "reader").acknowledge(first.position)
    future = "1000000000"
    await database.execute("UPDATE event SET xact = $1::text::xid8", future)
    await database.execute("UPDATE event_consumer SET last_xact = $1::text::xid8", future)
    reader = EventReader(database, "reader")
    assert await kinds(reader) == ["unread"]
    await record(database, "new")
    assert await kinds(reader) == ["unread", "new"]
