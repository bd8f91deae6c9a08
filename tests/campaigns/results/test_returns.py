"""Mail that comes back changes the recipient it names, once, and the figures that count him."""

from __future__ import annotations

from datetime import date

import pytest

from postroad.campaigns.errors import BadInput, NotFound
from postroad.campaigns.results.rules import SuppressionRule
from postroad.campaigns.results.words import NOT_EXIST, OVER_QUOTA, USER_REJECT, Rule
from postroad.db.pool import Database
from postroad.message.address import Address
from postroad.transport.accepting.collecting import NewCollected, collect_in
from tests.campaigns.house import House
from tests.campaigns.mailing import Mailing, send_mailing
from tests.campaigns.results.corpus import Sample, corpus

SAMPLES = list(corpus(1))


def sample(kind: str, failure: int = 0, dialect: str = "") -> Sample:
    return next(
        each
        for each in SAMPLES
        if (each.kind, each.failure) == (kind, failure) and (not dialect or each.dialect == dialect)
    )


async def come_back(mailing: Mailing, number: int, *samples: Sample, to: str = "") -> None:
    """These mails arrive at a recipient's envelope sender, and are read."""
    campaigns = mailing.house.campaigns
    verp = (await campaigns.keys.get()).verp
    address = Address.parse(to) if to else verp.address(mailing.email(number), "host.example")
    assert await campaigns.returns.collects(address)
    async with mailing.house.database.transaction() as connection:
        await collect_in(connection, [NewCollected(address, None, each.content) for each in samples])
    await campaigns.returns.run_all()


async def waiting(database: Database) -> int:
    return int(await database.fetchval("SELECT count(*) FROM collected_mail"))


@pytest.fixture(autouse=True)
async def clean(database: Database) -> None:
    """What belongs to no customer."""
    await database.execute("DELETE FROM collected_mail")
    await database.execute("DELETE FROM reply_rule")
    await database.execute("DELETE FROM suppression_rule")
    await database.execute(
        "INSERT INTO suppression_rule (failure, failures, within_days) VALUES (1, 1, 90), (2, 3, 60)"
    )


async def test_a_bounce_changes_its_recipient_and_the_figures_of_the_day_that_counted_him(
    house: House, database: Database
) -> None:
    mailing = await send_mailing(house)
    before = await house.campaigns.figures.by_day(mailing.customer_id, [mailing.run_id])
    assert before[mailing.run_id, date(2026, 3, 2)].delivered == 3
    assert await database.fetchval("SELECT is_counted FROM run WHERE id = $1", mailing.run_id)
    await come_back(mailing, 2, sample("bounce", NOT_EXIST))
    assert await mailing.states() == [(2, 0), (3, NOT_EXIST), (2, 0)]
    assert not await database.fetchval("SELECT is_counted FROM run WHERE id = $1", mailing.run_id)
    figures = await house.campaigns.figures.by_day(mailing.customer_id, [mailing.run_id])
    assert list(figures) == [(mailing.run_id, date(2026, 3, 2))]
    figure = figures[mailing.run_id, date(2026, 3, 2)]
    assert (figure.delivered, figure.failed, figure.sent) == (2, 1, 3)
    assert await waiting(database) == 0


async def test_twice_is_once(house: House, database: Database) -> None:
    mailing = await send_mailing(house)
    await come_back(mailing, 1, sample("bounce", NOT_EXIST), sample("bounce", OVER_QUOTA))
    await come_back(mailing, 1, sample("bounce", USER_REJECT))
    assert (await mailing.states())[0] == (3, NOT_EXIST)


@pytest.mark.parametrize("kind", ["delayed", "auto-reply", "other"])
async def test_what_is_no_bounce_changes_nothing(house: House, database: Database, kind: str) -> None:
    mailing = await send_mailing(house)
    await come_back(mailing, 1, *[each for each in SAMPLES if each.kind == kind])
    assert await mailing.states() == [(2, 0)] * 3
    assert await waiting(database) == 0
    assert await database.fetchval("SELECT count(*) FROM suppression") == 0
    assert await database.fetchval("SELECT count(*) FROM unsubscription") == 0


async def test_a_bounce_that_overtakes_our_own_pen_waits(house: House, database: Database) -> None:
    mailing = await send_mailing(house, state=0)
    await come_back(mailing, 1, sample("bounce", NOT_EXIST))
    assert await mailing.states() == [(0, 0)] * 3
    assert await waiting(database) == 1
    await database.execute(
        "UPDATE recipient SET state = 2, day = '2026-03-02' WHERE run_id = $1", mailing.run_id
    )
    await database.execute("UPDATE collected_mail SET due_at = now()")
    await house.campaigns.returns.run_all()
    assert (await mailing.states())[0] == (3, NOT_EXIST)
    assert await waiting(database) == 0


async def test_a_mailbox_that_does_not_exist_is_suppressed_for_that_customer_alone(
    house: House, database: Database
) -> None:
    mailing = await send_mailing(house)
    other = await send_mailing(house, username="other")
    await come_back(mailing, 1, sample("bounce", NOT_EXIST))
    suppressions = house.campaigns.suppressions
    assert [each.address for each in await suppressions.list(mailing.customer_id)] == ["li@reader.example"]
    assert await suppressions.list(other.customer_id) == []
    await suppressions.remove(mailing.customer_id, "LI@reader.example")
    assert await suppressions.list(mailing.customer_id) == []
    with pytest.raises(NotFound):
        await suppressions.remove(mailing.customer_id, "li@reader.example")


