"""The client engine against hand-written hosts: what it says, when, and what becomes of each recipient."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.message.address import Address
from postroad.protocols.smtp.auth import Credentials
from postroad.protocols.smtp.client import ClientConfig, NotReady, Phase, SmtpClient, TlsUse
from postroad.protocols.smtp.envelope import (
    Envelope,
    EnvelopeRecipient,
    Notify,
    OriginalRecipient,
    Return,
)
from postroad.protocols.smtp.outcomes import (
    ClientEvent,
    EnvelopeDone,
    HandshakeWanted,
    Ready,
    SessionEnded,
    SessionFailed,
    Stage,
    Verdict,
)

ALL = b"250-mx\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 DSN\r\n"
MAIL = b"Subject: x\r\n\r\nhello\r\n"
OK = b"250 2.0.0 ok\r\n"


def envelope(*recipients: str, sender: str | None = "a@example.org", smtputf8: bool = False) -> Envelope:
    return Envelope(
        Address.parse(sender) if sender else None,
        tuple(EnvelopeRecipient(Address.parse(recipient)) for recipient in recipients or ("b@example.com",)),
        smtputf8=smtputf8,
    )


def ready(ehlo: bytes = ALL, config: ClientConfig | None = None) -> SmtpClient:
    client = SmtpClient(config or ClientConfig("client.example"))
    assert client.receive(b"220 mx\r\n") == []
    assert client.bytes_to_send() == b"EHLO client.example\r\n"
    events = client.receive(ehlo)
    assert isinstance(events[-1], Ready)
    client.bytes_to_send()
    return client


def done(events: list[ClientEvent]) -> list[tuple[int, list[tuple[Verdict, Stage, int]]]]:
    return [
        (event.key, [(outcome.verdict, outcome.stage, outcome.code) for outcome in event.outcomes])
        for event in events
        if isinstance(event, EnvelopeDone)
    ]


def wants_more(client: SmtpClient) -> bool:
    return client.wants_more


def test_an_envelope_leaves_in_one_write_and_the_next_rides_behind_the_body() -> None:
    client = ready()
    client.submit(1, envelope("b@example.com", "c@example.com"), MAIL)
    client.submit(2, envelope(sender=None), b".dot\r\n\r\n..two\r\n")
    assert client.bytes_to_send() == (
        b"MAIL FROM:<a@example.org> SIZE=21\r\nRCPT TO:<b@example.com>\r\nRCPT TO:<c@example.com>\r\nDATA\r\n"
    )
    assert not wants_more(client)
    assert client.receive(OK + b"250 ok\r\n550 5.1.1 who?\r\n354 go\r\n") == []
    assert (
        client.bytes_to_send() == MAIL + b".\r\nMAIL FROM:<> SIZE=15\r\nRCPT TO:<b@example.com>\r\nDATA\r\n"
    )
    assert wants_more(client)
    assert done(client.receive(OK)) == [
        (1, [(Verdict.DELIVERED, Stage.CONTENT, 250), (Verdict.REFUSED, Stage.RCPT, 550)])
    ]
    client.quit()
    assert client.receive(OK + OK + b"354 go\r\n") == []
    assert client.bytes_to_send() == b"..dot\r\n\r\n...two\r\n.\r\n"
    assert done(client.receive(OK)) == [(2, [(Verdict.DELIVERED, Stage.CONTENT, 250)])]
    assert client.bytes_to_send() == b"QUIT\r\n"
    assert client.receive(b"221 bye\r\n") == [SessionEnded("bye")]
    assert client.phase is Phase.CLOSED


def test_without_pipelining_one_command_at_a_time() -> None:
    client = ready(b"250 mx\r\n")
    client.submit(1, envelope("b@example.com", "c@example.com"), MAIL)
    client.submit(2, envelope(), MAIL)
    dialogue = [
        (b"MAIL FROM:<a@example.org>\r\n", OK),
        (b"RCPT TO:<b@example.com>\r\n", b"451 4.2.0 later\r\n"),
        (b"RCPT TO:<c@example.com>\r\n", OK),
        (b"DATA\r\n", b"354 go\r\n"),
        (MAIL + b".\r\n", OK),
        (b"MAIL FROM:<a@example.org>\r\n", OK),
        (b"RCPT TO:<b@example.com>\r\n", b"550 no\r\n"),
    ]
    events: list[ClientEvent] = []
    for said, answer in dialogue:
        assert client.bytes_to_send() == said
        events += client.receive(answer)
    assert done(events) == [
        (1, [(Verdict.DEFERRED, Stage.RCPT, 451), (Verdict.DELIVERED, Stage.CONTENT, 250)]),
        (2, [(Verdict.REFUSED, Stage.RCPT, 550)]),
    ]
    client.submit(3, envelope(), MAIL)
    assert client.bytes_to_send() == b"RSET\r\nMAIL FROM:<a@example.org>\r\n"


def test_an_old_host_is_greeted_with_helo() -> None:
    client = SmtpClient(ClientConfig("client.example"))
    client.receive(b"220-welcome\r\n220 here\r\n")
    client.bytes_to_send()
    client.receive(b"502 what?\r\n")
    assert client.bytes_to_send() == b"HELO client.example\r\n"
    assert isinstance(client.receive(b"250 mx\r\n")[0], Ready)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        # MAIL refused: what RCPT and DATA say is of no interest.
        (
            (b"550 5.7.1 no\r\n", b"503 no\r\n", b"503 no\r\n", b"503 no\r\n"),
            (Verdict.REFUSED, Stage.MAIL, 550),
        ),
        ((b"451 4.7.1 later\r\n", OK, OK, b"354 go\r\n"), (Verdict.DEFERRED, Stage.MAIL, 451)),
        # No recipient taken.
        ((OK, b"550 no\r\n", b"550 no\r\n", b"554 no valid\r\n"), (Verdict.REFUSED, Stage.RCPT, 550)),
        ((OK, b"550 no\r\n", b"550 no\r\n", b"354 go\r\n"), (Verdict.REFUSED, Stage.RCPT, 550)),
        # Too many recipients is for later, a full mailbox is not.
        ((OK, b"552 too many\r\n", b"552 5.5.3 x\r\n", b"554 no\r\n"), (Verdict.DEFERRED, Stage.RCPT, 552)),
        ((OK, b"552 5.2.2 full\r\n", b"552 5.2.2 x\r\n", b"554 no\r\n"), (Verdict.REFUSED, Stage.RCPT, 552)),
        # DATA refused although recipients were taken.
        ((OK, OK, OK, b"451 4.3.0 later\r\n"), (Verdict.DEFERRED, Stage.DATA, 451)),
        ((OK, OK, OK, b"554 5.3.4 no\r\n"), (Verdict.REFUSED, Stage.DATA, 554)),
        ((OK, OK, OK, b"354 go\r\n", b"554 5.7.1 spam\r\n"), (Verdict.REFUSED, Stage.CONTENT, 554)),
        ((OK, OK, OK, b"354 go\r\n", b"450 4.0.0 later\r\n"), (Verdict.DEFERRED, Stage.CONTENT, 450)),
    ],
)
@pytest.mark.parametrize("is_split", [False, True])
def test_refusals_at_each_stage(
    answers: tuple[bytes, ...], expected: tuple[Verdict, Stage, int], is_split: bool
) -> None:
    client = ready()
    client.submit(1, envelope("b@example.com", "c@example.com"), MAIL)
    events: list[ClientEvent] = []
    if is_split:
        for byte in b"".join(answers):
            events += client.receive(bytes([byte]))
    else:
        events += client.receive(b"".join(answers))
    assert done(events) == [(1, [expected, expected])]
    # The session goes on with the next mail.
    client.bytes_to_send()
    client.submit(2, envelope(), MAIL)
    said = client.bytes_to_send()
    assert said.endswith(b"MAIL FROM:<a@example.org> SIZE=21\r\nRCPT TO:<b@example.com>\r\nDATA\r\n")
    extra = said.startswith(b"RSET\r\n") + (
        expected[1] is not Stage.CONTENT and answers[-1].startswith(b"354")
    )
    assert done(client.receive(OK * extra + OK * 2 + b"354 go\r\n" + OK))[0][0] == 2


def test_a_lone_dot_ends_a_354_without_recipients() -> None:
    client = ready()
    client.submit(1, envelope(), MAIL)
    client.bytes_to_send()
    client.receive(OK + b"550 no\r\n354 go\r\n")
    assert client.bytes_to_send() == b".\r\n"


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ((b"421 4.3.2 bye\r\n",), (Verdict.DEFERRED, Stage.MAIL, 421)),
        ((OK, b"421 4.3.2 bye\r\n"), (Verdict.DEFERRED, Stage.RCPT, 421)),
        ((OK, OK, b"421 4.3.2 bye\r\n"), (Verdict.DEFERRED, Stage.DATA, 421)),
        ((OK, OK, b"354 go\r\n", b"421 4.3.2 bye\r\n"), (Verdict.DEFERRED, Stage.CONTENT, 421)),
    ],
)
@pytest.mark.parametrize("ehlo", [ALL, b"250 mx\r\n"])
def test_a_421_ends_everything(
    answers: tuple[bytes, ...], expected: tuple[Verdict, Stage, int], ehlo: bytes
) -> None:
    client = ready(ehlo)
    client.submit(1, envelope(), MAIL)
    client.submit(2, envelope(), MAIL)
    events = client.receive(b"".join(answers))
    assert isinstance(events[-1], SessionEnded)
    assert [key for key, _ in done(events)] == [1, 2]
    assert done(events)[0][1] == [expected]
    assert done(events)[1][1][0][0] is Verdict.DEFERRED
    with pytest.raises(NotReady):
        client.submit(3, envelope(), MAIL)


@pytest.mark.parametrize("cut", range(9))
def test_when_the_connection_dies_every_recipient_is_accounted_for(cut: int) -> None:
    client = ready()
    client.submit(1, envelope("b@example.com", "c@example.com"), MAIL)
    client.submit(2, envelope(), MAIL)
    answers = [OK, b"550 5.1.1 no\r\n", OK, b"354 go\r\n", OK, OK, OK, b"354 go\r\n", OK][:cut]
    events = [event for answer in answers for event in client.receive(answer)]
    events += client.connection_lost()
    outcomes = dict(done(events))
    assert set(outcomes) == {1, 2}
    first, second = [[verdict for verdict, _, _ in outcomes[key]] for key in (1, 2)]
    assert first[0] is (Verdict.REFUSED if cut >= 2 else Verdict.DEFERRED)
    assert first[1] is (Verdict.DELIVERED if cut >= 5 else Verdict.UNKNOWN if cut == 4 else Verdict.DEFERRED)
    assert second == [Verdict.UNKNOWN if cut >= 8 else Verdict.DEFERRED]
    assert client.connection_lost() == []


def test_parameters_are_given_where_they_are_offered() -> None:
    full = Envelope(
        Address.parse("a@example.org"),
        (
            EnvelopeRecipient(
                Address.parse("b@example.com"),
                Notify.SUCCESS | Notify.FAILURE,
                OriginalRecipient("rfc822", "b+x@example.com"),
            ),
        ),
        ret=Return.HEADERS,
        envelope_id="id=1",
        smtputf8=True,
    )
    client = ready()
    client.submit(1, full, "Subject: 你好\r\n\r\n".encode())
    assert client.bytes_to_send().split(b"\r\n")[:2] == [
        b"MAIL FROM:<a@example.org> SIZE=19 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=id+3D1",
        b"RCPT TO:<b@example.com> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;b+2Bx@example.com",
    ]
    client = ready(b"250-mx\r\n250 PIPELINING\r\n")
    client.submit(1, full, "Subject: x\r\n\r\n你好\r\n".encode())
    assert client.bytes_to_send() == b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n"


def test_what_needs_smtputf8_does_not_go_to_a_host_without_it() -> None:
    client = ready(b"250-mx\r\n250 PIPELINING\r\n")
    barred = (Verdict.REFUSED, Stage.MAIL, 550)
    assert done(client.submit(1, envelope(sender="用户@example.org"), MAIL)) == [(1, [barred])]
    events = client.submit(2, envelope(smtputf8=True), "Subject: 你好\r\n\r\n".encode())
    assert done(events) == [(2, [barred])]
    assert client.bytes_to_send() == b""
    client.submit(3, envelope("用户@example.com", "c@example.com"), MAIL)
    assert b"RCPT TO:<c@example.com>" in client.bytes_to_send()
    events = client.receive(OK * 2 + b"354 go\r\n" + OK)
    assert done(events) == [(3, [barred, (Verdict.DELIVERED, Stage.CONTENT, 250)])]
    assert isinstance(events[0], EnvelopeDone)
    assert events[0].outcomes[0].status == "5.6.7"


def test_a_mail_too_large_for_the_host_is_not_sent() -> None:
    client = ready()
    assert done(client.submit(1, envelope(), b"x" * 2000)) == [(1, [(Verdict.REFUSED, Stage.MAIL, 552)])]
    assert client.bytes_to_send() == b""


def test_a_bare_line_end_never_leaves() -> None:
    client = ready()
    client.submit(1, envelope(), b"a\n.\r\nb\r.\nc")
    client.bytes_to_send()
    client.receive(OK * 2 + b"354 go\r\n")
    assert client.bytes_to_send() == b"a\r\n..\r\nb\r\n..\r\nc\r\n.\r\n"


def test_tls_is_begun_where_it_is_offered_and_everything_before_it_forgotten() -> None:
    client = SmtpClient(ClientConfig("client.example", tls=TlsUse.REQUIRED))
    client.receive(b"220 mx\r\n")
    client.bytes_to_send()
    client.receive(b"250-mx\r\n250-PIPELINING\r\n250 STARTTLS\r\n")
    assert client.bytes_to_send() == b"STARTTLS\r\n"
    assert client.receive(b"220 go\r\n") == [HandshakeWanted()]
    client.tls_established()
    assert not client.extensions.pipelining
    assert client.bytes_to_send() == b"EHLO client.example\r\n"
    assert isinstance(client.receive(b"250-mx\r\n250 STARTTLS\r\n")[0], Ready)


def test_data_behind_the_answer_to_starttls_is_an_attack() -> None:
    client = SmtpClient(ClientConfig("client.example"))
    client.receive(b"220 mx\r\n250-mx\r\n250 STARTTLS\r\n")
    events = client.receive(b"220 go\r\n250 injected\r\n")
    assert isinstance(events[-1], SessionFailed)


@pytest.mark.parametrize(
    ("tls", "ehlo", "answer", "is_ready"),
    [
        (TlsUse.REQUIRED, b"250 mx\r\n", b"", False),
        (TlsUse.REQUIRED, b"250-mx\r\n250 STARTTLS\r\n", b"454 4.7.0 no\r\n", False),
        (TlsUse.OPPORTUNISTIC, b"250-mx\r\n250 STARTTLS\r\n", b"454 4.7.0 no\r\n", True),
        (TlsUse.OFF, b"250-mx\r\n250 STARTTLS\r\n", b"", True),
    ],
)
def test_tls_policies(tls: TlsUse, ehlo: bytes, answer: bytes, is_ready: bool) -> None:
    client = SmtpClient(ClientConfig("client.example", tls=tls))
    events = client.receive(b"220 mx\r\n") + client.receive(ehlo) + client.receive(answer)
    assert isinstance(events[-1], Ready if is_ready else SessionFailed)


@pytest.mark.parametrize(
    ("mechanisms", "dialogue"),
    [
        ("LOGIN PLAIN", [(b"AUTH PLAIN AHVzZXIAcGFzcw==\r\n", b"235 ok\r\n")]),
        (
            "LOGIN",
            [(b"AUTH LOGIN\r\n", b"334 VX\r\n"), (b"dXNlcg==\r\n", b"334 UA\r\n"), (b"cGFzcw==\r\n", OK)],
        ),
    ],
)
def test_signing_in(mechanisms: str, dialogue: list[tuple[bytes, bytes]]) -> None:
    config = ClientConfig("client.example", credentials=Credentials("user", "pass"))
    client = SmtpClient(config, is_tls=True)
    client.receive(b"220 mx\r\n")
    client.bytes_to_send()
    events = client.receive(f"250-mx\r\n250 AUTH {mechanisms}\r\n".encode())
    for said, answer in dialogue:
        assert events == []
        assert client.bytes_to_send() == said
        events = client.receive(answer)
    assert isinstance(events[0], Ready)


def test_a_password_is_not_sent_in_plain_text() -> None:
    client = SmtpClient(ClientConfig("client.example", credentials=Credentials("user", "pass")))
    events = client.receive(b"220 mx\r\n250-mx\r\n250 AUTH PLAIN\r\n")
    assert isinstance(events[-1], SessionFailed)
    assert events[-1].stage is Stage.AUTH
    assert b"AUTH" not in client.bytes_to_send()


@pytest.mark.parametrize(
    "answer", [b"554 go away\r\n", b"421 busy\r\n", b"SSH-2.0-x\r\n", b"\x15\x03\x01\r\n"]
)
def test_a_host_that_does_not_greet(answer: bytes) -> None:
    client = SmtpClient(ClientConfig("client.example"))
    client.submit(7, envelope(), MAIL)
    events = client.receive(answer)
    assert isinstance(events[0], SessionFailed)
    assert done(events)[0][1][0][0] is Verdict.DEFERRED
    assert client.phase is Phase.CLOSED


@pytest.mark.parametrize(
    "answer", [b"2" * 5000, b"250-x\r\n" * 300, b"999 x\r\n", b"25\r\n", b"250x\r\n", b"250 DATA?\r\n" * 4]
)
def test_garbage_ends_the_session_bounded(answer: bytes) -> None:
    client = ready()
    client.submit(1, envelope(), MAIL)
    events = client.receive(answer)
    assert done(events)[0][1][0][0] is Verdict.DEFERRED
    assert isinstance(events[-1], SessionEnded)


def test_the_hosts_limits_are_read() -> None:
    client = ready(b"250-mx\r\n250-LIMITS RCPTMAX=20 MAILMAX=1\r\n250-AUTH=LOGIN\r\n250 SIZE 0\r\n")
    assert (client.extensions.recipients, client.extensions.mails) == (20, 1)
    assert client.extensions.auth == {"LOGIN"}
    assert client.extensions.size_bytes is None
    client.submit(1, envelope(), MAIL)
    assert not client.wants_more


@given(
    st.lists(
        st.sampled_from([OK, b"354 go\r\n", b"421 x\r\n", b"550 5.1.1 x\r\n", b"250-"])
        | st.binary(max_size=9)
    )
)
def test_whatever_a_host_says_each_recipient_has_one_outcome(answers: list[bytes]) -> None:
    for ehlo in (ALL, b"250 mx\r\n"):
        client = ready(ehlo)
        events: list[ClientEvent] = []
        for key in range(3):
            events += client.submit(key, envelope("b@example.com", "c@example.com"), MAIL)
        for answer in answers:
            events += client.receive(answer)
        events += client.connection_lost()
        assert sorted(key for key, _ in done(events)) == [0, 1, 2]
        assert all(len(outcomes) == 2 for _, outcomes in done(events))
        assert client.unfinished == 0
