"""The rate of a site over all workers: never more than it in any minute, nobody starved, nothing lost.

The real statement runs on a real database; time is the database's `clock_timestamp`, which a schema of the
test replaces where time is simulated.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postroad.db.pool import Database, DatabaseUnavailable
from postroad.transport.delivery.rates import GRANT_SECONDS, MINUTE, Flow, Rates, sweep_rates
from postroad.transport.delivery.shaping import SiteLimits


def site(mails_per_minute: int | None, bucket: str = "mx.example") -> SiteLimits:
    return SiteLimits(
        bucket, bucket, connections=10, mails_per_connection=100, mails_per_minute=mails_per_minute
    )


class Simulated:
    """A database whose clock is moved by hand, and the same clock as the workers' monotonic one."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    async def move_to(self, seconds: float) -> None:
        self.seconds = seconds
        await self.database.execute("UPDATE simulated.now SET seconds = $1", seconds)


@asynccontextmanager
async def simulated(dsn: str) -> AsyncIterator[Simulated]:
    name = dsn.rpartition("/")[2].partition("?")[0]
    async with Database(dsn) as database:
        await database.execute("CREATE SCHEMA simulated")
        await database.execute("CREATE TABLE simulated.now AS SELECT 0::float8 AS seconds")
        await database.execute(
            "CREATE FUNCTION simulated.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS "
            "'SELECT to_timestamp(1800000000 + seconds) FROM simulated.now'"
        )
        await database.execute(f"ALTER DATABASE {name} SET search_path = simulated, public, pg_catalog")
    async with Database(dsn) as database:
        yield Simulated(database)


def most_in(times: list[float], seconds: float) -> int:
    """The largest number of them in any half-open stretch of so many seconds."""
    times = sorted(times)
    most = first = 0
    for last, time in enumerate(times):
        while times[first] <= time - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


def worker(clock: Simulated, seed: int = 0) -> Rates:
    return Rates(clock.database, clock, jitter=random.Random(seed).random)


# The sum


@given(st.integers(1, 1_000_000))
def test_a_full_bucket_and_what_flows_in_are_never_more_than_the_rate(rate: int) -> None:
    flow = Flow.of(rate)
    # In a half-open stretch: a bucket that is full at its start, and each token that is whole before its end.
    flowed_in = flow.per_second * (MINUTE + GRANT_SECONDS)
    assert 1 <= flow.depth <= rate
    assert flow.depth + flowed_in - 1 <= rate * (1 + 1e-12)
    assert flow.per_second * MINUTE >= 0.88 * rate, "and not much less"


# Simulated time


async def test_a_grant_says_how_much_and_when_to_ask_again(database_dsn: str) -> None:
    async with simulated(database_dsn) as clock:
        rates = worker(clock)
        first = await rates.take(site(600), 50)
        assert first.count == 30 and first.good_until == GRANT_SECONDS and first.wait_seconds > 0
        again = await rates.take(site(600), 5)
        assert again.count == 0 and again.wait_seconds == first.wait_seconds
        await clock.move_to(first.wait_seconds)
        assert (await rates.take(site(600), 5)).count == 5
        assert (await rates.take(site(None), 10**6)).count == 10**6, "no limit"
        assert (await rates.take(site(600), 0)).count == 0


async def test_a_worker_that_knows_it_must_wait_asks_nobody(database_dsn: str) -> None:
    async with simulated(database_dsn) as clock:
        rates = worker(clock)
        await rates.take(site(60), 50)
        before = await clock.database.fetchval("SELECT xmin::text FROM delivery_rate")
        for _ in range(20):
            assert (await rates.take(site(60), 1)).count == 0
        assert await clock.database.fetchval("SELECT xmin::text FROM delivery_rate") == before


async def test_what_is_given_back_can_be_taken_at_once_but_never_more_than_a_bucket(
    database_dsn: str,
) -> None:
    async with simulated(database_dsn) as clock:
        one, other = worker(clock, 1), worker(clock, 2)
        assert (await one.take(site(200), 50)).count == 10
        await one.give_back(site(200), 4)
        assert (await other.take(site(200), 50)).count == 4
        await one.give_back(site(200), 500)
        assert (await one.take(site(200), 50)).count == 10


async def test_the_grants_of_a_dead_worker_are_made_good_by_time(database_dsn: str) -> None:
    async with simulated(database_dsn) as clock:
        assert (await worker(clock, 1).take(site(60), 50)).count == 3  # and dies
        await clock.move_to(MINUTE)
        assert (await worker(clock, 2).take(site(60), 50)).count == 3


