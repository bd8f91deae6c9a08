"""Trace fields, and mended submissions: functions of their arguments."""

from __future__ import annotations

import email
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from postroad.message.address import Address
from postroad.message.headers import header_section
from postroad.protocols.smtp.envelope import Envelope, EnvelopeRecipient, Role, SessionInfo
from postroad.transport.accepting.mending import authors, prepare
from postroad.transport.accepting.trace import count_received, format_date, marks, received

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


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
