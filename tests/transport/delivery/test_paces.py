"""Receivers that ask for less get less, from all workers, and slowly more again."""

from __future__ import annotations

import pytest

from postroad.config import ShapingRule
from postroad.db.pool import Database
from postroad.db.tasks import TaskSupervisor
from postroad.transport.delivery.paces import SLOWEST, Paces, asks_for_less
from postroad.transport.delivery.receivers import BUILT_IN, with_built_in
from postroad.transport.delivery.shaping import Shaping, SiteLimits
from postroad.transport.delivery.sites import Sites
from postroad.transport.delivery.source import Failure, Taken

MX = "mx.there"
BUSY = Failure(421, "4.7.0", "too many messages, slow down", MX)
OK = Taken(250, "2.0.0", "Ok", MX, False)


@pytest.mark.parametrize(
    "failure",
    [
        BUSY,
        Failure(450, "4.7.28", "our system has detected an unusual rate of mail", MX),
        Failure(451, "4.7.650", "The mail server has been temporarily rate limited", MX),
        Failure(550, "5.0.0", "Ip frequency limited. http://service.mail.qq.com/", MX),
        Failure(554, "5.0.0", "发送过于频繁，请稍后再试", MX),
        Failure(450, "4.0.0", "Requested mail action not taken: too much mail", MX),
    ],
)
def test_what_asks_for_less(failure: Failure) -> None:
    assert asks_for_less(failure)


@pytest.mark.parametrize(
    "failure",
    [
        Failure(450, "4.7.1", "Greylisted, please try again in 5 minutes", MX),
        Failure(452, "4.2.2", "The mailbox exceeds its limit", MX),
        Failure(550, "5.1.1", "User unknown", MX),
        Failure(451, "4.3.2", "Please try again later", MX),
        Failure(421, "4.4.2", "no answer"),  # nobody said it
    ],
)
def test_what_does_not(failure: Failure) -> None:
    assert not asks_for_less(failure)


class Learning:
    """Paces whose task does not run: the test looks."""

    def __init__(self, database: Database, workers: int = 2) -> None:
        self.told: list[dict[str, int]] = []
        self.now = 1000.0
        self.paces = Paces(
            database,
            TaskSupervisor(),
            lambda paces: self.told.append(dict(paces)),
            lambda: workers,
            lambda: self.now,
        )


def limits(bucket: str, rate: int | None = None) -> SiteLimits:
    return SiteLimits(bucket, bucket, 10, 100, rate)


async def test_a_rate_is_halved_once_and_comes_back_slowly(database: Database) -> None:
    one, other = Learning(database), Learning(database)
    site = limits("mx.there")
    for _ in range(300):
        one.paces.learn(site, (OK,))
    for _ in range(50):  # as many mails as were on the wire
        one.paces.learn(site, (BUSY,))
    await one.paces._look()
    await other.paces._look()
    assert one.told == other.told == [{"mx.there": 301}], "half of what two workers sent in the minute"
    one.paces.learn(site, (BUSY,))
    await one.paces._look()
    assert len(one.told) == 1, "within a minute it is the same request"
    await database.execute("UPDATE delivery_pace SET lowered_at = now() - interval '61 seconds'")
    one.paces.learn(site, (BUSY,))
    await one.paces._look()
    assert one.told[-1] == {"mx.there": 150}
    await database.execute("UPDATE delivery_pace SET changed_at = now() - interval '6 minutes'")
    await other.paces._look()
    await one.paces._look()
    assert one.told[-1] == other.told[-1] == {"mx.there": 188}, "raised once, for all"
    await database.execute(
        "UPDATE delivery_pace SET mails_per_minute = 5000, changed_at = now() - interval '6 minutes'"
    )
    await one.paces._look()
    assert one.told[-1] == {}, "and forgotten when it limits nobody"


async def test_few_mails_say_nothing_of_a_rate(database: Database) -> None:
    one = Learning(database)
    for _ in range(10):
        one.paces.learn(limits("few.there"), (BUSY,))
    await one.paces._look()
    assert one.told == []


async def test_no_pace_is_below_the_slowest(database: Database) -> None:
    one = Learning(database, workers=1)
    for _ in range(25):
        one.paces.learn(limits("slow.there", 12), (BUSY,))
    await one.paces._look()
    assert one.told == [{"slow.there": SLOWEST}]


def test_a_site_keeps_to_its_pace_and_goes_back_to_its_rule() -> None:
    made: list[str] = []

    class Told:
        opens_at = 0.0

        def __init__(self, limits: SiteLimits) -> None:
            self.limits = limits

        def change(self, limits: SiteLimits) -> None:
            self.limits = limits

    def allow(site: object) -> Told:
        made.append("allowance")
        return Told(site.limits)  # type: ignore[attr-defined]

    shaping = Shaping(
        [ShapingRule(name="there", hosts=("*.there",), mails_per_minute=600)],
        connections=10,
        mails_per_connection=100,
    )
    sites = Sites(shaping, lambda: 0.0, allow)  # type: ignore[arg-type]
    free, ruled = sites.site("mx.free"), sites.site("mx.there")
    assert (free.limits.mails_per_minute, ruled.limits.mails_per_minute) == (None, 600)
    assert sites.pace({"mx.free": 60, ruled.limits.bucket: 900}) == [free], "a pace never raises a rule"
    assert free.limits.mails_per_minute == 60 and made == ["allowance", "allowance"]
    assert sites.pace({"mx.free": 75}) == [free]
    assert sites.pace({}) == [free]
    assert sites.site("mx.free").limits == SiteLimits("mx.free", "mx.free", 10, 100)
    sites.pace({"mx.new": 30})
    assert sites.site("mx.new").limits.mails_per_minute == 30


def test_rules_of_the_settings_go_before_those_that_are_built_in() -> None:
    own = ShapingRule(name="qq", hosts=("*.qq.com",), mails_per_minute=5)
    rules = with_built_in([own])
    assert rules[0] is own and [rule.name for rule in rules].count("qq") == 1
    assert len(rules) == len(BUILT_IN)
    shaping = Shaping(with_built_in([]), connections=10, mails_per_connection=1000)
    for site, bucket in (
        ("mx1.qq.com mx2.qq.com mx3.qq.com", "qq"),
        ("163mx01.mxmail.netease.com 163mx02.mxmail.netease.com", "netease"),
        ("gmail-smtp-in.l.google.com", "google"),
        ("aspmx.l.google.com", "google"),
        ("outlook-com.olc.protection.outlook.com", "microsoft"),
        ("mta5.am0.yahoodns.net mta6.am0.yahoodns.net", "yahoo"),
        ("freemx1.sinamail.sina.com.cn", "sina"),
    ):
        assert shaping.limits(site).bucket == bucket
    assert shaping.limits("mx.example.com").mails_per_minute is None
