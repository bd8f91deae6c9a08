"""What is kept of a mail: right for good mails, storable for every mail."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.message.headers import Mailbox
from postroad.message.summary import (
    PREVIEW_LENGTH,
    MessageSummary,
    decode_envelope,
    decode_structure,
    summarise,
)
from tests.message.mails import MAILS, header_flood, mutations


def texts(summary: MessageSummary) -> list[str]:
    people = summary.header_from + summary.sender + summary.reply_to + summary.to + summary.cc + summary.bcc
    found = [summary.subject, summary.preview, *summary.references, *summary.in_reply_to]
    found += [text for mailbox in people for text in mailbox]
    return found + [text for text in (summary.message_id, summary.thread_root) if text is not None]


def check_storable(content: bytes) -> MessageSummary:
    summary = summarise(content)
    for text in texts(summary):
        text.encode("utf-8")
        assert "\0" not in text
        assert "\n" not in text
    assert len(summary.preview) <= PREVIEW_LENGTH
    assert decode_envelope(summary.envelope_json) == summary.envelope
    assert decode_structure(summary.structure_json) == summary.structure
    for data in (summary.envelope_json, summary.structure_json):
        data.decode("utf-8")
        assert b"\\u0000" not in data
    assert summary.date is None or summary.date.astimezone(UTC) is not None
    return summary


@pytest.mark.parametrize("name", sorted(MAILS))
def test_every_mail_of_the_corpus_is_storable(name: str) -> None:
    assert check_storable(MAILS[name]).size_bytes == len(MAILS[name])


def test_mutated_mails_are_storable() -> None:
    for _, content in mutations(400, seed=2):
        check_storable(content)


@given(st.binary(max_size=1000))
def test_any_bytes_are_storable(content: bytes) -> None:
    check_storable(content)


def test_header_flood_is_bounded() -> None:
    check_storable(header_flood())


def test_the_fields_of_a_usual_mail() -> None:
    summary = summarise(MAILS["reply"])
    assert summary.subject == "Re: Hello"
    assert summary.header_from == [Mailbox("李四", "li@example.com")]
    assert summary.to == [Mailbox("Wang, Wu", "wang@example.org"), Mailbox("", "zhao@example.org")]
    assert summary.sender == summary.reply_to == summary.cc == []
    assert summary.date == datetime(2026, 3, 3, 2, 0, 1, tzinfo=UTC)
    assert summary.message_id == "mail.1@example.com"
    assert summary.in_reply_to == ["root@example.org"]
    assert summary.references == ["root@example.org", "mid@example.org"]
    assert summary.thread_root == "root@example.org"
    assert summary.priority == 0
    assert summary.envelope.sender == summary.envelope.from_
    assert summary.envelope.message_id == "<mail.1@example.com>"
    assert summary.envelope.from_[0].name == "=?utf-8?B?5p2O5Zub?="


def test_a_thread_begins_with_the_mail_itself_when_nothing_is_answered() -> None:
    assert summarise(MAILS["plain-ascii"]).thread_root == "mail.1@example.com"
    assert summarise(b"In-Reply-To: <x@y>\r\nMessage-ID: <a@b>\r\n\r\n").thread_root == "x@y"
    assert summarise(b"").thread_root is None


@pytest.mark.parametrize(
    ("name", "subject", "begins"),
    [
        ("plain-gb2312", "关于召开项目会议的通知", "各位同事： 明天上午十点"),
        ("plain-gbk-rare", "Hello", "镕基、喆、堃：你好"),
        ("plain-big5", "會議通知", "各位同事： 明天上午十點"),
        ("plain-iso-2022-jp", "会議のお知らせ", "会議のお知らせ 明日の"),
        ("plain-latin1-qp", "Grüße aus München", "Grüße aus München, André"),
        ("unlabelled-gbk", "会议通知", "各位同事： 明天上午十点"),
        ("wrong-label", "Hello", "各位同事： 明天上午十点"),
        ("unknown-label", "Hello", "各位同事： 明天上午十点"),
        ("torn-subject", "会议通知：请各位同事准时参加", "各位同事"),
        ("folded-subject", "会议通知：请各位同事准时参加会议", "body"),
        ("html-newsletter", "三月新品", "本月新品抢先看 新品上市 0 限时优惠 ¥09.00"),
        ("nul-and-controls", "abc", "xyz"),
        ("bad-base64", "Hello", "Hello worldHello"),
    ],
)
def test_subjects_and_previews(name: str, subject: str, begins: str) -> None:
    summary = summarise(MAILS[name])
    assert summary.subject == subject
    assert summary.preview.startswith(begins)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("plain-ascii", False),
        ("alternative", False),
        ("related-inline-picture", False),
        ("attachment-rfc2231", True),
        ("calendar-invitation", True),
        ("winmail", True),
        ("enclosed-mail", True),
        ("signed", False),
        ("status-report", False),
        ("nul-and-controls", False),
        ("uuencoded", True),
    ],
)
def test_the_paper_clip(name: str, expected: bool) -> None:
    assert summarise(MAILS[name]).has_attachments is expected


def test_priority() -> None:
    assert summarise(MAILS["urgent"]).priority == 1
    for field, priority in (
        (b"X-Priority: 3", 0),
        (b"Importance: High", 1),
        (b"Priority: urgent", 1),
        (b"X: 1", 0),
    ):
        assert summarise(field + b"\r\n\r\n").priority == priority


def test_recipients_of_several_fields_are_joined() -> None:
    assert [one.address_text for one in summarise(b"To: a@b\r\nTo: c@d\r\n\r\n").to] == ["a@b", "c@d"]
