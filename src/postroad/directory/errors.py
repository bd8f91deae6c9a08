"""Why the directory refuses: few types, each with a stable `code` and the facts a caller may show.

The English message is complete by itself; other languages and wire protocols translate by `code` and `facts`.
Refusals of signing in (`SignInRefused`) say nothing about whether an account exists.
"""

from __future__ import annotations

from typing import ClassVar


class DirectoryError(Exception):
    """The base of all refusals; `facts` are the values its message is made of."""

    code: ClassVar[str] = "directory"

    def __init__(self, message: str, **facts: str | int) -> None:
        super().__init__(message)
        self.facts: dict[str, str | int] = facts


class UnknownDomain(DirectoryError):
    """No domain of ours has this name."""

    code = "unknown-domain"

    def __init__(self, domain: str) -> None:
        super().__init__(f"there is no domain {domain} here", domain=domain)


class UnknownAccount(DirectoryError):
    """No account has this address."""

    code = "unknown-account"

    def __init__(self, address: str) -> None:
        super().__init__(f"there is no account {address}", address=address)


class UnknownAlias(DirectoryError):
    """No alias has this address."""

    code = "unknown-alias"

    def __init__(self, address: str) -> None:
        super().__init__(f"there is no alias {address}", address=address)


class UnknownList(DirectoryError):
    """No distribution list has this address."""

    code = "unknown-list"

    def __init__(self, address: str) -> None:
        super().__init__(f"there is no distribution list {address}", address=address)


class UnknownApplicationPassword(DirectoryError):
    """The account has no application password with this id."""

    code = "unknown-application-password"

    def __init__(self, password_id: int) -> None:
        super().__init__(f"there is no application password {password_id} here", id=password_id)


class UnknownToken(DirectoryError):
    """The holder has no token with this id."""

    code = "unknown-token"

    def __init__(self, token_id: int) -> None:
        super().__init__(f"there is no token {token_id} here", id=token_id)


class UnknownPrincipal(DirectoryError):
    """Nobody of this kind signs in by this name."""

    code = "unknown-principal"

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"there is no {kind.replace('-', ' ')} {name}", kind=kind, name=name)


class NameTaken(DirectoryError):
    """Somebody of the same kind signs in by this name already."""

    code = "name-taken"

    def __init__(self, name: str) -> None:
        super().__init__(f"the name {name} is taken already", name=name)


class UnknownTarget(DirectoryError):
    """Mail would be sent on to an address of ours that does not exist."""

    code = "unknown-target"

    def __init__(self, address: str) -> None:
        super().__init__(
            f"mail cannot go to {address}: the domain is ours, the address does not exist", address=address
        )


class DomainTaken(DirectoryError):
    """The domain is here already."""

    code = "domain-taken"

    def __init__(self, domain: str) -> None:
        super().__init__(f"the domain {domain} exists already", domain=domain)


class AddressTaken(DirectoryError):
    """An account, an alias or a list has this address already; `kind` says which."""

    code = "address-taken"

    def __init__(self, address: str, kind: str) -> None:
        super().__init__(
            f"{address} is taken already by an {kind}"
            if kind[0] == "a"
            else f"{address} is taken already by a {kind}",
            address=address,
            kind=kind,
        )


class DomainInUse(DirectoryError):
    """The domain still has accounts, aliases, lists or alias domains."""

    code = "domain-in-use"

    def __init__(self, domain: str, accounts: int, others: int) -> None:
        super().__init__(
            f"{domain} still has {accounts} accounts and {others} aliases, lists and alias domains",
            domain=domain,
            accounts=accounts,
            others=others,
        )


class DomainIsAlias(DirectoryError):
    """An alias domain holds no addresses and settings of its own, and is no target of another."""

    code = "domain-is-alias"

    def __init__(self, domain: str) -> None:
        super().__init__(f"{domain} is an alias domain: it has nothing of its own", domain=domain)


class WeakPassword(DirectoryError):
    """The password policy refuses; `reason` is a stable word (`passwords.py`)."""

    code = "weak-password"

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message, reason=reason)


class BadValue(DirectoryError):
    """A field's value is out of its bounds; `field` names it."""

    code = "bad-value"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}", field=field, reason=message)


class LimitReached(DirectoryError):
    """As many as there may be; `what` names them."""

    code = "limit-reached"

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(f"there may be at most {limit} {what}", what=what, limit=limit)


class NotAllowed(DirectoryError):
    """Who asks may not do this there; `where` is a domain or "the server"."""

    code = "not-allowed"

    def __init__(self, where: str) -> None:
        super().__init__(f"you may not administer {where}", where=where)


class SignInRefused(DirectoryError):
    """The base of all refusals at the door."""

    code = "sign-in-refused"


class WrongCredentials(SignInRefused):
    """No such account, or another password: which of them is nobody's business."""

    code = "wrong-credentials"

    def __init__(self) -> None:
        super().__init__("the user name or the password is wrong")


class AccountDisabled(SignInRefused):
    """The password is right, the account is locked. Only who knows the password learns it."""

    code = "account-disabled"

    def __init__(self) -> None:
        super().__init__("this account is disabled; ask the administrator")


class TooManyFailures(SignInRefused):
    """Too many wrong passwords for this account or from this client; `retry_after` is in seconds."""

    code = "too-many-failures"

    def __init__(self, retry_after: int) -> None:
        super().__init__(
            f"too many failed sign-ins; try again in {retry_after} seconds", retry_after=retry_after
        )
        self.retry_after = retry_after


class SignInBusy(TooManyFailures):
    """So many checks are in line that this one could not be answered in time: nobody's guess was counted."""

    code = "sign-in-busy"
