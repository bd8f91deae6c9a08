"""Dates, senders and recipient lists as OAs write them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.bridges.oa.attachments import is_attach_id, is_mail_id
from postroad.bridges.oa.dates import BadDate, BadZone, read_date, server_zone, write_date
from postroad.bridges.oa.refusals import Refusal
from postroad.bridges.oa.websent import _sent_row
from postroad.bridges.oa.writing import SentRow, write_mail
from postroad.message.address import Address
from postroad.message.compose import compose

SHANGHAI = ZoneInfo("Asia/Shanghai")
OWN = Address.parse("anna@here.example")
ROW: SentRow = _sent_row({"mailid": "AA1", "account": str(OWN), "mailto": "bert@there.example"})
NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["2026-01-02 08:09:10", "2026/1/2 8:09:10", "2026-01-02T08:09:10.123", " 2026-1-2  8:9:10 "]
)
def test_a_date_is_read_in_the_servers_zone(text: str) -> None:
    assert read_date(text, SHANGHAI) == datetime(2026, 1, 2, 0, 9, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["tomorrow", "2026-13-01", "2026-02-30 00:00:00", "0000-00-00 00:00:00", "1"]
)
def test_a_bad_date_is_told(text: str) -> None:
    with pytest.raises(BadDate):
        read_date(text, SHANGHAI)


def test_no_date_is_none() -> None:
    assert read_date(None, SHANGHAI) is None
    assert read_date("  ", SHANGHAI) is None


@given(st.integers(0, 200_000_000_000))
def test_what_is_written_is_read_back(seconds: int) -> None:
    whole = datetime.fromtimestamp(seconds, UTC)
    assert read_date(write_date(whole, ZoneInfo("Asia/Tokyo")), ZoneInfo("Asia/Tokyo")) == whole


@given(st.text(max_size=60))
def test_any_text_is_a_date_or_refused(text: str) -> None:
    with suppress(BadDate):
        read_date(text, SHANGHAI)


def test_a_zone_that_does_not_exist_is_told() -> None:
    with pytest.raises(BadZone):
        server_zone("Moon/Base")
    assert server_zone("Asia/Shanghai") == SHANGHAI
    assert server_zone().key


@pytest.mark.parametrize(
    ("text", "name", "address"),
    [
        ("", "", "anna@here.example"),
        ("anna@here.example", "", "anna@here.example"),
        ('"张三" < anna@here.example>', "张三", "anna@here.example"),
        ("张三 <anna@here.example>", "张三", "anna@here.example"),
        ('"XX"', "XX", "anna@here.example"),
    ],
)
def test_senders(text: str, name: str, address: str) -> None:
    sender = write_mail(replace(ROW, mail_from=text), OWN, [], SHANGHAI).draft.sender
    assert (sender.name, sender.address_text) == (name, address)


def test_recipients_with_names_that_hold_commas() -> None:
    row = replace(
        ROW, mail_to='"Doe, John" <j@a.example>, 李四 <l@a.example>；m@a.example,,bad', mail_bcc="b@a.example"
    )
    written = write_mail(row, OWN, [], SHANGHAI)
    assert [each.name for each in written.draft.to] == ["Doe, John", "李四", ""]
    assert [str(each) for each in written.recipients] == [f"{name}@a.example" for name in "jlmb"]
    assert written.bad_recipients == ["bad"]


@given(
    st.builds(
        replace,
        st.just(ROW),
        mail_from=st.text(max_size=80),
        mail_to=st.text(max_size=200) | st.just("a@b.example, c@d.example"),
        subject=st.text(max_size=200),
        body=st.text(max_size=300),
        is_html=st.booleans(),
        reply_to=st.text(max_size=40),
        mail_cc=st.text(alphabet='<>"@,; a\\\r\n.', max_size=60),
    )
)
def test_any_row_is_a_mail_or_refused(row: SentRow) -> None:
    try:
        written = write_mail(row, OWN, [], SHANGHAI)
    except Refusal:
        return
    content = compose(written.draft, now=NOW, message_id="x@here.example")
    head = content.partition(b"\r\n\r\n")[0]
    names = [line.partition(b":")[0] for line in head.split(b"\r\n") if not line.startswith((b" ", b"\t"))]
    assert len(names) == len(set(names))  # nothing in a column makes a field of its own


@pytest.mark.parametrize("text", ["", "a" * 17, "../etc", "A.1", "Ａ１", "a\n", "a b"])
def test_ids_that_name_no_file(text: str) -> None:
    assert not is_mail_id(text)
    assert not is_attach_id(text)
