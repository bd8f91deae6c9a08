"""What the client engine reports: what a host offers, and what became of every recipient.

Frozen values only. RFC 5321 4.2.1 (what a code means), RFC 3463 (enhanced status).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from postroad.protocols.smtp.envelope import EnvelopeRecipient
from postroad.protocols.smtp.remote_replies import RemoteReply


class Stage(enum.StrEnum):
    """Where in a session something happened."""

    GREETING = "greeting"
    HELO = "helo"
    TLS = "tls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    CONTENT = "content"
    RESET = "reset"
    QUIT = "quit"


TIMEOUTS: Mapping[Stage, float] = MappingProxyType(
    {
        Stage.GREETING: 300.0,
        Stage.HELO: 300.0,  # RFC 5321 has no word on it; Postfix smtp_helo_timeout
        Stage.TLS: 300.0,  # Postfix smtp_starttls_timeout
        Stage.AUTH: 300.0,
        Stage.MAIL: 300.0,
        Stage.RCPT: 300.0,
        Stage.DATA: 120.0,
        Stage.CONTENT: 600.0,
        Stage.RESET: 300.0,
        Stage.QUIT: 10.0,  # nothing is lost any more
    }
)
"""Seconds to wait for the answer at each stage (RFC 5321 4.5.3.2)."""


class Verdict(enum.StrEnum):
    """What an outcome means for the recipient."""

    DELIVERED = "delivered"
    REFUSED = "refused"  # for good (5xx)
    DEFERRED = "deferred"  # try again later; certainly not delivered
    UNKNOWN = "unknown"  # the content went out and no answer came: try again, it may arrive twice


def verdict_of(stage: Stage, reply: RemoteReply) -> Verdict:
    """Say what a final reply at this stage means for a recipient."""
    if reply.code // 100 == 2:
        return Verdict.DELIVERED
    if reply.code // 100 != 5:  # 4xx, and a 3xx where none belongs
        return Verdict.DEFERRED
    # RFC 5321 4.5.3.1.10: 552 for "too many recipients" is to be read as 452.
    if stage is Stage.RCPT and reply.code == 552 and reply.status in ("", "5.5.3"):
        return Verdict.DEFERRED
    return Verdict.REFUSED


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one recipient. `code` is 0 when no reply says it."""

    recipient: EnvelopeRecipient
    verdict: Verdict
    stage: Stage
    code: int
    status: str
    text: str


@dataclass(frozen=True, slots=True)
class Extensions:
    """What EHLO offered. Numbers are None where nothing was said."""

    pipelining: bool = False
    size_bytes: int | None = None
    eight_bit: bool = False
    smtputf8: bool = False
    dsn: bool = False
    starttls: bool = False
    chunking: bool = False
    auth: frozenset[str] = frozenset()
    recipients: int | None = None  # RFC 9422 RCPTMAX
    mails: int | None = None  # RFC 9422 MAILMAX

    @classmethod
    def parse(cls, reply: RemoteReply) -> Extensions:
        """Read the lines behind the first of an EHLO reply; what is not understood is passed over."""
        offered: dict[str, list[str]] = {}
        for line in reply.lines[1:]:
            # Some old servers write AUTH=LOGIN; the meaning is the same.
            words = (
                line.upper().replace("=", " ", 1).split()
                if line[:5].upper() == "AUTH="
                else line.upper().split()
            )
            if words:
                offered.setdefault(words[0], []).extend(words[1:])
        limits = dict(word.partition("=")[::2] for word in offered.get("LIMITS", []))
        size = _number(next(iter(offered.get("SIZE", [])), ""))
        return cls(
            pipelining="PIPELINING" in offered,
            size_bytes=size or None,  # RFC 1870 4: 0 means that no maximum is in force
            eight_bit="8BITMIME" in offered,
            smtputf8="SMTPUTF8" in offered,
            dsn="DSN" in offered,
            starttls="STARTTLS" in offered,
            chunking="CHUNKING" in offered,
            auth=frozenset(offered.get("AUTH", ())),
            recipients=_number(limits.get("RCPTMAX", "")),
            mails=_number(limits.get("MAILMAX", "")),
        )


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 20 else None


@dataclass(frozen=True, slots=True)
class HandshakeWanted:
    """STARTTLS was granted: shake hands, then `tls_established`."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The session takes mails."""

    extensions: Extensions


@dataclass(frozen=True, slots=True)
class EnvelopeDone:
    """One submitted mail is finished: an outcome for each of its recipients, in their order."""

    key: int
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True)
class SessionFailed:
    """The session could not be set up; nothing was sent to anybody. `code` is 0 when no reply says why."""

    stage: Stage
    code: int
    status: str
    text: str


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """The session is over after it was ready: close the connection."""

    text: str


ClientEvent = HandshakeWanted | Ready | EnvelopeDone | SessionFailed | SessionEnded
