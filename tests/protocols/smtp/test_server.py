"""Dialogues with the server engine: what is answered, in which order, and that splits do not matter."""

from __future__ import annotations

import base64
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroad.message.address import Address
from postroad.protocols.smtp.envelope import BodyType
from postroad.protocols.smtp.events import (
    Authenticate,
    Closing,
    ContentAnnounced,
    Event,
    Greeted,
    MailFrom,
    MessageComplete,
    MessageRefused,
    Question,
    Quit,
    RecipientGiven,
    Reset,
    StartTls,
)
from postroad.protocols.smtp.replies import SmtpReply
from postroad.protocols.smtp.server import NotAsked, ServerConfig, SmtpServer
from postroad.protocols.smtp.states import State
from tests.protocols.smtp.dialogue import codes, engine, feed, play

DIALOGUE = (
    b"EHLO client.example\r\n"
    b"MAIL FROM:<a@example.org> BODY=8BITMIME\r\n"
    b"RCPT TO:<b@example.com>\r\nRCPT TO:<refused@example.com>\r\nRCPT TO:<c@example.com>\r\nDATA\r\n"
    b"Subject: x\r\n\r\n..dot\r\n.\r\n"
    b"NOOP\r\nMAIL FROM:<>\r\nRSET\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.com>\r\n"
    b"BDAT 6\r\nA: b\r\nBDAT 5 LAST\r\n\r\n.\r\nVRFY b\r\nBOGUS\r\n"
    b"MAIL FROM:<a@example.org>\r\nRCPT TO:<refused@example.com>\r\nDATA\r\nRSET\r\n"
    b"AUTH LOGIN\r\n" + base64.b64encode(b"user") + b"\r\n" + base64.b64encode(b"secret") + b"\r\n"
    b"MAIL FROM:a@example.org\r\nRCPT TO:b@example.com\r\nDATA\r\nbare\nLF\r\n.\r\n"
    b"QUIT\r\nNOOP\r\n"
)


def refuse_one(question: Question) -> SmtpReply | None:
    if isinstance(question, RecipientGiven) and question.recipient.address.local_part == "refused":
        return SmtpReply(550, "5.1.1", "No such mailbox")
    return None


def test_a_long_dialogue() -> None:
    events, sent = play(engine(), [DIALOGUE], refuse_one)
    assert codes(sent) == [
        *(250, 250, 250, 550, 250, 354, 250),
        *(250, 250, 250, 250, 250, 250, 250, 252, 500),
        *(250, 550, 554, 250),
        *(334, 334, 235),
        *(250, 250, 354, 250, 221),
    ]
    messages = [event for event in events if isinstance(event, MessageComplete)]
    assert [message.content for message in messages] == [
        b"Subject: x\r\n\r\n.dot\r\n",
        b"A: b\r\n\r\n.\r\n",
        b"bare\r\nLF\r\n",
    ]
    first = messages[0].envelope
    assert first.mail_from == Address("a", "example.org")
    assert [str(recipient.address) for recipient in first.recipients] == ["b@example.com", "c@example.com"]
    assert first.body is BodyType.EIGHT_BIT
    assert Authenticate("LOGIN", "user", "secret") in events
    assert events[0] == Greeted("client.example", True)
    assert isinstance(events[-1], Quit)


