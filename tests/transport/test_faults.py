"""Whatever breaks on the way, no mail is lost; and each is delivered once as long as its delivery was
acknowledged.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from postroad.message.address import Address
from postroad.protocols.smtp.envelope import Envelope
from postroad.transport.delivery.connections import Timeouts
from postroad.transport.delivery.judging import Schedule
from postroad.transport.queue.rows import Queue
from postroad.transport.service import Transport
from tests.sink import STAGES, Sink
from tests.transport.conftest import House, Plenty, entered, mail, recipients

ANNA = Address.parse("anna@here.example")
SOON = Schedule(first_delay=timedelta(milliseconds=50), longest_delay=timedelta(milliseconds=200))


async def send(house: House, worker: Transport, *addresses: str, subject: str = "Hello") -> str:
    session = house.session(client="127.0.0.1")
    return await worker.acceptance.accept(Envelope(ANNA, recipients(*addresses)), mail(subject), session)


RELAY = {"relay_networks": ["127.0.0.0/8"]}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("pipelining", [True, False])
async def test_a_host_that_hangs_up(house: House, sink: Sink, stage: str, pipelining: bool) -> None:
    """At every stage of the dialogue, several times in a row: everything arrives, once."""
    await house.domain()
    if not pipelining:
        sink.extensions.remove("PIPELINING")
    sink.disconnects[stage] = 3
    async with house.worker(sink, schedule=SOON, backoff_seconds=0.05, smtp=RELAY, connections=2) as worker:
        await asyncio.gather(*(send(house, worker, f"to{number}@there.example") for number in range(10)))
        await sink.wait_for(10)
        await house.until_empty()
    assert Counter(sink.recipients) == Counter(f"to{number}@there.example" for number in range(10))


async def test_two_workers_deliver_each_mail_once(house: House, sink: Sink) -> None:
    await house.domain()
    workers = [house.worker(sink, smtp=RELAY, connections=3) for _ in range(2)]
    async with house.worker(sink, smtp=RELAY, delivers=False) as taker:  # leaves all of it in the queue
        await asyncio.gather(*(send(house, taker, f"to{number}@there.example") for number in range(300)))
    async with entered(workers) as (one, two):
        await asyncio.gather(
            *(send(house, one, f"more{number}@there.example") for number in range(100)),
            *(send(house, two, f"else{number}@there.example") for number in range(100)),
        )
        await sink.wait_for(500)
        await house.until_empty()
        assert sink.most_open <= 3, "both workers together keep to the limit"
    assert max(Counter(sink.recipients).values()) == 1
    assert len(sink.recipients) == 500


async def test_a_worker_that_dies_leaves_its_mail_to_others(house: House, sink: Sink) -> None:
    """Its tasks and its connection vanish, nothing is given back: the lock says so, long before the lease
    ends.
    """
    await house.domain()
    sink.hold = asyncio.Event()
    victim = house.worker(sink, smtp=RELAY)
    await victim.__aenter__()
    await asyncio.gather(*(send(house, victim, f"to{number}@there.example") for number in range(50)))
    assert all(row["lease_owner"] == victim.presence.owner for row in await house.queued())
    await kill(victim)
    sink.hold.set()
    sink.hold = None
    async with house.worker(sink, smtp=RELAY):
        await asyncio.sleep(0)

        async def is_missed() -> bool:
            return bool(await house.database.fetchval("SELECT count(missed_at) FROM queue_worker"))

        await house.until(is_missed)
        await house.age(seconds=20)
        await house.until_empty()
    arrived = Counter(sink.recipients)
    assert set(arrived) == {f"to{number}@there.example" for number in range(50)}


async def test_a_lease_of_a_worker_that_was_never_seen_means_try_again(house: House, sink: Sink) -> None:
    await house.domain()
    async with house.worker(sink, smtp=RELAY, delivers=False) as taker:
        await send(house, taker, "to@there.example")
        leased = await taker.queue.claim(4711, Plenty(10))
        assert [each.recipients[0].attempts for each in leased] == [1]
        assert await taker.queue.claim(1, Plenty(10)) == []
    async with house.worker(sink, smtp=RELAY):
        await sink.wait_for(1)
        await house.until_empty()
    assert len(sink.mails) == 1


async def test_no_clock_takes_mail_from_a_worker_that_lives(house: House, sink: Sink) -> None:
    """The machine of the database, or another worker's, jumps ahead by days: leases stay where they are."""
    await house.domain()
    sink.hold = asyncio.Event()
    async with house.worker(sink, smtp=RELAY, connections=1) as holder:
        await asyncio.gather(*(send(house, holder, f"to{number}@there.example") for number in range(5)))
        await house.until(lambda: seen(sink, "content"))
        await house.age(days=2)
        house.clock.move(days=2)
        async with house.worker(sink, smtp=RELAY) as other:
            await house.until(lambda: ready(other))
            assert await other.queue.claim(other.presence.owner, Plenty(10)) == []
            assert await other.queue.free() == 0
            sink.hold.set()
            sink.hold = None
            await sink.wait_for(5)
            await house.until_empty()
    assert max(Counter(sink.recipients).values()) == 1


