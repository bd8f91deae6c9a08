"""Claiming is fair over routes and reads no more than it takes; settling leaves nothing behind."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from postroad.db.pool import Connection, Database, DatabaseUnavailable
from postroad.transport.queue import rows as queue_module
from postroad.transport.queue.rows import Deferral, Leased, Queue, defer_in, remove_in
from tests.faults import wire
from tests.transport.conftest import Plenty

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)  # long ago, by the database's time


async def fill(database: Database, route: str, count: int, first_id: int, due: datetime = NOW) -> None:
    """Queue `count` mails of one recipient each for a route."""
    async with database.transaction() as connection:
        await connection.execute(
            "INSERT INTO queue_envelope (id, message_id, envelope_from, owns_message, size_bytes, "
            "recipient_count, queued_at) SELECT id, id, 'a@here.example', true, 1000, 1, $3 "
            "FROM generate_series($1::bigint, $1::bigint + $2::bigint - 1) AS id",
            first_id,
            count,
            NOW,
        )
        await connection.execute(
            "INSERT INTO queue_recipient (envelope_id, number, recipient, route, next_attempt_at) "
            "SELECT id, 0, 'to' || id || '@' || $3, $3, $4 "
            "FROM generate_series($1::bigint, $1::bigint + $2::bigint - 1) AS id",
            first_id,
            count,
            route,
            due,
        )


def routes_of(leased: list[Leased]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for each in leased:
        counts[each.route] = counts.get(each.route, 0) + len(each.recipients)
    return counts


async def test_a_full_route_does_not_starve_the_others(database: Database) -> None:
    await fill(database, "full.example", 20_000, 1)
    later = NOW + timedelta(minutes=1)
    for number in range(10):
        await fill(database, f"z{number}.example", 3, 100_000 + number * 10, later)
    claimed = await Queue(database).claim(1, Plenty(100, 50))
    counts = routes_of(claimed)
    assert all(counts[f"z{number}.example"] == 3 for number in range(10))
    assert 0 < counts["full.example"] <= 50


async def test_every_route_has_its_turn_however_many_there_are(database: Database) -> None:
    await database.execute(
        "INSERT INTO queue_envelope (id, message_id, envelope_from, owns_message, size_bytes, "
        "recipient_count, queued_at) SELECT id, id, '', true, 1, 1, $1 FROM generate_series(1, 3000) AS id",
        NOW,
    )
    await database.execute(
        "INSERT INTO queue_recipient (envelope_id, number, recipient, route, next_attempt_at) "
        "SELECT id, 0, 'a@b', 'r' || (id % 1000) || '.example', $1 FROM generate_series(1, 3000) AS id",
        NOW,
    )
    queue = Queue(database)
    seen: set[str] = set()
    for _ in range(15):
        seen |= set(routes_of(await queue.claim(1, Plenty(200, 1))))
    assert len(seen) == 1000


async def test_what_is_leased_held_or_not_due_is_not_claimed(database: Database) -> None:
    queue = Queue(database)
    await fill(database, "a.example", 3, 1)
    await database.execute("UPDATE queue_recipient SET is_held = true WHERE envelope_id = 1")
    later = "UPDATE queue_recipient SET next_attempt_at = now() + $1::interval WHERE envelope_id = 2"
    await database.execute(later, timedelta(hours=1))
    assert await queue.claim(1, Plenty(10, barred=["a.example"])) == []
    assert [each.envelope.id for each in await queue.claim(1, Plenty(10))] == [3]
    assert await queue.claim(2, Plenty(10)) == []
    await database.execute(later, timedelta(0))
    assert [each.envelope.id for each in await queue.claim(2, Plenty(10))] == [2]
    row = await database.fetchrow("SELECT * FROM queue_recipient WHERE envelope_id = 2")
    assert row is not None and row["attempts"] == 1 and row["lease_owner"] == 2


async def test_claimers_side_by_side_never_get_the_same(database: Database) -> None:
    await fill(database, "a.example", 1000, 1)
    await fill(database, "b.example", 1000, 5000)
    claims = await asyncio.gather(*(Queue(database).claim(owner, Plenty(300, 150)) for owner in range(1, 6)))
    ids = [each.envelope.id for claim in claims for each in claim]
    assert len(ids) == len(set(ids))


async def test_a_claim_whose_commit_was_not_answered_is_had_again(database: Database, tmp_path: Path) -> None:
    """It was done, but its worker does not know: the leases would last as long as the worker lives."""
    await fill(database, "there.example", 2, 1)
    async with wire.running(database.dsn, tmp_path) as line:
        async with Database(line.dsn) as first:
            queue = Queue(first)
            await queue.reroute()
            line.arm()
            assert len(await queue.claim(1, Plenty(1))) == 1
        commit = max(number for number, each in enumerate(line.disarm(), start=1) if each.type == "Q")
        async with Database(line.dsn) as second:
            queue = Queue(second)
            await queue.reroute()
            line.arm(wire.Fault.CLOSED, wire.Point(commit, is_after=True))
            with pytest.raises(DatabaseUnavailable):
                await queue.claim(1, Plenty(1))
            assert await database.fetchval("SELECT count(lease_owner) FROM queue_recipient") == 2
            claimed = await queue.claim(1, Plenty(1))
    assert [recipient.attempts for each in claimed for recipient in each.recipients] == [1]


async def test_the_last_recipients_of_a_mail_finished_at_once_take_the_mail_along(database: Database) -> None:
    await database.execute(
        "INSERT INTO queue_envelope (id, message_id, envelope_from, owns_message, size_bytes, "
        "recipient_count, queued_at) SELECT id, id, '', true, 1, 2, $1 FROM generate_series(1, 50) AS id",
        NOW,
    )
    await database.execute(
        "INSERT INTO queue_recipient (envelope_id, number, recipient, route, next_attempt_at) "
        "SELECT id, n, 'a@b', 'b', $1 FROM generate_series(1, 50) AS id, generate_series(0, 1) AS n",
        NOW,
    )

    async def finish(number: int) -> list[int]:
        emptied = []
        for first in range(1, 51, 10):
            ids = list(range(first, first + 10))
            async with database.transaction() as connection:
                found = await remove_in(connection, [(each, number) for each in ids], ids)
                emptied += [each.message_id for each in found]
        return emptied

    one, two = await asyncio.gather(finish(0), finish(1))
    assert sorted(one + two) == list(range(1, 51))
    assert await database.fetchval("SELECT count(*) FROM queue_envelope") == 0


async def test_a_deferral_by_somebody_who_lost_the_lease_changes_nothing(database: Database) -> None:
    queue = Queue(database)
    await fill(database, "a.example", 1, 1)
    await queue.claim(1, Plenty(10))
    assert await queue.free() == 1, "nobody has ever seen a worker 1"
    await queue.claim(2, Plenty(10))
    async with database.transaction() as connection:
        await defer_in(connection, 1, [Deferral(1, 0, timedelta(0), True, 451, "4.0.0", "late", "mx")])
    assert await database.fetchval("SELECT lease_owner FROM queue_recipient") == 2
    await queue.give_back(1, [(1, 0)])
    await queue.leave(1)
    assert await queue.renew(1, [(1, 0)]) == ({(1, 0)}, set())
    assert await queue.renew(2, [(1, 0), (7, 0)]) == (set(), {(7, 0)})
    assert await database.fetchval("SELECT attempts FROM queue_recipient") == 2
    await queue.give_back(2, [(1, 0)])
    row = await database.fetchrow("SELECT *, next_attempt_at <= now() AS is_due FROM queue_recipient")
    assert row is not None and (row["attempts"], row["lease_owner"], row["is_due"]) == (1, None, True)


async def test_only_workers_that_are_gone_lose_their_leases(database: Database) -> None:
    queue = Queue(database)
    await fill(database, "a.example", 4, 1)
    await database.execute("INSERT INTO queue_worker (owner, seen_at) VALUES (1, now() - interval '1 year')")
    for owner in (1, 2):
        await queue.claim(owner, Plenty(2))
    assert await queue.free() == 2
    assert {each.envelope.id for each in await queue.claim(3, Plenty(10))} == {3, 4}
    await queue.leave(1)
    owners = await database.fetch("SELECT lease_owner, attempts FROM queue_recipient ORDER BY envelope_id")
    assert [tuple(row) for row in owners] == [(None, 0), (None, 0), (3, 2), (3, 2)]


async def test_only_old_leases_that_nobody_holds_are_forgotten(database: Database) -> None:
    queue = Queue(database)
    await fill(database, "one.example", 6, 1)
    await database.execute(
        "UPDATE queue_recipient SET lease_owner = CASE WHEN envelope_id = 5 THEN 2 ELSE 1 END, "
        "next_attempt_at = CASE WHEN envelope_id = 6 THEN now() ELSE next_attempt_at END"
    )
    assert await queue.free_forgotten(1, [(1, 0), (2, 0)]) == 2
    rows = await database.fetch("SELECT envelope_id, lease_owner FROM queue_recipient ORDER BY 1")
    assert [row["lease_owner"] for row in rows] == [1, 1, None, None, 2, 1]


async def test_what_a_clock_far_ahead_put_off_comes_back(database: Database) -> None:
    """Deferred while the clock was three days ahead; it is right again."""
    queue = Queue(database)
    await fill(database, "a.example", 1, 1, due=datetime.now(UTC) + timedelta(days=3))
    await fill(database, "a.example", 1, 2, due=datetime.now(UTC) + timedelta(hours=4))
    assert await queue.claim(1, Plenty(10)) == []
    await queue.free()
    assert [each.envelope.id for each in await queue.claim(1, Plenty(10))] == [1]


async def test_hot_queries_read_no_table_from_end_to_end(database: Database) -> None:
    """Plans made when the queue is full, and those made when it was empty and used when it is full."""
    queries: list[tuple[str, tuple[object, ...]]] = [
        (queue_module._OLDEST_DUE, (500,)),
        (queue_module._ROUTES_AFTER, ("", 2000)),
        (queue_module._CLAIM, (["r1.example", "r2.example"], [50, 50], 1, 100)),
        (queue_module._REMOVE_RECIPIENTS, ([5, 6, 7], [0, 0, 0])),
        (queue_module._REMOVE_EMPTY, ([5, 6, 7],)),
        (queue_module._NOT_OURS, ([5, 6, 7], [0, 0, 0], 1)),
        (queue_module._GIVE_BACK, ([5, 6, 7], [0, 0, 0], 1)),
        (queue_module._LEAVE, (1,)),
        (queue_module._GONE, ()),
        (queue_module._FREE, ([1, 2],)),
        (queue_module._FREE_FORGOTTEN, ([5, 6, 7], [0, 0, 0], 1, timedelta(minutes=2))),
        (queue_module._MEND, (timedelta(days=1),)),
    ]
    for number in range(20):
        await fill(database, f"r{number}.example", 5000, 1 + number * 5000)
    async with database.connection() as connection:
        for is_analysed in (False, True):
            if is_analysed:
                await connection.execute("ANALYZE queue_recipient, queue_envelope")
            for query, parameters in queries:
                plan = await explain(connection, query, parameters)
                assert not re.search("Seq Scan on queue_(recipient|envelope)", plan), f"{query}\n{plan}"


async def explain(connection: Connection, query: str, parameters: tuple[object, ...]) -> str:
    """The plan of a query as it would be planned with these values."""
    rows = await connection.fetch(f"EXPLAIN {query}", *parameters)
    return "\n".join(row[0] for row in rows)