async def test_a_clock_that_is_set_back_gives_nothing_and_stops_nothing(database_dsn: str) -> None:
    async with simulated(database_dsn) as clock:
        rates = worker(clock)
        await clock.move_to(10_000)
        assert (await rates.take(site(60), 50)).count == 3
        await clock.move_to(0)
        rates = worker(clock)
        assert (await rates.take(site(60), 50)).count == 0
        await clock.move_to(10)
        assert (await worker(clock).take(site(60), 50)).count == 3


async def test_many_sites_are_one_statement(database_dsn: str) -> None:
    async with simulated(database_dsn) as clock:
        rates = worker(clock)
        sites = [site(60, f"mx{number}.example") for number in range(200)]
        grants = await asyncio.gather(*(rates.take(each, 2) for each in sites for _ in range(2)))
        assert [grant.count for grant in grants] == [2, 1] * 200, "first come, first served"
        (writers,) = await clock.database.fetch(
            "SELECT count(DISTINCT xmin::text) AS count FROM delivery_rate"
        )
        assert writers["count"] <= 2, "those who came while the first statement ran shared the second"


async def test_a_rule_that_changes_holds_at_once(database_dsn: str) -> None:
    async with simulated(database_dsn) as clock:
        assert (await worker(clock).take(site(6000), 10)).count == 10
        assert (await worker(clock).take(site(20), 10)).count == 1, "what the smaller bucket holds"


async def test_a_grant_that_came_too_late_is_given_back(database_dsn: str) -> None:
    async with simulated(database_dsn) as clock:
        rates = worker(clock)
        ticks = iter([0.0, 0.0, GRANT_SECONDS, GRANT_SECONDS, GRANT_SECONDS])
        slow = Rates(clock.database, lambda: next(ticks, GRANT_SECONDS))
        grant = await slow.take(site(600), 20)
        assert grant.count == 0
        await slow.close()
        assert (await rates.take(site(600), 30)).count == 30


async def test_unused_buckets_are_swept(database_dsn: str) -> None:
    async with simulated(database_dsn) as clock:
        rates = worker(clock)
        await rates.take(site(60, "old"), 1)
        await clock.move_to(601)
        await rates.take(site(60, "new"), 1)
        assert await sweep_rates(clock.database) == 1
        assert [row["bucket"] for row in await clock.database.fetch("SELECT * FROM delivery_rate")] == ["new"]


Step = tuple[str, int, float]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rate=st.integers(1, 120),
    steps=st.lists(
        st.tuples(
            st.sampled_from(["one", "two", "three", "back"]),
            st.integers(1, 40),
            st.floats(0.0, 20.0, allow_nan=False),
        ),
        min_size=5,
        max_size=25,
    ),
)
async def test_never_more_than_the_rate_whatever_the_workers_do(
    shared: Simulated, rate: int, steps: list[Step]
) -> None:
    """Grants are used as late as they may be, or given back: the worst that a worker can do."""
    clock = shared
    bucket = f"site {random.random()}"
    await clock.move_to(clock.seconds + 10_000)
    workers = {name: worker(clock, place) for place, name in enumerate(("one", "two", "three"))}
    used: list[float] = []
    for name, wanted, pause in steps:
        if name == "back":
            grant = await workers["one"].take(site(rate, bucket), wanted)
            await workers["one"].give_back(site(rate, bucket), grant.count)
        else:
            grant = await workers[name].take(site(rate, bucket), wanted)
            late = wanted % 2  # at once, or at the last moment
            used += [clock.seconds if late else grant.good_until] * grant.count
        await clock.move_to(clock.seconds + pause)
    assert most_in(used, MINUTE) <= rate


@pytest.mark.parametrize("rate", [1, 7, 60, 600])
async def test_the_worst_minute_there_can_be(database_dsn: str, rate: int) -> None:
    """A full bucket, taken as early and used as late as may be, and then everything at once as it comes."""
    async with simulated(database_dsn) as clock:
        rates = Rates(clock.database, clock, jitter=lambda: 0.0)
        used: list[float] = []
        while clock.seconds < GRANT_SECONDS + MINUTE:
            grant = await rates.take(site(rate), 10**6)
            is_early = clock.seconds < GRANT_SECONDS
            used += [grant.good_until if is_early else clock.seconds] * grant.count
            await clock.move_to(clock.seconds + max(grant.wait_seconds, 0.001))
        in_the_minute = [max(time, GRANT_SECONDS) for time in used]
        assert 0.95 * rate <= most_in(in_the_minute, MINUTE) <= rate


