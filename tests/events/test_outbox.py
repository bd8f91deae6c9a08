"""Events are written with the thing that happened, and read in order without ever skipping a late commit."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta

import asyncpg
import pytest

from postroad.db.pool import Database, DatabaseUnavailable
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


async def test_a_late_commit_is_not_skipped(database: Database, database_dsn: str) -> None:
    """It drew its id first and commits last; who read past it would never see it."""
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


async def test_what_was_certain_before_a_late_commit_began_is_read_meanwhile(
    database: Database, database_dsn: str
) -> None:
    reader = EventReader(database, "reader")
    await record(database, "a", "b")
    [first] = await reader.read(1)
    await reader.acknowledge(first.position)
    late = await asyncpg.connect(database_dsn)
    async with late.transaction():
        await late.execute("INSERT INTO event (kind) VALUES ('late')")
        await record(database, "c")
        assert await kinds(reader) == ["b"]
    assert await kinds(reader) == ["b", "late", "c"]
    await late.close()


async def test_writers_that_always_overlap_do_not_starve_a_reader(database: Database) -> None:
    """At no moment is nobody writing; each is only waited for once."""
    reader = EventReader(database, "reader")
    numbers = iter(range(1000))
    is_done = asyncio.Event()

    async def keep_writing() -> None:
        while not is_done.is_set():
            async with database.transaction() as connection:
                await OUTBOX.record_in(connection, [Event(str(next(numbers)))])
                await asyncio.sleep(0.02)

    seen: list[str] = []
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(keep_writing())
        while len(seen) < 40:
            for event in await reader.read(10):
                seen.append(event.kind)
                await reader.acknowledge(event.position)
        is_done.set()
    while rest := await reader.read(10):
        seen.extend(event.kind for event in rest)
        await reader.acknowledge(rest[-1].position)
    recorded = await database.fetch("SELECT kind FROM event ORDER BY id")
    assert seen == [row["kind"] for row in recorded]


async def other_database(dsn: str) -> asyncpg.Connection[asyncpg.Record]:
    return await asyncpg.connect(re.sub(r"/test_\w+\?", "/postgres?", dsn))


async def test_a_strangers_transaction_holds_nobody_back(database: Database, database_dsn: str) -> None:
    """One in another database of the cluster, and one in ours that has written no event."""
    stranger, neighbour = await other_database(database_dsn), await asyncpg.connect(database_dsn)
    try:
        for each in (stranger, neighbour):
            await each.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            await each.execute("CREATE TEMP TABLE mine (a int)")
            assert await each.fetchval("SELECT pg_current_xact_id_if_assigned() IS NOT NULL")
        await record(database, "a")
        assert await kinds(EventReader(database, "reader")) == ["a"]
    finally:
        await stranger.close()
        await neighbour.close()


async def test_a_claim_acknowledges_when_its_body_ends_and_only_then(database: Database) -> None:
    reader = EventReader(database, "reader")
    await record(database, "a")
    with pytest.raises(ZeroDivisionError):
        async with reader.claim(10) as claim:
            assert [event.kind for event in claim.events] == ["a"]
            raise ZeroDivisionError
    async with reader.claim(10) as claim:
        assert [event.kind for event in claim.events] == ["a"]
    assert await kinds(reader) == []


async def test_what_is_written_while_settling_stands_or_falls_with_the_acknowledgement(
    database: Database,
) -> None:
    reader = EventReader(database, "reader")
    await record(database, "a")
    insert = "INSERT INTO domain (name) VALUES ('example.com')"
    with pytest.raises(ZeroDivisionError):
        async with reader.claim(10) as claim, claim.settling() as connection:
            await connection.execute(insert)
            raise ZeroDivisionError
    assert await database.fetchval("SELECT count(*) FROM domain") == 0
    async with reader.claim(10) as claim:
        async with claim.settling() as connection:
            await connection.execute(insert)
        assert await kinds(EventReader(database, "reader")) == []
    assert await database.fetchval("SELECT count(*) FROM domain") == 1


async def test_two_claims_never_hold_the_same_event(database: Database) -> None:
    await record(database, "a")
    async with EventReader(database, "reader").claim(10) as claim:
        async with asyncio.timeout(30), EventReader(database, "reader").claim(10) as other:
            assert other.events == []
        assert len(claim.events) == 1
    async with EventReader(database, "reader").claim(10) as claim:
        assert claim.events == []


async def test_a_claim_whose_connection_breaks_is_anothers_to_take(database: Database) -> None:
    await record(database, "a")
    with pytest.raises(DatabaseUnavailable):
        async with EventReader(database, "reader").claim(10) as claim:
            await database.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
            assert len(claim.events) == 1
    async with asyncio.timeout(30):
        while True:
            async with EventReader(database, "reader").claim(10) as claim:
                if claim.events:
                    break


async def test_the_body_of_a_claim_holds_no_transaction_and_delays_no_other_reader(
    database: Database,
) -> None:
    await record(database, "a")
    async with EventReader(database, "slow").claim(10) as claim:
        assert len(claim.events) == 1
        held = await database.fetch(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND (backend_xid IS NOT NULL OR backend_xmin IS NOT NULL) AND backend_type = 'client backend'"
        )
        assert held == []
        await record(database, "b")
        assert await kinds(EventReader(database, "quick")) == ["a", "b"]


async def test_retention_keeps_unread_events_for_longer(database: Database) -> None:
    age = "UPDATE event SET created_at = now() - $1::interval"
    reader = EventReader(database, "reader")
    await record(database, "read")
    [event] = await reader.read(10)
    await reader.acknowledge(event.position)
    await record(database, "unread")
    assert await Retention(database).sweep() == 0
    await database.execute(age, KEEP_READ + timedelta(hours=1))
    assert await Retention(database).sweep() == 1
    assert await kinds(reader) == ["unread"]
    await database.execute(age, KEEP_UNREAD + timedelta(hours=1))
    assert await Retention(database).sweep() == 1
