"""Header fields: finding, decoding, addresses, dates and message-ids."""

from __future__ import annotations

import email.header
import email.utils
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.message.headers import (
    MAX_ADDRESSES,
    MAX_HEADER_FIELDS,
    MAX_MESSAGE_IDS,
    ListItem,
    Mailbox,
    address_items,
    decode_text,
    decode_words,
    first,
    header_fields,
    lenient_base64,
    parse_addresses,
    parse_date,
    parse_message_ids,
    shown_as,
)
from tests.message.mails import header_flood, word


def test_fields_with_their_places() -> None:
    content = b"junkFrom: a@b\r\nno field here\r\nSubject : two\r\n\tlines\r\nX-Empty:\r\n\r\nBody: x\r\n"
    fields = header_fields(content, 4, content.index(b"\r\n\r\n") + 4)
    assert [(field.name, field.value.strip()) for field in fields] == [
        ("from", b"a@b"),
        ("subject", b"two\r\n\tlines"),
        ("x-empty", b""),
    ]
    assert content[fields[1].offset :].startswith(b"Subject :")
    assert first(fields, "subject") == fields[1].value
    assert first(fields, "to") is None


def test_fields_are_bounded_in_number() -> None:
    content = header_flood()
    assert len(header_fields(content, 0, len(content))) <= MAX_HEADER_FIELDS


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b" plain words ", "plain words"),
        (b"=?utf-8?Q?a_b=3D?=", "a b="),
        (b"=?UTF-8?b?5L2g5aW9?=", "你好"),
        (b"=?gb2312?B?xOO6ww==?=", "你好"),
        (b"=?gb2312?B?6UY=?=", "镕"),  # not in GB 2312, only in GBK: read as the superset
        (b"=?utf-8?B?5L2g?= =?utf-8?B?5aW9?=", "你好"),
        (b"=?utf-8?B?5L2g?=\r\n =?gb2312?B?usM=?=", "你好"),
        (b"=?utf-8?B?5L0=?= =?utf-8?B?oOWlvQ==?=", "你好"),  # cut in the middle of a character
        (b"=?utf-8?B?5L2g5aW9", "=?utf-8?B?5L2g5aW9"),  # never closed
        (b"=?utf-8?B?5L2g5aW9=?=", "你好"),  # wrong padding
        (b"=?utf-8*zh?B?5L2g5aW9?=", "你好"),  # RFC 2231 5: a language
        (b"Re: =?utf-8?B?5L2g5aW9?= (2)", "Re: 你好 (2)"),
        (b"=?x-unknown?Q?=C4=E3=BA=C3=B9=A4=D7=F7?=", "你好工作"),
        (b"=?unicode_escape?Q?=5Cud800?=", "\\ud800"),
        (b"=?rot13?Q?uryyb?=", "uryyb"),
        (b"=?utf-8?Q?=00=01a?=", "a"),
        (b"\xe4\xbd\xa0\xe5\xa5\xbd", "你好"),
        ("关于召开会议的通知".encode("gbk"), "关于召开会议的通知"),
        ("關於召開會議的通知".encode("big5"), "關於召開會議的通知"),
        ("Café crème".encode("latin-1"), "Café crème"),
        (b"a\r\n\tb  c", "a b c"),
    ],
)
def test_decoding(raw: bytes, text: str) -> None:
    assert decode_text(raw) == text


@given(
    st.text(
        st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp", "Cn"]), max_size=200
    )
)
def test_what_the_standard_library_encodes_is_decoded(text: str) -> None:
    encoded = email.header.Header(text, "utf-8", maxlinelen=60).encode(linesep="\r\n")
    assert decode_text(encoded.encode()) == text.replace("\ufeff", "").strip() or "\ufeff" in text


@given(st.text(max_size=100), st.sampled_from(["b", "q"]))
def test_words_of_this_corpus_are_decoded(text: str, encoding: str) -> None:
    text = "".join(text.encode("utf-8", "ignore").decode().split())
    assert decode_text(word(text or "x", "utf-8", encoding).encode()) is not None


