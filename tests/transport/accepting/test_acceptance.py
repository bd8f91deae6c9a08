"""Who may send what to whom, and what a mail looks like when it was taken."""

from __future__ import annotations

import inspect

import pytest

from postroad.db.group_commit import CommitFailed
from postroad.listeners.interfaces import Acceptor
from postroad.mailstore.errors import BlobsFull
from postroad.message.address import Address
from postroad.protocols.smtp.envelope import Envelope, EnvelopeRecipient, SessionInfo
from postroad.protocols.smtp.replies import SmtpReply
from postroad.transport.service import Transport
from tests.sink import Sink
from tests.transport.conftest import House, mail, recipients

ANNA = Address.parse("anna@here.example")
STRANGER = Address.parse("stranger@there.example")


async def refusal_of_recipient(
    worker: Transport, address: str, session: SessionInfo, sender: Address | None = STRANGER, size: int = 0
) -> SmtpReply | None:
    try:
        envelope = Envelope(sender, size_bytes=size)
        await worker.acceptance.recipient(envelope, EnvelopeRecipient(Address.parse(address)), session)
    except SmtpReply as reply:
        return reply
    return None


async def refusal_of_mail(
    worker: Transport, sender: Address | None, content: bytes, session: SessionInfo, *to: str
) -> SmtpReply | None:
    try:
        await worker.acceptance.accept(Envelope(sender, recipients(*to)), content, session)
    except SmtpReply as reply:
        return reply
    return None


async def test_recipients_are_judged_when_they_are_named(house: House) -> None:
    anna = await house.account()
    await house.account("closed@here.example", is_disabled=True)
    await house.account("small@here.example", quota_bytes=1000)
    await house.alias("sales@here.example", "anna@here.example", "someone@there.example")
    await house.alias("dead@here.example", "gone@here.example")
    async with house.worker(delivers=False) as worker:
        stranger, member = house.session(), house.session(anna)
        for address, code, status in (
            ("anna@here.example", 0, ""),
            ("ANNA+news@HERE.example", 0, ""),
            ("sales@here.example", 0, ""),
            ("nobody@here.example", 550, "5.1.1"),
            ("dead@here.example", 550, "5.1.1"),
            ("closed@here.example", 550, "5.2.1"),
            ("small@here.example", 452, "4.2.2"),
            ("x@elsewhere.example", 550, "5.7.1"),
            ("x@[192.0.2.1]", 550, "5.7.1"),
        ):
            reply = await refusal_of_recipient(worker, address, stranger, size=2000)
            assert (reply.code, reply.status) == (code, status) if reply else code == 0, address
        assert await refusal_of_recipient(worker, "x@elsewhere.example", member) is None


async def test_an_account_sends_as_itself_and_its_aliases_only(house: House) -> None:
    anna = await house.account()
    await house.account("bert@here.example")
    await house.alias("sales@here.example", "anna@here.example")
    async with house.worker(delivers=False) as worker:
        session = house.session(anna)
        for text in ("anna@here.example", "Anna+tag@here.example", "sales@here.example"):
            await worker.acceptance.sender(Envelope(Address.parse(text)), session)
        await worker.acceptance.sender(Envelope(None), session)
        for text in ("bert@here.example", "anna@there.example"):
            with pytest.raises(SmtpReply) as refused:
                await worker.acceptance.sender(Envelope(Address.parse(text)), session)
            assert (refused.value.code, refused.value.status) == (553, "5.7.1")
        forged = mail(sender="bert@here.example")
        reply = await refusal_of_mail(worker, ANNA, forged, session, "bert@here.example")
        assert reply is not None and reply.status == "5.7.1"
        two = b"From: <anna@here.example>\r\n" + mail()
        reply = await refusal_of_mail(worker, ANNA, two, session, "bert@here.example")
        assert reply is not None and reply.status == "5.6.0"


