"""The POP3 engine: what is in order where, and answers that do not depend on how bytes were cut."""

from __future__ import annotations

import base64
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.protocols.pop3.content import stuffed, top
from postroad.protocols.pop3.maildrop import Maildrop
from postroad.protocols.pop3.server import (
    MAX_SIGN_INS,
    Pop3Config,
    Pop3Server,
    Retrieve,
    SignIn,
    StartTls,
    Update,
)
from postroad.protocols.pop3.states import COMMANDS, KNOWN, State

CONTENT = b"Subject: one\r\n\r\n.dot\r\nlast"


def maildrop(count: int = 3) -> Maildrop:
    made = Maildrop(7)
    for number in range(1, count + 1):
        made.add(number * 10, number * 100)
    return made


class Session:
    """An engine and somebody who serves its requests."""

    def __init__(self, *, is_tls: bool = True, drop: Maildrop | None = None) -> None:
        self.engine = Pop3Server(Pop3Config("pop.example.com", offers_stls=True), is_tls=is_tls)
        self.engine.greet()
        assert b"".join(self.engine.output()) == b"+OK pop.example.com POP3 ready\r\n"
        self.drop = drop or maildrop()
        self.said = b""
        self.removed: tuple[int, ...] | None = None

    def send(self, data: bytes) -> None:
        self.engine.receive(data)
        while True:
            request = self.engine.next_request()
            is_cut = self.engine.has_more
            self.said += b"".join(self.engine.output())
            match request:
                case SignIn(_, password):
                    if password == "secret":
                        self.engine.signed_in(self.drop)
                    else:
                        self.engine.refuse("[AUTH] no")
                case Retrieve(_, _, lines):
                    cut = CONTENT if lines is None else top(CONTENT, lines)
                    self.engine.deliver(cut if cut is not None else CONTENT)
                case StartTls():
                    self.engine.tls_established()
                case Update(uids):
                    self.removed = uids
                    self.engine.updated()
                case _:
                    if not is_cut:
                        break
        self.said += b"".join(self.engine.output())

    def taken_away(self) -> tuple[int, ...]:
        return self.removed or ()

    def ask(self, line: str) -> list[str]:
        """Send a line; return the lines of the answer."""
        self.said = b""
        self.send(line.encode() + b"\r\n")
        return self.said.decode().splitlines()


def signed_in(drop: Maildrop | None = None) -> Session:
    session = Session(drop=drop)
    session.ask("USER anna")
    assert session.ask("PASS secret") == ["+OK 3 messages (600 octets)"] or drop is not None
    return session


def test_a_session_lists_reads_marks_and_removes_only_by_quit() -> None:
    session = signed_in()
    assert session.ask("STAT") == ["+OK 3 600"]
    assert session.ask("LIST") == ["+OK 3 messages (600 octets)", "1 100", "2 200", "3 300", "."]
    assert session.ask("UIDL 2") == ["+OK 2 0000000700000014"]
    assert session.ask("RETR 1") == [f"+OK {len(CONTENT)} octets", "Subject: one", "", "..dot", "last", "."]
    assert session.ask("TOP 1 1")[1:] == ["Subject: one", "", "..dot", "."]
    assert session.ask("DELE 2") == ["+OK Marked"]
    assert session.ask("DELE 2")[0].startswith("-ERR")
    assert session.ask("LIST")[1:] == ["1 100", "3 300", "."]
    assert session.ask("RSET") == ["+OK"]
    assert session.ask("STAT") == ["+OK 3 600"]
    session.ask("DELE 3")
    assert session.taken_away() == ()
    assert session.ask("QUIT") == ["+OK Bye"]
    assert session.taken_away() == (30,)
    assert session.engine.state is State.CLOSED


def test_without_quit_nothing_is_removed() -> None:
    session = signed_in()
    session.ask("DELE 1")
    session.engine.close("Shutting down")
    assert session.removed is None


