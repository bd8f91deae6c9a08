"""Pause, resume, cancel; hours; and what a server does that comes back after a long time."""

from __future__ import annotations

import asyncio
from collections import Counter

from postroad.campaigns.tasks.requests import TaskChange
from postroad.campaigns.tasks.states import State
from postroad.campaigns.tasks.tasks import TaskFilter
from postroad.transport.delivery.connections import Timeouts
from tests.campaigns.sending.conftest import Office

MANY = [f"to{number}@there{number % 3}.example" for number in range(300)]


async def begun(office: Office, mails: int) -> None:
    """Wait until so many mails have come as far as their content."""

    async def have_come() -> bool:
        return office.sink.seen["content"] >= mails

    await office.until(have_come)


async def test_a_pause_stops_two_workers_and_nobody_is_lost(office: Office) -> None:
    """What is on the wire ends; nothing begins after the answer; resumed, each gets one mail."""
    customer, task = await office.task(MANY)
    engine = office.engine()
    office.sink.hold = asyncio.Event()
    tasks = office.house.campaigns.tasks
    patient = Timeouts(connect=60, setup=60, idle=0.2, longest=90)  # held mails are not given up
    async with (
        office.worker(engine, connections=2, timeouts=patient),
        office.worker(connections=2, timeouts=patient),
    ):
        await engine.watch.look()
        office.bell.announce("")
        await begun(office, 1)
        await tasks.edit(customer, task, TaskChange(wish=State.PAUSED))
        on_the_wire = sum(len(worker.dispatcher._sent) for worker in office.bell.workers)
        assert on_the_wire < 100
        office.sink.hold.set()
        office.sink.hold = None

        async def rests() -> bool:
            return not await office.house.database.fetchval("SELECT count(owner) FROM ledger_chunk")

        await office.until(rests)
        await engine.watch.look()
        assert await office.state(task) is State.PAUSED
        sent = len(office.sink.recipients)
        assert sent == on_the_wire, "something began after the pause was answered"
        assert await office.states(task) == {(2, 0): sent, (0, 0): 300 - sent}
        await tasks.edit(customer, task, TaskChange(wish=State.SENDING))
        await office.until_over(engine, task)
    assert Counter(office.sink.recipients) == Counter(MANY)
    rows = await office.house.database.fetch("SELECT DISTINCT attempts, doubts FROM recipient")
    assert [tuple(row) for row in rows] == [(1, 0)], "what was given back was not tried"


async def test_a_cancelled_task_sends_nothing_more(office: Office) -> None:
    customer, task = await office.task(MANY)
    engine = office.engine()
    office.sink.hold = asyncio.Event()
    async with office.worker(engine, connections=2):
        await engine.watch.look()
        office.bell.announce("")
        await begun(office, 1)
        await office.house.campaigns.tasks.edit(customer, task, TaskChange(wish=State.CANCELLED))
        office.sink.hold.set()
        office.sink.hold = None
        await office.until_over(engine, task)
    sent = len(office.sink.recipients)
    assert await office.states(task) == {(2, 0): sent, (4, 0): 300 - sent} and sent < 300
    assert await office.state(task) is State.CANCELLED
    volume = await office.house.campaigns.credits.volume(customer)
    assert (volume.left, volume.bound) == (100_000 - sent, 0)
    [day] = await office.house.campaigns.statistics.run_days(customer)
    assert (day.figures.delivered, day.figures.cancelled) == (sent, 300 - sent)


async def test_what_is_changed_in_a_pause_is_what_goes_out_after_it(office: Office) -> None:
    customer, task = await office.task(MANY[:30])
    engine = office.engine()
    await engine.watch.look()
    other = await office.house.template(customer, "other", "Another subject")
    tasks = office.house.campaigns.tasks
    await tasks.edit(customer, task, TaskChange(wish=State.PAUSED))
    await tasks.edit(customer, task, TaskChange(template_ids=[other]))
    async with office.worker(engine):
        await tasks.edit(customer, task, TaskChange(wish=State.SENDING))
        await office.until_over(engine, task)
    assert len(office.sink.mails) == 30
    assert all(b"Subject: Another subject\r\n" in each.content for each in office.sink.mails)


async def test_out_of_its_hours_a_task_waits(office: Office) -> None:
    """From an hour ahead to two hours ahead is never now, whatever time it is."""
    _, task = await office.task(MANY[:10])
    engine = office.engine()
    database = office.house.database
    await database.execute(
        "UPDATE task SET hours_from = (now() AT TIME ZONE 'Asia/Shanghai')::time + interval '1 hour', "
        "hours_until = (now() AT TIME ZONE 'Asia/Shanghai')::time + interval '2 hours'"
    )
    async with office.worker(engine) as worker:
        await engine.watch.look()
        assert await worker.dispatcher._intake._feeds.popitem()[0].claim(_Any()) == []
    assert office.sink.mails == []
    await database.execute(
        "UPDATE task SET hours_from = hours_until, hours_until = hours_from"
    )  # round the clock but for that hour
    async with office.worker(engine):
        await office.until_over(engine, task)
    assert len(office.sink.mails) == 10


async def test_a_server_that_was_away_for_hours_asks_first(office: Office) -> None:
    """What was under way and what fell due meanwhile is paused; what is wanted now is sent."""
    customer, sending = await office.task(MANY[:5])
    due = await office.another(
        customer, ["a@there.example"], wish=State.WAITING, send_at=office.mails.clock()
    )
    engine = office.engine()
    await engine.watch.look()
    assert await office.state(sending) is State.SENDING
    database = office.house.database
    await database.execute("UPDATE campaign_watch SET seen_at = seen_at - interval '3 hours'")
    await database.execute("UPDATE task SET state = 1 WHERE id = $1", due)
    await database.execute(
        "UPDATE task SET send_at = now() - interval '150 minutes', created_at = now() - interval '1 day'"
    )
    fresh = await office.another(customer, ["b@there.example"], wish=State.SENDING)
    async with office.worker(engine):
        assert await database.fetchval("SELECT count(owner) FROM ledger_chunk") == 0, "nobody has looked yet"
        await office.until_over(engine, fresh)
        assert office.sink.recipients == ["b@there.example"]
        for task in (sending, due):
            [told] = await office.house.campaigns.tasks.find(customer, TaskFilter(task_id=task))
            assert told.state is State.PAUSED and "resume it" in told.reason
            await office.house.campaigns.tasks.edit(customer, task, TaskChange(wish=State.SENDING))
        await office.until_over(engine, sending, due)
    assert Counter(office.sink.recipients) == Counter([*MANY[:5], "a@there.example", "b@there.example"])


class _Any:
    """Room for everything."""

    recipients = 100

    def of(self, route: str) -> int:
        """Plenty."""
        return 100

    def take(self, route: str, recipients: int) -> int:
        """All of it."""
        return recipients
