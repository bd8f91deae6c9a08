"""Mail written in this house: sent, filed in Sent, its draft gone; all or nothing."""

from __future__ import annotations

import pytest

from postroad.mailstore.append import Append
from postroad.mailstore.flags import Flag
from postroad.mailstore.folders import Role
from postroad.message.address import Address
from postroad.transport.accepting.plan import DraftEntry
from postroad.transport.accepting.submission import NotSent
from tests.sink import Sink
from tests.transport.conftest import House, mail


async def test_a_sent_mail_lies_in_sent_and_its_draft_is_gone(house: House, sink: Sink) -> None:
    anna = await house.account()
    bert = await house.account("bert@here.example")
    append = Append(house.database, house.messages, house.silence, house.clock)
    draft = await append.put(anna.account_id, Role.DRAFTS, mail("Draft"), Flag.DRAFT)
    async with house.worker(sink) as worker:
        sent = await worker.submission.send(
            anna,
            mail("Done", more="Bcc: <bert@here.example>\r\n"),
            [Address.parse("x@there.example"), Address.parse("bert@here.example")],
            draft=DraftEntry(anna.account_id, draft.folder_id, draft.uid),
        )
        await sink.wait_for(1)
        await house.until_empty()
    (copy,) = await house.inbox(anna, "sent")
    (arrived,) = await house.inbox(bert)
    assert await house.inbox(anna, "drafts") == []
    assert b"Subject: Done" in copy and b"with HTTP id " + sent.id.encode() in copy
    assert b"Bcc" not in arrived and b"Bcc" not in sink.mails[0].content
    row = await house.database.fetchrow(
        "SELECT e.flags, f.unseen_count FROM entry e JOIN folder f ON f.id = e.folder_id "
        "WHERE f.role = 'sent'"
    )
    assert row is not None and row["flags"] == int(Flag.SEEN) and row["unseen_count"] == 0
    assert await house.database.fetchval("SELECT count(*) FROM message WHERE subject = 'Done'") == 1


async def test_one_wrong_recipient_and_nothing_is_sent(house: House, sink: Sink) -> None:
    anna = await house.account()
    bert = await house.account("bert@here.example")
    async with house.worker(sink) as worker:
        with pytest.raises(NotSent) as not_sent:
            await worker.submission.send(
                anna, mail(), [Address.parse("bert@here.example"), Address.parse("nobody@here.example")]
            )
        assert [str(each.recipient.address) for each in not_sent.value.refused] == ["nobody@here.example"]
        assert not_sent.value.reply.status == "5.1.1"
        with pytest.raises(NotSent):
            await worker.submission.send(anna, mail(), [])
        with pytest.raises(NotSent):
            await worker.submission.send(anna, mail(sender="bert@here.example"), [bert.address])
        with pytest.raises(NotSent):
            await worker.submission.send(anna, mail(), [bert.address], sender=bert.address)
    assert await house.inbox(bert) == []
    assert await house.inbox(anna, "sent") == []


async def test_a_draft_that_is_gone_already_is_no_obstacle(house: House) -> None:
    anna = await house.account()
    async with house.worker(delivers=False) as worker:
        await worker.submission.send(
            anna, mail(), [anna.address], saves_to_sent=False, draft=DraftEntry(anna.account_id, 4711, 1)
        )
    assert len(await house.inbox(anna)) == 1
    assert await house.inbox(anna, "sent") == []
