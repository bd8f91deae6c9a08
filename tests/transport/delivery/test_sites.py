"""What leads to the same hosts is one site: it has one set of connections and one rate, over all workers."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from postroad.config import ShapingRule
from postroad.dns.answers import Answer, Mx
from postroad.dns.lookups import Lookups
from postroad.message.address import Address
from postroad.protocols.smtp.envelope import Envelope
from postroad.transport.delivery.connections import Session
from postroad.transport.delivery.rates import Rates
from postroad.transport.service import Transport
from tests.name_server import name_server
from tests.sink import Sink
from tests.transport.conftest import House, entered, mail, recipients
from tests.transport.delivery.test_rates import most_in

RELAY = {"relay_networks": ["192.0.2.0/24"]}
MINUTE = 6.0  # of the rates here
ANNA = Address.parse("anna@here.example")


@asynccontextmanager
async def domains_of_one_provider(count: int, sink: Sink) -> AsyncIterator[dict[str, object]]:
    """So many domains with the same MX hosts, in any order of preference; yields settings of delivery."""
    hosts = ["10 mx1.provider.example.", "20 mx2.provider.example."]
    zone = {(f"d{number}.example", "MX"): hosts[:: 1 - 2 * (number % 2)] for number in range(count)}
    zone["mx1.provider.example", "A"] = zone["mx2.provider.example", "A"] = ["127.0.0.1"]
    async with name_server(zone) as server:
        yield {"resolver": server.address, "mx_port": sink.port}


class OneProvider:
    """The DNS for as many domains as are asked for: all have the same hosts."""

    async def mx(self, domain: str) -> Answer[Mx]:
        return Answer((Mx(10, "mx1.provider.example"), Mx(20, "mx2.provider.example")), good_for_seconds=300)

    async def addresses(self, host: str) -> Answer[str]:
        return Answer(("127.0.0.1",), good_for_seconds=300)


async def send(
    house: House, worker: Transport, *addresses: str, sender: Address | None = ANNA, subject: str = "Hello"
) -> None:
    await worker.acceptance.accept(
        Envelope(sender, recipients(*addresses)), mail(subject), house.session(client="192.0.2.9")
    )


async def test_domains_of_one_provider_share_a_connection(house: House, sink: Sink) -> None:
    await house.domain()
    async with domains_of_one_provider(20, sink) as delivery:
        async with house.worker(smtp=RELAY, delivery=delivery, delivers=False) as taker:
            for number in range(20):
                await send(house, taker, f"to@d{number}.example")
        async with house.worker(smtp=RELAY, delivery=delivery, connections=1):
            await house.until_empty()
    assert len(sink.mails) == 20
    assert sink.most_open == 1
    assert sink.connections <= 2


@pytest.mark.timeout(400)
async def test_ten_thousand_recipients_in_a_thousand_domains_keep_to_what_their_site_takes(
    house: House, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two servers: never more connections, nor more mails in any minute, than the rule of the site allows."""
    await house.domain()
    begun: list[float] = []
    submit = Session.submit

    def submit_and_note(self: Session, key: int, envelope: Envelope, content: bytes) -> None:
        begun.append(time.monotonic())
        submit(self, key, envelope, content)

    monkeypatch.setattr(Session, "submit", submit_and_note)
    rule = ShapingRule(name="provider", hosts=("*.provider.example",), connections=4, mails_per_minute=3000)
    async with house.worker(smtp=RELAY, delivers=False) as taker:
        for number in range(10):
            await send(house, taker, *(f"to@d{each}.example" for each in range(1000)), subject=str(number))
    workers = [
        house.worker(
            smtp=RELAY,
            delivery={"mx_port": sink.port},
            shaping=[rule],
            rates=Rates(house.database, minute_seconds=MINUTE, grant_seconds=0.5),
            poll_seconds=0.5,
        )
        for _ in range(2)
    ]
    parts: Counter[int] = Counter()
    for place, worker in enumerate(workers):

        def count(_attempted: object, place: int = place) -> None:
            parts[place] += 1

        worker.dispatcher._watch = count
        worker._connector._destinations._lookups = cast(Lookups, OneProvider())
    async with entered(workers):
        await house.until_empty(300)
    assert len(sink.mails) == 10_000
    assert len(set(sink.recipients)) == 1000
    assert sink.most_open <= 4
    assert len(begun) == 10_000
    assert most_in(begun, MINUTE) <= 3000
    assert min(parts[0], parts[1]) > 0, "both servers had their part"


async def test_a_rate_does_not_concern_null_senders(house: House, sink: Sink) -> None:
    await house.domain()
    rule = ShapingRule(name="slow", hosts=("*",), mails_per_minute=1)
    async with house.worker(sink, smtp=RELAY, shaping=[rule]) as worker:
        for number in range(4):
            await send(house, worker, f"paid{number}@there.example")
        for number in range(4):
            await send(house, worker, f"notice{number}@there.example", sender=None)
        await sink.wait_for(5, 60)
        await asyncio.sleep(0.5)
    arrived = Counter(each.partition("@")[0].rstrip("0123456789") for each in sink.recipients)
    assert arrived == {"notice": 4, "paid": 1}
    assert {row["lease_owner"] for row in await house.queued()} == {None}, "the rest waits for its minute"
