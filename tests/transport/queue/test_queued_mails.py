"""The operator's view of the queue: listing by page and filter, holding, releasing, retrying, dropping,
counting.
"""

from __future__ import annotations

import pytest

from postroad.events.outbox import Outbox
from postroad.message.address import Address
from postroad.protocols.smtp.envelope import Envelope
from postroad.transport.queue.mail_ids import mail_id_of
from postroad.transport.queue.queued_mails import NoSuchQueuedMail, QueuedMails, Selection, Stopped
from tests.transport.conftest import House, mail, recipients


@pytest.fixture
def queued(house: House) -> QueuedMails:
    return QueuedMails(house.database, house.messages, Outbox(), house.silence)


async def fill(house: House, *addresses: str, sender: str = "anna@here.example") -> int:
    await house.domain()
    async with house.worker(delivers=False, smtp={"relay_networks": ["192.0.2.0/24"]}) as worker:
        name = await worker.acceptance.accept(
            Envelope(Address.parse(sender), recipients(*addresses)), mail(), house.session()
        )
    return mail_id_of(name)


async def test_pages_and_filters(house: House, queued: QueuedMails) -> None:
    first = await fill(house, "a@one.example", "b@two.example", "c@two.example")
    second = await fill(house, "D@two.example", sender="other@here.example")
    rows = await queued.list()
    assert [(row.id, row.number) for row in rows] == [(first, 0), (first, 1), (first, 2), (second, 0)]
    page = await queued.list(limit=2)
    assert [row.recipient for row in await queued.list(after=(page[-1].id, page[-1].number))] == [
        "c@two.example",
        "D@two.example",
    ]
    assert len(await queued.list(Selection(recipient="@TWO.example"))) == 3
    assert len(await queued.list(Selection(recipient="d@two.example"))) == 1
    assert len(await queued.list(Selection(sender="@here.example", route="one.example"))) == 1
    assert len(await queued.list(Selection(id=second))) == 1


async def test_show_has_the_header(house: House, queued: QueuedMails) -> None:
    mail_id = await fill(house, "a@one.example")
    shown = await queued.show(mail_id)
    assert b"Subject: Hello\r\n" in shown.header
    assert shown.header.startswith(b"Received: ")
    assert b"A line." not in shown.header
    with pytest.raises(NoSuchQueuedMail):
        await queued.show(mail_id + 1)


async def test_hold_release_and_retry(house: House, queued: QueuedMails) -> None:
    await fill(house, *(f"{number}@one.example" for number in range(1500)))
    assert await queued.hold(Selection(route="one.example")) == Stopped(1500, 0)
    assert await queued.hold(Selection()) == Stopped(0, 0)
    assert (await queued.stats()).held == 1500
    assert (await queued.stats()).due == 0
    assert await queued.release(Selection(recipient="7@one.example")) == 1
    await house.age(hours=1)
    assert await queued.retry(Selection()) == 1500
    stats = await queued.stats()
    assert (stats.held, stats.due, stats.mails) == (0, 1500, 1)
    assert stats.routes[0].route == "one.example"
    assert "postroad_queue" in house.silence.channels


async def test_drop_removes_the_mail_with_its_last_recipient(house: House, queued: QueuedMails) -> None:
    await fill(house, "a@one.example", "b@two.example")
    assert await queued.drop(Selection(route="one.example")) == Stopped(1, 0)
    assert await house.database.fetchval("SELECT count(*) FROM content") == 1
    assert await queued.drop(Selection()) == Stopped(1, 0)
    assert await house.database.fetchval("SELECT count(*) FROM content") == 0
    assert [event["recipient"] for event in await house.events("delivery.dropped")] == [
        "a@one.example",
        "b@two.example",
    ]
    assert await queued.drop(Selection()) == Stopped(0, 0)
