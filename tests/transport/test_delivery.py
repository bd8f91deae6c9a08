"""Mail leaves: once each, to the right place, whatever the other side answers."""

from __future__ import annotations

import pytest

from postroad.message.address import Address
from postroad.protocols.smtp.envelope import Envelope
from postroad.protocols.smtp.replies import SmtpReply
from tests.sink import Sink
from tests.transport.conftest import House, mail, recipients

ANNA = Address.parse("anna@here.example")


async def test_a_submitted_mail_arrives_and_leaves_nothing_behind(house: House, sink: Sink) -> None:
    anna = await house.account()
    async with house.worker(sink) as worker:
        name = await worker.acceptance.accept(
            Envelope(ANNA, recipients("bert@there.example")), mail(), house.session(anna)
        )
        await sink.wait_for(1)
        await house.until_empty()
    (arrived,) = sink.mails
    assert arrived.sender == "anna@here.example"
    assert arrived.content.startswith(b"Received: from client.example ([192.0.2.9])\r\n")
    assert f"id {name}".encode() in arrived.content
    assert b"for <bert@there.example>" in arrived.content
    assert arrived.content.endswith(b"\r\n\r\nA line.\r\n")
    assert b"Return-Path" not in arrived.content
    assert await house.database.fetchval("SELECT count(*) FROM content") == 0
    (event,) = await house.events("delivery.delivered")
    assert event["recipient"] == "bert@there.example"


async def test_a_local_mail_is_in_the_inbox_when_it_is_acknowledged(house: House) -> None:
    bert = await house.account("bert@here.example")
    async with house.worker() as worker:
        sender = Address.parse("stranger@there.example")
        await worker.acceptance.accept(
            Envelope(sender, recipients("Bert+tag@here.example")), mail(), house.session()
        )
        (arrived,) = await house.inbox(bert)
    assert arrived.startswith(b"Return-Path: <stranger@there.example>\r\nReceived: from client.example")
    assert house.silence.changes[0].account_id == bert.account_id


async def test_one_mail_for_many_kinds_of_recipients(house: House, sink: Sink) -> None:
    anna = await house.account()
    bert = await house.account("bert@here.example")
    async with house.worker(sink) as worker:
        asked = recipients(
            "bert@here.example", "carl@there.example", "unknown@there.example", "later@there.example"
        )
        await worker.acceptance.accept(Envelope(ANNA, asked), mail(), house.session(anna))

        async def only_one_left() -> bool:
            left = await house.queued()
            return [each["last_code"] for each in left] == [451]

        await house.until(only_one_left)
        assert len(await house.inbox(bert)) == 1
        assert sink.recipients == ["carl@there.example"]
        (notice,) = await house.inbox(anna)
        assert b"unknown@there.example" in notice and b"Status: 5.1.1" in notice
        assert b"carl@there.example" not in notice
        assert b"later@there.example" not in notice
        assert notice.startswith(b"Return-Path: <>\r\n")
    (left,) = await house.queued()
    assert left["lease_owner"] is None
    assert left["attempts"] == 1
    (failed,) = await house.events("delivery.failed")
    assert failed["reason"] == "no_mailbox"
    (deferred,) = await house.events("delivery.deferred")
    assert deferred["reason"] == "temporary"


async def test_a_greylisted_mail_is_delivered_later(house: House, sink: Sink) -> None:
    anna = await house.account()
    async with house.worker(sink) as worker:
        await worker.acceptance.accept(
            Envelope(ANNA, recipients("greylisted@there.example")), mail(), house.session(anna)
        )

        async def is_deferred() -> bool:
            return [each["last_code"] for each in await house.queued()] == [450]

        await house.until(is_deferred)
        assert not sink.mails
        await house.age(minutes=7)
        await sink.wait_for(1)
        await house.until_empty()


async def test_no_relaying_for_strangers(house: House) -> None:
    await house.account()
    async with house.worker(delivers=False) as worker:
        envelope = Envelope(Address.parse("a@b.example"))
        (asked,) = recipients("c@d.example")
        with pytest.raises(SmtpReply) as refused:
            await worker.acceptance.recipient(envelope, asked, house.session())
        assert (refused.value.code, refused.value.status) == (550, "5.7.1")
