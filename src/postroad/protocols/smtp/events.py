"""What the server engine reports to the application: frozen values, nothing else.

Some are questions (`MailFrom`, `RecipientGiven`, `ContentAnnounced`, `MessageComplete`, `StartTls`,
`Authenticate`): the engine reads no further until the application has answered. The others only tell.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from postroad.message.address import Address
from postroad.protocols.smtp.envelope import BodyType, Envelope, EnvelopeRecipient, Return
from postroad.protocols.smtp.replies import SmtpReply


@dataclass(frozen=True, slots=True)
class Greeted:
    """HELO or EHLO: what the client calls itself. Any transaction is gone (RFC 5321 4.1.4)."""

    helo: str
    is_extended: bool


@dataclass(frozen=True, slots=True)
class MailFrom:
    """MAIL. `address` None is the null sender; `size_bytes` is what SIZE declared."""

    address: Address | None
    size_bytes: int | None = None
    body: BodyType = BodyType.SEVEN_BIT
    smtputf8: bool = False
    ret: Return | None = None
    envelope_id: str | None = None

    def envelope(self, recipients: tuple[EnvelopeRecipient, ...] = ()) -> Envelope:
        """Return the envelope of this sender with these recipients."""
        return Envelope(
            mail_from=self.address,
            recipients=recipients,
            size_bytes=self.size_bytes,
            body=self.body,
            smtputf8=self.smtputf8,
            ret=self.ret,
            envelope_id=self.envelope_id,
        )


@dataclass(frozen=True, slots=True)
class RecipientGiven:
    """RCPT, under the envelope of the MAIL before it (without recipients)."""

    envelope: Envelope
    recipient: EnvelopeRecipient


@dataclass(frozen=True, slots=True)
class ContentAnnounced:
    """DATA or the first BDAT: the content comes next. `size_bytes` is the best known bound of it, or None."""

    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class MessageComplete:
    """The whole mail: envelope with the accepted recipients, and content, unstuffed, every line ended by
    CRLF.
    """

    envelope: Envelope
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class MessageRefused:
    """The engine itself refused a content (too large, bare line ends …) with this reply."""

    reply: SmtpReply


@dataclass(frozen=True, slots=True)
class StartTls:
    """STARTTLS. After `accept`: send what is queued, shake hands, then `tls_established`."""


@dataclass(frozen=True, slots=True)
class Authenticate:
    """A complete AUTH exchange. The password never shows in a representation."""

    mechanism: str
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Reset:
    """RSET: the transaction, if there was one, is gone."""


@dataclass(frozen=True, slots=True)
class Quit:
    """QUIT was answered; close when everything is sent."""


@dataclass(frozen=True, slots=True)
class Closing:
    """The engine ends the session with this reply; close when everything is sent."""

    reply: SmtpReply


Question = MailFrom | RecipientGiven | ContentAnnounced | MessageComplete | StartTls | Authenticate
Event = Question | Greeted | MessageRefused | Reset | Quit | Closing
