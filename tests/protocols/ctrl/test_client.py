"""The client's engine: what it sends and what it makes of whatever comes back (sections 7.2, 8.2, 8.6)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.protocols.ctrl.client import (
    CtrlClient,
    Errand,
    Event,
    Failed,
    Finished,
    HandshakeDue,
    ListBegins,
    ListLine,
    UploadWanted,
)

BANNER = b"+00000 <1234567890.42@127.0.0.1> XMail 1.27 CTRL Server; Sat, 21 Nov 2026 19:03:39 -0000\r\n"
DIGEST = b'"admin"\t"#92c601ac78c68253d6a253055e360d69"\r\n'
OK = b"+00000 OK\r\n"


def client(*command: bytes, starts_tls: bool = False, is_clear: bool = False) -> CtrlClient:
    return CtrlClient(
        Errand(b"admin", b"secret", command or (b"noop",), starts_tls=starts_tls, is_clear=is_clear)
    )


def events(engine: CtrlClient, *said: bytes, is_end: bool = False) -> list[Event]:
    found: list[Event] = []
    for piece in said:
        engine.receive(piece)
        while (event := engine.next_event()) is not None:
            found.append(event)
    if is_end:
        engine.end_of_input()
        while (event := engine.next_event()) is not None:
            found.append(event)
    return found


def test_the_worked_example() -> None:
    engine = client(b"userlist", b"d1.test", b"alice")
    assert events(engine, BANNER) == []
    assert engine.output() == DIGEST
    assert events(engine, OK) == []
    assert engine.output() == b'"userlist"\t"d1.test"\t"alice"\r\n'
    assert events(engine, b'+00100 OK\r\n"d1.test"\t"alice"\t"new3"\t"U"\r\n..x\r\n.\r\n') == [
        ListBegins(),
        ListLine(b'"d1.test"\t"alice"\t"new3"\t"U"'),
        ListLine(b".x"),
        Finished(),
    ]
    assert engine.output() == b'"quit"\r\n'
    assert events(engine, b"-00001 whatever\r\n") == []
    assert engine.is_over


def test_an_upload_as_in_the_worked_example() -> None:
    engine = client(b"usersetmproc", b"d1.test", b"alice")
    assert events(engine, BANNER, OK, b"+00101 OK\r\n") == [UploadWanted()]
    engine.output()
    engine.upload([b'"mailbox"', b".dot", b'"end"'])
    assert engine.output() == b'"mailbox"\r\n..dot\r\n"end"\r\n.\r\n'
    assert events(engine, OK) == [Finished()]


def test_the_second_reply_of_an_upload_is_judged() -> None:
    engine = client(b"usersetmproc", b"d1.test", b"alice")
    events(engine, BANNER, OK, b"+00101 OK\r\n")
    engine.upload([b"x" * 5000])
    assert max(len(line) for line in engine.output().splitlines()) <= 2045
    assert events(engine, b"-00021 Unable to write file\r\n") == [Failed(-138, b"Unable to write file")]
    assert engine.output() == b'"quit"\r\n'


def test_negotiated_tls_signs_in_with_the_clear_password() -> None:
    engine = client(starts_tls=True)
    events(engine, BANNER)
    assert engine.output() == b"#!TLS\r\n"
    assert events(engine, b"+00000 Ready to start TLS mode\r\n") == [HandshakeDue()]
    engine.tls_established()
    assert engine.output() == b'"admin"\t"secret"\r\n'


def test_a_clear_password_when_asked_for_or_without_a_timestamp() -> None:
    engine = client(is_clear=True)
    events(engine, BANNER)
    assert engine.output() == b'"admin"\t"secret"\r\n'
    engine = client()
    events(engine, b"+0 no timestamp here\r\n")
    assert engine.output() == b'"admin"\t"secret"\r\n'


@pytest.mark.parametrize(
    ("said", "event", "quits"),
    [
        ([b"* OK\r\n"], Failed(-137, b"* OK"), False),
        ([b"-00130 Server does not like Your IP\r\n"], Failed(-138, b"Server does not like Your IP"), False),
        ([BANNER, b"-00161 Resource lock\r\n"], Failed(-138, b"Resource lock"), False),
        ([BANNER, OK, b"-00012 50% \xff \r\n"], Failed(-138, b"50% \xff "), True),
        ([BANNER, OK, b"x" * 3000 + b"\r\n"], Failed(-162), True),
        ([BANNER, b"x" * 3000 + b"\r\n"], Failed(-162), False),
    ],
)  # fmt: skip
def test_failures(said: list[bytes], event: Event, quits: bool) -> None:
    engine = client()
    assert events(engine, *said) == [event]
    assert engine.output().endswith(b'"quit"\r\n') == quits
    assert engine.is_over != quits


@pytest.mark.parametrize("said", [[], [BANNER], [BANNER, OK], [BANNER, OK, b"+0000"]])
def test_a_broken_link(said: list[bytes]) -> None:
    assert events(client(), *said, is_end=True) == [Failed(-152)]


def test_a_list_that_breaks_off_is_no_failure() -> None:
    engine = client(b"userlist")
    found = events(engine, BANNER, OK, b"+00100 OK\r\nwhole\r\nhalf", is_end=True)
    assert found == [ListBegins(), ListLine(b"whole"), Finished()]
    engine = client(b"userlist")
    found = events(engine, BANNER, OK, b"+00100 OK\r\na\r\n" + b"x" * 3000 + b"\r\nb\r\n.\r\n")
    assert found == [ListBegins(), ListLine(b"a"), Finished()]


def test_a_missing_farewell_is_no_failure() -> None:
    engine = client()
    assert events(engine, BANNER, OK, OK, is_end=True) == [Finished()]
    assert engine.is_over


@given(
    st.lists(
        st.sampled_from([BANNER, OK, b"+00100 OK\r\n", b".\r\n", b"\xff\r\n", b"-1 x\r\n", b"\0"])
        | st.binary()
    )
)
def test_whatever_a_server_says_ends_once(said: list[bytes]) -> None:
    engine = client()
    found = events(engine, *said)
    if UploadWanted() in found:
        engine.upload([])
    found += events(engine, is_end=True)
    assert engine.is_over
    assert sum(isinstance(event, Failed | Finished) for event in found) == 1
