"""What an attempt means for a recipient of the ledger."""

from __future__ import annotations

from datetime import timedelta

import pytest

from postroad.campaigns.results.classify import classify_reply
from postroad.campaigns.sending.verdicts import Verdict, judge, malformed, suppressed, unmade, unsubscribed
from postroad.transport.delivery.judging import Schedule
from postroad.transport.delivery.source import Failure, Result, Taken

SCHEDULE = Schedule(lifetime=timedelta(days=2))


def judged(result: Result, *, age: timedelta = timedelta(0), attempts: int = 1) -> Verdict:
    return judge(result, classify_reply, SCHEDULE, age, attempts, 0.0)


@pytest.mark.parametrize(
    ("result", "state", "failure"),
    [
        (Taken(250, "2.0.0", "Ok", "mx.there", False), 2, 0),
        (Failure(550, "5.1.1", "User unknown", "mx.there"), 3, 1),
        (Failure(552, "5.2.2", "mailbox is full", "mx.there"), 3, 2),
        (Failure(550, "5.7.1", "message content rejected as spam", "mx.there"), 3, 3),
        (Failure(550, "5.1.2", "the domain there does not exist"), 3, 8),
        (Failure(556, "5.1.10", "the domain there accepts no mail (null MX)"), 3, 8),
        (malformed("no address"), 3, 9),
        (suppressed("no such mailbox"), 3, 8),
        (unmade("too much"), 3, 5),
        (unsubscribed(), 4, 0),
    ],
)
def test_what_is_final(result: Result, state: int, failure: int) -> None:
    verdict = judged(result)
    assert (verdict.state, verdict.failure, verdict.after) == (state, failure, None)


@pytest.mark.parametrize(
    "result",
    [
        Failure(451, "4.3.2", "try again later", "mx.there"),
        Failure(452, "4.2.2", "over quota", "mx.there"),
        Failure(451, "4.4.3", "the DNS gave no answer"),
        # QQ's way to say "later" with a code for good.
        Failure(550, "5.0.0", "Ip frequency limited", "mx.there"),
    ],
)
def test_a_later_is_no_failure(result: Result) -> None:
    verdict = judged(result)
    assert (verdict.state, verdict.after) == (0, timedelta(minutes=5))
    assert judged(result, attempts=3).after == timedelta(minutes=20)


@pytest.mark.parametrize(
    ("result", "failure"),
    [
        (Failure(452, "4.2.2", "over quota", "mx.there"), 2),
        (Failure(451, "4.4.1", "no host answers"), 8),
        (Failure(450, "4.2.0", "try again later", "mx.there"), 3),
    ],
)
def test_past_its_lifetime_it_is_what_was_said_last(result: Result, failure: int) -> None:
    verdict = judged(result, age=timedelta(days=2), attempts=20)
    assert (verdict.state, verdict.failure) == (3, failure)


def test_what_a_server_says_can_be_stored() -> None:
    said = judged(Failure(550, "5.1.1", "no\0body \ud800" + "x" * 5000, "mx.there")).reply
    assert said.startswith("5.1.1 nobody ?") and len(said) <= 1000
