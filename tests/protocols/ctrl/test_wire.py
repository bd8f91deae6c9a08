"""Lines of the control protocol: quoting, replies, patterns, the digest (interface page, sections 2, 3,
4)."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.protocols.ctrl.lines import Lines, LineTooLong
from postroad.protocols.ctrl.patterns import pattern
from postroad.protocols.ctrl.wire import (
    BadCharacters,
    NotAReply,
    digest,
    fields_of,
    parse_reply,
    quoted,
    reply_line,
    stuffed,
    unstuffed,
)

values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters='"\\'), max_size=20)
typed = st.binary(max_size=60) | st.text('ab"\\\t\0 *', max_size=30).map(str.encode)


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        (b'"abc"', ["abc"]),
        (b"abc", ["abc"]),
        (b'"abc', ["abc"]),
        (b'"abc"xyz', ["abc"]),
        (b'"a b"', ["a b"]),
        (b'"a\\"b"', ['a"b']),
        (b'"a"b"', ["a"]),
        (b'"back\\slash"', ["back\\slash"]),
        (b'"two\\\\"', ['two\\"']),
        (b'"a\\"', ['a"']),
        (b'"a\tb"', ["a", 'b"']),
        (b'abc"', ['abc"']),
        (b"", []),
        (b"\t\t", []),
        (b'\t"a"\t\t\t""\t', ["a", ""]),
        (b" noop", [" noop"]),
        (b'"a"\0\xff\x01', ["a"]),
    ],
)
def test_fields_are_read_as_the_page_says(line: bytes, fields: list[str]) -> None:
    assert fields_of(line) == fields


@pytest.mark.parametrize("line", [b"us\xc3\xa9r", b'"a\x01"', b'"a\rb"', b'"a\x7f"'])
def test_what_no_command_may_hold_is_refused(line: bytes) -> None:
    with pytest.raises(BadCharacters):
        fields_of(line)


@given(st.lists(values, min_size=1, max_size=6))
def test_what_is_written_is_read_back(row: list[str]) -> None:
    assert fields_of(quoted(row)) == row


@given(typed)
def test_any_line_has_fields_or_is_refused(line: bytes) -> None:
    try:
        fields = fields_of(line)
    except BadCharacters:
        return
    assert not any("\t" in field or "\0" in field for field in fields)


@given(st.binary(max_size=30).filter(lambda line: line != b"."))
def test_dots_survive(line: bytes) -> None:
    sent = stuffed(line)
    assert sent != b".\r\n"
    assert unstuffed(sent[:-2]) == line


def test_the_fixed_digest() -> None:
    assert digest(b"<1234567890.42@127.0.0.1>", b"secret") == "92c601ac78c68253d6a253055e360d69"


@pytest.mark.parametrize(
    ("line", "is_success", "value", "text"),
    [
        (b"+00000 OK", True, 0, b"OK"),
        (b"+0 x", True, 0, b"x"),
        (b"+00100   a list ", True, 100, b"a list "),
        (b"-00012 User not found", False, 12, b"User not found"),
        (b"-00000 odd", True, 0, b"odd"),
        (b"+" + b"9" * 5000 + b" far", True, 10**9, b"far"),
    ],
)
def test_replies(line: bytes, is_success: bool, value: int, text: bytes) -> None:
    reply = parse_reply(line)
    assert (reply.is_success, reply.value, reply.text) == (is_success, value, text)
    assert reply.begins_list == (value == 100)


@pytest.mark.parametrize("line", [b"", b"+OK", b"+00000", b"00000 OK", b"* OK", b"+ OK"])
def test_what_is_no_reply(line: bytes) -> None:
    with pytest.raises(NotAReply):
        parse_reply(line)


@given(
    st.integers(-99999, 99999), st.text(st.characters(codec="ascii", exclude_characters="\r\n"), min_size=1)
)
def test_replies_are_read_back(code: int, text: str) -> None:
    reply = parse_reply(reply_line(code, text)[:-2])
    assert (reply.is_positive, reply.value, reply.text) == (code >= 0, abs(code), text.lstrip(" ").encode())


@given(st.lists(st.binary(max_size=8).map(lambda b: b.replace(b"\n", b"")), max_size=5), st.data())
def test_lines_do_not_depend_on_how_bytes_arrive(lines: list[bytes], data: st.DataObject) -> None:
    sent = b"".join(line + b"\r\n" for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=6)))
    buffer = Lines()
    found: list[bytes | None] = []
    for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True):
        buffer.feed(sent[start:end])
        while True:
            try:
                line = buffer.take(5)
            except LineTooLong:
                found.append(None)
                continue
            if line is None:
                break
            found.append(line)
    expected = [line.rstrip(b"\r") for line in lines]
    assert found == [
        line if len(line) <= 5 and len(raw) + 1 <= 10 else None
        for line, raw in zip(expected, lines, strict=True)
    ]


def as_regex(text: str) -> str:
    """The same pattern in another language."""
    made, place = "", 0
    while place < len(text):
        character = text[place]
        place += 1
        if character == "*":
            made += ".*"
        elif character == "?":
            made += "."
        elif character == "\\" and place < len(text):
            made += re.escape(text[place])
            place += 1
        else:
            made += re.escape(character)
    return made


@given(st.text("ab*?\\.", max_size=10), st.text("ab.", max_size=10))
def test_patterns_are_what_they_say(text: str, value: str) -> None:
    assert pattern(text).matches(value) == bool(re.fullmatch(as_regex(text), value, re.DOTALL))


@pytest.mark.parametrize(
    ("text", "value", "fits"),
    [
        ("*", "", True),
        ("A*", "abc", True),
        ("[a-c]x", "Bx", True),
        ("[^a-c]x", "bx", False),
        ("[^a-c]x", "dx", True),
        ("[]a]", "]", True),
        ("[a", "[a", True),
        ("a\\*", "a*", True),
        ("a\\*", "ab", False),
        ("ali", "alice", False),
    ],
)
def test_patterns(text: str, value: str, fits: bool) -> None:
    assert pattern(text).matches(value) == fits


def test_a_pattern_of_stars_is_quick() -> None:
    # Going back over every star, this would take longer than anybody waits.
    assert not pattern("*a" * 500 + "b").matches("a" * 2000)


def test_what_is_literal_and_with_case() -> None:
    assert pattern("Example.com").literal == "example.com"
    assert pattern("a\\*b").literal == "a*b"
    assert pattern("exa?ple").literal is None
    assert not pattern("A", folds=False).matches("a")