async def test_a_full_mailbox_is_suppressed_after_the_rules_number(house: House, database: Database) -> None:
    for time in (1, 2, 3):
        mailing = await send_mailing(house)
        await come_back(mailing, 1, sample("bounce", OVER_QUOTA))
        found = await house.campaigns.suppressions.list(mailing.customer_id)
        assert len(found) == (time == 3), time


async def test_a_run_that_finished_is_held_against_the_rules_once(house: House, database: Database) -> None:
    await house.campaigns.suppression_rules.set(SuppressionRule(USER_REJECT, 1, 30))
    mailing = await send_mailing(house)
    await database.execute(
        "UPDATE recipient SET state = 3, failure = number WHERE run_id = $1", mailing.run_id
    )
    await database.execute(
        "UPDATE run SET finished_at = now() - interval '1 minute' WHERE id = $1", mailing.run_id
    )
    assert await house.campaigns.suppressions.judge_finished() == 1
    assert await house.campaigns.suppressions.judge_finished() == 0
    found = await house.campaigns.suppressions.list(mailing.customer_id)
    assert [(each.address, each.failure) for each in found] == [
        ("li@reader.example", NOT_EXIST),
        ("zhao@reader.example", USER_REJECT),
    ]


async def test_a_complaint_takes_off_every_list(house: House, database: Database) -> None:
    mailing = await send_mailing(house, lists=("News", "Offers"))
    await come_back(mailing, 3, sample("complaint"))
    rows = await database.fetch("SELECT list_id, address, source FROM unsubscription")
    assert [tuple(row) for row in rows] == [(0, "zhao@reader.example", "complaint")]
    assert await mailing.states() == [(2, 0)] * 3


async def test_a_complaint_to_the_address_for_all_names_its_mail(house: House, database: Database) -> None:
    mailing = await send_mailing(house)
    verp = (await house.campaigns.keys.get()).verp
    local = verp.address(mailing.email(2), "host.example").local_part
    report = sample("complaint")
    named = Sample("", "", report.content.replace(b"b-aaaabbbbccccddddeeeeffff", local.encode()), "", 0)
    await come_back(mailing, 0, report, named, to="complaints@host.example")
    rows = await database.fetch("SELECT address FROM unsubscription")
    assert [row["address"] for row in rows] == ["wang@reader.example"]


async def test_leaving_by_mail(house: House, database: Database) -> None:
    mailing = await send_mailing(house, lists=("News", "Offers"))
    await come_back(mailing, 1, sample("unsubscribe"))
    rows = await database.fetch("SELECT list_id, source FROM unsubscription ORDER BY list_id")
    assert [tuple(row) for row in rows] == [(list_id, "mail") for list_id in mailing.list_ids]


async def test_only_sealed_addresses_of_the_domain_are_ours(house: House) -> None:
    returns, verp = house.campaigns.returns, (await house.campaigns.keys.get()).verp
    made = verp.address(5, "host.example")
    assert await returns.collects(made)
    assert await returns.collects(Address(made.local_part.upper(), "host.example"))
    assert not await returns.collects(Address(made.local_part, "elsewhere.example"))
    for local in ("b-aaaabbbbccccddddeeeeffff", "info", "b-", "complaint", made.local_part[:-1]):
        assert not await returns.collects(Address(local, "host.example"))


async def test_an_administrators_words_come_first(house: House) -> None:
    rules = house.campaigns.reply_rules
    assert (await rules.classifier()).classify_reply(550, None, "the moon is full").failure == NOT_EXIST
    added = await rules.add(Rule("moon*full", OVER_QUOTA))
    verdict = (await rules.classifier()).classify_reply(550, None, "The MOON,\n is full")
    assert (verdict.failure, verdict.by) == (OVER_QUOTA, "moon*full")
    assert [each.id for each in await rules.own()] == [added]
    await rules.remove(added)
    assert (await rules.classifier()).classify_reply(550, None, "the moon is full").failure == NOT_EXIST
    for bad in (Rule("", 1), Rule("*", 1), Rule("a", 1), Rule("x" * 300, 1), Rule("fine", 7)):
        with pytest.raises(BadInput):
            await rules.add(bad)
    with pytest.raises(NotFound):
        await rules.remove(added)


async def test_garbage_holds_nobody_up(house: House, database: Database) -> None:
    mailing = await send_mailing(house)
    bad = [
        Sample("", "", content, "", 0)
        for content in (b"", b"\0" * 100, b"\r\n\r\n", b"Content-Type: multipart/x\r\n\r\n")
    ]
    await come_back(mailing, 1, *bad, sample("bounce", NOT_EXIST))
    assert (await mailing.states())[0] == (3, NOT_EXIST)
    assert await waiting(database) == 0


async def test_keys_change_and_old_mails_still_find_their_way(house: House) -> None:
    keys = house.campaigns.keys
    before = await keys.get()
    token, local = before.tokens.pixel(7, 8), before.verp.address(8, "host.example").local_part
    await keys.rotate()
    after = await keys.get()
    assert after.tokens.pixel(7, 8) != token
    assert after.tokens.read(token) is not None
    assert after.verp.read(local) == 8