def test_a_pipelined_group_is_answered_in_one_write() -> None:
    server = engine()
    feed(server, b"EHLO client\r\n")
    server.bytes_to_send()
    feed(server, b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n")
    assert codes(server.bytes_to_send()) == [250, 250, 354]
    assert server.bytes_to_send() == b""


@pytest.fixture(scope="module")
def whole() -> tuple[list[Event], bytes]:
    return play(engine(), [DIALOGUE], refuse_one)


def test_every_single_split_gives_the_same(whole: tuple[list[Event], bytes]) -> None:
    for cut in range(len(DIALOGUE)):
        assert play(engine(), [DIALOGUE[:cut], DIALOGUE[cut:]], refuse_one) == whole


def test_byte_by_byte_gives_the_same(whole: tuple[list[Event], bytes]) -> None:
    assert play(engine(), [bytes([byte]) for byte in DIALOGUE], refuse_one) == whole


@given(st.lists(st.integers(0, len(DIALOGUE)), max_size=12))
def test_any_splits_give_the_same(whole: tuple[list[Event], bytes], cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(DIALOGUE)]
    pieces = [DIALOGUE[start:end] for start, end in itertools.pairwise(edges)]
    assert play(engine(), pieces, refuse_one) == whole


line_like = st.lists(
    st.sampled_from(
        [
            *(b"EHLO c\r\n", b"HELO c\r\n", b"MAIL FROM:<a@b.c>\r\n", b"RCPT TO:<d@e.f>\r\n", b"DATA\r\n"),
            *(
                b"BDAT 3\r\n",
                b"BDAT 2 LAST\r\n",
                b"RSET\r\n",
                b"AUTH PLAIN\r\n",
                b"AUTH LOGIN eA==\r\n",
                b"*\r\n",
            ),
            *(
                b"STARTTLS\r\n",
                b"eA==\r\n",
                b".\r\n",
                b"\r\n",
                b"\n",
                b"\r",
                b"\0",
                b"abc",
                b"..",
                b"NOOP",
                b" ",
            ),
        ]
    )
    | st.binary(max_size=8),
    max_size=60,
)


@settings(max_examples=300)
@given(line_like, st.integers(0, 3))
def test_garbage_raises_nothing_and_stays_bounded(pieces: list[bytes], answers: int) -> None:
    replies = iter(range(1000))

    def policy(_question: Question) -> SmtpReply | None:
        turn = next(replies) + answers
        return SmtpReply(450, "4.0.0", "later") if turn % 5 == 4 else None

    server = engine(offers_starttls=True)
    split_events, split_sent = play(server, pieces, policy)
    assert server.bytes_held <= sum(map(len, pieces))
    replies = iter(range(1000))
    assert play(engine(offers_starttls=True), [b"".join(pieces)], policy) == (split_events, split_sent)


def test_input_waits_while_a_question_is_open() -> None:
    server = engine()
    feed(server, b"EHLO c\r\n")
    assert server.receive(b"MAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\n") == [MailFrom(Address("a", "b.c"))]
    assert server.receive(b"DATA\r\n") == []
    assert isinstance(server.accept()[0], RecipientGiven)
    assert server.accept() == [ContentAnnounced(None)]
    assert server.reject(SmtpReply(452, "4.3.1", "No room")) == [
        MessageRefused(SmtpReply(452, "4.3.1", "No room"))
    ]
    assert codes(server.bytes_to_send()) == [250, 250, 250, 452]
    assert server.state is State.READY


def test_answers_without_a_question_are_an_error_of_the_application() -> None:
    server = engine()
    with pytest.raises(NotAsked):
        server.accept()
    feed(server, b"EHLO c\r\n")
    server.receive(b"MAIL FROM:<a@b.c>\r\n")
    with pytest.raises(NotAsked):
        server.reject(SmtpReply(250, "2.0.0", "yes"))
    with pytest.raises(NotAsked):
        server.refuse_content(SmtpReply(452, "4.3.1", "No room"))


def test_ehlo_offers_what_the_session_can_do() -> None:
    def offered(server: SmtpServer) -> set[str]:
        feed(server, b"EHLO c\r\n")
        lines = server.bytes_to_send().decode().splitlines()
        assert all(line.startswith("250-") for line in lines[:-1])
        return {line[4:] for line in lines[1:]}

    always = {
        *(
            "PIPELINING",
            "SIZE 52428800",
            "ENHANCEDSTATUSCODES",
            "8BITMIME",
            "SMTPUTF8",
            "CHUNKING",
            "DSN",
            "HELP",
        ),
        "LIMITS MAILMAX=10000 RCPTMAX=1000",
    }
    assert offered(engine(allows_plain_auth=False, offers_starttls=True)) == {*always, "STARTTLS"}
    assert offered(engine(allows_plain_auth=True)) == {*always, "AUTH PLAIN LOGIN"}
    assert offered(engine(allows_plain_auth=False, offers_starttls=True, is_tls=True)) == {
        *always,
        "AUTH PLAIN LOGIN",
    }


def test_what_is_pipelined_behind_starttls_is_not_obeyed() -> None:
    server = engine(offers_starttls=True)
    events, sent = play(server, [b"EHLO c\r\n", b"STARTTLS\r\nMAIL FROM:<evil@example.org>\r\n"])
    assert isinstance(events[-1], StartTls)
    assert codes(sent) == [250, 220]
    feed(server, b"RSET\r\n")  # still in plain text, before the handshake
    server.tls_established()
    assert play(server, [b""]) == ([], b"")
    assert server.helo == ""
    assert codes(play(server, [b"MAIL FROM:<a@b.c>\r\n"])[1]) == [503]
    assert codes(play(server, [b"EHLO c\r\nSTARTTLS\r\n"])[1]) == [250, 503]


def test_auth_needs_encryption_or_an_allowed_network() -> None:
    server = engine(allows_plain_auth=False, offers_starttls=True)
    _, sent = play(server, [b"EHLO c\r\n", b"AUTH PLAIN AGEAYg==\r\n"])
    assert sent.endswith(b"538 5.7.11 Encryption required for authentication; use STARTTLS first\r\n")


def test_auth_works_after_helo_and_only_once() -> None:
    server = engine()
    events, sent = play(server, [b"HELO c\r\nAUTH PLAIN AGEAYg==\r\nAUTH PLAIN AGEAYg==\r\n"])
    assert Authenticate("PLAIN", "a", "b") in events
    assert codes(sent) == [250, 235, 503]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (b"AUTH PLAIN\r\nAGEAYg==\r\n", [334, 235]),
        (b"AUTH LOGIN YQ==\r\nYg==\r\n", [334, 235]),
        (b"auth login\r\nYQ==\r\nYg==\r\n", [334, 334, 235]),
        (b"AUTH LOGIN\r\n*\r\nNOOP\r\n", [334, 501, 250]),
        (b"AUTH LOGIN\r\n!!\r\nNOOP\r\n", [334, 501, 250]),
        (b"AUTH PLAIN YQ==\r\nNOOP\r\n", [501, 250]),
        (b"AUTH PLAIN YgBhAGM=\r\n", [535]),  # acting as somebody else
        (b"AUTH PLAIN AP8AYg==\r\n", [535]),  # not UTF-8
        (b"AUTH PLAIN =\r\n", [501]),
        (b"AUTH CRAM-MD5\r\n", [504]),
        (b"AUTH\r\n", [504]),
        (b"AUTH LOGIN\r\n" + b"A" * 12289 + b"\r\nNOOP\r\n", [334, 500, 250]),
        (b"AUTH PLAIN " + b"A" * 8000 + b"\r\nNOOP\r\n", [501, 250]),
    ],
)
def test_auth_exchanges(lines: bytes, expected: list[int]) -> None:
    server = engine()
    feed(server, b"EHLO c\r\n")
    server.bytes_to_send()
    assert codes(play(server, [lines])[1]) == expected


