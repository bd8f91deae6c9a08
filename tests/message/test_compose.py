"""Composed mails: read back by an independent parser, folded, and closed to injection."""

from __future__ import annotations

import email
import email.policy
from datetime import datetime, timedelta, timezone
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.message.address import BadAddress
from postroad.message.compose import MAX_LINE, Attachment, BadDraft, Draft, compose
from postroad.message.fields import address_field, encoded_words, text_field
from postroad.message.headers import Mailbox, decode_text, parse_addresses
from postroad.message.scan import scan, walk
from postroad.message.summary import summarise
from postroad.message.text import attachment_names, decoded, html_body, text_body
from tests.message.mails import CHINESE, ENGLISH, MAILS, PDF, PNG, newsletter

NOW = datetime(2026, 3, 3, 10, 0, tzinfo=timezone(timedelta(hours=8)))
LI = Mailbox("李四", "li@example.com")
WANG = Mailbox("Wang, Wu", "wang@example.org")
ANYTHING = st.text(max_size=200)


def built(**fields: object) -> bytes:
    return compose(Draft(LI, **fields), now=NOW, message_id="one@example.com")  # type: ignore[arg-type]


def check_form(content: bytes) -> EmailMessage:
    assert content.count(b"\n") == content.count(b"\r\n") == content.count(b"\r")
    lines = content.split(b"\r\n")
    assert max(map(len, lines)) <= MAX_LINE
    header = content.split(b"\r\n\r\n")[0].split(b"\r\n")
    assert all(line.isascii() for line in header)
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    return message


def test_a_plain_mail() -> None:
    content = built(
        to=(WANG,),
        cc=(Mailbox("", "a@b.cn"),),
        bcc=(Mailbox("", "hidden@b.cn"),),
        subject="会议通知",
        text=ENGLISH,
    )
    message = check_form(content)
    assert message["subject"] == "会议通知"
    assert message["from"].addresses[0].display_name == "李四"
    assert message["to"].addresses[0].display_name == "Wang, Wu"
    assert message["date"].datetime == NOW
    assert message["message-id"] == "<one@example.com>"
    assert b"hidden" not in content
    assert message.get_content_type() == "text/plain"
    assert message["content-transfer-encoding"] == "7bit"
    assert text_body(content, scan(content)) == ENGLISH.replace("\r\n", "\n")


def test_bcc_is_kept_in_drafts_only() -> None:
    draft = Draft(LI, bcc=(WANG,), subject="x")
    assert [
        one.address_text for one in summarise(compose(draft, now=NOW, message_id="a@b", with_bcc=True)).bcc
    ] == ["wang@example.org"]
    sent = compose(draft, now=NOW, message_id="a@b")
    assert b"wang" not in sent
    assert b"To: undisclosed-recipients:;\r\n" in sent


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (ENGLISH, "7bit"),
        (CHINESE, "base64"),
        ("Grüße aus München, where it rains all day long.\n", "quoted-printable"),
        ("x" * 5000, "quoted-printable"),
        ("", "7bit"),
    ],
)
def test_the_encoding_suits_the_text(text: str, encoding: str) -> None:
    content = built(text=text)
    assert check_form(content)["content-transfer-encoding"] == encoding
    assert (text_body(content, scan(content)) or "").rstrip("\n") == text.replace("\r\n", "\n").rstrip("\n")


def test_html_with_pictures_and_files() -> None:
    content = built(
        to=(WANG,),
        html='<p>看图 <img src="cid:logo@x"></p>',
        attachments=(
            Attachment("标志.png", "image/png", PNG, content_id="logo@x"),
            Attachment(
                "会议纪要 2026年第一季度 项目进展与下一步工作安排（最终版，请勿外传）.pdf",
                "application/pdf",
                PDF,
            ),
            Attachment('../etc/\r\npass"wd', "nonsense", b"x"),
        ),
    )
    message = check_form(content)
    root = scan(content)
    assert [part.media_type for _, part in walk(root)] == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
        "application/pdf",
        "application/octet-stream",
    ]
    assert attachment_names(root) == [
        "标志.png",
        "会议纪要 2026年第一季度 项目进展与下一步工作安排（最终版，请勿外传）.pdf",
        '.._etc_ pass"wd',
    ]
    names = [part.get_filename() for part in message.walk() if part.get_filename()]
    assert names == attachment_names(root)
    pdf = root.children[1]
    assert decoded(content, pdf) == PDF
    assert text_body(content, root) == "看图\n"
    assert "cid:logo@x" in (html_body(content, root) or "")
    picture = root.children[0].children[1].children[1]
    assert picture.content_id == "logo@x"
    assert summarise(content).has_attachments