@pytest.mark.parametrize("state", [State.AUTHORIZATION, State.TRANSACTION])
@pytest.mark.parametrize("verb", sorted(KNOWN))
def test_every_command_is_answered_in_every_state(state: State, verb: str) -> None:
    session = Session() if state is State.AUTHORIZATION else signed_in()
    answer = session.ask(verb)
    assert answer[0].startswith(("+OK", "-ERR", "+ "[:1]))
    if verb not in COMMANDS[state]:
        assert answer[0] == "-ERR Not in this state"


def test_passwords_wait_for_tls_and_stls_forgets_what_stood_behind_it() -> None:
    session = Session(is_tls=False)
    assert "STLS" in session.ask("CAPA")
    assert session.ask("USER anna") == ["-ERR Use STLS first"]
    session.ask("STLS\r\nUSER mallory")  # injected in plain text
    assert session.said == b"+OK Begin TLS\r\n"
    assert "USER" in session.ask("CAPA")
    assert "STLS" not in session.ask("CAPA")
    assert session.ask("PASS secret") == ["-ERR Send USER first"]


def test_sasl_plain_with_and_without_an_initial_response() -> None:
    response = base64.b64encode(b"\0anna\0secret").decode()
    for lines in ([f"AUTH PLAIN {response}"], ["AUTH PLAIN", response]):
        session = Session()
        answers = [session.ask(line)[-1] for line in lines]
        assert answers[-1] == "+OK 3 messages (600 octets)"
    session = Session()
    assert session.ask("AUTH PLAIN") == ["+ "]
    assert session.ask("*") == ["-ERR Cancelled"]
    assert session.ask("AUTH CRAM-MD5")[0].startswith("-ERR")


def test_guesses_end_the_connection() -> None:
    session = Session()
    for _ in range(MAX_SIGN_INS):
        session.ask("USER anna")
        session.ask("PASS wrong")
    assert session.engine.state is State.CLOSED


def test_a_hundred_thousand_mails_are_listed_in_pieces() -> None:
    session = signed_in(maildrop(100_000))
    session.engine.receive(b"LIST\r\nUIDL\r\n")
    largest = lines = 0
    while True:
        request = session.engine.next_request()
        is_cut = session.engine.has_more
        for piece in session.engine.output():
            largest = max(largest, len(piece))
            lines += piece.count(b"\r\n")
        assert request is None
        if not is_cut:
            break
    assert lines == 200_004
    assert largest < 40_000


CONVERSATION = (
    b"CAPA\r\nUSER anna\r\nPASS secret\r\nSTAT\r\nLIST\r\nUIDL\r\n"
    b"TOP 1 0\r\nRETR 2\r\nDELE 1\r\nXYZ\r\nQUIT\r\n"
)


@given(st.lists(st.integers(0, len(CONVERSATION)), max_size=30))
def test_answers_do_not_depend_on_how_bytes_were_cut(cuts: list[int]) -> None:
    whole = Session()
    whole.send(CONVERSATION)
    session = Session()
    marks = [0, *sorted(cuts), len(CONVERSATION)]
    for start, end in pairwise(marks):
        session.send(CONVERSATION[start:end])
    assert session.said == whole.said
    assert session.removed == whole.removed == (10,)


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_arbitrary_bytes_never_break_a_session(chunks: list[bytes]) -> None:
    for session in (Session(), signed_in()):
        session.said = b""
        for chunk in chunks:
            session.send(chunk)
        session.send(b"\r\nNOOP\r\n")
        assert session.engine.state is State.CLOSED or session.said.splitlines()[-1][:1] in (b"+", b"-")


@given(st.binary())
def test_stuffed_content_is_read_back_as_it_was_with_its_last_line_ended(content: bytes) -> None:
    lines = stuffed(content).split(b"\r\n")
    assert lines[-2:] == [b".", b""]
    assert b"." not in lines[:-2]
    read = b"".join((line[1:] if line.startswith(b".") else line) + b"\r\n" for line in lines[:-2])
    wanted = content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    assert read == wanted + (b"" if not wanted or wanted.endswith(b"\r\n") else b"\r\n")
