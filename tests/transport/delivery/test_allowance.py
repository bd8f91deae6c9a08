"""A worker's allowance at one site: spent without waiting, refilled by calls, given back when unused."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from postroad.db.pool import Database
from postroad.transport.delivery.allowance import Allowance
from postroad.transport.delivery.rates import Rates
from postroad.transport.delivery.shaping import SiteLimits


def site(mails_per_minute: int | None) -> SiteLimits:
    return SiteLimits("mx", "mx", connections=10, mails_per_connection=100, mails_per_minute=mails_per_minute)


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    while True:
        if await holds():
            return
        await asyncio.sleep(0.02)


class Line:
    """Mails that wait for their turn, as delivery has them."""

    def __init__(self, rates: Rates, limits: SiteLimits, mails: int) -> None:
        self.waiting = deque(range(mails))
        self.sent: list[float] = []
        self.changed = asyncio.Event()
        self.allowance = Allowance(rates, limits, self.pump)

    def pump(self) -> None:
        while self.waiting and self.allowance.spend(len(self.waiting)):
            self.waiting.popleft()
            self.sent.append(asyncio.get_running_loop().time())
        self.changed.set()

    async def until_sent(self, count: int) -> None:
        while len(self.sent) < count:
            self.changed.clear()
            await self.changed.wait()


async def test_without_a_rate_everything_goes_at_once(database: Database) -> None:
    line = Line(Rates(database), site(None), 1000)
    line.pump()
    assert not line.waiting
    await line.allowance.close()


async def test_two_workers_send_everything_and_keep_to_the_rate(database: Database) -> None:
    """A minute of two seconds."""
    lines = [Line(Rates(database, minute_seconds=2.0, grant_seconds=0.5), site(40), 60) for _ in range(2)]
    for line in lines:
        line.pump()
    await asyncio.gather(*(line.until_sent(60) for line in lines))
    times = sorted(time for line in lines for time in line.sent)
    assert all(later - earlier >= 2.0 for earlier, later in zip(times, times[40:], strict=False))
    for line in lines:
        await line.allowance.close()


async def test_what_is_left_goes_back_when_it_is_no_longer_good(database: Database) -> None:
    rates = Rates(database, minute_seconds=600.0, grant_seconds=0.5)
    more = asyncio.Event()
    allowance = Allowance(rates, site(200), more.set)
    assert not allowance.spend(10)
    await more.wait()  # and then nothing is sent

    async def is_back() -> bool:
        return bool(await database.fetchval("SELECT tokens >= 10 FROM delivery_rate"))

    await until(is_back)
    assert not allowance._left
    await allowance.close()


async def test_closing_gives_back_what_is_left(database: Database) -> None:
    rates = Rates(database, minute_seconds=600.0, grant_seconds=300.0)
    more = asyncio.Event()
    allowance = Allowance(rates, site(200), more.set)
    assert not allowance.spend(10)
    await more.wait()
    assert allowance.spend()
    await allowance.close()
    assert 9 <= await database.fetchval("SELECT tokens FROM delivery_rate") < 10
    assert not allowance._returning


async def test_without_a_database_nothing_goes_and_closing_ends() -> None:
    async with Database("postgresql://postgres@127.0.0.1:1/none") as nowhere:
        line = Line(Rates(nowhere), site(60), 5)
        line.pump()

        async def has_noticed() -> bool:
            return line.allowance.opens_at > 0

        await until(has_noticed)
        assert not line.sent
        await line.allowance.close()