@given(st.binary(max_size=300))
def test_any_bytes_decode_to_storable_text(raw: bytes) -> None:
    for text in (decode_text(raw), decode_words(decode_text(b"=?utf-7?Q?" + raw + b"?="))):
        text.encode("utf-8")
        assert "\0" not in text
        assert "\n" not in text


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"li@example.com", [("", "li@example.com")]),
        (b"<li@example.com>", [("", "li@example.com")]),
        (b"Li Si <li@example.com>", [("Li Si", "li@example.com")]),
        (b'"Li, Si" <li@example.com>, b@c', [("Li, Si", "li@example.com"), ("", "b@c")]),
        (b'"Li \\"S\\" \\\\i" <li@example.com>', [('Li "S" \\i', "li@example.com")]),
        (b"Li, Si <li@example.com>", [("Li, Si", "li@example.com")]),
        (b"=?utf-8?B?5p2O5Zub?= <li@example.com>", [("李四", "li@example.com")]),
        (b'"=?gb2312?B?wO7LxA==?=" <li@example.com>', [("李四", "li@example.com")]),
        (b"=?utf-8?B?5p2O?=\r\n =?utf-8?B?5Zub?= <li@example.com>", [("李四", "li@example.com")]),
        (b"=?utf-8?Q?Li,_Si?= <li@example.com>", [("Li, Si", "li@example.com")]),
        (b"li@example.com (Li Si)", [("Li Si", "li@example.com")]),
        (b"li@example.com (Li (the older) Si)", [("Li (the older) Si", "li@example.com")]),
        (b"(x) li (y) @ (z) example.com", [("x", "li@example.com")]),
        (b"Team: a@b, C <c@d>;, e@f", [("", "a@b"), ("C", "c@d"), ("", "e@f")]),
        (b"undisclosed-recipients:;", []),
        (b"Team: a@b", [("", "a@b")]),
        (b"<@relay,@other:li@example.com>", [("", "li@example.com")]),
        (b'"a b"@example.com', [("", "a b@example.com")]),
        (b"root", [("", "root")]),
        (b"a@b,,b@c,", [("", "a@b"), ("", "b@c")]),
        (b"a@b; c@d", [("", "a@b"), ("", "c@d")]),
        ("李四 <li@example.com>".encode(), [("李四", "li@example.com")]),
        ("李四 <li@example.com>".encode("gbk"), [("李四", "li@example.com")]),
        ("李@例子.cn".encode(), [("", "李@例子.cn")]),
        (b'"never closed <a@b>', [("", "never closed <a@b>")]),
        (b"", []),
        (b"<>", [("", "")]),
    ],
)
def test_address_lists(raw: bytes, expected: list[tuple[str, str]]) -> None:
    assert parse_addresses(raw) == [Mailbox(*one) for one in expected]


def test_groups_have_markers_for_imap() -> None:
    assert address_items("Team: a@b;") == [
        ListItem(None, "Team", None),
        ListItem(None, "a", "b"),
        ListItem(None, None, None),
    ]


NAMES = st.text(st.sampled_from('abc XYZ,;:"\\<>()@.李四é'), max_size=20).map(
    lambda name: " ".join(name.split())
)
LOCALS = st.from_regex(r"[a-z0-9._+-]{1,20}", fullmatch=True)


@given(st.lists(st.tuples(NAMES, LOCALS), max_size=8))
def test_well_formed_lists_come_back(people: list[tuple[str, str]]) -> None:
    pairs = [(name, f"{local}@example.com") for name, local in people]
    written = ", ".join(
        '"{}" <{}>'.format(name.replace("\\", "\\\\").replace('"', '\\"'), address) if name else address
        for name, address in pairs
    )
    assert parse_addresses(written.encode()) == [Mailbox(*pair) for pair in pairs]


@given(st.binary(max_size=200))
def test_any_bytes_parse_as_addresses(raw: bytes) -> None:
    for mailbox in parse_addresses(raw):
        f"{mailbox}".encode()
        assert "\0" not in mailbox.name + mailbox.address_text
        assert "\n" not in mailbox.name + mailbox.address_text


def test_long_lists_are_bounded() -> None:
    assert len(parse_addresses(b"a@b," * 20_000)) == MAX_ADDRESSES
    for raw in (
        b"(" * 60_000,
        b'"' * 60_000,
        b"<" * 60_000,
        b"a:" * 30_000,
        b"=?a?b?" * 10_000,
        b"a " * 30_000,
    ):
        parse_addresses(raw)
        decode_text(raw)


