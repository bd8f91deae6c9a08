"""Tokens say what was put in, and nothing that we did not make says anything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.campaigns.sealing import MAX_VALUE, Seal, packed, unpacked
from postroad.campaigns.tracking.tokens import MAX_TARGET, Kind, Token, Tokens
from postroad.campaigns.tracking.urls import Urls

KEY, OTHER = b"one key of thirty-two bytes ....", b"another key of thirty-two bytes."
TOKENS = Tokens(KEY)
IDS = st.integers(0, 2**63 - 1)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@given(IDS, IDS, IDS, st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
def test_a_token_says_what_was_put_in(run: int, email: int, link: int, target: str) -> None:
    assert TOKENS.read(TOKENS.pixel(run, email)) == Token(Kind.PIXEL, run, email)
    assert TOKENS.read(TOKENS.unsubscribe(run, email)) == Token(Kind.UNSUBSCRIBE, run, email)
    assert TOKENS.read(TOKENS.preferences(run, email)) == Token(Kind.PREFERENCES, run, email)
    assert TOKENS.read(TOKENS.web(run, email)) == Token(Kind.WEB, run, email)
    made = TOKENS.link(run, email, link, target)
    assert TOKENS.read(made) == Token(Kind.LINK, run, email, link, target)
    assert set(made) <= set(ALPHABET)


@given(st.one_of(st.text(max_size=60), st.text(ALPHABET, min_size=10, max_size=60)))
def test_what_we_did_not_make_says_nothing(text: str) -> None:
    assert TOKENS.read(text) is None


@given(st.data())
def test_a_token_with_one_other_letter_is_none_of_ours(data: st.DataObject) -> None:
    token = TOKENS.link(500_000_001, 12_345_678, 7)
    at = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.sampled_from([each for each in ALPHABET if each != token[at]]))
    assert TOKENS.read(token[:at] + letter + token[at + 1 :]) is None
    assert TOKENS.read(token[:at]) is None
    assert TOKENS.read(token + letter) is None


def test_neighbours_look_nothing_alike_and_tell_no_ids() -> None:
    one, next_one = TOKENS.pixel(500_000_001, 1000), TOKENS.pixel(500_000_001, 1001)
    same = sum(a == b for a, b in zip(one[2:], next_one[2:], strict=True))
    assert same < 10
    assert len(one) <= 28


def test_an_older_key_still_reads_and_a_strange_one_does_not() -> None:
    token = TOKENS.web(500_000_002, 5)
    assert Tokens(OTHER, older=[KEY]).read(token) == Token(Kind.WEB, 500_000_002, 5)
    assert Tokens(OTHER).read(token) is None
    assert Tokens(OTHER, older=[KEY]).web(500_000_002, 5) != token


def test_values_of_one_purpose_are_nothing_for_another() -> None:
    sealed = Seal(KEY, "one", tag_bytes=10).seal(b"value")
    assert Seal(KEY, "two", tag_bytes=10).open(sealed) is None
    assert Seal(KEY, "one", tag_bytes=10).open(sealed) == b"value"


def test_bounds() -> None:
    with pytest.raises(ValueError, match="key"):
        Tokens(b"short")
    with pytest.raises(ValueError, match="too long"):
        TOKENS.link(1, 2, 3, "x" * (MAX_VALUE + 1))
    with pytest.raises(ValueError, match="no id"):
        TOKENS.pixel(-1, 2)
    longest = TOKENS.link(2**62, 2**62, 2**62, "x" * MAX_TARGET)
    read = TOKENS.read(longest)
    assert read is not None
    assert read.target == "x" * MAX_TARGET


@given(st.lists(IDS, max_size=5), st.binary(max_size=20))
def test_packed_numbers_come_back(numbers: list[int], rest: bytes) -> None:
    assert unpacked(packed(*numbers) + rest, len(numbers)) == (numbers, rest)


@given(st.binary(max_size=30), st.integers(0, 4))
def test_garbage_is_unpacked_or_refused(data: bytes, count: int) -> None:
    found = unpacked(data, count)
    assert found is None or (len(found[0]) == count and data.endswith(found[1]))


@pytest.mark.parametrize(
    "base", ['https://a"b', "javascript:x", "https://", "https://a b", "//a", "https://a/?x"]
)
def test_urls_stand_on_a_real_base(base: str) -> None:
    with pytest.raises(ValueError, match="base"):
        Urls(TOKENS, base)


def test_urls_name_what_they_are() -> None:
    urls = Urls(TOKENS, "https://t.example/")
    assert urls.pixel(1, 2) == f"https://t.example/t/o/{TOKENS.pixel(1, 2)}"
    assert urls.unsubscribe(1, 2).startswith("https://t.example/t/u/")
