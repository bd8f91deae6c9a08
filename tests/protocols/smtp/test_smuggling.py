"""SMTP smuggling: nothing but CRLF.CRLF ends a mail, wherever the bytes are split."""

from __future__ import annotations

import itertools

import pytest

from postroad.protocols.smtp.events import MessageComplete, MessageRefused
from tests.protocols.smtp.dialogue import codes, engine, feed, play

START = b"EHLO c\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n"
SMUGGLED = b"MAIL FROM:<forged@example.com>\r\nRCPT TO:<victim@example.com>\r\nDATA\r\nforged\r\n"
LINE_ENDS = (b"\n", b"\r", b"\r\n", b"\r\r", b"\n\r", b"\r\0\n", b"\0\r\n", b"\r\n\0")
FALSE_ENDS = [
    before + b"." + after
    for before, after in itertools.product(LINE_ENDS, LINE_ENDS)
    if not (before.endswith(b"\r\n") and after.startswith(b"\r\n"))
]
SIGN_IN = b"EHLO c\r\nAUTH PLAIN AGEAYg==\r\n"


@pytest.mark.parametrize("false_end", FALSE_ENDS)
@pytest.mark.parametrize("is_signed_in", [False, True])
def test_a_false_end_ends_nothing(false_end: bytes, is_signed_in: bool) -> None:
    content = b"Subject: x\r\n\r\nbody" + false_end + SMUGGLED
    data = content + b".\r\nQUIT\r\n"
    for cut in range(len(data)):
        server = engine()
        if is_signed_in:
            feed(server, SIGN_IN)
        feed(server, START)
        server.bytes_to_send()
        events, sent = play(server, [data[:cut], data[cut:]])
        results = [event for event in events if isinstance(event, MessageComplete | MessageRefused)]
        assert len(results) == 1
        assert codes(sent)[-1] == 221
        if isinstance(results[0], MessageRefused):
            expected = b"550 5.6.0 " if is_signed_in else b"550 5.6."
            assert sent.startswith(expected)
            assert b"\0" in false_end or not is_signed_in
        else:
            # Handed on as one mail with one reading: whoever relays it stuffs this dot again.
            taken = results[0].content
            assert b"forged@example.com" in taken
            assert b"\n" not in taken.replace(b"\r\n", b"")
            assert b"\r" not in taken.replace(b"\r\n", b"")


@pytest.mark.parametrize("false_end", [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\n", b"\r\n.\r"])
def test_a_chunk_with_bare_line_ends_is_refused_too(false_end: bytes) -> None:
    content = b"Subject: x\r\n\r\nbody" + false_end + SMUGGLED
    envelope = START.removesuffix(b"DATA\r\n")
    _, sent = play(engine(), [envelope + b"BDAT %d LAST\r\n" % len(content) + content + b"NOOP\r\n"])
    assert codes(sent) == [250, 250, 250, 550, 250]


def test_a_true_end_inside_a_chunk_ends_nothing() -> None:
    content = b"Subject: x\r\n\r\nbody\r\n.\r\n" + SMUGGLED
    envelope = START.removesuffix(b"DATA\r\n")
    events, sent = play(engine(), [envelope + b"BDAT %d LAST\r\n" % len(content) + content])
    assert codes(sent) == [250, 250, 250, 250]
    assert isinstance(events[-1], MessageComplete)
    assert events[-1].content == content


@pytest.mark.parametrize("line_end", [b"\n", b"\r", b"\n\r", b"\r\0\n"])
def test_a_bare_line_end_ends_no_command(line_end: bytes) -> None:
    _, sent = play(engine(), [b"EHLO c\r\n", b"NOOP" + line_end + b"QUIT" + line_end])
    assert codes(sent) == [250]
    _, sent = play(engine(), [b"EHLO c\r\n", b"NOOP" + line_end + b"QUIT\r\n", b"NOOP\r\n"])
    assert codes(sent) == [250, 500, 250]


def test_data_with_a_bare_line_end_begins_no_content() -> None:
    start = START.removesuffix(b"DATA\r\n")
    _, sent = play(engine(), [start, b"DATA\nSubject: x\r\n", b"NOOP\r\n"])
    assert codes(sent) == [250, 250, 250, 500, 250]


@pytest.mark.parametrize("is_signed_in", [False, True])
@pytest.mark.parametrize("content", [b"a\0b\r\n", b"Subject: a\0b\r\n\r\nc\r\n", b"\0\r\n", b"a\r\n\0"])
def test_a_nul_is_refused_from_strangers_and_members_alike(content: bytes, is_signed_in: bool) -> None:
    for transfer in (b"DATA\r\n" + content + b"\r\n.\r\n", b"BDAT %d LAST\r\n" % len(content) + content):
        server = engine()
        if is_signed_in:
            feed(server, SIGN_IN)
        events, sent = play(server, [START.removesuffix(b"DATA\r\n") + transfer + b"NOOP\r\n"])
        assert codes(sent)[-2:] == [550, 250]
        assert b"550 5.6.0 The message has NUL characters" in sent
        assert isinstance(events[-1], MessageRefused)
        assert not any(isinstance(event, MessageComplete) for event in events)
