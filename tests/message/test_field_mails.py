"""What programs in the field really write, each case as it was seen and its kind as a property."""

from __future__ import annotations

import base64
import quopri
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.message.address import Address, BadAddress
from postroad.message.charsets import undirected
from postroad.message.headers import Mailbox, decode_text, parse_addresses
from postroad.message.parameters import parse_parametrised
from postroad.message.scan import scan
from postroad.message.summary import summarise
from postroad.message.text import text_body

WANG = "=?gb2312?B?zfXQocP3?="


# Names and addresses without angle brackets.


@pytest.mark.parametrize(
    "value",
    [
        f"{WANG} wang@elsewhere.test",
        f"wang@elsewhere.test {WANG}",
        f"{WANG}wang@elsewhere.test",
        f"<wang@elsewhere.test> {WANG}",
        f"wang@elsewhere.test ({WANG})",
        f"{WANG}\r\n wang@elsewhere.test",
        '"王小明" wang@elsewhere.test',
        "王小明 wang@elsewhere.test",
        "=?utf-8?q?=E7=8E=8B=E5=B0=8F=E6=98=8E_=3Cwang=40elsewhere=2Etest=3E?=",
    ],
)
@pytest.mark.parametrize("field", ["From", "Sender", "Reply-To", "To", "Cc", "Bcc"])
def test_a_bare_address_beside_its_name(value: str, field: str) -> None:
    summary = summarise(f"{field}: {value}\r\n\r\n".encode())
    found = {
        "From": summary.header_from,
        "Sender": summary.sender,
        "Reply-To": summary.reply_to,
        "To": summary.to,
        "Cc": summary.cc,
        "Bcc": summary.bcc,
    }[field]
    assert found == [Mailbox("王小明", "wang@elsewhere.test")]


_name = st.lists(st.from_regex(r"[A-Za-z]{1,8}", fullmatch=True), min_size=1, max_size=3).map(" ".join)
_address = st.from_regex(r"[a-z0-9.+_-]{1,12}@[a-z]{1,8}\.[a-z]{2,4}", fullmatch=True)


def _written(name: str, address: str, form: int) -> str:
    return (
        f"{name} <{address}>",
        f'"{name}" <{address}>',
        f"{name} {address}",
        f'"{name}" {address}',
        f"{address} {name}",
        f"<{address}> {name}",
        f"{address} ({name})",
        f"=?utf-8?b?{base64.b64encode(name.encode()).decode()}?= {address}",
    )[form]


@given(st.lists(st.tuples(_name, _address, st.integers(0, 7)), min_size=1, max_size=6))
def test_every_order_of_name_and_address_says_the_same(people: list[tuple[str, str, int]]) -> None:
    value = ", ".join(_written(*one) for one in people)
    assert parse_addresses(value.encode()) == [Mailbox(name, address) for name, address, _ in people]


@given(st.lists(_address, min_size=2, max_size=5))
def test_addresses_without_their_commas_are_so_many_addresses(addresses: list[str]) -> None:
    assert [one.address_text for one in parse_addresses(" ".join(addresses).encode())] == addresses


@given(st.text(alphabet='ab@.<>"(),;: =?', max_size=60))
def test_no_arrangement_of_marks_raises_or_grows(text: str) -> None:
    found = parse_addresses(text.encode())
    assert sum(len(one.name) + len(one.address_text) for one in found) <= 2 * len(text) + 2 * len(found)


# Parameters.


def test_brackets_in_an_unquoted_continued_name() -> None:
    value = b" attachment; filename*0*=utf-8''%E9%A2%84%E7%AE%97%20(P%204)%20p_c.pd;\r\n filename*1=f"
    assert parse_parametrised(value)[1]["filename"] == "预算 (P 4) p_c.pdf"


@pytest.mark.parametrize(
    ("written", "parameter", "value"),
    [
        ("filename=a(b).pdf", "filename", "a(b).pdf"),
        ("filename=report (final)", "filename", "report (final)"),
        ("filename=(1) a@b,c:d/e[f]?g=h<i>.txt", "filename", "(1) a@b,c:d/e[f]?g=h<i>.txt"),
        ("name=x=y.doc", "name", "x=y.doc"),
        ("boundary=_=(abc)_", "boundary", "_=(abc)_"),
        ("charset=us-ascii (Plain (very) text)", "charset", "us-ascii"),
        ("charset=(here) utf-8", "charset", "utf-8"),
        ('charset="utf-8" (quoted)', "charset", "utf-8"),
    ],
)
def test_unquoted_values_of_real_senders(written: str, parameter: str, value: str) -> None:
    assert parse_parametrised(f"x/y; {written}; other=1".encode())[1] == {parameter: value, "other": "1"}


@given(st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9 ()<>@,:/\[\]?=]{0,30}[A-Za-z0-9)])?", fullmatch=True))
def test_an_unquoted_name_is_read_as_it_stands(name: str) -> None:
    assert parse_parametrised(f"attachment; filename={name}".encode())[1] == {"filename": name}
    pieces = f"attachment; filename*0={name[:7]}; filename*1={name[7:]}" if len(name) > 7 else ""
    # Blanks at the joint belong to nobody.
    if pieces and not (name[6].isspace() or name[7].isspace()):
        assert parse_parametrised(pieces.encode())[1] == {"filename": name}


# Quoted-printable.


def test_blanks_behind_a_soft_line_break_vanish_with_it() -> None:
    head = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    content = head + b"soft=  \r\nware=\t\r\n and =3D =  "
    assert text_body(content, scan(content)) == "software and = "


