"""Schedules, meanings of replies, trace fields and mended submissions: functions of their arguments."""

from __future__ import annotations

import email
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.message.address import Address
from postroad.protocols.smtp.envelope import Envelope, EnvelopeRecipient, Role, SessionInfo
from postroad.transport.accepting.submission import authors, prepare
from postroad.transport.accepting.trace import (
    count_received,
    format_date,
    header_section,
    marks,
    received,
)
from postroad.transport.delivery.classify import Reason, classify
from postroad.transport.delivery.retry import JITTER, Expired, Retry, Schedule

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
QUEUED = NOW - timedelta(hours=1)


def test_the_first_retry_meets_the_greylisting_window() -> None:
    retry = Schedule().next_attempt(NOW, 1, NOW, 0.0)
    assert retry == Retry(NOW + timedelta(minutes=5))


@given(
    attempts=st.integers(0, 10_000),
    jitter=st.floats(0, 0.999),
    age=st.timedeltas(timedelta(0), timedelta(days=9)),
)
def test_retries_come_in_time_and_end_with_the_lifetime(attempts: int, jitter: float, age: timedelta) -> None:
    schedule = Schedule()
    retry = schedule.next_attempt(NOW - age, attempts, NOW, jitter)
    if isinstance(retry, Expired):
        assert age >= schedule.lifetime
        return
    assert retry.at > NOW
    assert retry.at <= NOW - age + schedule.lifetime
    assert retry.at - NOW <= schedule.longest_delay * (1 + JITTER)


def test_a_mail_is_tried_about_thirty_five_times_in_five_days() -> None:
    schedule, now, attempts = Schedule(), NOW, 0
    while True:
        attempts += 1
        retry = schedule.next_attempt(NOW, attempts, now, 0.5)
        if isinstance(retry, Expired):
            break
        now = retry.at
    assert 25 <= attempts <= 45
    assert now == NOW + schedule.lifetime


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


@given(
    st.datetimes(
        datetime(1900, 1, 1),  # noqa: DTZ001 - the zone is drawn apart
        datetime(2999, 1, 1),  # noqa: DTZ001
        timezones=st.sampled_from([UTC, timezone(timedelta(hours=8))]),
    )
)
def test_dates_are_read_back(moment: datetime) -> None:
    read = email.utils.parsedate_to_datetime(format_date(moment))
    assert read == moment.replace(microsecond=0)


@given(helo=st.text(max_size=300), client=st.sampled_from(["192.0.2.1", "2001:db8::1"]), tls=st.booleans())
def test_whatever_a_client_calls_itself_stays_inside_one_field(helo: str, client: str, tls: bool) -> None:
    session = SessionInfo(
        Role.MX, client, helo, True, "TLSv1.3" if tls else "", "TLS_AES_256_GCM_SHA384" if tls else ""
    )
    field = received(session, Envelope(None), "mx.here.example", "1F", NOW)
    assert header_section(field + b"\r\nbody") == field
    parsed = email.message_from_bytes(field + b"\r\nbody")
    assert parsed.keys() == ["Received"]
    assert not parsed.defects


def test_for_names_a_single_recipient_only() -> None:
    session = SessionInfo(Role.MX, "192.0.2.1", "client", True)
    one = EnvelopeRecipient(Address.parse("a@b.example"))
    assert b"for <a@b.example>;" in received(session, Envelope(None, (one,)), "h", "1", NOW)
    assert b"for" not in received(session, Envelope(None, (one, one)), "h", "1", NOW)


def test_the_trace_is_counted_and_marks_are_read() -> None:
    header = b"Received: a\r\nX: y\r\nreceived: b\r\n c\r\nX-Received: z\r\nDelivered-To: <A@B.example>\r\n"
    assert count_received(header) == 2
    assert marks(header) == {"a@b.example"}
    many = b"".join(b"Delivered-To: a%d\r\n" % number for number in range(1000))
    assert len(marks(many)) == 50


@given(st.binary(max_size=300))
def test_any_bytes_can_be_submitted(content: bytes) -> None:
    prepared = prepare(content, Address.parse("a@b.example"), "mx.example", "u", NOW)
    assert len(prepared) <= len(content) + 300
    authors(prepared)


@given(
    header=st.lists(
        st.sampled_from(
            [b"Bcc: x@y\r\n", b"BCC: a,\r\n b\r\n", b"Resent-Bcc: q\r\n", b"To: t@u\r\n", b"Date: d\r\n",
             b"From: f@g\r\n", b"Message-ID: <m@n>\r\n", b"Subject: Bcc: no\r\n folded\r\n"]
        ),
        max_size=8,
    ),
    body=st.sampled_from([b"", b"text\r\n", b"Bcc: body\r\n"]),
)  # fmt: skip
def test_a_prepared_mail_has_what_it_needs_and_no_bcc(header: list[bytes], body: bytes) -> None:
    content = b"".join(header) + b"\r\n" + body
    parsed = email.message_from_bytes(prepare(content, Address.parse("a@b.example"), "mx.example", "u", NOW))
    assert parsed["Date"] and parsed["From"] and parsed["Message-ID"]
    assert parsed["Bcc"] is None and parsed["Resent-Bcc"] is None
    payload = parsed.get_payload()
    assert isinstance(payload, str) and payload.encode() == body
    kept = [field for field in header if field.lower().startswith((b"to", b"subject"))]
    assert len(parsed.get_all("To", [])) + len(parsed.get_all("Subject", [])) == len(kept)
