"""Delivery knows no rows: a toy ledger that renders late is delivered as the queue is, beside it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta

from postroad.message.address import Address
from postroad.protocols.smtp.envelope import Envelope
from postroad.transport.delivery.judging import Schedule
from postroad.transport.delivery.presence import Presence
from postroad.transport.delivery.source import AnySource
from postroad.transport.service import Transport
from tests.sink import Sink
from tests.transport.conftest import House, mail, recipients
from tests.transport.delivery.ledger import Row, ToyLedger, fill, states
from tests.transport.test_faults import kill

RELAY = {"relay_networks": ["127.0.0.0/8"]}
SOON = Schedule(first_delay=timedelta(milliseconds=50), longest_delay=timedelta(milliseconds=200))


def plain(row: Row) -> bytes:
    """Render a mail."""
    return f"Dear {row.address}\r\n".encode()


class Ledgers:
    """Makes the source of each worker, and remembers it."""

    def __init__(self, house: House, render: Callable[[Row], bytes] = plain) -> None:
        self._house = house
        self._render = render
        self.made: list[ToyLedger] = []

    def __call__(self, presence: Presence) -> Sequence[AnySource]:
        self.made.append(ToyLedger(self._house.database, presence, self._render, SOON))
        return self.made[-1:]


async def all_final(house: House) -> bool:
    return not await house.database.fetchval("SELECT EXISTS (SELECT FROM toy_ledger WHERE state = 'waits')")


async def test_a_ledger_is_rendered_late_and_one_bad_render_is_its_own(house: House, sink: Sink) -> None:
    """Two hundred recipients: one cannot be rendered, one is unknown, one is greylisted first."""
    addresses = [f"to{number}@there{number % 7}.example" for number in range(200)]
    addresses[10], addresses[20] = "unknown@there.example", "greylisted@there.example"
    await fill(house.database, addresses)

    def render(row: Row) -> bytes:
        if row.id == 100:
            raise ValueError("no such variable")
        return plain(row)

    ledgers = Ledgers(house, render)
    async with house.worker(sink, smtp=RELAY, sources=ledgers):
        await house.until(lambda: all_final(house))
    assert await states(house.database) == {"delivered": 198, "failed": 2}
    assert Counter(sink.recipients) == Counter(set(addresses) - {addresses[99], "unknown@there.example"})
    by_recipient = {each.recipients[0]: each for each in sink.mails}
    assert by_recipient["to0@there0.example"].sender == "bounce+1@here.example", "a sender of its own"
    assert b"Dear to0@there0.example" in by_recipient["to0@there0.example"].content
    (ledger,) = ledgers.made
    assert ledger.rendered[21] == 2, "rendered again when it was tried again"
    assert ledger.rendered[1] == 1


async def test_a_worker_that_stops_gives_its_part_of_the_ledger_back(house: House, sink: Sink) -> None:
    await fill(house.database, [f"to{number}@there.example" for number in range(50)])
    sink.hold = asyncio.Event()
    worker = house.worker(sink, smtp=RELAY, connections=1, sources=Ledgers(house))
    await worker.__aenter__()

    async def is_sending() -> bool:
        return sink.seen["content"] > 0

    async def is_given_back() -> bool:
        left = "SELECT count(*) FROM toy_ledger WHERE lease_owner IS NULL AND attempts = 0"
        return bool(await house.database.fetchval(left) > 40)

    await house.until(is_sending)
    leaving = asyncio.create_task(worker.__aexit__(None, None, None))
    await house.until(is_given_back)
    sink.hold.set()
    sink.hold = None
    await leaving
    assert await house.database.fetchval("SELECT count(lease_owner) FROM toy_ledger") == 0
    async with house.worker(sink, smtp=RELAY, sources=Ledgers(house)):
        await house.until(lambda: all_final(house))
    assert max(Counter(sink.recipients).values()) == 1
    assert len(sink.recipients) == 50


async def test_a_worker_that_dies_leaves_its_part_to_others(house: House, sink: Sink) -> None:
    await fill(house.database, [f"to{number}@there.example" for number in range(50)])
    sink.hold = asyncio.Event()
    victim = house.worker(sink, smtp=RELAY, connections=1, sources=Ledgers(house))
    await victim.__aenter__()

    async def all_leased() -> bool:
        return bool(await house.database.fetchval("SELECT count(lease_owner) FROM toy_ledger") == 50)

    async def is_missed() -> bool:
        return bool(await house.database.fetchval("SELECT count(missed_at) FROM queue_worker"))

    await house.until(all_leased)
    await kill(victim)
    sink.hold.set()
    sink.hold = None
    async with house.worker(sink, smtp=RELAY, sources=Ledgers(house)):
        await house.until(is_missed)
        await house.age(seconds=20)
        await house.until(lambda: all_final(house))
    assert await states(house.database) == {"delivered": 50}
    assert set(sink.recipients) == {f"to{number}@there.example" for number in range(50)}


async def test_what_another_worker_got_is_not_sent_from_here(house: House, sink: Sink) -> None:
    """Its leases were taken away (it was taken for dead): it learns it before the next byte."""
    await fill(house.database, [f"to{number}@there.example" for number in range(20)])
    sink.hold = asyncio.Event()
    async with house.worker(sink, smtp=RELAY, connections=1, sources=Ledgers(house)) as worker:

        async def all_leased() -> bool:
            return bool(await house.database.fetchval("SELECT count(lease_owner) FROM toy_ledger") == 20)

        async def is_dropped() -> bool:
            return worker.dispatcher.in_flight == 0

        await house.until(all_leased)
        await house.database.execute("UPDATE toy_ledger SET lease_owner = 1")
        await house.database.execute("INSERT INTO queue_worker (owner) VALUES (1)")
        await house.database.execute("DELETE FROM queue_worker WHERE owner <> 1")
        await house.until(is_dropped)
        sink.hold.set()
        sink.hold = None
    assert len(sink.recipients) <= 1, "nothing but what the host had whole already"


async def test_pausing_reaches_what_is_in_flight(house: House, sink: Sink) -> None:
    await fill(house.database, [f"to{number}@there.example" for number in range(50)])
    sink.hold = asyncio.Event()
    async with house.worker(sink, smtp=RELAY, connections=1, sources=Ledgers(house)) as worker:

        async def all_leased() -> bool:
            return bool(await house.database.fetchval("SELECT count(lease_owner) FROM toy_ledger") == 50)

        async def few_left() -> bool:
            return worker.dispatcher.in_flight <= 3

        await house.until(all_leased)
        await house.database.execute("UPDATE toy_ledger SET state = 'paused'")
        worker.dispatcher.recall()
        await house.until(few_left)
        sink.hold.set()
        sink.hold = None
    assert len(sink.recipients) <= 3, "what was on the wire already"
    counts = {"delivered": 0, **await states(house.database)}  # nothing may have been on the wire
    assert counts == {"delivered": len(sink.recipients), "paused": 50 - len(sink.recipients)}


async def test_a_person_s_mail_goes_before_a_long_campaign(house: House, sink: Sink) -> None:
    """Two thousand rendered mails to one site; then somebody writes: at most a few of them go before it."""
    await house.domain()
    await fill(house.database, [f"to{number}@there.example" for number in range(2000)])
    async with house.worker(sink, smtp=RELAY, connections=1, sources=Ledgers(house)) as worker:
        await sink.wait_for(20)
        await send(house, worker, "person@there.example")
        taken_at = len(sink.recipients)
        await house.until_empty()
        place = sink.recipients.index("person@there.example")
    assert place - taken_at < 20


async def send(house: House, worker: Transport, *addresses: str) -> None:
    """Hand a mail in."""
    envelope = Envelope(Address.parse("anna@here.example"), recipients(*addresses))
    await worker.acceptance.accept(envelope, mail(), house.session(client="127.0.0.1"))
