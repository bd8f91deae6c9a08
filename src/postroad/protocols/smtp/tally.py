"""What one session has cost so far, and when that is enough.

Counting only; each count says with which 421 the session ends once its limit is reached.
"""

from __future__ import annotations

from postroad.protocols.smtp import answers
from postroad.protocols.smtp.limits import ServerLimits
from postroad.protocols.smtp.replies import SmtpReply


class Tally:
    """The counts of a session."""

    __slots__ = (
        *("_errors", "_failed_recipients", "_failed_sign_ins"),
        *("_junk", "_limits", "_mails", "_overshoot"),
    )

    def __init__(self, limits: ServerLimits) -> None:
        self._limits = limits
        self._mails = 0
        self._errors = 0
        self._junk = 0
        self._failed_recipients = 0
        self._failed_sign_ins = 0
        self._overshoot = 0

    def error(self) -> SmtpReply | None:
        """Count a command that could not be obeyed."""
        self._errors += 1
        return answers.TOO_MANY_ERRORS if self._errors >= self._limits.errors else None

    def junk(self) -> SmtpReply | None:
        """Count a command that brings no mail nearer."""
        self._junk += 1
        return answers.TOO_MUCH_JUNK if self._junk > self._limits.junk_commands else None

    def failed_recipient(self) -> SmtpReply | None:
        """Count a recipient that was refused for good."""
        self._failed_recipients += 1
        return answers.TOO_MANY_FAILED if self._failed_recipients >= self._limits.failed_recipients else None

    def failed_sign_in(self) -> SmtpReply | None:
        """Count a wrong password."""
        self._failed_sign_ins += 1
        return answers.TOO_MANY_GUESSES if self._failed_sign_ins >= self._limits.failed_sign_ins else None

    def mail(self) -> SmtpReply | None:
        """Count a MAIL, unless it is one too many (RFC 9422: told in LIMITS MAILMAX)."""
        if self._mails >= self._limits.mails:
            return answers.TOO_MANY_MAILS
        self._mails += 1
        return None

    def is_overshoot_error(self) -> bool:
        """Count a recipient beyond the limit of one mail; whether so many came that it is an error by now."""
        self._overshoot += 1
        return self._overshoot > self._limits.recipients_overshoot

    def signed_in(self) -> None:
        """Forgive the errors that came before."""
        self._errors = 0

    def mail_accepted(self) -> None:
        """Forgive errors and junk: the session does what it is for (as Postfix does)."""
        self._errors = self._junk = self._overshoot = 0
