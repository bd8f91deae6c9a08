"""What leads to the same hosts is one site: it has one set of connections and one rate, over all workers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from postroad.config import ShapingRule
from postroad.message.address import Address
from postroad.protocols.smtp.envelope import Envelope
from postroad.transport.service import Transport
from tests.name_server import name_server
from tests.sink import Sink
from tests.transport.conftest import House, mail, recipients

RELAY = {"relay_networks": ["192.0.2.0/24"]}
ANNA = Address.parse("anna@here.example")


@asynccontextmanager
async def domains_of_one_provider(count: int, sink: Sink) -> AsyncIterator[dict[str, object]]:
    """So many domains with the same MX hosts, in any order of preference; yields settings of delivery."""
    hosts = ["10 mx1.provider.example.", "20 mx2.provider.example."]
    zone = {(f"d{number}.example", "MX"): hosts[:: 1 - 2 * (number % 2)] for number in range(count)}
    zone["mx1.provider.example", "A"] = zone["mx2.provider.example", "A"] = ["127.0.0.1"]
    async with name_server(zone) as server:
        yield {"resolver": server.address, "mx_port": sink.port}


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
