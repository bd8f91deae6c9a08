"""What the SMTP listener needs from the floors below: signing in, and taking mail.

Only `Protocol`s and the typed errors of signing in. The directory and transport fill them in without
importing this file's classes; the composition root joins them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from postroad.protocols.smtp.envelope import Envelope, EnvelopeRecipient, Principal, SessionInfo


class SignIn(Protocol):
    """Checks a user name and a password."""

    async def check(self, username: str, password: str, client: str) -> Principal:
        """Return who it is. `client` is the peer's IP address, for limits on guessing.

        Raises `SmtpReply`: 535 5.7.8 for wrong credentials, 454 4.7.0 while too many failures are remembered
        or the directory cannot answer, 535 5.7.13 for a disabled account.
        """
        ...

    def watch(self, principal: Principal, end: Callable[[], None]) -> Callable[[], None]:
        """Call `end` once who signed in may not stay; returns what stops watching."""
        ...


class Acceptor(Protocol):
    """Judges envelopes and takes mail; every method may raise `SmtpReply` with what the client shall read."""

    async def sender(self, envelope: Envelope, session: SessionInfo) -> None:
        """Judge MAIL: may this session send as `envelope.mail_from`; recipients are still empty."""
        ...

    async def recipient(self, envelope: Envelope, recipient: EnvelopeRecipient, session: SessionInfo) -> None:
        """Judge one RCPT: known (else 550 5.1.1), room left (452 4.2.2), or relayable (550 5.7.1)."""
        ...

    async def accept(self, envelope: Envelope, content: bytes, session: SessionInfo) -> str:
        """Take the mail for all its recipients, durably, and return its queue id.

        Returning means committed. Cancelling means that the mail must not have been taken: the listener
        cancels when its deadline for saving passes, and the client will send again.
        """
        ...
