"""Signing in at a mail door: the directory's refusals in the words of SMTP.

RFC 4954 6 (535, 454), RFC 3463 and RFC 5248 (5.7.8, 5.7.13, 4.7.0).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from postroad.db.pool import DatabaseUnavailable
from postroad.directory.errors import AccountDisabled, SignInRefused, TooManyFailures
from postroad.directory.identity import sign_in as directory
from postroad.directory.principals import Principal as DirectoryPrincipal
from postroad.listeners.access_sign_in import Watches
from postroad.protocols.smtp.envelope import Principal
from postroad.protocols.smtp.replies import SmtpReply


class Checks(Protocol):
    """What is needed of the directory (`directory.sign_in.SignIn`)."""

    async def check(
        self, username: str, password: str, client: str, entrance: directory.Entrance
    ) -> DirectoryPrincipal:
        """Say who signs in."""
        ...


class SmtpSignIn:
    """The directory's `SignIn`, as the SMTP listener asks for it (`interfaces.SignIn`)."""

    def __init__(self, directory_sign_in: Checks, standing: Watches | None = None) -> None:
        """Without `standing` whoever signed in stays."""
        self._directory = directory_sign_in
        self._standing = standing

    async def check(self, username: str, password: str, client: str) -> Principal:
        """Return who it is; raise `SmtpReply`."""
        try:
            principal = await self._directory.check(username, password, client, "smtp")
        except TooManyFailures as refusal:
            raise SmtpReply(
                454, "4.7.0", f"Too many failures; try again in {refusal.retry_after} seconds"
            ) from refusal
        except AccountDisabled as refusal:
            raise SmtpReply(535, "5.7.13", "This account is disabled") from refusal
        except SignInRefused as refusal:
            raise SmtpReply(535, "5.7.8", "Wrong user name or password") from refusal
        except DatabaseUnavailable as failure:
            raise SmtpReply(454, "4.7.0", "Passwords cannot be checked now; try again later") from failure
        return Principal(principal.account_id, principal.address, principal)

    def watch(self, principal: Principal, end: Callable[[], None]) -> Callable[[], None]:
        """Call `end` once who signed in may not stay; returns what stops watching."""
        if self._standing is None or not isinstance(principal.signed_in_as, DirectoryPrincipal):
            return lambda: None
        return self._standing.watch(principal.signed_in_as, end)
