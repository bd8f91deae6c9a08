"""What senders hear: failures, delays and asked-for successes, in their language, once, and never if there is
no one.
"""

from __future__ import annotations

import email
from email.message import Message

from postroad.message.address import Address
from postroad.protocols.smtp.envelope import (
    Envelope,
    EnvelopeRecipient,
    Notify,
    OriginalRecipient,
    Principal,
    Return,
)
from postroad.transport.service import Transport
from tests.sink import Sink
from tests.transport.conftest import House, mail, recipients

ANNA = Address.parse("anna@here.example")


async def send(
    house: House, worker: Transport, anna: Principal, *asked: EnvelopeRecipient, **more: object
) -> None:
    envelope = Envelope(anna.address, asked, **more)  # type: ignore[arg-type]
    await worker.acceptance.accept(envelope, mail("Angebot"), house.session(anna))


def status_of(notice: bytes) -> list[Message]:
    """The blocks of the part for programs: the mail's, then one a recipient (RFC 3464 2.1)."""
    parsed = email.message_from_bytes(notice)
    assert parsed.get_content_type() == "multipart/report"
    (status,) = [part for part in parsed.walk() if part.get_content_type() == "message/delivery-status"]
    blocks = status.get_payload()
    assert isinstance(blocks, list)
    return [block for block in blocks if isinstance(block, Message)]


async def test_a_failure_names_recipient_status_remote_and_reply(house: House, sink: Sink) -> None:
    anna = await house.account(language="zh")
    async with house.worker(sink) as worker:
        asked = EnvelopeRecipient(
            Address.parse("unknown@there.example"), None, OriginalRecipient("rfc822", "first@here.example")
        )
        await send(house, worker, anna, asked, envelope_id="order 7")
        await house.until_empty()
    (notice,) = await house.inbox(anna)
    about, recipient = status_of(notice)
    assert about["Original-Envelope-Id"] == "order 7"
    assert about["Reporting-MTA"] == "dns; mx.here.example"
    assert recipient["Action"] == "failed"
    assert recipient["Status"] == "5.1.1"
    assert recipient["Final-Recipient"] == "rfc822; unknown@there.example"
    assert recipient["Original-Recipient"] == "rfc822; first@here.example"
    assert "User unknown" in recipient["Diagnostic-Code"]
    parsed = email.message_from_bytes(notice)
    assert "退信" in str(email.header.make_header(email.header.decode_header(parsed["Subject"])))
    assert parsed["Auto-Submitted"] == "auto-replied"
    assert parsed["To"] == "anna@here.example"
    assert b"Subject: Angebot" in notice, "the original comes back"


async def test_only_the_header_comes_back_when_that_was_asked_for(house: House, sink: Sink) -> None:
    anna = await house.account()
    async with house.worker(sink) as worker:
        await send(house, worker, anna, *recipients("unknown@there.example"), ret=Return.HEADERS)
        await house.until_empty()
    (notice,) = await house.inbox(anna)
    assert b"text/rfc822-headers" in notice
    assert b"A line." not in notice


async def test_one_notice_for_all_failed_recipients_of_a_mail(house: House, sink: Sink) -> None:
    anna = await house.account()
    async with house.worker(sink) as worker:
        await send(
            house,
            worker,
            anna,
            *recipients("unknown1@there.example", "unknown2@there.example", "ok@there.example"),
        )
        await house.until_empty()
    (notice,) = await house.inbox(anna)
    assert len(status_of(notice)) == 3


async def test_nobody_is_told_who_asked_not_to_be_or_cannot_be(house: House, sink: Sink) -> None:
    anna = await house.account()
    async with house.worker(sink, smtp={"relay_networks": ["192.0.2.0/24"]}) as worker:
        await send(house, worker, anna, *recipients("unknown@there.example", notify=Notify.NEVER))
        await worker.acceptance.accept(
            Envelope(None, recipients("unknown@there.example")), mail(), house.session()
        )
        gone = Address.parse("gone@here.example")
        await worker.acceptance.accept(
            Envelope(gone, recipients("unknown@there.example")), mail(), house.session()
        )
        await house.until_empty()
    assert await house.inbox(anna) == []
    assert sink.mails == []