async def test_stopping_gives_back_what_was_not_begun(house: House, sink: Sink) -> None:
    await house.domain()
    sink.hold = asyncio.Event()
    worker = house.worker(sink, smtp=RELAY, connections=1)
    await worker.__aenter__()
    await asyncio.gather(*(send(house, worker, f"to{number}@there.example") for number in range(20)))

    async def has_content() -> bool:
        return sink.seen["content"] > 0

    await house.until(has_content)
    leaving = asyncio.create_task(worker.__aexit__(None, None, None))
    await house.until(is_given_back(house))
    sink.hold.set()
    sink.hold = None
    await leaving
    left = await house.queued()
    assert left, "one connection cannot have been given all of it"
    assert {row["lease_owner"] for row in left} == {None}
    assert {row["attempts"] for row in left} == {0}
    assert len(left) + len(sink.recipients) == 20
    async with house.worker(sink, smtp=RELAY):
        await house.until_empty()
    assert Counter(sink.recipients) == Counter(f"to{number}@there.example" for number in range(20))


async def test_stopping_does_not_wait_for_a_host_that_says_nothing(house: House) -> None:
    await house.domain()
    silent = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    patient = Timeouts(connect=60, setup=60)
    async with asyncio.timeout(10):
        relay = {"relay": f"127.0.0.1:{port}"}
        async with house.worker(smtp=RELAY, timeouts=patient, delivery=relay) as worker:
            await send(house, worker, "to@there.example")
    (left,) = await house.queued()
    assert (left["lease_owner"], left["attempts"]) == (None, 0)
    silent.close()


async def test_what_waits_follows_the_setting_of_the_smart_host(house: House, sink: Sink) -> None:
    await house.domain()
    async with house.worker(smtp=RELAY, delivers=False) as by_mx:
        await send(house, by_mx, "one@there.example", "two@else.example")
    old = {"relay": "gone.example:25"}
    async with house.worker(smtp=RELAY, delivers=False, delivery=old) as by_another:
        await send(house, by_another, "three@there.example")
    async with house.worker(sink, smtp=RELAY):
        await sink.wait_for(3)
        await house.until_empty()
    async with house.worker(sink, smtp=RELAY, delivers=False) as by_relay:
        await send(house, by_relay, "four@there.example")
    assert await Queue(house.database).reroute() == 1
    assert [row["route"] for row in await house.queued()] == ["there.example"]