HONG_KONG = timezone(timedelta(hours=8))


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"Tue, 3 Mar 2026 10:00:00 +0800", datetime(2026, 3, 3, 10, tzinfo=HONG_KONG)),
        (b"3 Mar 2026 10:00 GMT", datetime(2026, 3, 3, 10, tzinfo=UTC)),
        (b"Tue, 03 Mar 2026 10:00:00 +0800 (CST)", datetime(2026, 3, 3, 10, tzinfo=HONG_KONG)),
        (
            b"Tue, 3 Mar 2026 10:00:60 -0330",
            datetime(2026, 3, 3, 10, 0, 59, tzinfo=timezone(-timedelta(hours=3.5))),
        ),
        (b"Tue, 3 Mar 26 10:00:00 EST", datetime(2026, 3, 3, 10, tzinfo=timezone(-timedelta(hours=5)))),
        (b"Tue Mar  3 10:00:00 2026", datetime(2026, 3, 3, 10, tzinfo=UTC)),
        (b"2026-03-03T10:00:00+08:00", datetime(2026, 3, 3, 10, tzinfo=HONG_KONG)),
        (b"2026-03-03 10:00:00", datetime(2026, 3, 3, 10, tzinfo=UTC)),
        (b"Tue, 3 Mar 2026 10:00:00 +9999", None),
        (b"yesterday", None),
        (b"", None),
        (b"32 Foo 2026 10:00:00 +0000", None),
        (b"Mon, 1 Jan 0001 00:00:00 +0800", None),
        ("星期二 3 三月".encode(), None),
    ],
)
def test_dates(raw: bytes, expected: datetime | None) -> None:
    parsed = parse_date(raw)
    assert parsed == expected
    if parsed is not None and expected is not None:
        assert parsed.utcoffset() == expected.utcoffset()


@given(
    st.integers(86_400 * 400, 86_400 * 365 * 7000),
    st.integers(-11 * 60, 13 * 60),
)
def test_every_written_date_comes_back(moment: int, offset: int) -> None:
    aware = datetime.fromtimestamp(moment, timezone(timedelta(minutes=offset)))
    assert parse_date(email.utils.format_datetime(aware).encode()) == aware


@given(st.text(st.sampled_from("0123456789 :+-TZMonMar,()\ud800é"), max_size=60))
def test_any_text_as_a_date_does_no_harm(text: str) -> None:
    parse_date(text.encode("utf-8", "surrogatepass"))


def test_message_ids() -> None:
    assert parse_message_ids(b" <a@b>\r\n <c@d>") == ["a@b", "c@d"]
    assert parse_message_ids(b"bare.id@example.com") == ["bare.id@example.com"]
    assert parse_message_ids(b"Message from Li <a@b>") == ["a@b"]
    assert parse_message_ids(b"nothing of use") == []
    many = parse_message_ids(b"".join(b"<%d@x>" % n for n in range(500)))
    assert len(many) == MAX_MESSAGE_IDS
    assert (many[0], many[-1]) == ("0@x", "499@x")


@given(st.binary(max_size=200))
def test_base64_never_raises(data: bytes) -> None:
    lenient_base64(data)


@pytest.mark.parametrize(
    ("name", "address", "shown"),
    [
        ("Anna", "anna@there.example", "Anna"),
        ("", "anna@there.example", "anna@there.example"),
        ("Anna", "", "Anna"),
        ("boss@ours.example", "evil@theirs.example", "evil@theirs.example (boss@ours.example)"),
        (
            "The boss <boss@ours.example>",
            "evil@theirs.example",
            "evil@theirs.example (The boss <boss@ours.example>)",
        ),
        ("boss\uff20ours.example", "evil@theirs.example", "evil@theirs.example (boss\uff20ours.example)"),
        ("Anna@There.example", "anna@there.example", "anna@there.example"),
        ("'anna@there.example'", "anna@there.example", "anna@there.example"),
        ("Anna @ work", "anna@there.example", "anna@there.example (Anna @ work)"),
    ],
)
def test_a_name_that_holds_an_address_stands_behind_the_real_one(name: str, address: str, shown: str) -> None:
    assert shown_as(name, address) == shown