async def test_a_stranger_s_notice_leaves_with_a_null_sender(house: House, sink: Sink) -> None:
    await house.domain()
    async with house.worker(sink, smtp={"relay_networks": ["192.0.2.0/24"]}) as worker:
        await worker.acceptance.accept(
            Envelope(Address.parse("stranger@else.example"), recipients("unknown@there.example")),
            mail(),
            house.session(),
        )
        await sink.wait_for(1)
        await house.until_empty()
    (notice,) = sink.mails
    assert notice.mail_line.startswith("MAIL FROM:<> ") or notice.mail_line == "MAIL FROM:<>"
    assert notice.recipients == ("stranger@else.example",)


async def test_a_delay_is_told_once_and_the_end_of_it(house: House, sink: Sink) -> None:
    anna = await house.account()
    async with house.worker(sink) as worker:
        await send(house, worker, anna, *recipients("later@there.example"))

        async def attempts(count: int) -> bool:
            return [row["attempts"] for row in await house.queued() if row["lease_owner"] is None] == [count]

        await house.until(lambda: attempts(1))
        assert await house.inbox(anna) == []
        await house.age(hours=4, minutes=10)
        await house.until(lambda: attempts(2))
        (delay,) = await house.inbox(anna)
        await house.age(hours=4, minutes=10)
        await house.until(lambda: attempts(3))
        assert len(await house.inbox(anna)) == 1
        await house.age(days=5)
        await house.until_empty()
    assert status_of(delay)[1]["Action"] == "delayed"
    assert status_of(delay)[1]["Will-Retry-Until"]
    failure = (await house.inbox(anna))[1]
    assert status_of(failure)[1]["Action"] == "failed"
    assert status_of(failure)[1]["Status"] == "4.4.7"
    assert "try again later" in status_of(failure)[1]["Diagnostic-Code"]
    (event,) = await house.events("delivery.failed")
    assert event["has_expired"] is True


async def test_a_delay_is_not_told_to_whom_it_was_not_wanted(house: House, sink: Sink) -> None:
    anna = await house.account()
    async with house.worker(sink) as worker:
        await send(house, worker, anna, *recipients("later@there.example", notify=Notify.FAILURE))
        await house.until(lambda: deferred(house, 1))
        await house.age(hours=5)
        await house.until(lambda: deferred(house, 2))
    assert await house.inbox(anna) == []


async def deferred(house: House, attempts: int) -> bool:
    """Whether the only recipient has been tried so often and waits."""
    return [row["attempts"] for row in await house.queued() if row["lease_owner"] is None] == [attempts]


async def test_success_is_told_when_asked_for(house: House, sink: Sink) -> None:
    """Of what ends here, and of what is handed to a server that will not tell; not of one that will."""
    anna = await house.account()
    await house.account("bert@here.example")
    async with house.worker(sink) as worker:
        await send(
            house,
            worker,
            anna,
            *recipients("bert@here.example", "to@there.example", notify=Notify.SUCCESS),
        )
        await house.until_empty()

        async def both() -> bool:
            return len(await house.inbox(anna)) == 2

        await house.until(both)
        local, relayed = await house.inbox(anna)
        assert status_of(local)[1]["Action"] == "delivered"
        assert status_of(local)[1]["Final-Recipient"] == "rfc822; bert@here.example"
        assert status_of(relayed)[1]["Action"] == "relayed"
        sink.extensions.append("DSN")
        await worker.dispatcher.stop()
    async with house.worker(sink, poll_seconds=0.05) as worker:
        await send(house, worker, anna, *recipients("to@there.example", notify=Notify.SUCCESS))
        await house.until_empty()
    assert len(await house.inbox(anna)) == 2


async def test_lifetime_and_delay_follow_the_settings(house: House, sink: Sink) -> None:
    anna = await house.account()
    async with house.worker(sink, delivery={"lifetime_seconds": 60, "delay_notice_seconds": 30}) as worker:
        await send(house, worker, anna, *recipients("later@there.example"))
        await house.until(lambda: deferred(house, 1))
        await house.age(seconds=61)
        await house.until_empty()
    assert len(await house.inbox(anna)) == 1
