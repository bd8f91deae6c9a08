"""What SMTP says about one mail apart from its content: the envelope, and the session it came by.

Plain values, shared by the engines, the listeners and transport. No parsing and no I/O here.
RFC 5321 (envelope), RFC 3461 (DSN), RFC 6152 (8BITMIME), RFC 6531 (SMTPUTF8), RFC 3848 (protocol words).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from postroad.message.address import Address


class BodyType(enum.StrEnum):
    """The BODY parameter of MAIL (RFC 6152 3); BINARYMIME is not offered."""

    SEVEN_BIT = "7BIT"
    EIGHT_BIT = "8BITMIME"


class Return(enum.StrEnum):
    """RET: how much of the mail a failure notice returns (RFC 3461 4.3)."""

    FULL = "FULL"
    HEADERS = "HDRS"


class Notify(enum.IntFlag):
    """NOTIFY: what the sender wants to hear about one recipient (RFC 3461 4.1); fits a small integer."""

    NEVER = 1
    SUCCESS = 2
    FAILURE = 4
    DELAY = 8


class Role(enum.StrEnum):
    """What a listening port is for."""

    MX = "mx"  # port 25: mail from strangers, and from old programs that sign in there
    SUBMISSION = "submission"  # port 587 (RFC 6409): sign-in required, STARTTLS
    SUBMISSIONS = "submissions"  # port 465 (RFC 8314): the same, TLS from the first byte


@dataclass(frozen=True, slots=True)
class OriginalRecipient:
    """ORCPT (RFC 3461 4.2): the recipient as first written; `address` is decoded from xtext."""

    address_type: str
    address: str


@dataclass(frozen=True, slots=True)
class EnvelopeRecipient:
    """One RCPT. `notify` None means that the sender did not ask: failures and delays are told."""

    address: Address
    notify: Notify | None = None
    original: OriginalRecipient | None = None


@dataclass(frozen=True, slots=True)
class Principal:
    """Who signed in: the account's id and its own address.

    `signed_in_as` is what the directory knows a session's person by; nobody else looks at it.
    """

    account_id: int
    address: Address
    signed_in_as: object = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """The SMTP session a mail came by, as policy and the Received header need it.

    `client_address` is the peer's IP address as text; `helo` what it called itself, printable ASCII and
    otherwise as given; `tls_version` and `tls_cipher` are empty without TLS.
    """

    role: Role
    client_address: str
    helo: str
    is_extended: bool
    tls_version: str = ""
    tls_cipher: str = ""
    principal: Principal | None = None

    def protocol_word(self, smtputf8: bool = False) -> str:
        """Return the word after `with` in a Received header: SMTP, ESMTPSA, UTF8SMTPS … (RFC 3848, 6531)."""
        # RFC 3848 has no words for HELO sessions with TLS or AUTH; they are told as the ESMTP they use.
        if not (self.is_extended or self.tls_version or self.principal):
            return "SMTP"
        word = "UTF8SMTP" if smtputf8 else "ESMTP"
        return word + ("S" if self.tls_version else "") + ("A" if self.principal else "")


@dataclass(frozen=True, slots=True)
class Envelope:
    """All that SMTP says about one mail. `mail_from` None is the null sender `<>`.

    `size_bytes` is what the client declared in SIZE, None when it did not.
    While MAIL and RCPT are being judged, `recipients` is still empty.
    """

    mail_from: Address | None
    recipients: tuple[EnvelopeRecipient, ...] = ()
    size_bytes: int | None = None
    body: BodyType = BodyType.SEVEN_BIT
    smtputf8: bool = False
    ret: Return | None = None
    envelope_id: str | None = None
