"""Aliases and lists are followed to their ends: one copy each, no circles, owners hear of bounces."""

from __future__ import annotations

import pytest

from postroad.message.address import Address
from postroad.protocols.smtp.envelope import Envelope, Notify
from postroad.protocols.smtp.replies import SmtpReply
from postroad.transport.accepting.routing import Router, Routing, Sending
from tests.sink import Sink
from tests.transport.conftest import House, mail, recipients

ANNA = Address.parse("anna@here.example")
STRANGER = Address.parse("stranger@there.example")


async def route(house: House, *addresses: str, notify: Notify | None = None, relay: bool = False) -> Routing:
    return await Router(house.resolver).route(
        recipients(*addresses, notify=notify), Sending(STRANGER, None, may_relay=relay)
    )


def reached(routing: Routing) -> list[str]:
    return sorted(
        [str(each.account.address) for each in routing.locals]
        + [each.recipient.address.key for each in routing.remotes]
    )


async def test_a_person_gets_one_copy_however_many_ways_lead_there(house: House) -> None:
    await house.account()
    await house.alias("a1@here.example", "anna@here.example", "x@there.example")
    await house.alias("a2@here.example", "a1@here.example", "X@THERE.example", "anna+tag@here.example")
    routing = await route(house, "a2@here.example", "a1@here.example", "anna@here.example")
    assert reached(routing) == ["anna@here.example", "x@there.example"]
    assert not routing.refused


async def test_circles_end_and_are_told(house: House) -> None:
    await house.account()
    await house.alias("one@here.example", "two@here.example")
    await house.alias("two@here.example", "one@here.example")
    await house.alias("half@here.example", "one@here.example", "anna@here.example")
    routing = await route(house, "one@here.example")
    assert [each.reply.status for each in routing.refused] == ["5.4.6"]
    routing = await route(house, "half@here.example")
    assert reached(routing) == ["anna@here.example"]
    assert not routing.refused, "somebody was reached"


async def test_a_chain_too_long_ends(house: House) -> None:
    for number in range(25):
        await house.alias(f"a{number}@here.example", f"a{number + 1}@here.example")
    await house.account("a25@here.example")
    assert [each.reply.status for each in (await route(house, "a0@here.example")).refused] == ["5.4.6"]
    assert reached(await route(house, "a15@here.example")) == ["a25@here.example"]


async def test_alias_domains_and_catch_all(house: House) -> None:
    await house.account()
    here = await house.domain()
    await house.database.execute("INSERT INTO domain (name, alias_of) VALUES ('also.example', $1)", here)
    await house.database.execute(
        "INSERT INTO domain (name, catch_all) VALUES ('all.example', 'anna@here.example')"
    )
    assert reached(await route(house, "anna@also.example", "whoever@all.example")) == ["anna@here.example"]


async def test_a_forwarded_mail_that_comes_back_is_stopped(house: House, sink: Sink) -> None:
    """The alias marks what it sends out; when the mark returns, the circle is closed."""
    await house.alias("team@here.example", "outside@there.example")
    async with house.worker(sink) as worker:
        envelope = Envelope(STRANGER, recipients("team@here.example"))
        await worker.acceptance.accept(envelope, mail(), house.session())
        await sink.wait_for(1)
        (sent,) = sink.mails
        assert sent.content.startswith(b"Delivered-To: team@here.example\r\nReceived: ")
        assert sent.sender == "stranger@there.example"
        with pytest.raises(SmtpReply) as refused:
            await worker.acceptance.accept(envelope, sent.content, house.session())
        assert refused.value.status == "5.4.6"
        await house.until_empty()


async def test_notify_travels_with_one_target_and_stops_at_several(house: House) -> None:
    await house.alias("one@here.example", "x@there.example")
    await house.alias("two@here.example", "y@there.example", "z@there.example")
    asked = Notify.SUCCESS | Notify.FAILURE
    routing = await route(house, "one@here.example", "two@here.example", notify=asked)
    by_name = {str(each.recipient.address): each.recipient.notify for each in routing.remotes}
    assert by_name == {
        "x@there.example": asked,
        "y@there.example": Notify.FAILURE,
        "z@there.example": Notify.FAILURE,
    }
    assert [str(each.address) for each in routing.expanded] == ["two@here.example"]


