"""Delivery notices: read back by an independent parser, in both languages, bounded."""

from __future__ import annotations

import email
import email.policy
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.message.headers import Mailbox
from postroad.message.notices import (
    MAX_READABLE,
    MAX_RETURNED,
    Occasion,
    RecipientReport,
    delay_notice,
    failure_notice,
    success_notice,
)
from postroad.message.scan import scan
from postroad.message.summary import summarise
from postroad.message.text import readable_text
from tests.message.mails import MAILS

NOW = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)
DAEMON = Mailbox("Mail Delivery System", "MAILER-DAEMON@mail.example.com")
GONE = RecipientReport(
    "nobody@example.net",
    "5.1.1",
    "550 5.1.1 <nobody@example.net>: User unknown",
    "mx.example.net",
    "rfc822;alias@example.net",
    NOW,
)


def occasion(original: bytes = MAILS["plain-utf8"], **more: object) -> Occasion:
    given: dict[str, object] = {"envelope_id": "QQ314159", **more}
    return Occasion("mail.example.com", DAEMON, "li@example.com", original, NOW - timedelta(days=1), **given)  # type: ignore[arg-type]


def failure(mail: Occasion, *recipients: RecipientReport) -> bytes:
    return failure_notice(mail, recipients or (GONE,), now=NOW, message_id="n1@mail.example.com")


def parsed(content: bytes) -> EmailMessage:
    assert content.count(b"\n") == content.count(b"\r\n") == content.count(b"\r")
    assert max(map(len, content.split(b"\r\n"))) <= 998
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    assert message["auto-submitted"] == "auto-replied"
    return message


def status_blocks(message: EmailMessage) -> list[dict[str, str]]:
    """The groups of fields of the status part, as the standard library cuts them."""
    payload = list(message.iter_parts())[1].get_payload()
    assert isinstance(payload, list)
    return [dict(block.items()) for block in payload if isinstance(block, EmailMessage)]


def test_a_failure_has_every_field() -> None:
    message = parsed(failure(occasion()))
    assert message["to"] == "li@example.com"
    assert message["subject"] == "退信：会议通知"
    assert message["references"] == "<mail.2@example.com>"
    blocks = status_blocks(message)
    assert blocks[0] == {
        "Original-Envelope-Id": "QQ314159",
        "Reporting-MTA": "dns; mail.example.com",
        "Arrival-Date": "Mon, 02 Mar 2026 12:00:00 +0000",
    }
    assert blocks[1] == {
        "Original-Recipient": "rfc822; alias@example.net",
        "Final-Recipient": "rfc822; nobody@example.net",
        "Action": "failed",
        "Status": "5.1.1",
        "Remote-MTA": "dns; mx.example.net",
        "Diagnostic-Code": "smtp; 550 5.1.1 <nobody@example.net>: User unknown",
        "Last-Attempt-Date": "Tue, 03 Mar 2026 12:00:00 +0000",
    }


def test_people_read_both_languages_theirs_first() -> None:
    for language, first in (("zh", "您的邮件"), ("en", "Your mail")):
        content = failure(occasion(language=language))
        text = readable_text(content, scan(content), 5000)
        assert text.startswith(first)
        assert "收件人地址不存在" in text
        assert "The address does not exist" in text
        assert "mx.example.net: 550 5.1.1 <nobody@example.net>: User unknown" in text
    assert summarise(failure(occasion(MAILS["plain-ascii"]))).subject == "Undelivered mail: Hello"


def test_the_original_is_returned_whole_when_it_is_small_and_was_asked_for() -> None:
    content = failure(occasion())
    returned = scan(content).children[2]
    assert returned.media_type == "message/rfc822"
    assert content[returned.body_start : returned.body_end] == MAILS["plain-utf8"]
    for mail in (
        occasion(returns_content=False),
        occasion(MAILS["plain-utf8"] + b"x\r\n" * MAX_RETURNED),
        occasion(MAILS["long-lines"]),
    ):
        returned = scan(failure(mail)).children[2]
        assert returned.media_type == "text/rfc822-headers"
        assert returned.size_bytes < MAX_RETURNED
    header = scan(failure(occasion(returns_content=False)))
    assert "Bcc" not in repr(header)


def test_delay_and_success() -> None:
    until = NOW + timedelta(days=4)
    delayed = parsed(
        delay_notice(
            occasion(), [RecipientReport("a@b.cn", "4.4.1")], now=NOW, message_id="n@x", retry_until=until
        )
    )
    block = status_blocks(delayed)[1]
    assert (block["Action"], block["Will-Retry-Until"]) == ("delayed", "Sat, 07 Mar 2026 12:00:00 +0000")
    assert [part.get_content_type() for part in delayed.iter_parts()][2] == "text/rfc822-headers"
    done = parsed(
        success_notice(
            occasion(),
            [RecipientReport("a@b.cn", "2.1.5"), RecipientReport("c@d.cn", "2.1.9", is_relayed=True)],
            now=NOW,
            message_id="n@x",
        )
    )
    assert [block["Action"] for block in status_blocks(done)[1:]] == ["delivered", "relayed"]


def test_addresses_beyond_ascii_have_their_own_form() -> None:
    content = failure(occasion(), RecipientReport("李四@xn--fsqu00a.cn", "5.1.1", "550 没有此人"))
    root = scan(content)
    status = root.children[1]
    assert status.media_type == "message/global-delivery-status"
    assert status.encoding == "8bit"
    body = content[status.body_start : status.body_end].decode()
    assert "Final-Recipient: utf-8; 李四@xn--fsqu00a.cn\r\n" in body
    assert "Diagnostic-Code: smtp; 550 ????" in body
    raw = failure(occasion(MAILS["unlabelled-utf8"]))
    assert scan(raw).children[2].media_type == "message/global"


def test_many_recipients_are_all_told_to_programs_and_some_to_people() -> None:
    recipients = [
        RecipientReport(f"user{number}@example.net", "5.2.2") for number in range(MAX_READABLE + 50)
    ]
    content = failure(occasion(), *recipients)
    assert content.count(b"Final-Recipient:") == MAX_READABLE + 50
    text = readable_text(content, scan(content), 100_000)
    assert text.count("user") == 2 * MAX_READABLE
    assert "and 50 more" in text


@pytest.mark.parametrize("name", sorted(MAILS))
def test_every_mail_can_be_returned(name: str) -> None:
    parsed(failure(occasion(MAILS[name])))


@given(
    diagnostic=st.text(max_size=3000),
    host=st.text(max_size=40),
    status=st.text(max_size=10),
    envid=st.text(max_size=100),
)
def test_nothing_a_stranger_says_leaves_its_field(
    diagnostic: str, host: str, status: str, envid: str
) -> None:
    content = failure(
        occasion(envelope_id=envid),
        RecipientReport("a@b.cn", status, diagnostic, host, original_recipient=diagnostic[:50]),
    )
    assert content.count(b"\n") == content.count(b"\r\n") == content.count(b"\r")
    root = scan(content)
    assert len(root.children) == 3
    part = root.children[1]
    names = [
        line.split(b":")[0]
        for line in content[part.body_start : part.body_end].split(b"\r\n")
        if line[:1] not in (b" ", b"")
    ]
    assert set(names) <= {
        b"Original-Envelope-Id", b"Reporting-MTA", b"Arrival-Date", b"Original-Recipient", b"Final-Recipient",
        b"Action", b"Status", b"Remote-MTA", b"Diagnostic-Code",
    }  # fmt: skip
