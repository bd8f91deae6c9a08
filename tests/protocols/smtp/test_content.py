"""Content: dots, line ends, and what is refused in it."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.protocols.smtp.content import (
    BareLineEnds,
    ContentCollector,
    Seen,
    has_bare_line_ends,
    judged,
    seen_in,
    unstuff,
    with_crlf,
)
from postroad.protocols.smtp.limits import ServerLimits
from postroad.protocols.smtp.replies import SmtpReply

mail_like = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"..", b"a", b"\0", b"\xff"])).map(
    b"".join
)


def unstuffed_slowly(content: bytes) -> bytes:
    return b"\r\n".join(line[1:] if line.startswith(b".") else line for line in content.split(b"\r\n"))


@given(mail_like)
def test_unstuffing_takes_one_dot_off_each_line(content: bytes) -> None:
    if b"\r\n.\r\n" not in b"\r\n" + content:
        assert unstuff(content) == unstuffed_slowly(content)


@given(mail_like)
def test_repaired_content_has_only_crlf_and_keeps_its_characters(content: bytes) -> None:
    repaired = with_crlf(content)
    assert not has_bare_line_ends(repaired)
    assert repaired.replace(b"\r\n", b"") == content.replace(b"\r", b"").replace(b"\n", b"")
    assert with_crlf(repaired) == repaired


def test_a_line_end_converted_twice_is_one_line_end() -> None:
    assert with_crlf(b"a\r\r\nb\r\r\n\r\r\n") == b"a\r\nb\r\n\r\n"


@given(mail_like)
def test_bare_line_ends_are_seen(content: bytes) -> None:
    without = content.replace(b"\r\n", b"")
    assert has_bare_line_ends(content) == (b"\r" in without or b"\n" in without)


@given(mail_like, st.lists(st.integers(1, 5)))
def test_the_end_is_found_however_the_bytes_come(content: bytes, sizes: list[int]) -> None:
    wire = content.replace(b"\r\n.", b"\r\n..") if not content.startswith(b".") else b"x"
    data = wire + b"\r\n.\r\nQUIT"
    end = (b"\r\n" + data).find(b"\r\n.\r\n")
    for is_discarded in (False, True):
        collector = ContentCollector(10_000)
        if is_discarded:
            collector.discard()
        position = 0
        steps = iter([*sizes, *[3] * len(data)])
        while True:
            piece = data[position : position + next(steps)]
            consumed = collector.append_until_end(piece)
            if consumed >= 0:
                break
            position += len(piece)
        assert position + consumed == end + 3
        if not is_discarded:
            assert collector.content() == (b"\r\n" + data)[2 : end + 2]


def test_past_the_limit_nothing_is_kept() -> None:
    collector = ContentCollector(1000)
    for _ in range(1000):
        assert collector.append_until_end(b"x" * 100 + b"\r\n") == -1
        assert collector.held <= 1102
    assert collector.overflowed
    assert collector.append_until_end(b".\r\nNOOP") == 3


@pytest.mark.parametrize(
    ("content", "code", "status"),
    [
        (b"a: b\r\n\r\nbare\nLF\r\n", 550, "5.6.11"),
        (b"a: b\r\n\r\nbare\rCR\r\n", 550, "5.6.11"),
        (b"a: b\r\n\r\n" + b"x" * 300 + b"\r\n", 552, "5.6.0"),
        (b"h: v\r\n" * 60 + b"\r\nbody\r\n", 552, "5.3.4"),
        (b"\r\n" + b"line\r\n" * 400, 552, "5.3.4"),
    ],
)
def test_what_is_refused(content: bytes, code: int, status: str) -> None:
    limits = ServerLimits(content_line=200, header=300, message=2000)
    with pytest.raises(SmtpReply) as raised:
        judged(content, seen_in(content), BareLineEnds.REFUSE, limits)
    assert (raised.value.code, raised.value.status) == (code, status)


def test_what_is_taken() -> None:
    limits = ServerLimits(content_line=200, header=300, message=2000)
    for content in (b"", b"\r\n", b"a: b\r\n\r\n" + (b"x" * 198 + b"\r\n") * 5, b"\r\n" + b"body\r\n" * 100):
        assert judged(content, seen_in(content), BareLineEnds.REFUSE, limits) == content
    assert judged(b"a\nb", seen_in(b"a\nb"), BareLineEnds.REPAIR, limits) == b"a\r\nb\r\n"
    assert judged(b"no end", seen_in(b"no end"), BareLineEnds.REFUSE, limits) == b"no end\r\n"


@given(st.lists(mail_like))
def test_what_is_seen_in_pieces_is_seen_in_the_whole(pieces: list[bytes]) -> None:
    seen, whole = Seen(), seen_in(b"".join(pieces))
    for piece in pieces:
        seen.add(piece)
    assert (seen.lfs, seen.crs, seen.lines, seen.has_nul) == (
        whole.lfs,
        whole.crs,
        whole.lines,
        whole.has_nul,
    )


@given(mail_like, st.lists(st.integers(0, 60), max_size=4))
def test_a_collector_has_seen_what_it_keeps(content: bytes, cuts: list[int]) -> None:
    for ending in (b"", b"\r\n.\r\nNOOP\r\n"):
        collector = ContentCollector(10_000)
        data = content + ending
        places = sorted({0, *cuts, len(data)})
        for begin, end in pairwise(places):
            if ending:
                if collector.append_until_end(data[begin:end]) >= 0:
                    break
            else:
                collector.append(data[begin:end])
        whole = seen_in(collector.content())
        assert collector.seen.has_bare_line_ends == whole.has_bare_line_ends
        assert collector.seen.has_nul == whole.has_nul
