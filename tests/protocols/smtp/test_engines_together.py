"""Client and server engine talk to each other in memory: what goes in comes out, byte for byte."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from postroad.message.address import Address
from postroad.protocols.smtp.auth import Credentials
from postroad.protocols.smtp.client import ClientConfig, SmtpClient
from postroad.protocols.smtp.commands import encode_xtext
from postroad.protocols.smtp.envelope import (
    Envelope,
    EnvelopeRecipient,
    Notify,
    OriginalRecipient,
    Return,
)
from postroad.protocols.smtp.events import MessageComplete, Question, RecipientGiven
from postroad.protocols.smtp.outcomes import ClientEvent, EnvelopeDone, SessionEnded, Verdict
from postroad.protocols.smtp.replies import SmtpReply
from postroad.protocols.smtp.server import ServerConfig, SmtpServer
from tests.protocols.smtp.dialogue import feed

printable = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)
addresses = st.sampled_from(
    [
        *(
            "a@example.org",
            "refused@example.org",
            "later@example.org",
            '"x y"@example.org',
            "b@xn--fsqu00a.cn",
        ),
        "用户@example.cn",
    ]
).map(Address.parse)
recipients = st.builds(
    EnvelopeRecipient,
    addresses,
    st.none() | st.sampled_from([Notify.NEVER, Notify.SUCCESS, Notify.FAILURE | Notify.DELAY]),
    st.none() | st.builds(OriginalRecipient, st.just("rfc822"), printable),
)
lines = st.sampled_from(
    [b"", b".", b"..", b".x", b"Subject: x", b"\xe4\xbd\xa0", b"\x01", b"x" * 70]
) | st.binary(max_size=20).map(lambda line: line.translate(None, b"\r\n\0"))  # NUL is refused
contents = st.lists(lines, max_size=12).map(lambda all_lines: b"".join(line + b"\r\n" for line in all_lines))
envelopes = st.builds(
    Envelope,
    st.none() | addresses,
    st.lists(recipients, min_size=1, max_size=5).map(tuple),
    ret=st.none() | st.sampled_from(Return),
    envelope_id=st.none() | printable,
)


def policy(question: Question) -> SmtpReply | None:
    if isinstance(question, RecipientGiven):
        match question.recipient.address.local_part:
            case "refused":
                return SmtpReply(550, "5.1.1", "No such mailbox")
            case "later":
                return SmtpReply(451, "4.2.1", "Later")
    return None


def verdict(recipient: EnvelopeRecipient) -> Verdict:
    return {"refused": Verdict.REFUSED, "later": Verdict.DEFERRED}.get(
        recipient.address.local_part, Verdict.DELIVERED
    )


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(envelopes, contents), min_size=1, max_size=6), st.integers(1, 400), st.booleans())
def test_mails_arrive_as_they_were_sent(
    mails: list[tuple[Envelope, bytes]], step: int, signs_in: bool
) -> None:
    server = SmtpServer(ServerConfig("mx.example.com", allows_plain_auth=True))
    credentials = Credentials("user", "pass") if signs_in else None
    client = SmtpClient(ClientConfig("client.example", credentials=credentials, allows_plain_auth=True))
    server.greet()
    told: list[ClientEvent] = []
    taken: list[MessageComplete] = []
    for key, (envelope, content) in enumerate(mails):
        told += client.submit(key, envelope, content)
    client.quit()
    while True:
        to_client, to_server = server.bytes_to_send(), client.bytes_to_send()
        if not to_client and not to_server:
            break
        for start in range(0, len(to_client), step):
            told += client.receive(to_client[start : start + step])
        for start in range(0, len(to_server), step):
            events = feed(server, to_server[start : start + step], policy)
            taken += [event for event in events if isinstance(event, MessageComplete)]
    assert isinstance(told[-1], SessionEnded)
    finished = [event for event in told if isinstance(event, EnvelopeDone)]
    assert [event.key for event in finished] == list(range(len(mails)))
    arrived = iter(taken)
    for event, (envelope, content) in zip(finished, mails, strict=True):
        assert [outcome.recipient for outcome in event.outcomes] == list(envelope.recipients)
        assert [outcome.verdict for outcome in event.outcomes] == [verdict(r) for r in envelope.recipients]
        accepted = tuple(r for r in envelope.recipients if verdict(r) is Verdict.DELIVERED)
        if not accepted:
            continue
        message = next(arrived)
        assert message.content == content
        assert message.envelope.mail_from == envelope.mail_from
        assert message.envelope.recipients == accepted
        assert (message.envelope.ret, message.envelope.envelope_id) == (envelope.ret, envelope.envelope_id)
    assert next(arrived, None) is None


def test_xtext_of_other_characters_is_their_utf8() -> None:
    assert encode_xtext("é=") == "+C3+A9+3D"
