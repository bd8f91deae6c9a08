"""Every limit of a session: what is answered at it, and that memory stays bounded beyond it."""

from __future__ import annotations

from postroad.protocols.smtp.events import Closing, MessageComplete, MessageRefused, Question, RecipientGiven
from postroad.protocols.smtp.limits import ServerLimits
from postroad.protocols.smtp.replies import SmtpReply
from tests.protocols.smtp.dialogue import codes, engine, feed, play

ENVELOPE = b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\n"


def unknown(question: Question) -> SmtpReply | None:
    return SmtpReply(550, "5.1.1", "No such mailbox") if isinstance(question, RecipientGiven) else None


def test_a_large_mail_is_refused_by_its_declared_size() -> None:
    _, sent = play(engine(), [b"EHLO c\r\nMAIL FROM:<a@example.org> SIZE=52428801\r\n"])
    assert sent.endswith(b"552 5.3.4 The message is larger than 52428800 bytes\r\n")


def test_a_large_mail_is_refused_at_its_end_and_not_kept() -> None:
    server = engine(limits=ServerLimits(message=10_000))
    play(server, [b"EHLO c\r\n" + ENVELOPE + b"DATA\r\n"])
    events = []
    for _ in range(1000):
        events += feed(server, b"x" * 98 + b"\r\n")
        assert server.bytes_held < 15_000
    events += feed(server, b".\r\nNOOP\r\n")
    assert codes(server.bytes_to_send()) == [552, 250]
    assert isinstance(events[-1], MessageRefused)


def test_a_large_mail_by_bdat_is_refused_and_not_kept() -> None:
    server = engine(limits=ServerLimits(message=10_000))
    play(server, [b"EHLO c\r\n" + ENVELOPE + b"BDAT 100000\r\n"])
    for _ in range(1000):
        feed(server, b"x" * 98 + b"\r\n")
        assert server.bytes_held < 15_000
    assert codes(play(server, [b"BDAT 3 LAST\r\nabcNOOP\r\n"])[1]) == [552, 503, 250]


def test_stuffed_dots_do_not_count() -> None:
    limits = ServerLimits(message=3000)
    content = b".\r\n" * 1000
    wire = content.replace(b".\r\n", b"..\r\n") + b".\r\n"
    for pieces in ([wire], [wire[:1999], wire[1999:]]):
        server = engine(limits=limits)
        events, sent = play(server, [b"EHLO c\r\n" + ENVELOPE + b"DATA\r\n", *pieces])
        assert codes(sent)[-1] == 250
        assert isinstance(events[-1], MessageComplete)
        assert events[-1].content == content


def test_content_refused_for_lack_of_memory_is_read_to_its_end() -> None:
    no_room = SmtpReply(452, "4.3.1", "No room")
    server = engine()
    play(server, [b"EHLO c\r\n" + ENVELOPE + b"DATA\r\n."])
    server.refuse_content(no_room)
    events, sent = play(server, [b"\r", b"\nNOOP\r\n"])
    assert codes(sent) == [452, 250]
    assert events == [MessageRefused(no_room)]


def test_an_announced_bdat_that_is_refused_is_skipped() -> None:
    def no_content(question: Question) -> SmtpReply | None:
        return (
            None
            if hasattr(question, "address") or hasattr(question, "recipient")
            else SmtpReply(452, "4.3.1", "x")
        )

    _, sent = play(engine(), [b"EHLO c\r\n" + ENVELOPE + b"BDAT 6\r\nQUIT\r\nNOOP\r\n"], no_content)
    assert codes(sent) == [250, 250, 250, 452, 250]


def test_bdat_out_of_order_is_skipped() -> None:
    _, sent = play(engine(), [b"EHLO c\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n"])
    assert codes(sent) == [250, 503, 250]
    _, sent = play(engine(), [b"EHLO c\r\n" + ENVELOPE + b"BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n"], unknown)
    assert codes(sent) == [250, 250, 550, 554, 250]


