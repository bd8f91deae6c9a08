"""Schedules and meanings of replies: functions of their arguments."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.transport.delivery.classify import Reason, classify
from postroad.transport.delivery.judging import Later, Over, Schedule
from postroad.transport.delivery.source import Failure


def test_the_first_retry_meets_the_greylisting_window() -> None:
    retry = Schedule().next_attempt(timedelta(0), 1, 0.0)
    assert retry == Later(timedelta(minutes=5))


@given(
    attempts=st.integers(0, 10_000),
    jitter=st.floats(0, 0.999),
    age=st.timedeltas(timedelta(0), timedelta(days=9)),
)
def test_retries_come_in_time_and_end_with_the_lifetime(attempts: int, jitter: float, age: timedelta) -> None:
    schedule = Schedule()
    retry = schedule.next_attempt(age, attempts, jitter)
    if isinstance(retry, Over):
        assert retry.has_expired and age >= schedule.lifetime
        return
    assert timedelta(0) < retry.after <= schedule.longest_wait
    assert age + retry.after <= schedule.lifetime


def test_a_lasting_refusal_is_over_at_once_and_a_passing_one_is_not() -> None:
    assert Schedule().judge(Failure(550, "5.1.1", "no"), timedelta(0), 1, 0.0) == Over(has_expired=False)
    assert isinstance(Schedule().judge(Failure(450, "4.2.0", "later"), timedelta(0), 1, 0.0), Later)
    late = Schedule().judge(Failure(450, "4.2.0", "later"), timedelta(days=5), 9, 0.0)
    assert late == Over(has_expired=True)


def test_a_mail_is_tried_about_thirty_five_times_in_five_days() -> None:
    schedule, age, attempts = Schedule(), timedelta(0), 0
    while True:
        attempts += 1
        retry = schedule.next_attempt(age, attempts, 0.5)
        if isinstance(retry, Over):
            break
        age += retry.after
    assert 25 <= attempts <= 45
    assert age == schedule.lifetime


@pytest.mark.parametrize(
    ("code", "status", "text", "reason"),
    [
        (550, "5.1.1", "User unknown", Reason.NO_MAILBOX),
        (550, "", "Mailbox not found", Reason.NO_MAILBOX),
        (550, "5.7.1", "no such user here", Reason.NO_MAILBOX),
        (550, "", "收件人不存在", Reason.NO_MAILBOX),
        (452, "4.2.2", "The recipient's inbox is over quota", Reason.OVER_QUOTA),
        (552, "5.2.2", "mailbox full", Reason.OVER_QUOTA),
        (452, "4.5.3", "Too many recipients", Reason.TEMPORARY),
        (554, "5.7.1", "[DT:SPM] 163 smtp13", Reason.SPAM),
        (550, "5.7.1", "blocked using zen.spamhaus.org", Reason.SPAM),
        (550, "", "可能是垃圾邮件", Reason.SPAM),
        (451, "4.7.1", "Greylisted, try again later", Reason.TEMPORARY),
        (450, "", "Mailbox unavailable", Reason.TEMPORARY),
        (421, "", "", Reason.TEMPORARY),
        (0, "", "connection timed out", Reason.TEMPORARY),
        (550, "5.7.26", "This mail has been blocked because the sender is unauthenticated", Reason.REFUSED),
        (550, "5.7.1", "rejected by policy", Reason.REFUSED),
        (554, "5.7.1", "Relay access denied", Reason.INVALID_DOMAIN),
        (550, "5.1.2", "", Reason.INVALID_DOMAIN),
        (556, "5.1.10", "", Reason.INVALID_DOMAIN),
        (501, "", "Syntax error", Reason.MALFORMED),
        (550, "5.6.7", "", Reason.MALFORMED),
        (550, "", "", Reason.NO_MAILBOX),
        (599, "", "", Reason.REFUSED),
    ],
)
def test_what_replies_mean(code: int, status: str, text: str, reason: Reason) -> None:
    assert classify(code, status, text) is reason


@given(st.integers(0, 599), st.text(max_size=10), st.text(max_size=3000))
def test_every_reply_means_something(code: int, status: str, text: str) -> None:
    assert isinstance(classify(code, status, text), Reason)