async def test_relaying_from_trusted_networks_without_signing_in(house: House) -> None:
    await house.domain()
    async with house.worker(
        delivers=False, smtp={"relay_networks": ["192.0.2.0/24", "2001:db8::/32"]}
    ) as worker:
        for client in ("192.0.2.77", "::ffff:192.0.2.77", "2001:db8::1"):
            assert await refusal_of_recipient(worker, "x@y.example", house.session(client=client)) is None
        for client in ("198.51.100.1", "2001:db9::1"):
            assert await refusal_of_recipient(worker, "x@y.example", house.session(client=client))


async def test_a_submission_is_mended_and_loses_its_bcc(house: House, sink: Sink) -> None:
    anna = await house.account()
    content = (
        b"To: <b@there.example>\r\nBcc: <secret@there.example>,\r\n <more@there.example>\r\n"
        b"Subject: x\r\n\r\nBcc: stays here\r\n"
    )
    async with house.worker(sink) as worker:
        await worker.acceptance.accept(
            Envelope(ANNA, recipients("b@there.example")), content, house.session(anna)
        )
        await sink.wait_for(1)
    (arrived,) = sink.mails
    header, _, body = arrived.content.partition(b"\r\n\r\n")
    assert b"secret" not in header and b"more@" not in header
    assert body == b"Bcc: stays here\r\n"
    assert b"From: anna@here.example\r\n" in header + b"\r\n"
    assert header.count(b"\r\nMessage-ID: <") == 1
    assert header.count(b"\r\nDate: ") == 1


async def test_a_stranger_s_mail_is_left_as_it_is(house: House) -> None:
    anna = await house.account()
    async with house.worker(delivers=False) as worker:
        await worker.acceptance.accept(
            Envelope(STRANGER, recipients("anna@here.example")), b"no header at all\r\n", house.session()
        )
        await worker.acceptance.accept(
            Envelope(None, recipients("anna@here.example")), b"Bcc: x\r\n\r\nbody\r\n", house.session()
        )
    first, second = await house.inbox(anna)
    assert first.endswith(b"\r\n\r\nno header at all\r\n")
    assert second.endswith(b"\r\nBcc: x\r\n\r\nbody\r\n")
    assert second.startswith(b"Return-Path: <>\r\n")


async def test_a_mail_that_went_through_too_many_hosts_is_refused(house: House) -> None:
    await house.account()
    async with house.worker(delivers=False) as worker:
        content = b"Received: from a by b; date\r\n" * 51 + mail()
        reply = await refusal_of_mail(worker, STRANGER, content, house.session(), "anna@here.example")
        assert reply is not None and (reply.code, reply.status) == (554, "5.4.6")


async def test_mail_for_several_with_one_full_mailbox_reaches_the_others(house: House) -> None:
    anna = await house.account()
    bert = await house.account("bert@here.example")
    small = await house.account("small@here.example", quota_bytes=100)
    async with house.worker(delivers=False) as worker:
        await worker.acceptance.accept(
            Envelope(ANNA, recipients("bert@here.example", "small@here.example")), mail(), house.session(anna)
        )
        reply = await refusal_of_mail(worker, ANNA, mail(), house.session(anna), "small@here.example")
        assert reply is not None and reply.status == "4.2.2"
    assert len(await house.inbox(bert)) == 1
    assert await house.inbox(small) == []
    (notice,) = await house.inbox(anna)
    assert b"small@here.example" in notice and b"Status: 5.2.2" in notice


async def test_a_stopped_database_is_a_temporary_failure(house: House) -> None:
    anna = await house.account()
    async with house.worker(delivers=False) as worker:
        await house.resolver.resolve(ANNA)
        pool = house.database._pool
        house.database._pool = None
        try:
            reply = await refusal_of_mail(worker, ANNA, mail(), house.session(anna), "anna@here.example")
            assert reply is not None and (reply.code, reply.status) == (451, "4.3.0")
            found = await refusal_of_recipient(worker, "anna@here.example", house.session())
            assert found is not None and found.code == 451
        finally:
            house.database._pool = pool