async def test_large_mails_are_taken_in_hand_a_few_at_once(
    house: House, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not fit into the memory of one worker stays in the queue for a moment."""
    monkeypatch.setattr("postroad.transport.delivery.intake.MAX_BYTES_IN_FLIGHT", 250_000)
    monkeypatch.setattr("postroad.transport.delivery.inflight.MAX_BYTES_IN_FLIGHT", 250_000)
    await house.domain()
    body = mail() + b"0123456789abcde\r\n" * 6000  # 100 KB
    async with house.worker(sink, smtp=RELAY, delivers=False) as taker:
        for number in range(10):
            envelope = Envelope(ANNA, recipients(f"to{number}@there.example"))
            await taker.acceptance.accept(envelope, body, house.session(client="127.0.0.1"))
    most = 0
    async with house.worker(sink, smtp=RELAY) as worker:

        def watch(_mail: object) -> None:
            nonlocal most
            most = max(most, worker.dispatcher._in_flight.size_bytes)

        sink.on_mail = watch
        await sink.wait_for(10)
        await house.until_empty()
    assert 0 < most <= 250_000
    assert await house.events("delivery.deferred") == []
    assert all(each.content.endswith(body) for each in sink.mails)


async def test_an_unreachable_host_is_knocked_at_once_for_all(house: House, sink: Sink) -> None:
    """A thousand mails for a dead host cost a few connections, and are all put off."""
    await house.domain()
    sink.greeting = "421 4.3.2 {hostname} going down"
    async with house.worker(sink, smtp=RELAY, delivers=False) as taker:
        await send(house, taker, *(f"to{number}@there.example" for number in range(1000)))
    async with house.worker(sink, smtp=RELAY, backoff_seconds=60):

        async def all_put_off() -> bool:
            rows = await house.database.fetch(
                "SELECT count(*) FROM queue_recipient WHERE last_code IS NULL OR lease_owner IS NOT NULL"
            )
            return bool(rows[0][0] == 0)

        await house.until(all_put_off)
    assert sink.connections <= 10, "those that were opened side by side before the first had failed"
    rows = await house.queued()
    assert {row["last_code"] for row in rows} == {421}
    assert {row["attempts"] for row in rows} == {1}


async def test_slow_answers_time_out_and_are_tried_again(house: House, sink: Sink) -> None:
    await house.domain()
    sink.hold = asyncio.Event()
    hasty = Timeouts(connect=2, setup=2, idle=0.1, longest=0.3)
    async with house.worker(sink, smtp=RELAY, schedule=SOON, timeouts=hasty) as worker:
        await send(house, worker, "to@there.example")

        async def was_deferred() -> bool:
            return bool(await house.events("delivery.deferred"))

        await house.until(was_deferred)
        sink.hold.set()
        sink.hold = None
        await house.until_empty()
    assert set(sink.recipients) == {"to@there.example"}


async def seen(sink: Sink, stage: str) -> bool:
    """Whether a dialogue has come so far."""
    return sink.seen[stage] > 0


async def ready(worker: Transport) -> bool:
    """Whether a worker has begun to lease."""
    return worker.dispatcher._intake.may_begin


def is_given_back(house: House) -> Callable[[], Awaitable[bool]]:
    """Whether some recipients are leased by nobody."""

    async def check() -> bool:
        return any(row["lease_owner"] is None for row in await house.queued())

    return check


async def kill(worker: Transport) -> None:
    """End a worker as SIGKILL would: every task of it, and its connection to the database."""
    for kept in (*worker.dispatcher._intake._kept, worker.settlement._kept, worker.presence._kept):
        if kept is not None:
            await kept.stop()
    doomed = [
        *worker.dispatcher._intake._lookups,
        *(opening.task for opening in worker.dispatcher._openings if opening.task is not None),
    ]
    for task in doomed:
        task.cancel()
    await asyncio.gather(*doomed, return_exceptions=True)
    worker.dispatcher._is_stopping = worker.dispatcher._intake._is_stopping = True
    for session in tuple(worker.dispatcher._sessions):
        session.abort()
    assert worker.presence._connection is not None
    worker.presence._connection.terminate()