def test_a_password_does_not_show() -> None:
    assert "secret" not in repr(Authenticate("PLAIN", "user", "secret"))


def test_mail_needs_a_sign_in_where_it_is_required() -> None:
    server = engine(requires_auth=True)
    assert codes(
        play(server, [b"EHLO c\r\nMAIL FROM:<a@b.c>\r\nAUTH PLAIN AGEAYg==\r\nMAIL FROM:<a@b.c>\r\n"])[1]
    ) == [*(250, 530, 235, 250)]


def test_a_browser_is_sent_away_at_once() -> None:
    events, sent = play(engine(), [b"POST / HTTP/1.1\r\nHost: x\r\n\r\nEHLO c\r\n"])
    assert codes(sent) == [421]
    assert isinstance(events[-1], Closing)


def test_draining_finishes_the_mail_in_hand() -> None:
    server = engine()
    play(server, [b"EHLO c\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\nDATA\r\nx"])
    assert server.drain() == []
    events, sent = play(server, [b"\r\n.\r\nMAIL FROM:<a@b.c>\r\n"])
    assert codes(sent) == [250, 421]
    assert isinstance(events[-1], Closing)
    idle = engine()
    assert isinstance(idle.drain()[0], Closing)
    assert codes(idle.bytes_to_send()) == [421]


def test_a_421_of_the_application_ends_the_session() -> None:
    server = engine()
    events, sent = play(
        server, [b"EHLO c\r\nMAIL FROM:<a@b.c>\r\nNOOP\r\n"], lambda _: SmtpReply(421, "4.3.0", "Gone")
    )
    assert codes(sent) == [250, 421]
    assert isinstance(events[-1], Closing)
    assert server.state is State.CLOSED


def test_commands_that_come_before_the_banner_are_obeyed_after_it() -> None:
    server = SmtpServer(ServerConfig("mx.example.com"))
    assert server.receive(b"HELO c\r\nNOOP\r\n") == []
    server.greet()
    assert server.receive(b"") == [Greeted("c", False)]
    assert codes(server.bytes_to_send()) == [220, 250, 250]


def test_rset_in_the_middle_forgets_the_recipients() -> None:
    events, sent = play(
        engine(),
        [
            b"EHLO c\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\nRSET\r\n",
            b"MAIL FROM:<a@b.c>\r\nRCPT TO:<g@e.f>\r\nDATA\r\n.\r\n",
        ],
    )
    assert Reset() in events
    assert codes(sent) == [250] * 6 + [354, 250]
    message = events[-1]
    assert isinstance(message, MessageComplete)
    assert [str(recipient.address) for recipient in message.envelope.recipients] == ["g@e.f"]
    assert message.content == b""
