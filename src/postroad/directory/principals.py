"""Who may sign in: kinds of principals, and the values that name one. Pure.

Whatever belongs to somebody who signs in (credential, sessions, application passwords, failed attempts, the
audit log) carries kind and id. What a kind is beside that is known to the room that makes it.
"""

from __future__ import annotations

import enum
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from postroad.message.address import Address, BadAddress

MAX_NAME = 320  # of what one signs in with; the longest address (RFC 3696 erratum 1690)


class Kind(enum.StrEnum):
    """The kinds of principals."""

    ACCOUNT = "account"  # a person's mailbox
    CUSTOMER = "customer"  # of the bulk-mail API and the console
    MANAGER = "manager"  # of customers
    CUSTOMER_MAILBOX = "customer-mailbox"  # a customer's identity at SMTP
    ADMINISTRATOR = "administrator"  # of the server or of domains
    CONTROL_ACCOUNT = "control-account"  # of the control protocol
    INTEGRATION = "integration"  # a program with a token


ACCOUNTS: Sequence[Kind] = (Kind.ACCOUNT,)
# These sign in by an address, all others by a name of their own.
BY_ADDRESS = frozenset({Kind.ACCOUNT, Kind.CUSTOMER_MAILBOX})

# The password (or its MD5), an application password, the digest of a challenge, a trusted ticket.
Via = Literal["password", "application-password", "digest", "ticket"]


@dataclass(frozen=True, slots=True)
class PrincipalId:
    """One principal: `id` counts within its kind."""

    kind: Kind
    id: int

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


class NotAnAccount(TypeError):
    """A principal that has no mailbox was taken for an account: a mistake of the caller."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who signed in, and by what. `name` is what one signs in with, in its canonical form."""

    kind: Kind
    id: int
    name: str
    credential_version: int
    via: Via
    mailbox: Address | None = None
    application_password_id: int | None = None  # the one that was used

    @property
    def principal_id(self) -> PrincipalId:
        """Kind and id."""
        return PrincipalId(self.kind, self.id)

    @property
    def account_id(self) -> int:
        """The account's id. Raises `NotAnAccount`."""
        if self.kind is not Kind.ACCOUNT:
            raise NotAnAccount(self.kind)
        return self.id

    @property
    def address(self) -> Address:
        """The address of who signs in by one. Raises `NotAnAccount`."""
        if self.mailbox is None:
            raise NotAnAccount(self.kind)
        return self.mailbox


def name_key(kind: Kind, username: str) -> str:
    """Return the canonical form of what somebody signs in with; "" for what is no name of this kind."""
    text = username.strip()[:MAX_NAME]
    if kind in BY_ADDRESS:
        try:
            return Address.parse(text).key
        except BadAddress:
            return ""
    try:
        text.encode()
    except UnicodeEncodeError:
        return ""
    name = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
    return "" if any(unicodedata.category(character).startswith("C") for character in name) else name
