"""A worker dies in the middle: its recipients are doubted and tried again; nobody is missing, and only
those whose server had taken the mail before our commit may get it twice.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from tests.campaigns.sending.conftest import Office
from tests.transport.test_faults import kill

MANY = [f"to{number}@there{number % 3}.example" for number in range(400)]


async def test_a_worker_that_dies_leaves_its_recipients_to_others(office: Office) -> None:
    _, task = await office.task(MANY)
    database = office.house.database
    engine = office.engine()
    await engine.watch.look()
    victim = office.mails.worker(
        office.sink, connections=2, sources=lambda presence: [engine.source(presence)]
    )
    await victim.__aenter__()

    async def some_are_sent() -> bool:
        return len(office.sink.mails) > 50

    await office.until(some_are_sent)
    office.sink.hold = asyncio.Event()
    await kill(victim)
    await _stop_settling(victim)
    office.sink.hold.set()
    office.sink.hold = None
    settled = await database.fetchval("SELECT count(*) FROM recipient WHERE state = 2")
    at_death = len(office.sink.recipients)
    owned = await database.fetchval("SELECT count(owner) FROM ledger_chunk")
    assert owned, "it died with chunks in hand"

    async def is_missed() -> bool:
        return bool(await database.fetchval("SELECT count(missed_at) FROM queue_worker"))

    async with office.worker(engine):
        await office.until(is_missed)
        await office.mails.age(seconds=20)
        await office.until_over(engine, task)
    assert await office.states(task) == {(2, 0): 400}
    counts = Counter(office.sink.recipients)
    assert set(counts) == set(MANY), "nobody is missing"
    twice = {address for address, count in counts.items() if count > 1}
    doubted = {
        row["address"] for row in await database.fetch("SELECT address FROM recipient WHERE doubts > 0")
    }
    print(
        f"died with {at_death} sent and {settled} settled: {len(doubted)} doubted, {len(twice)} got it twice"
    )
    assert twice <= doubted, "whoever may have got it twice is marked"
    assert len(twice) <= at_death - settled
    assert max(counts.values()) <= 2
    attempts = {
        row["attempts"] - row["doubts"]
        for row in await database.fetch("SELECT attempts, doubts FROM recipient")
    }
    assert attempts == {1}


async def _stop_settling(victim: object) -> None:
    """Dead workers settle nothing."""
    for source in victim.dispatcher._sources:  # type: ignore[attr-defined]
        if source.name == "campaigns":
            await source._settling.stop()


async def test_two_workers_share_a_run_and_nobody_is_sent_twice(office: Office) -> None:
    _, task = await office.task(MANY)
    engine = office.engine()
    async with office.worker(engine, connections=3), office.worker(connections=3):
        await office.until_over(engine, task)
    assert Counter(office.sink.recipients) == Counter(MANY)


async def test_a_worker_that_leaves_gives_its_chunks_back(office: Office) -> None:
    _, task = await office.task(MANY)
    engine = office.engine()
    await engine.watch.look()
    office.sink.hold = asyncio.Event()
    worker = office.mails.worker(
        office.sink, connections=1, sources=lambda presence: [engine.source(presence)]
    )
    await worker.__aenter__()

    async def is_sending() -> bool:
        return office.sink.seen["content"] > 0

    await office.until(is_sending)
    leaving = asyncio.create_task(worker.__aexit__(None, None, None))
    await asyncio.sleep(0)
    office.sink.hold.set()
    office.sink.hold = None
    await leaving
    database = office.house.database
    assert await database.fetchval("SELECT count(owner) FROM ledger_chunk") == 0
    async with office.worker(engine):
        await office.until_over(engine, task)
    assert Counter(office.sink.recipients) == Counter(MANY)
    assert await database.fetchval("SELECT max(doubts) FROM recipient") == 0
