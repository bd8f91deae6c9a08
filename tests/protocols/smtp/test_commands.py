"""Arguments of commands: paths as the RFCs and old clients write them, parameters, xtext."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.message.address import Address
from postroad.protocols.smtp.commands import (
    PathRules,
    decode_xtext,
    encode_xtext,
    parse_chunk,
    parse_helo,
    parse_mail,
    parse_recipient,
)
from postroad.protocols.smtp.envelope import BodyType, Notify, OriginalRecipient, Return
from postroad.protocols.smtp.limits import ServerLimits
from postroad.protocols.smtp.replies import SmtpReply

STRICT = PathRules("mx.example.com")
TOLERANT = PathRules("mx.example.com", may_omit_brackets=True)
LIMITS = ServerLimits()


@pytest.mark.parametrize(
    ("argument", "address"),
    [
        (b"FROM:<>", None),
        (b"FROM:<a@example.org>", "a@example.org"),
        (b"from: <a@EXAMPLE.org>", "a@example.org"),
        (b"FROM:<a@example.org> ", "a@example.org"),
        (b"FROM:<@relay.example,@other.example:a@example.org>", "a@example.org"),
        (b'FROM:<"a b"@example.org>', '"a b"@example.org'),
        (b'FROM:<"a>b\\"c@d"@example.org>', '"a>b\\"c@d"@example.org'),
        (b"FROM:<a@[192.0.2.1]>", "a@[192.0.2.1]"),
        (b"FROM:<a@[IPv6:2001:db8::1]>", "a@[ipv6:2001:db8::1]"),
        (b"FROM:<a@localhost>", "a@localhost"),
    ],
)
def test_senders(argument: bytes, address: str | None) -> None:
    mail = parse_mail(argument, STRICT, LIMITS)
    assert (str(mail.address) if mail.address else None) == address


@pytest.mark.parametrize(
    ("argument", "code"),
    [
        (b"", 501),
        (b"a@example.org", 501),
        (b"TO:<a@example.org>", 501),
        (b"FROM:a@example.org", 501),
        (b"FROM:<a@example.org", 501),
        (b"FROM:<a@example.org>x", 501),
        (b"FROM:<@relay.example>", 501),
        (b"FROM:<a>", 553),
        (b"FROM:<a b@example.org>", 553),
        (b'FROM:<"a"b"@example.org>', 501),
        (b"FROM:<a@-example.org>", 553),
        ("FROM:<用户@example.org>".encode(), 553),
        (b"FROM:<a@example.org> SIZE=abc", 501),
        (b"FROM:<a@example.org> SIZE=", 501),
        (b"FROM:<a@example.org> SIZE=99999999999", 552),
        (b"FROM:<a@example.org> BODY=BINARYMIME", 501),
        (b"FROM:<a@example.org> RET=ALL", 501),
        (b"FROM:<a@example.org> ENVID=a=b", 501),
        (b"FROM:<a@example.org> ENVID=a+0Ab", 501),
        (b"FROM:<a@example.org> ENVID=" + b"x" * 101, 501),
        (b"FROM:<a@example.org> FLAVOUR=salt", 555),
        (b"FROM:<a@example.org> SMTPUTF8=yes", 555),
        (b"FROM:<a@example.org> SIZE=1 SIZE=2", 501),
        (b"FROM:<\xff@example.org> SMTPUTF8", 553),
    ],
)
def test_bad_senders(argument: bytes, code: int) -> None:
    with pytest.raises(SmtpReply) as raised:
        parse_mail(argument, STRICT, LIMITS)
    assert raised.value.code == code


def test_all_parameters_of_mail() -> None:
    mail = parse_mail(
        "FROM:<用户@例子.cn> size=100 BODY=8bitmime SMTPUTF8 RET=hdrs ENVID=a+2Bb AUTH=<>".encode(),
        STRICT,
        LIMITS,
    )
    assert mail.address == Address("用户", "xn--fsqu00a.cn")
    assert (mail.size_bytes, mail.body, mail.smtputf8) == (100, BodyType.EIGHT_BIT, True)
    assert (mail.ret, mail.envelope_id) == (Return.HEADERS, "a+b")


def test_all_parameters_of_rcpt() -> None:
    recipient = parse_recipient(
        b"TO:<b@example.org> NOTIFY=success,Delay ORCPT=rfc822;b+2B1@example.org", STRICT, False
    )
    assert recipient.notify == Notify.SUCCESS | Notify.DELAY
    assert recipient.original == OriginalRecipient("rfc822", "b+1@example.org")


@pytest.mark.parametrize(
    ("argument", "code"),
    [
        (b"TO:<>", 501),
        (b"TO:<b@example.org> NOTIFY=NEVER,SUCCESS", 501),
        (b"TO:<b@example.org> NOTIFY=", 501),
        (b"TO:<b@example.org> NOTIFY=SOON", 501),
        (b"TO:<b@example.org> ORCPT=b@example.org", 501),
        (b"TO:<b@example.org> ORCPT=rfc822;a+0D+0Ab", 501),
        (b"TO:<b@example.org> SIZE=3", 555),
        ("TO:<用户@example.org>".encode(), 553),
    ],
)
def test_bad_recipients(argument: bytes, code: int) -> None:
    with pytest.raises(SmtpReply) as raised:
        parse_recipient(argument, STRICT, False)
    assert raised.value.code == code


def test_postmaster_needs_no_domain() -> None:
    assert parse_recipient(b"TO:<Postmaster>", STRICT, False).address == Address(
        "Postmaster", "mx.example.com"
    )


def test_brackets_may_be_missing_only_where_tolerated() -> None:
    mail = parse_mail(b"FROM:a@example.org SIZE=5", TOLERANT, LIMITS)
    assert (str(mail.address), mail.size_bytes) == ("a@example.org", 5)
    assert str(parse_recipient(b"TO: b@example.org", TOLERANT, False).address) == "b@example.org"


def test_helo_takes_any_name_and_makes_it_printable() -> None:
    assert parse_helo(b" WIN-PC ") == "WIN-PC"
    assert parse_helo("电脑".encode("gbk")) == "????"
    assert len(parse_helo(b"x" * 5000)) == 255
    with pytest.raises(SmtpReply):
        parse_helo(b"  ")


def test_chunks() -> None:
    assert parse_chunk(b"10") == (10, False)
    assert parse_chunk(b"0 last") == (0, True)
    for bad in (b"", b"LAST", b"-1", b"1 2", b"1 LAST x", b"1" * 21, b"\xb2"):
        with pytest.raises(SmtpReply):
            parse_chunk(bad)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=100))
def test_xtext_comes_back(text: str) -> None:
    assert decode_xtext(encode_xtext(text), 100, "ENVID") == text


@given(st.binary(max_size=200), st.booleans(), st.booleans())
def test_arguments_never_raise_anything_but_a_reply(argument: bytes, smtputf8: bool, tolerant: bool) -> None:
    rules = TOLERANT if tolerant else STRICT
    for attempt in (
        lambda: parse_mail(argument, rules, LIMITS),
        lambda: parse_mail(b"FROM:<a@b.c> " + argument, rules, LIMITS),
        lambda: parse_mail(b"FROM:<" + argument + b"> SMTPUTF8", rules, LIMITS),
        lambda: parse_recipient(b"TO:" + argument, rules, smtputf8),
        lambda: parse_recipient(b"TO:<a@b.c> " + argument, rules, smtputf8),
        lambda: parse_chunk(argument),
        lambda: parse_helo(argument),
    ):
        try:
            attempt()
        except SmtpReply as reply:
            assert not reply.is_positive
            assert reply.render().count(b"\r\n") == 1
