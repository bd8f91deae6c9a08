"""Which hosts a domain's mail goes to, by a real resolver against a real name server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from postroad.dns.lookups import SHORTEST_TTL, Lookups
from postroad.protocols.smtp.envelope import Envelope
from postroad.transport.delivery.destinations import (
    Destinations,
    OwnDoor,
    Unreachable,
    route_of,
    split_host_port,
)
from tests.name_server import NameServer, name_server
from tests.sink import Sink
from tests.transport.conftest import House, mail, recipients

OWN = OwnDoor("mx.here.example", "127.0.0.9", 25)
ZONE: dict[tuple[str, str], list[str]] = {
    ("two.example", "MX"): ["20 second.example.", "10 first.example."],
    ("first.example", "A"): ["192.0.2.1", "192.0.2.2"],
    ("first.example", "AAAA"): ["2001:db8::1"],
    ("second.example", "A"): ["192.0.2.3"],
    ("implicit.example", "A"): ["192.0.2.4"],
    ("null.example", "MX"): ["0 ."],
    ("empty.example", "TXT"): ['"nothing for mail"'],
    ("lost.example", "MX"): ["10 nowhere.example."],
    ("alias.example", "CNAME"): ["two.example."],
    ("ours.example", "MX"): ["10 mx.here.example.", "20 second.example."],
    ("mx.here.example", "A"): ["192.0.2.9"],
    ("backup.example", "MX"): ["10 first.example.", "20 mx.here.example.", "30 second.example."],
    ("near.example", "MX"): ["10 local.example."],
    ("local.example", "A"): ["127.0.0.9"],
    ("half.example", "MX"): ["10 broken.example.", "20 second.example."],
    ("hopeless.example", "MX"): ["10 broken.example."],
    ("broken.example", "A"): ["192.0.2.66"],
    ("digits.example", "MX"): ["10 192.0.2.7."],
    ("a1.example", "CNAME"): ["a2.example."],
    ("a2.example", "CNAME"): ["a1.example."],
}


@asynccontextmanager
async def destinations(ttl: int = 300) -> AsyncIterator[tuple[Destinations, NameServer]]:
    async with name_server(ZONE, ttl) as server:
        server.failing.add("broken.example")
        lookups = Lookups(server.address)
        try:
            yield Destinations(lookups, OWN, 25), server
        finally:
            await lookups.close()


async def names(found: Destinations, route: str) -> list[tuple[str, tuple[str, ...]]]:
    # The resolver shuffles addresses of one family.
    return [
        (host.name, tuple(sorted(host.addresses, key=lambda each: (":" not in each, each))))
        for host in await found.hosts(route)
    ]


async def refusal(found: Destinations, route: str) -> tuple[int, str]:
    with pytest.raises(Unreachable) as caught:
        await found.hosts(route)
    return caught.value.failure.code, caught.value.failure.status


async def test_hosts_by_preference_and_their_addresses_ipv6_first() -> None:
    async with destinations() as (found, _):
        first = ("first.example", ("2001:db8::1", "192.0.2.1", "192.0.2.2"))
        second = ("second.example", ("192.0.2.3",))
        assert await names(found, "two.example") == [first, second]
        assert await names(found, "alias.example") == [first, second]
        assert await names(found, "implicit.example") == [("implicit.example", ("192.0.2.4",))]
        assert await names(found, "backup.example") == [first], "only hosts better than ourselves"
        assert await names(found, "half.example") == [second]
        assert await names(found, "digits.example") == [("192.0.2.7", ("192.0.2.7",))]


async def test_routes_that_lead_nowhere_say_why() -> None:
    async with destinations() as (found, _):
        assert await refusal(found, "null.example") == (556, "5.1.10")
        assert await refusal(found, "missing.example") == (550, "5.1.2")
        assert await refusal(found, "empty.example") == (550, "5.4.4")
        assert await refusal(found, "lost.example") == (550, "5.4.4")
        assert await refusal(found, "broken.example") == (451, "4.4.3")
        assert await refusal(found, "hopeless.example") == (451, "4.4.3")
        assert await refusal(found, "ours.example") == (554, "5.4.6")
        assert await refusal(found, "near.example") == (554, "5.4.6")
        assert (await refusal(found, "a1.example"))[0] in (451, 550)


async def test_address_literals() -> None:
    async with destinations() as (found, _):
        assert await names(found, "[192.0.2.5]") == [("[192.0.2.5]", ("192.0.2.5",))]
        assert await names(found, "[ipv6:2001:db8::5]") == [("[ipv6:2001:db8::5]", ("2001:db8::5",))]
        assert await refusal(found, "[127.0.0.9]") == (554, "5.4.6")
        assert await refusal(found, "[0.0.0.0]") == (554, "5.4.6")


async def test_smart_hosts() -> None:
    async with destinations() as (found, server):
        (host,) = await found.hosts("relay:[2001:db8::9]:2525")
        assert (host.name, host.port, host.addresses) == ("2001:db8::9", 2525, ("2001:db8::9",))
        (host,) = await found.hosts("relay:second.example:587")
        assert (host.port, host.addresses) == (587, ("192.0.2.3",))
        assert server.asked["second.example", "MX"] == 0
        assert await refusal(found, "relay:missing.example:25") == (451, "4.4.4")


async def test_answers_are_remembered_and_questions_shared() -> None:
    async with destinations() as (found, server):
        await asyncio.gather(*(found.hosts("two.example") for _ in range(50)))
        await found.hosts("two.example")
        for _ in range(3):
            await refusal(found, "missing.example")
        assert server.asked["two.example", "MX"] == 1
        assert server.asked["missing.example", "MX"] == 1


async def test_an_answer_is_kept_a_few_seconds_even_if_it_asks_not_to_be() -> None:
    """The resolver library keeps others by their time to live itself, by the real clock."""
    now = [0.0]
    async with name_server(ZONE, ttl=0) as server:
        lookups = Lookups(server.address, lambda: now[0])
        await lookups.mx("two.example")
        now[0] = SHORTEST_TTL - 1
        await lookups.mx("two.example")
        assert server.asked["two.example", "MX"] == 1
        now[0] = SHORTEST_TTL + 1
        await lookups.mx("two.example")
        assert server.asked["two.example", "MX"] == 2
        await lookups.close()


def test_reading_hosts_and_ports() -> None:
    assert split_host_port("mail.example:2525", 25) == ("mail.example", 2525)
    assert split_host_port("mail.example", 25) == ("mail.example", 25)
    assert split_host_port("[2001:db8::1]:587", 25) == ("2001:db8::1", 587)
    assert split_host_port("2001:db8::1", 25) == ("2001:db8::1", 25)
    assert route_of("a.example", "") == "a.example"
    assert route_of("a.example", "smart:25") == "relay:smart:25"


async def test_mail_goes_by_mx_and_to_the_next_host_when_the_first_is_dead(house: House, sink: Sink) -> None:
    await house.domain()
    zone = {
        ("there.example", "MX"): ["10 dead.example.", "20 alive.example."],
        ("dead.example", "A"): ["127.0.0.3"],
        ("alive.example", "A"): ["127.0.0.1"],
        ("null.example", "MX"): ["0 ."],
    }
    anna = await house.account()
    async with name_server(zone) as server:
        delivery = {"resolver": server.address, "mx_port": sink.port}
        async with house.worker(delivery=delivery) as worker:
            await worker.acceptance.accept(
                Envelope(anna.address, recipients("to@there.example", "to@null.example")),
                mail(),
                house.session(anna),
            )
            await sink.wait_for(1)
            await house.until_empty()
    (notice,) = await house.inbox(anna)
    assert b"Status: 5.1.10" in notice
    assert b"to@there.example" not in notice
    (event,) = await house.events("delivery.delivered")
    assert event["remote"] == "alive.example [127.0.0.1]"
    (event,) = await house.events("delivery.failed")
    assert event["reason"] == "invalid_domain"
