"""A ticket is good once, however many ask at once, and is forgotten when it has run out."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from postroad.directory.identity.tickets import Tickets
from tests.directory.conftest import House


async def test_of_many_that_come_at_once_one_wins(house: House) -> None:
    expires_at = house.clock() + timedelta(minutes=5)
    workers = [Tickets(house.database, house.clock) for _ in range(2)]
    won = await asyncio.gather(*(workers[n % 2].use("portal", "one", expires_at) for n in range(12)))
    assert sorted(won) == [False] * 11 + [True]
    assert not await workers[0].use("portal", "one", expires_at)
    assert await workers[0].use("portal", "two", expires_at)
    assert await workers[0].use("intranet", "one", expires_at)


async def test_what_has_run_out_is_swept_away(house: House) -> None:
    tickets = Tickets(house.database, house.clock)
    await tickets.use("portal", "short", house.clock() + timedelta(seconds=10))
    await tickets.use("portal", "long", house.clock() + timedelta(seconds=100))
    house.clock.move(50)
    assert await tickets.sweep() == 1
    assert await house.database.fetchval("SELECT array_agg(ticket_id) FROM sign_on_ticket") == ["long"]