@pytest.fixture
async def shared(database_dsn: str) -> AsyncIterator[Simulated]:
    async with simulated(database_dsn) as clock:
        yield clock


@pytest.mark.parametrize("rate", [1, 10, 600])
async def test_greedy_workers_share_and_none_is_starved(database_dsn: str, rate: int) -> None:
    async with simulated(database_dsn) as clock:
        workers = [worker(clock, seed) for seed in range(4)]
        ask_at = [0.0] * len(workers)
        got: Counter[int] = Counter()
        used: list[float] = []
        end = 20 * MINUTE if rate < 100 else 3 * MINUTE
        end = 60 * MINUTE if rate == 1 else end
        while (now := min(ask_at)) < end:
            await clock.move_to(now)
            number = ask_at.index(now)
            grant = await workers[number].take(site(rate), 1000)
            got[number] += grant.count
            used += [now] * grant.count
            assert grant.wait_seconds > 0, "more was wanted than there is"
            ask_at[number] = now + grant.wait_seconds
        assert most_in(used, MINUTE) <= rate
        assert len(used) >= 0.85 * rate * end / MINUTE - 1, "the rate is reached, about"
        assert min(got[number] for number in range(4)) >= len(used) / 4 * 0.4, got


# Real time, real contention


async def test_many_pools_at_once_keep_to_the_rate(database_dsn: str) -> None:
    """A minute of three seconds; eight pools ask as fast as they may."""
    minute, rate = 3.0, 60
    loop = asyncio.get_running_loop()
    used: list[float] = []
    got: Counter[int] = Counter()

    async def run(number: int, rates: Rates, until: float) -> None:
        while loop.time() < until:
            grant = await rates.take(site(rate), 1 + number)
            for _ in range(grant.count):
                now = loop.time()
                if now < grant.good_until:
                    used.append(now)
                    got[number] += 1
            await asyncio.sleep(grant.wait_seconds)

    async with AsyncExitStack() as stack:
        pools = [await stack.enter_async_context(Database(database_dsn, max_size=1)) for _ in range(8)]
        many = [Rates(pool, loop.time, minute_seconds=minute, grant_seconds=0.5) for pool in pools]
        until = loop.time() + 4 * minute
        await asyncio.gather(*(run(number, rates, until) for number, rates in enumerate(many)))
    assert most_in(used, minute) <= rate
    assert len(got) == 8, "everybody got something"


async def test_statements_over_many_sites_in_any_order_never_deadlock(database_dsn: str) -> None:
    async with AsyncExitStack() as stack:
        pools = [await stack.enter_async_context(Database(database_dsn, max_size=1)) for _ in range(4)]
        sites = [site(10**6, f"mx{number}.example") for number in range(50)]

        async def run(seed: int, rates: Rates) -> int:
            order = random.Random(seed)
            count = 0
            for _ in range(15):
                order.shuffle(sites)
                grants = await asyncio.gather(*(rates.take(each, 3) for each in tuple(sites)))
                count += sum(grant.count for grant in grants)
                await asyncio.gather(*(rates.give_back(each, 1) for each in tuple(sites)))
            return count

        counts = await asyncio.gather(*(run(seed, Rates(pool)) for seed, pool in enumerate(pools)))
        assert counts == [15 * 50 * 3] * 4


# Without a database


async def test_without_a_database_nothing_is_granted_and_nothing_hangs() -> None:
    async with Database("postgresql://postgres@127.0.0.1:1/none") as nowhere:
        rates = Rates(nowhere)
        outcomes = await asyncio.gather(*(rates.take(site(60), 1) for _ in range(3)), return_exceptions=True)
        assert all(isinstance(outcome, DatabaseUnavailable) for outcome in outcomes)
        await rates.give_back(site(60), 1)
        await rates.close()


async def test_an_asker_that_leaves_gives_its_grant_back(database_dsn: str) -> None:
    async with simulated(database_dsn) as clock:
        rates = worker(clock)
        leaving = asyncio.create_task(rates.take(site(600), 20))
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        await rates.close()
        assert (await rates.take(site(600), 30)).count == 30
