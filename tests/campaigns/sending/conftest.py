"""Campaigns that are really sent: the services, workers with an engine each, and a sink that answers as
receivers do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from postroad.campaigns.contacts.values import Person
from postroad.campaigns.sending.engine import Engine
from postroad.campaigns.sending.halting import Halting
from postroad.campaigns.tasks.requests import Sender, TaskChange
from postroad.campaigns.tasks.states import State
from postroad.config import CampaignSending, Edm, Settings
from postroad.db.pool import Database
from postroad.db.tasks import TaskSupervisor
from postroad.directory.passwords import PasswordHashing
from postroad.mailstore.blobs import Blobs
from postroad.transport.delivery.announcing import RECALL
from postroad.transport.delivery.judging import Schedule
from postroad.transport.service import Transport
from tests.campaigns.house import ZONE, House, open_house
from tests.sink import Sink, running
from tests.transport.conftest import House as MailHouse
from tests.transport.conftest import NoKeys

SOON = Schedule(first_delay=timedelta(milliseconds=50), longest_delay=timedelta(milliseconds=200))


@dataclass
class Bell:
    """An announcer that all workers of the test hear at once."""

    workers: list[Transport] = field(default_factory=list)

    def announce(self, channel: str, payload: str = "") -> None:
        """Ring."""
        for worker in self.workers:
            worker.dispatcher.recall() if payload == RECALL else worker.dispatcher.look()


@dataclass
class Office:
    """Everything."""

    house: House
    mails: MailHouse
    sink: Sink
    bell: Bell

    def engine(self, **campaigns: Any) -> Engine:
        """A worker's engine."""
        settings = Settings(
            hostname="mx.platform.example",
            edm=Edm(
                timezone=ZONE,
                tracking_url="https://news.platform.example",
                bounce_domain="bounces.platform.example",
            ),
            campaigns=CampaignSending(**campaigns),
        )
        database = self.house.database
        return Engine(
            settings, database, NoKeys(), self.bell, TaskSupervisor(), self.mails.clock, schedule=SOON
        )

    @asynccontextmanager
    async def worker(self, engine: Engine | None = None, **options: Any) -> AsyncIterator[Transport]:
        """A worker that sends; its tasks are looked after by `look`."""
        engine = engine or self.engine()
        transport = self.mails.worker(
            self.sink, sources=lambda presence: [engine.source(presence)], **options
        )
        engine.taking_in.connect(transport.acceptance)
        async with transport:
            self.bell.workers.append(transport)
            yield transport
            self.bell.workers.remove(transport)

    async def task(
        self,
        addresses: Sequence[str | Person],
        *,
        template: int | None = None,
        volume: int = 100_000,
        **asked: Any,
    ) -> tuple[int, int]:
        """A customer with a list, a sender and a task that is due at once; returns customer and task."""
        house = self.house
        customer = await house.customer("lin", volume=volume)
        sender = await house.sender(customer.id)
        return customer.id, await self.another(customer.id, addresses, sender, template=template, **asked)

    async def another(
        self,
        customer_id: int,
        addresses: Sequence[str | Person],
        mailbox: str = "news@shop.example",
        *,
        template: int | None = None,
        **asked: Any,
    ) -> int:
        """One more task of a customer."""
        campaigns = self.house.campaigns
        made = await campaigns.lists.add(customer_id, "readers")
        people = [each if isinstance(each, Person) else Person(each) for each in addresses]
        await campaigns.contacts.add_many(customer_id, made, people)
        if template is None:
            template = await self.house.template(customer_id)
        wanted: dict[str, Any] = {
            "template_ids": [template],
            "list_ids": [made],
            "sender": Sender("address", mailbox),
            "sender_name": "News",
            "wish": State.SENDING,
        }
        return await campaigns.tasks.add(customer_id, TaskChange(**(wanted | asked)))

    async def run_of(self, task_id: int) -> int:
        """The task's run."""
        return int(await self.house.database.fetchval("SELECT id FROM run WHERE task_id = $1", task_id))

    async def states(self, task_id: int) -> Counter[tuple[int, int]]:
        """How many recipients are in which state, with which failure."""
        rows = await self.house.database.fetch(
            "SELECT state, failure, count(*) FROM recipient WHERE run_id = $1 GROUP BY 1, 2",
            await self.run_of(task_id),
        )
        return Counter({(row["state"], row["failure"]): row["count"] for row in rows})

    async def state(self, task_id: int) -> State:
        """The task's."""
        return State(await self.house.database.fetchval("SELECT state FROM task WHERE id = $1", task_id))

    async def until(self, holds: Callable[[], Awaitable[object]]) -> None:
        """Wait until something holds."""
        await self.mails.until(holds)

    async def until_over(self, engine: Engine, *task_ids: int) -> None:
        """Look after the tasks until these are over."""

        async def are_over() -> bool:
            await engine.watch.look()
            return {await self.state(task_id) for task_id in task_ids} <= {
                State.FINISHED,
                State.CANCELLED,
                State.CANNOT_RUN,
                State.STOPPED,
            } and not await self.house.database.fetchval(
                "SELECT count(*) FROM run "
                "WHERE expanded_at IS NOT NULL AND finished_at IS NULL AND task_id = ANY($1::bigint[])",
                list(task_ids),
            )

        await self.until(are_over)
        assert not await self.house.database.fetchval(
            "SELECT count(*) FROM ledger_chunk c JOIN run n ON n.id = c.run_id "
            "WHERE n.task_id = ANY($1::bigint[])",
            list(task_ids),
        )


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    """A running sink."""
    async with running(Sink()) as sink:
        yield sink


@pytest.fixture
async def office(database: Database, sink: Sink, tmp_path: Path) -> AsyncIterator[Office]:
    """An office with nobody in it."""
    await database.execute("DELETE FROM queue_worker")
    await database.execute("UPDATE campaign_watch SET seen_at = now()")
    hashing = PasswordHashing()
    bell = Bell()
    house = open_house(database, hashing, Halting(database, bell))
    yield Office(house, MailHouse(database, Blobs(str(tmp_path / "blobs"))), sink, bell)
    hashing.close()
