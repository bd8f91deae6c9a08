"""One bad member never hurts its batch, and wherever a stop finds mail, it goes back to the queue at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from postroad.db.pool import DatabaseUnavailable
from postroad.message.address import Address
from postroad.protocols.smtp.envelope import Envelope
from postroad.transport.delivery.source import Attempted, Failure, Taken
from postroad.transport.queue.rows import Leased, QueuedEnvelope
from postroad.transport.queue.settlement import Telling
from postroad.transport.service import Transport
from tests.sink import Sink
from tests.transport.conftest import House, Plenty, mail, recipients

RELAY = {"relay_networks": ["192.0.2.0/24"]}
LARGE = b"0123456789abcde\r\n" * 20_000


async def send(
    house: House, worker: Transport, address: str, sender: Address | None, body: bytes | None = None
) -> None:
    session = house.session(client="192.0.2.9")
    await worker.acceptance.accept(Envelope(sender, recipients(address)), body or mail(), session)


async def test_a_mail_without_its_blob_fails_alone(house: House, sink: Sink, tmp_path: Path) -> None:
    """Twenty good mails, large ones among them, beside one whose blob is missing: they arrive, it waits; at
    the end of its time its sender is told, without the content that nobody has.
    """
    anna = await house.account()
    async with house.worker(sink, smtp=RELAY, delivers=False) as taker:
        await send(house, taker, "damaged@there.example", anna.address, mail("Lost") + LARGE)
        for blob in [each for each in (tmp_path / "blobs").rglob("*") if each.is_file()]:
            blob.unlink()
        for number in range(20):
            body = mail(f"Good {number}") + (LARGE if number % 4 == 0 else b"")
            await send(house, taker, f"to{number}@there.example", anna.address, body)
    async with house.worker(sink, smtp=RELAY):
        await sink.wait_for(20, 60)

        async def only_the_damaged_waits() -> bool:
            rows = await house.queued()
            return [row["recipient"] for row in rows if row["lease_owner"] is None] == [
                "damaged@there.example"
            ] and len(rows) == 1

        await house.until(only_the_damaged_waits)
        (row,) = await house.queued()
        assert row["attempts"] == 1 and "could not be read" in row["last_text"]
        assert Counter(sink.recipients) == Counter(f"to{number}@there.example" for number in range(20))
        await house.age(days=6)
        await house.until_empty()
    (notice,) = await house.inbox(anna)
    assert b"damaged@there.example" in notice and b"could not be read" in notice


async def test_a_notice_that_cannot_be_made_keeps_no_outcome_from_being_written(
    house: House, sink: Sink
) -> None:
    anna = await house.account()
    async with house.worker(sink, smtp=RELAY) as worker:
        notices: Any = worker.settlement._notices
        compose = notices.compose

        async def compose_most(telling: Telling, *, with_content: bool) -> object:
            if str(telling.attempted.results[0][0].asked.address).startswith("unknown3"):
                raise RuntimeError("this one cannot be told about")
            return await compose(telling, with_content=with_content)

        notices.compose = compose_most
        for number in range(6):
            await send(house, worker, f"unknown{number}@there.example", anna.address)
            await send(house, worker, f"to{number}@there.example", anna.address)
        await house.until_empty()
    told = b"".join(await house.inbox(anna))
    assert [b"unknown%d@" % number in told for number in range(6)] == [True, True, True, False, True, True]
    assert len(await house.events("delivery.failed")) == 6
    assert Counter(sink.recipients) == Counter(f"to{number}@there.example" for number in range(6))


@pytest.mark.parametrize("text", ["nul \0 in it", "a lone \ud800 surrogate", "x" * 100_000])
async def test_whatever_a_host_says_can_be_written_down(house: House, sink: Sink, text: str) -> None:
    anna = await house.account()
    async with house.worker(sink, smtp=RELAY, delivers=False) as taker:
        await send(house, taker, "later@there.example", anna.address)
        await send(house, taker, "taken@there.example", anna.address)
        leased = await taker.queue.claim(taker.presence.owner, Plenty(10))
        async with taker.settlement as settlement:
            for each in leased:
                is_taken = str(each.recipients[0].asked.address).startswith("taken")
                result = Taken(250, text, text, text, True) if is_taken else Failure(450, text, text, text)
                settlement.put(attempted(each, result), lambda: None)
            await settlement.drain()
    (row,) = await house.queued()
    assert row["last_code"] == 450 and row["lease_owner"] is None


def attempted(leased: Leased, result: Taken | Failure) -> Attempted[QueuedEnvelope, Any]:
    return Attempted(leased.envelope, ((leased.recipients[0], result),), leased.age)


def hang_after(call: Callable[..., Any], is_there: asyncio.Event) -> Callable[..., Any]:
    """Do it, say that it is done, and never come back the first time: where a stop may find a task."""

    async def called(*arguments: Any, **named: Any) -> Any:
        try:
            return await call(*arguments, **named)
        finally:
            if not is_there.is_set():
                is_there.set()
                await asyncio.Event().wait()

    return called


POINTS: dict[str, Callable[[Transport], tuple[Any, str]]] = {
    "claimed": lambda worker: (worker.queue, "claim"),
    "looking up": lambda worker: (worker.dispatcher._intake._finds, "site"),
    "loading": lambda worker: (worker.dispatcher._sources[0], "load"),
    "taking a slot": lambda worker: (worker.presence, "take_slot"),
    "connecting": lambda worker: (worker.dispatcher._connector, "open"),
    "giving back": lambda worker: (worker.queue, "give_back"),
}


@pytest.mark.parametrize("point", POINTS)
async def test_a_stop_gives_back_what_it_finds(house: House, sink: Sink, point: str) -> None:
    """Fifty mails, and the worker is stopped while it hangs at some point on the way to the wire."""
    await house.domain()
    anna = Address.parse("anna@here.example")
    delivery: dict[str, Any] = {}
    if point == "looking up":
        delivery = {"relay": "", "resolver": "127.0.0.1:1"}
    async with house.worker(sink, smtp=RELAY, delivers=False, delivery=delivery) as taker:
        for number in range(50):
            await send(house, taker, f"to{number}@there.example", anna)
    worker = house.worker(sink, smtp=RELAY, delivery=delivery)
    part, name = POINTS[point](worker)
    is_there = asyncio.Event()
    setattr(part, name, hang_after(getattr(part, name), is_there))
    if point == "giving back":
        # What it gives back is what other workers have the connections for.
        async def no_slot(*_: object) -> None:
            return None

        worker.presence.take_slot = no_slot  # type: ignore[method-assign, assignment]
    await worker.__aenter__()
    async with asyncio.timeout(90):
        await is_there.wait()
        await worker.dispatcher.stop(0.5)
        await worker.__aexit__(None, None, None)
    rows = await house.queued()
    assert len(rows) + len(sink.recipients) == 50
    assert {row["lease_owner"] for row in rows} <= {None}
    async with house.worker(sink, smtp=RELAY):
        await house.until_empty()
    assert Counter(sink.recipients) == Counter(f"to{number}@there.example" for number in range(50))


async def test_nothing_is_claimed_while_a_return_is_unsure(house: House, sink: Sink) -> None:
    """The answer to a return is lost: a row claimed before it is repeated would lose its new lease."""
    await house.domain()
    async with house.worker(sink, smtp=RELAY, delivers=False) as taker:
        await send(house, taker, "to@there.example", Address.parse("anna@here.example"))
    worker = house.worker(sink, smtp=RELAY)
    queue, take_slot = worker.queue, worker.presence.take_slot
    give_back, claim = queue.give_back, queue.claim
    told: list[str] = []

    async def loses_its_answer(*arguments: Any) -> None:
        await give_back(*arguments)
        told.append("returned")
        if told.count("returned") == 1:
            worker.dispatcher.look()
            raise DatabaseUnavailable("the answer was lost")
        worker.presence.take_slot = take_slot  # type: ignore[method-assign]

    async def claims(*arguments: Any) -> list[Leased]:
        told.append("claimed")
        return await claim(*arguments)

    async def no_slot(*_: object) -> None:
        return None

    queue.give_back, queue.claim = loses_its_answer, claims  # type: ignore[method-assign, assignment]
    worker.presence.take_slot = no_slot  # type: ignore[method-assign, assignment]
    async with worker:
        await house.until_empty()
    assert sink.recipients == ["to@there.example"]
    first = told.index("returned")
    assert told[first + 1] == "returned", told


async def test_a_lease_that_its_worker_knows_nothing_of_ends(house: House, sink: Sink) -> None:
    """As a commit leaves it whose outcome could not be learned: leased from birth, and in nobody's hands."""
    await house.domain()
    async with house.worker(sink, smtp=RELAY, delivers=False) as taker:
        await send(house, taker, "to@there.example", Address.parse("anna@here.example"))
    await house.database.execute("UPDATE queue_recipient SET is_held = true")
    async with house.worker(sink, smtp=RELAY) as worker:
        await house.database.execute(
            "UPDATE queue_recipient SET is_held = false, lease_owner = $1, attempts = 1, "
            "next_attempt_at = now() - interval '3 minutes'",
            worker.presence.owner,
        )
        await house.until_empty()
    assert sink.recipients == ["to@there.example"]


async def test_a_worker_that_lost_its_proof_of_life_begins_nothing(house: House, sink: Sink) -> None:
    """Its connection is gone and cannot be made again: others may take it for dead, so it keeps still."""
    await house.domain()
    async with house.worker(sink, smtp=RELAY) as worker:

        async def may_begin() -> bool:
            return worker.dispatcher._intake.may_begin

        async def never() -> None:
            raise ConnectionError("no way to the database")

        await house.until(may_begin)
        worker.presence._connect = never  # type: ignore[method-assign]
        assert worker.presence._connection is not None
        worker.presence._connection.terminate()
        await send(house, worker, "to@there.example", Address.parse("anna@here.example"))
        assert not worker.dispatcher._intake.may_begin
        await asyncio.sleep(0.5)
        assert sink.mails == []
        assert [row["lease_owner"] for row in await house.queued()] == [None]
        del worker.presence._connect
        await sink.wait_for(1, 60)
        await house.until_empty()