async def test_large_mails_rest_in_the_blob_store_and_leave_it_whole(house: House, sink: Sink) -> None:
    anna = await house.account()
    content = mail() + b"0123456789abcde\r\n" * 20_000
    async with house.worker(sink) as worker:
        await worker.acceptance.accept(
            Envelope(ANNA, recipients("b@there.example", "anna@here.example")), content, house.session(anna)
        )
        await sink.wait_for(1)
        await house.until_empty()
    assert sink.mails[0].content.endswith(content)
    assert await house.database.fetchval("SELECT count(blob) FROM content") == 1


async def nothing_is_stored(house: House) -> bool:
    """Whether no trace of a mail is left anywhere."""
    counts = [
        await house.database.fetchval(f"SELECT count(*) FROM {table}")
        for table in ("content", "message", "queue_envelope", "queue_recipient", "entry", "event")
    ]
    return counts == [0] * 6


async def test_a_mail_that_nobody_can_have_leaves_no_trace(house: House) -> None:
    anna = await house.account(quota_bytes=100)
    async with house.worker(delivers=False) as worker:
        await refusal_of_mail(worker, STRANGER, mail(), house.session(), "anna@here.example")
        reply = await refusal_of_mail(
            worker, STRANGER, mail(), house.session(), "nobody@here.example", "x@there.example"
        )
        assert reply is not None and (reply.code, reply.status) == (550, "5.1.1"), "the first reason is told"
    assert await nothing_is_stored(house)
    assert await house.inbox(anna) == []


async def test_a_full_blob_store_is_said_as_such(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await house.account()

    async def full(_body: bytes) -> str:
        raise BlobsFull("no space left on device")

    monkeypatch.setattr(house.blobs, "put", full)
    async with house.worker(delivers=False) as worker:
        large = mail() + b"0123456789abcde\r\n" * 20_000
        reply = await refusal_of_mail(worker, STRANGER, large, house.session(), "anna@here.example")
        assert reply is not None and (reply.code, reply.status) == (452, "4.3.1")
        assert await nothing_is_stored(house)
        assert await refusal_of_mail(worker, STRANGER, mail(), house.session(), "anna@here.example") is None


async def test_a_mail_whose_commit_fails_keeps_no_room_of_delivery(house: House, sink: Sink) -> None:
    anna = await house.account()
    async with house.worker(sink) as worker:

        async def may_begin() -> bool:
            return worker.dispatcher._intake.may_begin

        async def fail(_plan: object) -> None:
            assert worker.dispatcher.in_flight == 2, "room is kept before the commit"
            raise CommitFailed("the database did not write in time")

        await house.until(may_begin)
        worker.group.commit, commit = fail, worker.group.commit  # type: ignore[method-assign, assignment]
        to = ("b@there.example", "c@there.example")
        reply = await refusal_of_mail(worker, ANNA, mail(), house.session(anna), *to)
        assert reply is not None and (reply.code, reply.status) == (451, "4.3.0")
        assert worker.dispatcher.in_flight == 0
        worker.group.commit = commit  # type: ignore[method-assign]
        assert await refusal_of_mail(worker, ANNA, mail(), house.session(anna), *to) is None
        await sink.wait_for(2)
        await house.until_empty()
    assert sorted(sink.recipients) == sorted(to)


async def test_the_listeners_get_what_they_ask_for(house: House) -> None:
    """Every method of their `Acceptor`, with the parameters they call it by."""
    async with house.worker(delivers=False) as worker:
        acceptor: Acceptor = worker.acceptance
        for name in ("sender", "recipient", "accept"):
            asked = list(inspect.signature(getattr(Acceptor, name)).parameters)[1:]
            assert list(inspect.signature(getattr(acceptor, name)).parameters) == asked
