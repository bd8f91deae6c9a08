"""Signing in where mail is read: the directory's refusals, told apart by what a client should do about them.

POP3 and IMAP have the same few cases (RFC 3206 and RFC 5530 name them); each door has words of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Literal, Protocol

from postroad.db.pool import DatabaseUnavailable
from postroad.directory.errors import AccountDisabled, SignInRefused, TooManyFailures
from postroad.directory.identity.sign_in import Entrance
from postroad.directory.principals import Principal


class Why(Enum):
    """Why somebody was not let in."""

    WRONG = "wrong"  # the name or the password: ask the person again
    DISABLED = "disabled"
    LATER = "later"  # too many failures, or nobody can say now: the password may well be right


@dataclass(frozen=True, slots=True)
class Refused(Exception):
    """Not let in; `text` can be shown."""

    why: Why
    text: str


class Checks(Protocol):
    """What is needed of the directory (`directory.identity.sign_in.SignIn`)."""

    async def check(self, username: str, password: str, client: str, entrance: Entrance) -> Principal:
        """Say who signs in."""
        ...


class Watches(Protocol):
    """What tells whether who signed in may stay (`directory.identity.standing.Standing`)."""

    def watch(self, principal: Principal, end: Callable[[], None]) -> Callable[[], None]:
        """Call `end` when not; returns what stops watching."""
        ...


class AccessSignIn:
    """The directory's `SignIn` for one protocol."""

    def __init__(
        self, directory: Checks, entrance: Literal["imap", "pop3"], standing: Watches | None = None
    ) -> None:
        """Without `standing` whoever signed in stays."""
        self._directory = directory
        self._entrance: Literal["imap", "pop3"] = entrance
        self._standing = standing

    def watch(self, principal: Principal, end: Callable[[], None]) -> Callable[[], None]:
        """Call `end` once the principal may not stay; returns what stops watching."""
        return self._standing.watch(principal, end) if self._standing is not None else lambda: None

    async def check(self, username: str, password: str, client: str) -> Principal:
        """Return who it is. Raises `Refused`."""
        try:
            return await self._directory.check(username, password, client, self._entrance)
        except TooManyFailures as refusal:
            raise Refused(
                Why.LATER, f"Too many failures; try again in {refusal.retry_after} seconds"
            ) from refusal
        except AccountDisabled as refusal:
            raise Refused(Why.DISABLED, "This account is disabled") from refusal
        except SignInRefused as refusal:
            raise Refused(Why.WRONG, "Wrong user name or password") from refusal
        except DatabaseUnavailable as failure:
            raise Refused(Why.LATER, "Passwords cannot be checked now; try again later") from failure
