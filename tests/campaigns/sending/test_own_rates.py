"""Hours and rates that tasks and customers have of their own."""

from __future__ import annotations

from collections import Counter
from datetime import time, timedelta

import pytest

from postroad.campaigns.errors import BadInput, WrongState
from postroad.campaigns.sending.ledger import Ledger
from postroad.campaigns.sending.own_rates import OwnRates
from postroad.campaigns.tasks.requests import TaskChange
from postroad.campaigns.tasks.states import State
from tests.campaigns.sending.conftest import Office
from tests.transport.conftest import Plenty

MANY = [f"to{number}@there{number % 3}.example" for number in range(120)]


async def claimed(office: Office, rates: OwnRates) -> Counter[int]:
    """How many recipients of each run a worker can claim now."""
    ledger = Ledger(office.house.database, rates, "Asia/Shanghai", timedelta(hours=2))
    found = await ledger.claim(7, Plenty(500))
    return Counter(each.chunk.run_id for each in found)


async def test_a_rate_holds_for_a_task_and_for_all_of_a_customer(office: Office) -> None:
    """A bucket holds a twentieth of a minute's mails; another bucket of the same run gives back what it
    took.
    """
    customer, first = await office.task(MANY)
    second = await office.another(customer, [f"more{number}@there.example" for number in range(120)])
    engine = office.engine()
    await engine.watch.look()
    tasks = office.house.campaigns.tasks
    await tasks.set_pace(customer, first, hours=None, mails_per_minute=100)
    rates = OwnRates(office.house.database)
    runs = await office.run_of(first), await office.run_of(second)
    assert await claimed(office, rates) == {runs[0]: 5, runs[1]: 120}
    assert await claimed(office, rates) == {}, "the bucket is empty, and the other run all claimed"
    await office.house.campaigns.customers.update(customer, mails_per_minute=60)
    await tasks.set_pace(customer, first, hours=None, mails_per_minute=None)
    assert await claimed(office, OwnRates(office.house.database)) == {runs[0]: 3}


async def test_a_pace_is_checked_and_only_for_what_is_not_over(office: Office) -> None:
    customer, task = await office.task(MANY[:1])
    tasks = office.house.campaigns.tasks
    with pytest.raises(BadInput):
        await tasks.set_pace(customer, task, hours=None, mails_per_minute=0)
    await tasks.set_pace(customer, task, hours=(time(22), time(6)), mails_per_minute=5)
    engine = office.engine()
    await engine.watch.look()
    await tasks.edit(customer, task, TaskChange(wish=State.CANCELLED))
    await engine.watch.look()
    with pytest.raises(WrongState):
        await tasks.set_pace(customer, task, hours=None, mails_per_minute=None)


@pytest.mark.parametrize(
    ("begins", "ends", "is_now"),
    [
        ("-1 hour", "1 hour", True),
        ("1 hour", "2 hours", False),
        ("1 hour", "-1 hour", False),
        ("0", "0", True),
    ],
)
async def test_hours_may_go_over_midnight(office: Office, begins: str, ends: str, is_now: bool) -> None:
    _, task = await office.task(MANY[:10])
    engine = office.engine()
    await engine.watch.look()
    await office.house.database.execute(
        "UPDATE task SET hours_from = (now() AT TIME ZONE 'Asia/Shanghai' + $2::text::interval)::time, "
        "hours_until = (now() AT TIME ZONE 'Asia/Shanghai' + $3::text::interval)::time WHERE id = $1",
        task,
        begins,
        ends,
    )
    found = await claimed(office, OwnRates(office.house.database))
    assert bool(found) is is_now


async def test_a_new_domain_sends_few_mails_and_each_day_twice_as_many(office: Office) -> None:
    """A bucket holds a twentieth of an hour's mails."""
    customer, task = await office.task(MANY)
    run = await office.run_of(task)
    engine = office.engine()
    await engine.watch.look()
    domains, database = office.house.campaigns.domains, office.house.database
    await domains.warm_up(customer, "shop.example", "Asia/Shanghai", is_new=True)
    assert await claimed(office, OwnRates(database)) == {run: 1}
    assert await claimed(office, OwnRates(database)) == {}
    await database.execute("UPDATE sender_domain SET warm_up_from = warm_up_from - 5")
    await database.execute("DELETE FROM delivery_rate")
    assert await claimed(office, OwnRates(database)) == {run: 10 * 2**5 // 20}
    await database.execute("UPDATE sender_domain SET warm_up_from = warm_up_from - 9")
    assert await claimed(office, OwnRates(database)) == {run: 120 - 1 - 16}, "its first two weeks are over"