def test_bdat_without_a_length_ends_the_session() -> None:
    events, sent = play(engine(), [b"EHLO c\r\n" + ENVELOPE + b"BDAT many\r\nMAIL FROM:<x@y.z>\r\n"])
    assert codes(sent) == [250, 250, 250, 501]
    assert isinstance(events[-1], Closing)


def test_overlong_lines() -> None:
    server = engine()
    _, sent = play(
        server, [b"EHLO c\r\n", b"NOOP " + b"x" * 2044 + b"\r\n", b"NOOP " + b"x" * 2043 + b"\r\n"]
    )
    assert codes(sent) == [250, 500, 250]
    for _ in range(100):
        feed(server, b"x" * 1000)
        assert server.bytes_held < 4000
    assert codes(play(server, [b"\r", b"\nNOOP\r\n"])[1]) == [500, 250]


def test_errors_end_the_session() -> None:
    events, sent = play(engine(), [b"EHLO c\r\n" + b"BOGUS\r\n" * 30])
    assert codes(sent) == [250] + [500] * 20 + [421]
    assert isinstance(events[-1], Closing)


def test_commands_without_result_end_the_session() -> None:
    for line in (b"NOOP\r\n", b"RSET\r\n", b"VRFY x\r\n", b"HELP\r\n", b"EHLO c\r\n"):
        _, sent = play(engine(limits=ServerLimits(junk_commands=5)), [b"EHLO c\r\n" + line * 10])
        assert len(codes(sent)) == 7
        assert codes(sent)[-1] == 421


def test_an_accepted_mail_clears_the_counts() -> None:
    mail = ENVELOPE + b"DATA\r\nx\r\n.\r\n"
    _, sent = play(
        engine(limits=ServerLimits(junk_commands=5, errors=5)),
        [b"EHLO c\r\n" + (b"NOOP\r\nBAD\r\n" * 4 + mail) * 3],
    )
    assert 421 not in codes(sent)


def test_failed_recipients_end_a_strangers_session() -> None:
    limits = ServerLimits(failed_recipients=5)
    lines = b"MAIL FROM:<a@b.c>\r\n" + b"RCPT TO:<x@y.z>\r\n" * 10
    assert codes(play(engine(limits=limits), [b"EHLO c\r\n" + lines], unknown)[1]) == [250, 250] + [
        550
    ] * 5 + [421]
    signed_in = b"EHLO c\r\nAUTH PLAIN AGEAYg==\r\n"
    assert codes(play(engine(limits=limits), [signed_in + lines], unknown)[1]) == [250, 235, 250] + [550] * 10


def test_too_many_recipients_are_put_off() -> None:
    limits = ServerLimits(recipients=3, recipients_overshoot=4, errors=3)
    lines = b"EHLO c\r\nMAIL FROM:<a@b.c>\r\n" + b"RCPT TO:<x@y.z>\r\n" * 12
    assert codes(play(engine(limits=limits), [lines])[1]) == [250, 250, 250, 250, 250] + [452] * 7 + [421]


def test_guessing_passwords_ends_the_session() -> None:
    _, sent = play(
        engine(),
        [b"EHLO c\r\n" + b"AUTH PLAIN AGEAYg==\r\n" * 9],
        lambda _: SmtpReply(535, "5.7.8", "Wrong"),
    )
    assert codes(sent) == [250] + [535] * 5 + [421]


def test_mails_of_one_connection_are_counted() -> None:
    mail = ENVELOPE + b"DATA\r\nx\r\n.\r\n"
    _, sent = play(engine(limits=ServerLimits(mails=2)), [b"EHLO c\r\n" + mail * 3])
    assert codes(sent) == [250] + [250, 250, 354, 250] * 2 + [421]


def test_a_hundred_thousand_header_fields_are_refused() -> None:
    content = b"X-Field: 1\r\n" * 100_000 + b"\r\nbody\r\n.\r\n"
    _, sent = play(engine(), [b"EHLO c\r\n" + ENVELOPE + b"DATA\r\n", content])
    assert codes(sent)[-1] == 552
