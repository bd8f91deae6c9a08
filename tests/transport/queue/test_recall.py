"""Held and dropped means that not one more is begun, whatever workers have in flight; the order says what was
on the wire already.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from postroad.message.address import Address
from postroad.protocols.smtp.envelope import Envelope
from postroad.transport.queue.queued_mails import Selection, Stopped
from postroad.transport.service import Transport
from tests.sink import Sink
from tests.transport.conftest import House, entered, mail, recipients

RELAY = {"relay_networks": ["127.0.0.0/8"]}
EVERYBODY = [f"to{number}@there.example" for number in range(120)]


@pytest.fixture(autouse=True)
def workers_look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is announced in these tests: workers find out for themselves."""
    monkeypatch.setattr("postroad.transport.delivery.presence.CHECK_SECONDS", 0.1)


@asynccontextmanager
async def two_busy_workers(house: House, sink: Sink) -> AsyncIterator[list[Transport]]:
    """Two workers that have all of it in flight; on their connections mails wait for an answer."""
    await house.domain()
    sink.hold = asyncio.Event()
    async with entered(house.worker(sink, smtp=RELAY, connections=2) for _ in range(2)) as workers:
        for worker in workers:
            await house.until(lambda worker=worker: may_begin(worker))  # type: ignore[misc]

        async def all_in_flight() -> bool:
            return sink.seen["content"] > 0 and all(row["lease_owner"] for row in await house.queued())

        for place, address in enumerate(EVERYBODY):
            await send(house, workers[place % 2], address)
        await house.until(all_in_flight)
        yield workers


async def may_begin(worker: Transport) -> bool:
    return worker.dispatcher._intake.may_begin


async def send(house: House, worker: Transport, address: str) -> None:
    envelope = Envelope(Address.parse("anna@here.example"), recipients(address))
    await worker.acceptance.accept(envelope, mail(), house.session(client="127.0.0.1"))


def answer(sink: Sink) -> None:
    """Let the sink answer from now on."""
    assert sink.hold is not None
    sink.hold.set()
    sink.hold = None


async def test_dropped_is_dropped(house: House, sink: Sink) -> None:
    async with two_busy_workers(house, sink) as workers:
        stopped = await workers[0].queued_mails.drop(Selection())
        assert stopped.recipients == len(EVERYBODY)
        assert 0 < stopped.on_the_wire < 10
        assert await house.queued() == []
        answer(sink)
        await sink.wait_for(stopped.on_the_wire)
    assert len(sink.recipients) == stopped.on_the_wire, "not one more was begun"
    assert len(await house.events("delivery.dropped")) == len(EVERYBODY)


async def test_held_is_held_until_it_is_released(house: House, sink: Sink) -> None:
    async with two_busy_workers(house, sink) as workers:
        stopped = await workers[1].queued_mails.hold(Selection())
        assert stopped.recipients == len(EVERYBODY)
        left = [row for row in await house.queued() if row["lease_owner"] is None]
        assert len(left) == len(EVERYBODY) - stopped.on_the_wire
        assert {row["attempts"] for row in left} == {0}, "an attempt that was not begun is not counted"
        answer(sink)
        await sink.wait_for(stopped.on_the_wire)
        await house.until(lambda: settled(house))
        assert len(sink.recipients) == stopped.on_the_wire
        assert await workers[0].queued_mails.release(Selection()) == len(left)
        await house.until_empty()
    assert Counter(sink.recipients) == Counter(EVERYBODY)


async def settled(house: House) -> bool:
    return all(row["lease_owner"] is None for row in await house.queued())


async def test_holding_one_recipient_of_many_leaves_the_others_to_go(house: House, sink: Sink) -> None:
    async with two_busy_workers(house, sink) as workers:
        envelope = Envelope(
            Address.parse("anna@here.example"), recipients("x@there.example", "y@there.example")
        )
        await workers[0].acceptance.accept(envelope, mail(), house.session(client="127.0.0.1"))
        stopped = await workers[0].queued_mails.hold(Selection(recipient="x@there.example"))
        assert stopped == Stopped(1, 0)
        answer(sink)

        async def only_one_left() -> bool:
            return [row["recipient"] for row in await house.queued()] == ["x@there.example"]

        await house.until(only_one_left)
    assert Counter(sink.recipients) == Counter([*EVERYBODY, "y@there.example"])


async def test_a_worker_that_came_back_under_a_new_row_is_not_waited_for(house: House, sink: Sink) -> None:
    """Taken for dead while it was asked: it looks at its leases by itself before it begins anything."""
    await house.domain()
    async with house.worker(sink, smtp=RELAY, delivers=False) as taker:
        await send(house, taker, "to@there.example")
        await house.database.execute("UPDATE queue_recipient SET lease_owner = 17")
        await house.database.execute("INSERT INTO queue_worker (owner) VALUES (17)")
        holding = asyncio.create_task(taker.queued_mails.hold(Selection()))

        async def is_asked() -> bool:
            return bool(await house.database.fetchval("SELECT sum(recalled) FROM queue_worker"))

        await house.until(is_asked)
        await house.database.execute("DELETE FROM queue_worker")
        await house.database.execute("INSERT INTO queue_worker (owner) VALUES (17)")
        async with asyncio.timeout(25):
            assert await holding == Stopped(1, 1)


async def test_a_worker_that_died_is_not_waited_for_long(house: House, sink: Sink) -> None:
    await house.domain()
    async with house.worker(sink, smtp=RELAY, delivers=False) as taker:
        await send(house, taker, "to@there.example")
        await house.database.execute("UPDATE queue_recipient SET lease_owner = 17")
        dead = "INSERT INTO queue_worker (owner, seen_at) VALUES (17, now() - interval '29 s')"
        await house.database.execute(dead)
        async with asyncio.timeout(30):
            assert await taker.queued_mails.hold(Selection()) == Stopped(1, 1)