async def test_a_list_sends_on_as_itself(house: House, sink: Sink) -> None:
    anna = await house.account()
    bert = await house.account("bert@here.example")
    await house.distribution_list(
        "all@here.example", "anna@here.example", "bert@here.example", "x@there.example", name='The "lot"'
    )
    async with house.worker(sink) as worker:
        content = mail(more="List-Id: <other.example>\r\nList-Post: NO\r\n")
        await worker.acceptance.accept(
            Envelope(ANNA, recipients("all@here.example", "bert@here.example")), content, house.session(anna)
        )
        await sink.wait_for(1)
        await house.until_empty()
    (outside,) = sink.mails
    assert outside.sender == "all+bounces@here.example"
    (to_anna,) = await house.inbox(anna)
    assert b'List-Id: "The \\"lot\\"" <all.here.example>\r\n' in to_anna
    assert b"List-Post: <mailto:all@here.example>\r\n" in to_anna
    assert b"other.example" not in to_anna
    assert to_anna.startswith(b"Return-Path: <all+bounces@here.example>\r\n")
    (to_bert,) = await house.inbox(bert)
    assert b"List-Post: <mailto" not in to_bert, "addressed in person, he gets the mail itself"


async def test_only_those_who_may_post_do(house: House) -> None:
    anna = await house.account()
    await house.account("bert@here.example")
    await house.distribution_list("members@here.example", "anna@here.example")
    await house.distribution_list("owners@here.example", owners=["bert@here.example"], posting="owners")
    await house.distribution_list("open@here.example", "bert@here.example", posting="anyone")
    async with house.worker(delivers=False) as worker:

        async def status(address: str, sender: Address | None, member: bool) -> str:
            (asked,) = recipients(address)
            try:
                await worker.acceptance.recipient(
                    Envelope(sender), asked, house.session(anna if member else None)
                )
            except SmtpReply as reply:
                return reply.status
            return "ok"

        assert await status("members@here.example", ANNA, True) == "ok"
        assert await status("members@here.example", STRANGER, False) == "5.7.2"
        assert await status("owners@here.example", ANNA, True) == "5.7.2"
        assert await status("open@here.example", STRANGER, False) == "ok"
        assert await status("open@here.example", None, False) == "5.7.2"
        assert await status("open+bounces@here.example", None, False) == "ok"


async def test_bounces_of_a_list_reach_its_owners(house: House, sink: Sink) -> None:
    owner = await house.account("boss@here.example")
    await house.distribution_list(
        "all@here.example", "unknown@there.example", owners=["boss@here.example"], posting="anyone"
    )
    async with house.worker(sink) as worker:
        await worker.acceptance.accept(
            Envelope(STRANGER, recipients("all@here.example")), mail(), house.session()
        )
        await house.until_empty()
    post, notice = await house.inbox(owner)
    assert b"List-Id: <all.here.example>" in post
    assert b"unknown@there.example" in notice and notice.startswith(b"Return-Path: <>\r\n")


async def test_a_list_of_lists(house: House) -> None:
    await house.account()
    await house.account("bert@here.example")
    await house.distribution_list("inner@here.example", "anna@here.example", "outer@here.example")
    await house.distribution_list(
        "outer@here.example", "inner@here.example", "bert@here.example", "gone@here.example", posting="anyone"
    )
    routing = await route(house, "outer@here.example")
    assert {
        post.target.address.local_part: [str(each.account.address) for each in post.locals]
        for post in routing.posts
    } == {"outer": ["bert@here.example"], "inner": ["anna@here.example"]}
    assert not routing.refused, "what fails behind a list is no matter of the author"
