"""The roads of campaigns: a task begins, and its mails are claimed, rendered, sent and accounted for."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import suppress

from postroad.campaigns.contacts.values import Person
from postroad.campaigns.credits import Credits
from postroad.campaigns.sending.beginning import Beginning
from postroad.campaigns.service import Campaigns, open_campaigns
from postroad.campaigns.tasks.requests import Sender, TaskChange
from postroad.campaigns.tasks.states import State
from postroad.config import Edm
from postroad.directory.passwords import PasswordHashing
from postroad.dns.lookups import Lookups
from tests.faults.roads import ROADS as ROADS  # with those that join here
from tests.faults.roads import road
from tests.faults.scene import Walk, until

ZONE = Edm().timezone


async def _task(walk: Walk, *addresses: str) -> int:
    """A customer whose task is due, made past the wire."""
    await walk.scene.database.execute("UPDATE campaign_watch SET seen_at = now()")
    hashing = PasswordHashing()
    lookups = Lookups("127.0.0.1:1")
    try:
        campaigns: Campaigns = open_campaigns(walk.scene.database, hashing, lookups, Edm(), "walk.test")
        customer = (await campaigns.accounts.add(walk.mark, "walked-the-whole-Road-9", volume=1000)).id
        domain = f"{walk.mark}.test"
        await walk.scene.database.execute(
            "INSERT INTO sender_domain (customer_id, name, is_verified) VALUES ($1, $2, true)",
            customer,
            domain,
        )
        await campaigns.mailboxes.add(customer, f"news@{domain}", "walked-the-whole-Road-9")
        readers = await campaigns.lists.add(customer, "readers")
        await campaigns.contacts.add_many(customer, readers, [Person(each) for each in addresses])
        name = walk.name()
        template = await campaigns.templates.add(customer, "t", [name], "<p>hello, dear reader of ours</p>")
        await walk.scene.database.execute("UPDATE template SET check_state = 1")
        wish = TaskChange(
            template_ids=[template],
            list_ids=[readers],
            sender=Sender("all"),
            sender_name="News",
            wish=State.SENDING,
        )
        return await campaigns.tasks.add(customer, wish)
    finally:
        await lookups.close()
        hashing.close()


async def _clear(walk: Walk, task: int) -> None:
    """Leave nothing of the walk's customer behind."""
    database = walk.scene.database
    customer = await database.fetchval("SELECT customer_id FROM task WHERE id = $1", task)
    for table in ("sender_domain", "contact", "ledger_chunk", "recipient"):
        await database.execute(f"DELETE FROM {table} WHERE customer_id = $1", customer)
    await database.execute("DELETE FROM customer WHERE id = $1", customer)


@road("expand")
async def expand(walk: Walk) -> AsyncGenerator[None, None]:
    """A task that is due becomes a run: with all of its recipients, or with none."""
    task = await _task(walk, "one@there.test", "two@there.test", "three@elsewhere.test")
    database = walk.scene.database
    # Never within its hours: what is begun here is not sent.
    await database.execute(
        "UPDATE task SET hours_from = (now() AT TIME ZONE $1)::time + interval '1 hour', "
        "hours_until = (now() AT TIME ZONE $1)::time + interval '2 hours' WHERE id = $2",
        ZONE,
        task,
    )
    yield
    await walk.ask(walk.parts.engine.watch.look)
    yield
    if walk.is_strict:
        await until(lambda: _is_expanded(walk, task), "the task has begun")
    found = await database.fetchrow(
        "SELECT t.state, n.expanded_at IS NOT NULL AS is_expanded, n.recipients, "
        "(SELECT count(*) FROM recipient r WHERE r.run_id = n.id AND r.shelf = n.shelf) AS written, "
        "(SELECT coalesce(sum(last_number - first_number + 1), 0) FROM ledger_chunk c "
        "WHERE c.run_id = n.id) AS due "
        "FROM task t JOIN run n ON n.task_id = t.id WHERE t.id = $1",
        task,
    )
    assert found is not None
    wanted = (2, True, 3, 3, 3) if found["is_expanded"] else (-5, False, 0, 0, 0)
    assert tuple(found) == wanted, f"neither begun nor not begun: {dict(found)}"
    await _clear(walk, task)


async def _is_expanded(walk: Walk, task: int) -> bool:
    return bool(
        await walk.scene.database.fetchval("SELECT expanded_at IS NOT NULL FROM run WHERE task_id = $1", task)
    )


@road("campaign")
async def campaign(walk: Walk) -> AsyncGenerator[None, None]:
    """Recipients are claimed, rendered, sent and settled: taken, refused for now, refused for good."""
    greylisted = f"greylisted{walk.mark}@there.test"
    task = await _task(walk, "one@there.test", greylisted, "unknown@there.test")
    database = walk.scene.database
    assert await Beginning(database, Credits(database, ZONE), ZONE).begin_next()
    yield
    walk.parts.transport.dispatcher.look()
    with suppress(TimeoutError):
        # Held up by the fault: the strict walk, behind it, waits for it.
        async with asyncio.timeout(None if walk.is_strict else 2.0):
            await until(lambda: _rests(walk, task), "every recipient is accounted for")
    yield
    await until(lambda: _rests(walk, task, again=True), "every recipient is accounted for in the end")
    rows = await database.fetch(
        "SELECT r.address, r.state, r.failure FROM recipient r JOIN run n ON n.id = r.run_id "
        "WHERE n.task_id = $1",
        task,
    )
    states = {row["address"]: (row["state"], row["failure"]) for row in rows}
    assert states == {"one@there.test": (2, 0), greylisted: (2, 0), "unknown@there.test": (3, 1)}
    sent = Counter(
        {to: count for (name, to), count in walk.scene.at_sink(walk.mark).items() if name in walk.tried}
    )
    assert sent == {"one@there.test": 1, greylisted: 1}, f"sent: {sent}"
    left = "SELECT count(*) FROM ledger_chunk c JOIN run n ON n.id = c.run_id WHERE n.task_id = $1"
    assert not await database.fetchval(left, task), "chunks without recipients"
    await _clear(walk, task)


async def _rests(walk: Walk, task: int, *, again: bool = False) -> bool:
    """Whether nothing is in hand, and nobody waits but who was put off. `again`: nobody waits at all."""
    database = walk.scene.database
    row = await database.fetchrow(
        "SELECT count(c.owner) AS owned, count(*) FILTER (WHERE c.due_at > now()) AS put_off, "
        "count(*) AS all "
        "FROM ledger_chunk c JOIN run n ON n.id = c.run_id WHERE n.task_id = $1",
        task,
    )
    assert row is not None
    if row["put_off"] and (again or walk.is_strict):
        of_run = "run_id = (SELECT id FROM run WHERE task_id = $1)"
        await database.execute(f"UPDATE recipient SET due_at = now() WHERE state = 0 AND {of_run}", task)
        await database.execute(
            f"UPDATE ledger_chunk SET due_at = now() WHERE owner IS NULL AND {of_run}", task
        )
        walk.parts.transport.dispatcher.look()
        return False
    return not row["owned"] and row["put_off"] == row["all"]
