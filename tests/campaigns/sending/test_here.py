"""People of this server get campaigns too: into their inbox, whoever the sender is."""

from __future__ import annotations

import asyncio

from postroad.campaigns.contacts.values import Person
from postroad.campaigns.tasks.requests import Sender, TaskChange
from postroad.campaigns.tasks.states import State
from tests.campaigns.sending.conftest import Office


async def test_people_of_ours_find_it_in_their_inbox(office: Office) -> None:
    """The sender is of our own domain: by our own door that would be a stranger who claims to be us."""
    mails, campaigns = office.mails, office.house.campaigns
    await mails.database.execute("DELETE FROM account")
    anna = await mails.account("anna@here.example")
    await mails.alias("team@here.example", "anna@here.example")
    customer = (await office.house.customer("lin")).id
    sender = await office.house.sender(customer, "here.example", "news")
    task = await office.another(
        customer,
        [
            Person("anna@here.example", "Anna"),
            Person("team@here.example"),
            Person("nobody@here.example"),
            Person("bert@there.example"),
        ],
        sender,
        sender=Sender("address", sender),
    )
    engine = office.engine()
    async with office.worker(engine):
        await office.until_over(engine, task)
    assert await office.states(task) == {(2, 0): 3, (3, 1): 1}
    assert office.sink.recipients == ["bert@there.example"]
    found = await mails.inbox(anna)
    assert len(found) == 2 and not await mails.inbox(anna, "junk")
    assert b"To: Anna <anna@here.example>\r\n" in found[0] and b"DKIM-Signature:" in found[0]
    assert b"Return-Path: <b-" in found[0] and b"with LOCAL id" in found[0]
    assert (await campaigns.credits.volume(customer)).left == 100_000 - 4


async def test_what_lies_in_a_mailbox_is_not_given_back_by_a_pause(office: Office) -> None:
    mails, tasks = office.mails, office.house.campaigns.tasks
    await mails.database.execute("DELETE FROM account")
    people = [await mails.account(f"a{number}@here.example") for number in range(60)]
    customer, task = await office.task([f"a{number}@here.example" for number in range(60)])
    engine = office.engine()
    begun = asyncio.Event()

    class Slow:
        def __init__(self, takes: object) -> None:
            self._takes = takes

        async def take_for_ours(self, envelope: object, content: bytes) -> str:
            begun.set()
            await asyncio.sleep(0.05)
            return str(await self._takes.take_for_ours(envelope, content))  # type: ignore[attr-defined]

    async with office.worker(engine) as worker:
        engine.taking_in.connect(Slow(worker.acceptance))
        await engine.watch.look()
        worker.dispatcher.look()
        await begun.wait()
        await tasks.edit(customer, task, TaskChange(wish=State.PAUSED))
        await tasks.edit(customer, task, TaskChange(wish=State.SENDING))
        await office.until_over(engine, task)
    assert [len(await mails.inbox(each)) for each in people] == [1] * 60
