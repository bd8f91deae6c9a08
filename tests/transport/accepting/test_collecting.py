"""Mail that a room above takes for itself: with the 250, beside others, and from the house itself."""

from __future__ import annotations

from datetime import timedelta

from postroad.db.pool import Connection
from postroad.mailstore.verify import verify
from postroad.message.address import Address
from postroad.protocols.smtp.envelope import Envelope, EnvelopeRecipient
from postroad.protocols.smtp.replies import SmtpReply
from postroad.transport.accepting.collecting import (
    MAX_KEPT,
    Collected,
    claim_in,
    put_off_in,
    remove_in,
)
from postroad.transport.accepting.plan import Plan
from postroad.transport.accepting.routing import Refused
from tests.transport.conftest import House, mail, recipients

OURS = "b-something@bounces.example"


class Above:
    """Takes what goes to its domain."""

    async def collects(self, address: Address) -> bool:
        return address.domain == "bounces.example"


async def handed_on(house: House) -> list[Collected]:
    async with house.database.transaction() as connection:
        return await claim_in(connection, 100)


async def test_it_is_taken_whoever_sends_it_and_stands_there_with_the_250(house: House) -> None:
    await house.account()
    async with house.worker(delivers=False, above=Above()) as worker:
        session = house.session()
        await worker.acceptance.recipient(Envelope(None), EnvelopeRecipient(Address.parse(OURS)), session)
        content = mail(to=OURS, more="X-Long: " + "x" * (MAX_KEPT // 100) + "\r\n") + b"y" * MAX_KEPT
        await worker.acceptance.accept(Envelope(None, recipients(OURS)), content, session)
        found = await handed_on(house)
        assert [(each.recipient, each.sender, len(each.content)) for each in found] == [
            (OURS, None, MAX_KEPT)
        ]
        assert content.startswith(found[0].content)
    assert [str(each) async for each in verify(house.database, house.blobs)] == []


async def test_others_of_the_same_mail_get_it_as_ever(house: House) -> None:
    anna = await house.account()
    async with house.worker(delivers=False, above=Above()) as worker:
        envelope = Envelope(Address.parse("x@there.example"), recipients("anna@here.example", OURS))
        await worker.acceptance.accept(envelope, mail(), house.session())
        assert [each.sender for each in await handed_on(house)] == ["x@there.example"]
    assert (
        await house.database.fetchval("SELECT count(*) FROM entry WHERE account_id = $1", anna.account_id)
        == 1
    )


async def test_our_own_notices_come_there_too(house: House) -> None:
    async with house.worker(delivers=False, above=Above()) as worker:
        envelope = Envelope(Address.parse(OURS), recipients("gone@there.example"))
        refused = Refused(envelope.recipients[0], SmtpReply(550, "5.1.1", "no such user"))
        plan = Plan()
        await worker.acceptance._notices.add_refused(plan, envelope, None, mail(), [refused])
        await worker.group.commit(plan)
        (found,) = await handed_on(house)
        assert b"message/delivery-status" in found.content
        assert found.sender is None


async def test_a_mail_is_put_off_or_removed_by_whoever_read_it(house: House) -> None:
    async with house.worker(delivers=False, above=Above()) as worker:
        for _ in range(2):
            await worker.acceptance.accept(Envelope(None, recipients(OURS)), mail(to=OURS), house.session())
        async with house.database.transaction() as connection:
            first, second = await claim_in(connection, 10)
            assert await _others_see(house) == []
            await put_off_in(connection, [first.id], timedelta(minutes=1))
            await remove_in(connection, [second.id])
        assert await handed_on(house) == []
        assert await house.database.fetchval("SELECT array_agg(attempts) FROM collected_mail") == [1]


async def _others_see(house: House) -> list[Collected]:
    async def look(connection: Connection) -> list[Collected]:
        return await claim_in(connection, 10)

    return await house.database.commit(look)
