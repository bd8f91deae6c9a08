"""Bytes cut into commands: the same however they come, and never more in memory than the limits allow."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.protocols.imap.framing import (
    LINE,
    MAX_LITERALS,
    NOBODY,
    SMALL_LITERALS,
    Continue,
    Framed,
    Framing,
    RawCommand,
    TooLarge,
)

LARGEST = 200_000


def framing(*, is_signed_in: bool = True) -> Framing:
    made = Framing(LARGEST)
    made.is_signed_in = is_signed_in
    return made


def all_of(framing: Framing) -> list[Framed]:
    found: list[Framed] = []
    while (framed := framing.next()) is not None:
        found.append(framed)
    return found


CONVERSATION = (
    b"a NOOP\r\nb LOGIN {3}\r\nabc {2+}\r\nde\r\nc APPEND x (\\Seen) {5+}\r\n{9}\r\n\r\n"
    b"d SEARCH BODY ~{3+}\r\n\r\n\n\r\ne NOOP\nf NOOP\r\n"
)
FRAMED = [
    RawCommand((b"a NOOP",)),
    Continue(),
    RawCommand((b"b LOGIN {3}", b"abc", b" {2+}", b"de", b"")),
    RawCommand((b"c APPEND x (\\Seen) {5+}", b"{9}\r\n", b"")),
    RawCommand((b"d SEARCH BODY ~{3+}", b"\r\n\n", b"")),
    RawCommand((b"e NOOP",)),
    RawCommand((b"f NOOP",)),
]


@given(st.lists(st.integers(0, len(CONVERSATION)), max_size=40))
def test_commands_do_not_depend_on_how_bytes_were_cut(cuts: list[int]) -> None:
    cutting = framing()
    found: list[Framed] = []
    for start, end in pairwise([0, *sorted(cuts), len(CONVERSATION)]):
        cutting.feed(CONVERSATION[start:end])
        found += all_of(cutting)
    assert found == FRAMED
    assert not cutting.is_mid_command


@pytest.mark.parametrize(
    ("data", "is_signed_in"),
    [
        (b"a " + b"x" * (LINE + 1) + b"\r\n", True),
        (b"a " + b"x" * (NOBODY + 1) + b"\r\n", False),
        (b"a SEARCH BODY {%d+}\r\n" % (SMALL_LITERALS + 1) + b"y" * (SMALL_LITERALS + 1) + b"\r\n", True),
        (b"a LOGIN {%d+}\r\n" % (NOBODY + 1) + b"y" * (NOBODY + 1) + b" b\r\n", False),
        (b"a APPEND x {%d+}\r\n" % (LARGEST + 1) + b"y" * (LARGEST + 1) + b" {3+}\r\nabc\r\n", True),
        (b"a SEARCH" + b" {1+}\r\nz" * (MAX_LITERALS + 2) + b"\r\n", True),
        (b"a SEARCH BODY {99999}\r\n", True),
    ],
)
def test_what_is_too_large_is_refused_whole_and_the_next_command_is_read(
    data: bytes, is_signed_in: bool
) -> None:
    cutting = framing(is_signed_in=is_signed_in)
    found: list[Framed] = []
    for start in range(0, len(data), 1000):
        cutting.feed(data[start : start + 1000])
        found += all_of(cutting)
        assert cutting.held < SMALL_LITERALS + LINE + 2000
    cutting.feed(b"b NOOP\r\n")
    found += all_of(cutting)
    assert isinstance(found[0], TooLarge)
    assert found[0].tag == "a"
    assert found[1:] == [RawCommand((b"b NOOP",))]


def test_a_literal_that_would_take_for_ever_to_skip_ends_the_session() -> None:
    cutting = framing()
    cutting.feed(b"a APPEND x {9999999999+}\r\n")
    (refused,) = all_of(cutting)
    assert isinstance(refused, TooLarge)
    assert refused.is_fatal


@given(st.lists(st.binary(max_size=300), max_size=30), st.booleans())
def test_arbitrary_bytes_never_break_it_and_stay_bounded(chunks: list[bytes], is_signed_in: bool) -> None:
    cutting = framing(is_signed_in=is_signed_in)
    for chunk in chunks:
        cutting.feed(chunk)
        all_of(cutting)
        assert cutting.held <= LARGEST + LINE + 1000
