"""One mail from outside never becomes mail without end: by a large list, by a loop of lists, by bounces."""

from __future__ import annotations

import pytest

from postroad.message.address import Address
from postroad.protocols.smtp.envelope import Envelope
from postroad.protocols.smtp.replies import SmtpReply
from tests.sink import Sink, SinkMail
from tests.transport.conftest import House, mail, recipients

MEMBER = Address.parse("member0@there.example")  # easily guessed, and as easily given as one's own
LIST = "all@here.example"


async def members(house: House, count: int, domain: str = "there.example") -> None:
    await house.distribution_list(LIST, *(f"member{number}@{domain}" for number in range(count)))


async def emptied(house: House) -> None:
    """Take what was queued away: these mails go nowhere."""
    await house.database.execute("DELETE FROM queue_envelope")
    await house.database.execute("DELETE FROM content")


async def test_a_list_passes_on_so_much_of_strangers_an_hour(house: House) -> None:
    await members(house, 40)
    anna = await house.account()
    await house.database.execute(
        "INSERT INTO distribution_list_member (list_id, address, is_owner) "
        "SELECT id, 'anna@here.example', false FROM distribution_list"
    )
    worker = house.worker(delivers=False, smtp={"max_list_copies_per_hour": 100})
    envelope = Envelope(MEMBER, recipients(LIST))
    async with worker:
        for _ in range(2):
            await worker.acceptance.accept(envelope, mail(), house.session())
        with pytest.raises(SmtpReply) as refused:
            await worker.acceptance.accept(envelope, mail(), house.session())
        assert (refused.value.code, refused.value.status) == (450, "4.7.1")
        # Who has signed in is known, and is not counted.
        own = Envelope(Address.parse("anna@here.example"), recipients(LIST))
        await worker.acceptance.accept(own, mail(), house.session(anna))
        await house.database.execute(
            "UPDATE distribution_list_load SET since = since - interval '61 minutes'"
        )
        await worker.acceptance.accept(envelope, mail(), house.session())
        assert await house.database.fetchval("SELECT copies FROM distribution_list_load") == 41
    assert len(await house.queued()) == 4 * 40
    await emptied(house)


async def test_the_first_mail_of_an_hour_passes_however_large_the_list(house: House) -> None:
    await members(house, 30)
    worker = house.worker(delivers=False, smtp={"max_list_copies_per_hour": 10})
    async with worker:
        envelope = Envelope(MEMBER, recipients(LIST))
        await worker.acceptance.accept(envelope, mail(), house.session())
        with pytest.raises(SmtpReply):
            await worker.acceptance.accept(envelope, mail(), house.session())
    await emptied(house)


async def test_ten_thousand_members_are_one_content(house: House) -> None:
    await house.distribution_list(LIST, "member0@there.example")
    await house.database.execute(
        "INSERT INTO distribution_list_member (list_id, address, is_owner) "
        "SELECT id, 'm' || n || '@there.example', false FROM distribution_list, generate_series(1, 9999) n"
    )
    async with house.worker(delivers=False) as worker:
        large = mail() + b"x" * 70 + b"\r\n" * 100_000
        await worker.acceptance.accept(Envelope(MEMBER, recipients(LIST)), large, house.session())
        # A bounce of any of them goes to the owners, never to the list; without owners nobody hears of it.
        bounce = Envelope(None, recipients("all+bounces@here.example"))
        await worker.acceptance.accept(bounce, mail(), house.session())
        with pytest.raises(SmtpReply) as refused:
            await worker.acceptance.accept(Envelope(None, recipients(LIST)), mail(), house.session())
        assert refused.value.code == 550
    assert await house.database.fetchval("SELECT count(*) FROM queue_recipient") == 10_000
    assert await house.database.fetchval("SELECT count(*) FROM content WHERE length(body) > 100000") <= 1
    await emptied(house)


@pytest.mark.timeout(120)
async def test_lists_of_two_houses_that_are_members_of_each_other_come_to_rest(
    house: House, sink: Sink
) -> None:
    """The other house sends what it gets back to our list, with its own fields in front."""
    await house.distribution_list(LIST, "theirs@there.example", "member0@there.example", posting="anyone")
    returned: list[bytes] = []

    def send_back(arrived: SinkMail) -> None:
        if "theirs@there.example" in arrived.recipients:
            returned.append(
                b"Received: from here by there; Fri, 02 Jan 2026 03:04:05 +0000\r\n" + arrived.content
            )

    sink.on_mail = send_back
    async with house.worker(sink) as worker:
        taken = refused = 0
        await worker.acceptance.accept(Envelope(MEMBER, recipients(LIST)), mail(), house.session())
        while refused == 0:
            await house.until_empty()
            again, returned = returned, []
            sink.on_mail = send_back
            for content in again:
                try:
                    back = Envelope(Address.parse("theirs-bounces@there.example"), recipients(LIST))
                    await worker.acceptance.accept(back, content, house.session())
                    taken += 1
                except SmtpReply as reply:
                    assert reply.status == "5.4.6"
                    refused += 1
        assert taken == 0  # our own mark is in it


@pytest.mark.timeout(120)
async def test_a_loop_that_loses_our_mark_ends_by_its_length(house: House, sink: Sink) -> None:
    await house.alias("round@here.example", "back@there.example")
    stripped: list[bytes] = []

    def strip(arrived: SinkMail) -> None:
        lines = [
            line for line in arrived.content.split(b"\r\n") if not line.lower().startswith(b"delivered-to:")
        ]
        stripped.append(
            b"Received: from here by there; Fri, 02 Jan 2026 03:04:05 +0000\r\n" + b"\r\n".join(lines)
        )

    sink.on_mail = strip
    content = mail()
    rounds = 0
    async with house.worker(sink) as worker:
        while True:
            try:
                envelope = Envelope(MEMBER, recipients("round@here.example"))
                await worker.acceptance.accept(envelope, content, house.session())
            except SmtpReply as reply:
                assert reply.status == "5.4.6"
                break
            rounds += 1
            await house.until_empty()
            content = stripped.pop()
            assert rounds < 100
    assert rounds > 5


async def test_a_bounce_that_cannot_be_delivered_ends(house: House, sink: Sink) -> None:
    """Both the recipient and the sender are unknown where they should be: one notice tried, none about it."""
    async with house.worker(sink, smtp={"relay_networks": ["192.0.2.0/24"]}) as worker:
        envelope = Envelope(Address.parse("unknown1@there.example"), recipients("unknown2@there.example"))
        content = mail(sender="unknown1@there.example", to="unknown2@there.example")
        await worker.acceptance.accept(envelope, content, house.session())
        await house.until_empty()
    assert sink.mails == []
    asked = [line for line in sink.lines if line.startswith("MAIL FROM:<")]
    assert [line.partition(">")[0] for line in asked] == ["MAIL FROM:<unknown1@there.example", "MAIL FROM:<"]
