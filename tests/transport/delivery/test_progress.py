"""Whatever fails, and however many: what could be delivered is, within seconds. Minutes of simulated time."""

from __future__ import annotations

import asyncio
import random
from typing import cast

import pytest

from postroad.transport.delivery.intake import LONGEST_WAIT_SECONDS, WATCH_SECONDS
from tests.transport.delivery.simulated import (
    BAD,
    BLACK_HOLE,
    HEALTHY,
    REFUSING,
    SLOW,
    TARPIT,
    UNRESOLVED,
    Behaviour,
    FakePresence,
    Heap,
    Hosts,
    dispatcher,
    now,
    simulate,
)


def hosts_of(bad: Behaviour, count: int) -> Hosts:
    """Many hosts of one kind beside ten healthy ones."""
    behaviours = {f"bad{number}": bad for number in range(count)}
    return Hosts(behaviours | {f"good{number}": HEALTHY for number in range(10)})


@pytest.mark.parametrize(
    "bad", [UNRESOLVED, BLACK_HOLE, REFUSING, TARPIT, SLOW], ids=["dns", "hole", "no", "tar", "slow"]
)
def test_six_hundred_dead_hosts_do_not_hold_up_ten_healthy_ones(bad: Behaviour) -> None:
    async def work() -> None:
        hosts, heap = hosts_of(bad, 600), Heap()
        async with dispatcher(hosts, heap, connections=200) as worker:
            for number in range(600):
                for _ in range(3):
                    heap.put(f"bad{number}")
            await asyncio.sleep(20.0)
            late = [heap.put(f"good{number}") for number in range(10)]
            worker.look()
            await asyncio.sleep(30.0)
            assert all(to in heap.delivered_at for to in late)
            took = max(heap.delivered_at[to] - to.put_at for to in late)
            assert took < 20.0
            assert hosts.most_open <= 400

    simulate(work)


def test_six_hundred_domains_on_one_tarpit_leave_the_connections_to_others() -> None:
    """They are one site: it has its five connections, whatever is behind it."""

    async def work() -> None:
        hosts, heap = Hosts({"tarpit": TARPIT, "good": HEALTHY}), Heap()
        async with dispatcher(hosts, heap, connections=50, per_site=5):
            for number in range(600):
                heap.put(f"domain{number}.tarpit")
            await asyncio.sleep(10.0)
            assert hosts.open == 5
            to = heap.put("good")
            await asyncio.sleep(10.0)
            assert heap.delivered_at[to] - to.put_at < 8.0

    simulate(work)


@pytest.mark.parametrize("seed", range(4))
def test_everything_fails_but_one_at_random_for_minutes(seed: int) -> None:
    """Many more bad hosts than connections, every kind of them; to one healthy site mail keeps coming."""

    async def work() -> None:
        chance = random.Random(seed)
        behaviours = {f"bad{number}": chance.choice(BAD) for number in range(300)}
        hosts, heap = Hosts(behaviours | {"good": HEALTHY}), Heap()
        oldest = 0.0
        async with dispatcher(hosts, heap, connections=20, per_site=3) as worker:
            while now() < 420.0:
                for _ in range(chance.randrange(20)):
                    heap.put(f"bad{chance.randrange(300)}")
                if chance.random() < 0.3:
                    heap.put(f"domain{chance.randrange(50)}.good")
                await asyncio.sleep(chance.random() * 2)
                oldest = max(oldest, worker.state.oldest_wait_seconds)
            await asyncio.sleep(60.0)
            good = [to for to in heap.delivered_at if to.route.endswith("good")]
            assert len(good) > 60
            assert not any(line for route, line in heap.waiting.items() if route.endswith("good"))
            waits = sorted(heap.delivered_at[to] - to.put_at for to in good)
            assert waits[-1] < 30.0, "the longest wait of a mail that could go at once"
            assert waits[len(waits) // 2] < 2.0
            assert hosts.most_open <= 40
            assert oldest <= LONGEST_WAIT_SECONDS + WATCH_SECONDS + 1
        assert not heap.leased, "what was not begun went back"

    simulate(work)


def test_a_job_that_waits_too_long_goes_back_and_is_counted() -> None:
    async def work() -> None:
        hosts, heap = Hosts({"tarpit": TARPIT}), Heap()
        async with dispatcher(hosts, heap, per_site=1) as worker:
            for _ in range(20):
                heap.put("tarpit")
            await asyncio.sleep(LONGEST_WAIT_SECONDS - 10)
            assert worker.state.waited_too_long == 0
            assert worker.state.oldest_wait_seconds > LONGEST_WAIT_SECONDS - 20
            await asyncio.sleep(30)
            assert worker.state.waited_too_long >= 15
            assert worker.state.oldest_wait_seconds < 60

    simulate(work)


def test_a_heavy_source_goes_before_a_light_one_at_the_same_site() -> None:
    """Five thousand mails of a campaign wait for one slow site; a person's mail goes within a few of them."""

    async def work() -> None:
        hosts = Hosts({"busy": Behaviour(answers=0.5)})
        queue, ledger = Heap("queue", 8), Heap("ledger", 1)
        async with dispatcher(hosts, queue, ledger, per_site=2) as worker:
            for _ in range(5000):
                ledger.put("busy")
            await asyncio.sleep(20.0)
            mine = [queue.put("busy") for _ in range(10)]
            worker.look()
            await asyncio.sleep(20.0)
            assert max(queue.delivered_at[to] - to.put_at for to in mine) < 8.0
            assert len(ledger.delivered_at) > 80, "and the campaign goes on"

    simulate(work)


def test_a_campaign_to_everybody_leaves_room_for_a_person_s_mail() -> None:
    """It fills whatever it may have, at hundreds of sites; a mail to yet another leaves within seconds."""

    async def work() -> None:
        behaviours = {f"site{number}": Behaviour(answers=2.0) for number in range(400)}
        hosts = Hosts(behaviours | {"other": HEALTHY})
        queue, ledger = Heap("queue", 8), Heap("ledger", 1)
        async with dispatcher(hosts, queue, ledger, connections=50) as worker:
            for number in range(40_000):
                ledger.put(f"site{number % 400}")
            await asyncio.sleep(30.0)
            to = queue.put("other")
            worker.look()
            await asyncio.sleep(15.0)
            assert queue.delivered_at[to] - to.put_at < 10.0

    simulate(work)


def test_what_waited_while_nobody_could_vouch_for_the_worker_goes_afterwards() -> None:
    """Its proof of life was late for a moment, and came back without anything having been lost."""

    async def work() -> None:
        hosts, heap = Hosts({"good": HEALTHY}), Heap()
        async with dispatcher(hosts, heap) as worker:
            await asyncio.sleep(1.0)
            for _ in range(5):
                heap.put("good")
            worker.look()
            await asyncio.sleep(0.03)  # claimed, and on its way to a connection
            presence = cast(FakePresence, worker._presence)
            presence.is_held = False
            await asyncio.sleep(10.0)
            assert len(heap.delivered_at) < 5
            presence.is_held = True
            await asyncio.sleep(WATCH_SECONDS + 2.0)
            assert len(heap.delivered_at) == 5

    simulate(work)