@given(st.text(alphabet="ab =\tü\n", max_size=300), st.integers(0, 5))
def test_padding_behind_soft_breaks_changes_nothing(text: str, blanks: int) -> None:
    encoded = quopri.encodestring(text.encode())
    padded = re.sub(rb"=\n", b"=" + b" \t" * blanks + b"\r\n", encoded)
    head = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    assert text_body(head + padded, scan(head + padded)) == text_body(head + encoded, scan(head + encoded))


# Wrong labels.

CHINESE = "各位同事：明天上午十点在三号会议室召开项目会议，请准时参加。附件是会议纪要，请查收。"


@pytest.mark.parametrize(
    "label", ["; charset=utf-8", "; charset=us-ascii", '; charset="UTF8"', "", "; charset=x"]
)
@pytest.mark.parametrize("encoding", ["8bit", "base64", "quoted-printable"])
def test_gb18030_under_a_wrong_label_is_read(label: str, encoding: str) -> None:
    body = CHINESE.encode("gb18030")
    if encoding == "base64":
        body = base64.encodebytes(body)
    elif encoding == "quoted-printable":
        body = quopri.encodestring(body)
    content = (
        f"Content-Type: text/plain{label}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode() + body
    )
    summary = summarise(content)
    assert (text_body(content, summary.structure) or "").strip() == CHINESE
    assert summary.preview == CHINESE


def test_wrong_labels_in_words_and_names() -> None:
    gb = base64.b64encode("会议通知".encode("gb18030")).decode()
    assert decode_text(f"=?utf-8?B?{gb}?=".encode()) == "会议通知"
    assert decode_text(f"=?us-ascii?B?{gb}?=".encode()) == "会议通知"
    percent = "".join(f"%{octet:02X}" for octet in "会议纪要.pdf".encode("gb18030"))
    assert parse_parametrised(f"a; filename*=utf-8''{percent}".encode())[1]["filename"] == "会议纪要.pdf"


@given(
    st.text(alphabet="会议通知明天上午请准时参加附件是纪要各位同事 abc\n", min_size=20, max_size=400),
    st.data(),
)
def test_a_damaged_letter_of_utf_8_stays_utf_8(text: str, data: st.DataObject) -> None:
    raw = bytearray(text.encode() + "会议通知".encode() * 5)
    place = data.draw(st.integers(0, len(text.encode())))
    raw[place] = 0xFF
    content = b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + bytes(raw)
    read = text_body(content, scan(content)) or ""
    assert read.endswith("会议通知" * 4)
    assert read.count("\ufffd") <= 4


def test_latin_text_under_a_wrong_label() -> None:
    content = b"Content-Type: text/plain; charset=utf-8\r\n\r\nAndr\xe9 Gr\xfc\xdfe"
    assert text_body(content, scan(content)) == "André Grüße"


# Controls of direction.

OVERRIDE = "\u202e"


@pytest.mark.parametrize(
    "control", ["\u202a", "\u202b", "\u202d", "\u202e", "\u2066", "\u2067", "\u2068", "\u200f"]
)
def test_direction_controls_never_reach_who_reads_a_name(control: str) -> None:
    name = f"invoice{control}fdp.exe"
    quoted = base64.b64encode(name.encode()).decode()
    percent = "".join(f"%{octet:02X}" for octet in name.encode())
    for disposition in (
        f"attachment; filename*=utf-8''{percent}",
        f'attachment; filename="=?utf-8?B?{quoted}?="',
        f'attachment; filename="{name}"',
    ):
        content = f"Content-Type: application/x\r\nContent-Disposition: {disposition}\r\n\r\nx".encode()
        assert scan(content).filename == "invoicefdp.exe"
    content = (
        f"From: =?utf-8?B?{quoted}?= <a{control}@b.example>\r\nSubject: =?utf-8?B?{quoted}?=\r\n\r\n".encode()
    )
    summary = summarise(content)
    assert summary.subject == "invoicefdp.exe"
    assert summary.header_from == [Mailbox("invoicefdp.exe", "a@b.example")]
    assert decode_text(f"=?utf-8?B?{quoted}?=".encode()) == "invoicefdp.exe"


@given(st.text())
def test_nothing_else_is_taken_from_a_name(name: str) -> None:
    kept = undirected(name)
    assert undirected(kept) == kept
    assert [sign for sign in name if sign in kept] == list(kept)
    if name.isascii() or not set(name) & set(
        "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    ):
        assert kept == name


# Envelope addresses.


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("a..b@docomo.example", '"a..b"@docomo.example'),
        ("a.@docomo.example", '"a."@docomo.example'),
        (".a@docomo.example", '".a"@docomo.example'),
        ('"a..b"@docomo.example', '"a..b"@docomo.example'),
        ('"li"@example.test', "li@example.test"),
        ('"l\\i"@example.test', "li@example.test"),
        ('"li.si+tag"@example.test', "li.si+tag@example.test"),
        ('"li si"@example.test', '"li si"@example.test'),
        ('"li\\ si"@example.test', '"li si"@example.test'),
        ('"a\\"b"@example.test', '"a\\"b"@example.test'),
        ('""@example.test', '""@example.test'),
    ],
)
def test_a_local_part_has_one_spelling(written: str, canonical: str) -> None:
    assert str(Address.parse(written)) == canonical


@given(st.text(alphabet='ab."\\ @<>', max_size=12))
def test_what_parses_is_written_as_it_parses(local_part: str) -> None:
    try:
        address = Address.parse(f"{local_part}@example.test")
    except BadAddress:
        return
    assert Address.parse(str(address)) == address
    assert re.fullmatch(r'[^\s"\\<>@.]+(\.[^\s"\\<>@.]+)*|"(?:[^"\\]|\\.)*"', address.local_part)
