"""Answers and forwards: who gets them, what they are called, what they quote."""

from __future__ import annotations

import pytest

from postroad.message.answers import (
    Original,
    forward,
    forward_subject,
    quoted_text,
    reply,
    reply_subject,
)
from postroad.message.compose import Attachment
from postroad.message.headers import Mailbox
from postroad.message.summary import summarise
from tests.message.mails import MAILS

ME = Mailbox("Wang", "wang@example.org")


def original(fields: bytes, text: str = "line one\n> older", html: str | None = None) -> Original:
    return Original(summarise(fields + b"\r\n\r\n"), text, html)


def addresses(mailboxes: tuple[Mailbox, ...]) -> list[str]:
    return [one.address_text for one in mailboxes]


@pytest.mark.parametrize(
    ("subject", "answer", "forwarded"),
    [
        ("Hello", "Re: Hello", "Fwd: Hello"),
        ("Re: Hello", "Re: Hello", "Fwd: Re: Hello"),
        ("RE: re[2]: Re : Hello", "Re: Hello", "Fwd: RE: re[2]: Re : Hello"),
        ("回复：答复: Re: 会议", "Re: 会议", "Fwd: 回复：答复: Re: 会议"),
        ("转发：Fw: 会议", "Re: 转发：Fw: 会议", "Fwd: 会议"),
        ("Regarding: x", "Re: Regarding: x", "Fwd: Regarding: x"),
        ("", "Re: ", "Fwd: "),
        ("回复(3)：会议", "Re: 会议", "Fwd: 回复(3)：会议"),
    ],
)
def test_prefixes_do_not_pile_up(subject: str, answer: str, forwarded: str) -> None:
    assert reply_subject(subject) == answer
    assert forward_subject(subject) == forwarded


def test_an_answer_goes_to_reply_to_or_from() -> None:
    assert addresses(reply(original(b"From: a@b.cn"), sender=ME).to) == ["a@b.cn"]
    assert addresses(reply(original(b"From: a@b.cn\r\nReply-To: c@d.cn"), sender=ME).to) == ["c@d.cn"]


def test_an_answer_to_all_leaves_oneself_out() -> None:
    mail = original(
        b"From: A <a@b.cn>\r\nTo: WANG@example.org, x@y.cn, bad, A <A@b.cn>\r\n"
        b"Cc: alias@example.org, z@y.cn, x@y.cn"
    )
    draft = reply(mail, sender=ME, own_addresses=["alias@example.org"], to_all=True)
    assert addresses(draft.to) == ["a@b.cn"]
    assert addresses(draft.cc) == ["x@y.cn", "z@y.cn"]
    assert addresses(reply(mail, sender=ME).cc) == []


def test_an_answer_to_ones_own_mail_goes_on_to_its_recipients() -> None:
    mail = original(b"From: wang@example.org\r\nTo: x@y.cn\r\nCc: z@y.cn")
    draft = reply(mail, sender=ME, to_all=True)
    assert (addresses(draft.to), addresses(draft.cc)) == (["x@y.cn"], ["z@y.cn"])
    note = original(b"From: wang@example.org\r\nTo: wang@example.org")
    assert addresses(reply(note, sender=ME).to) == ["wang@example.org"]


def test_the_thread_goes_on() -> None:
    draft = reply(Original(summarise(MAILS["reply"]), "x"), sender=ME)
    assert draft.in_reply_to == "mail.1@example.com"
    assert draft.references == ("root@example.org", "mid@example.org", "mail.1@example.com")
    long = reply(Original(summarise(MAILS["many-references"]), "x"), sender=ME).references
    assert len(long) == 20
    assert (long[0], long[-1]) == ("r0@example.com", "mail.1@example.com")


def test_the_quote_in_text_and_html() -> None:
    mail = original(
        b"From: =?utf-8?B?5p2O5Zub?= <a@b.cn>\r\nDate: Tue, 3 Mar 2026 10:00:00 +0800", "a <b>\n> c\n"
    )
    draft = reply(mail, sender=ME, language="zh")
    assert draft.text == "\n\n在 2026-03-03 10:00，李四 写道：\n> a <b>\n>> c\n"
    assert draft.html is not None
    assert "a &lt;b&gt;<br>" in draft.html
    assert "On 2026-03-03 10:00, 李四 wrote:" in (reply(mail, sender=ME).text or "")
    assert quoted_text("a\n\nb") == "> a\n>\n> b"


def test_names_of_strangers_are_escaped() -> None:
    mail = original(b'From: "<script>" <a@b.cn>\r\nSubject: <img src=x>')
    assert "<script>" not in (reply(mail, sender=ME).html or "")
    assert "<img" not in (forward(mail, sender=ME).html or "")


def test_a_forward_tells_the_main_fields() -> None:
    mail = original(b"From: a@b.cn\r\nTo: x@y.cn\r\nSubject: Plan\r\nMessage-ID: <i@b>", html="<p>body</p>")
    files = [Attachment("a.txt", "text/plain", b"x")]
    draft = forward(mail, sender=ME, attachments=files, language="zh")
    assert draft.to == ()
    assert draft.subject == "Fwd: Plan"
    assert draft.attachments == tuple(files)
    assert "发件人：a@b.cn\n日期：?\n主题：Plan\n收件人：x@y.cn\n\nline one" in (draft.text or "")
    assert (draft.html or "").endswith("<p>body</p>")
    assert draft.references == ("i@b",)
    assert draft.in_reply_to is None
