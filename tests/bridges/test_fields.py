"""Forms of old pages: names of any case, text in UTF-8 or GBK."""

from __future__ import annotations

from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.bridges.fields import MAX_FIELDS, BadForm, as_text, read_fields

TEXT = st.text(st.characters(codec="utf-8"))


@given(st.dictionaries(st.text(st.characters(categories=("Ll", "Nd"), max_codepoint=127), min_size=1), TEXT))
def test_what_a_browser_sends_is_read(values: dict[str, str]) -> None:
    fields = read_fields(urlencode(values).encode())
    for name, value in values.items():
        assert fields.get(name.upper()) == value
        assert fields.has(name)


@given(st.binary())
def test_nothing_breaks_it(data: bytes) -> None:
    try:
        read_fields(data)
    except BadForm:
        assert data.count(b"&") >= MAX_FIELDS


def test_text_of_a_gbk_page_is_read() -> None:
    for charset in ("utf-8", "gbk", "gb2312", "gb18030"):
        assert read_fields(f"a={quote('密码测试', encoding=charset)}".encode()).get("a") == "密码测试"
        assert as_text("林晓".encode(charset)) == "林晓"


def test_the_first_of_a_name_counts_and_empty_ones_give_way() -> None:
    fields = read_fields(b"a=1&a=2&b=&c=3")
    assert (fields.get("a"), fields.get("b", "c"), fields.get("b"), fields.get("d")) == ("1", "3", "", "")
    assert fields.has("b") and not fields.has("d")
    assert read_fields(f"a={quote_plus('a b+c&d')}".encode()).get("a") == "a b+c&d"


def test_fields_are_bounded() -> None:
    with pytest.raises(BadForm):
        read_fields(b"a=1&" * MAX_FIELDS)
