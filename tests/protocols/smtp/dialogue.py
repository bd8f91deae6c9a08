"""Drives a server engine through a dialogue: bytes in pieces, questions answered by a policy."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from postroad.protocols.smtp.events import Event, Question
from postroad.protocols.smtp.limits import ServerLimits
from postroad.protocols.smtp.replies import SmtpReply
from postroad.protocols.smtp.server import ServerConfig, SmtpServer

Policy = Callable[[Question], SmtpReply | None]


def yes(_question: Question) -> None:
    """Accept everything."""


def engine(
    *,
    limits: ServerLimits | None = None,
    offers_starttls: bool = False,
    offers_auth: bool = True,
    allows_plain_auth: bool = True,
    requires_auth: bool = False,
    is_tls: bool = False,
) -> SmtpServer:
    """A greeted engine; the banner is already taken away."""
    server = SmtpServer(
        ServerConfig(
            "mx.example.com",
            limits or ServerLimits(),
            offers_starttls=offers_starttls,
            offers_auth=offers_auth,
            allows_plain_auth=allows_plain_auth,
            requires_auth=requires_auth,
        ),
        is_tls=is_tls,
    )
    server.greet()
    server.bytes_to_send()
    return server


def feed(server: SmtpServer, data: bytes, policy: Policy = yes) -> list[Event]:
    """Feed once, answer every question, return all events."""
    events: list[Event] = []
    fresh = server.receive(data)
    while fresh:
        events += fresh
        fresh = []
        if server.question is not None:
            refusal = policy(server.question)
            fresh = server.accept() if refusal is None else server.reject(refusal)
    return events


def play(server: SmtpServer, pieces: Iterable[bytes], policy: Policy = yes) -> tuple[list[Event], bytes]:
    """Feed the pieces one after the other; return the events and everything sent."""
    events: list[Event] = []
    sent = b""
    for piece in pieces:
        events += feed(server, piece, policy)
        sent += server.bytes_to_send()
    return events, sent


def codes(sent: bytes) -> list[int]:
    """The codes of the replies, one a reply."""
    return [int(line[:3]) for line in sent.split(b"\r\n") if line[3:4] == b" " or len(line) == 3]