def test_a_newsletter_gets_its_text_alternative() -> None:
    content = built(html=newsletter())
    check_form(content)
    root = scan(content)
    assert (html_body(content, root) or "") == newsletter()
    assert "<https://shop.example.com/unsubscribe?u=1>" in (text_body(content, root) or "")


def test_an_enclosed_mail_is_not_encoded() -> None:
    content = built(text="see", attachments=(Attachment("a.eml", "message/rfc822", MAILS["plain-utf8"]),))
    enclosed = scan(content).children[1]
    assert enclosed.message is not None
    assert enclosed.encoding == "8bit"
    assert decoded(content, enclosed) == MAILS["plain-utf8"]
    long = built(text="see", attachments=(Attachment("a.eml", "message/rfc822", MAILS["long-lines"]),))
    assert scan(long).children[1].media_type == "application/octet-stream"
    assert decoded(long, scan(long).children[1]) == MAILS["long-lines"]


def test_thread_priority_and_receipt() -> None:
    content = built(
        in_reply_to="b@c", references=("a@c", "b@c", "bad id", ""), is_urgent=True, wants_receipt=True
    )
    message = check_form(content)
    assert message["references"] == "<a@c> <b@c>"
    assert message["in-reply-to"] == "<b@c>"
    assert parse_addresses(message["disposition-notification-to"].encode())[0].address_text == LI.address_text
    assert summarise(content).priority == 1


def test_addresses_are_checked() -> None:
    for address in ("nobody", "a@b\r\nBcc: c@d", "a b@c", "a@b>, <c@d"):
        with pytest.raises(BadAddress):
            built(to=(Mailbox("", address),))
    with pytest.raises(BadDraft):
        compose(Draft(LI), now=NOW, message_id="a@b>\r\nX: y")


def test_internationalised_addresses_travel() -> None:
    content = built(to=(Mailbox("", "李四@例子.cn"),))
    assert "李四@xn--fsqu00a.cn".encode() in content


@given(name=ANYTHING, subject=ANYTHING, text=ANYTHING, html=st.none() | ANYTHING, file=ANYTHING)
def test_whatever_people_write_stays_where_it_belongs(
    name: str, subject: str, text: str, html: str | None, file: str
) -> None:
    content = compose(
        Draft(
            Mailbox(name, "li@example.com"),
            to=(Mailbox(name, "wang@example.org"), WANG),
            subject=subject,
            text=text,
            html=html,
            attachments=(Attachment(file, file, file.encode("utf-8", "replace")),),
            in_reply_to=file,
            references=(file, subject),
        ),
        now=NOW,
        message_id="one@example.com",
    )
    check_form(content)
    lines = content.split(b"\r\n\r\n")[0].split(b"\r\n")
    names = {line.split(b":")[0] for line in lines if line[:1] != b" "}
    expected = "From Date Subject To Message-ID In-Reply-To References MIME-Version Content-Type"
    assert names <= set(expected.encode().split())
    summary = summarise(content)
    assert [one.address_text for one in summary.to] == ["wang@example.org", "wang@example.org"]
    assert summary.message_id == "one@example.com"
    root = scan(content)
    assert len(root.children) == 2
    assert decoded(content, root.children[1]) == file.encode("utf-8", "replace")


VISIBLE = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Cn", "Cf", "Zs", "Zl", "Zp", "Co"]),
    min_size=1,
    max_size=150,
)


@given(st.lists(VISIBLE, min_size=1, max_size=10))
def test_texts_and_names_come_back(words: list[str]) -> None:
    text = " ".join(words)
    field = text_field("Subject", text)
    assert decode_text(field.split(b":", 1)[1]) == text
    assert all(len(line) <= MAX_LINE for line in field.split(b"\r\n"))
    assert parse_addresses(
        address_field("To", [Mailbox(text[:120].strip(), "a@b.cn")]).split(b":", 1)[1]
    ) == [Mailbox(text[:120].strip(), "a@b.cn")]
    assert all(len(word) <= 75 for word in encoded_words(text))


def test_long_fields_are_folded() -> None:
    for field in (
        text_field("Subject", "会议" * 200),
        text_field("Subject", "word " * 200),
        address_field("To", [WANG] * 100),
    ):
        assert max(map(len, field.split(b"\r\n"))) <= 78
