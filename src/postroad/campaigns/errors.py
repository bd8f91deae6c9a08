"""Why the campaign platform refuses: few types, each with a stable `code` and the facts a caller may show.

The English message is complete by itself; interfaces and other languages translate by `code` and `facts`.
What belongs to another customer is told as what does not exist.
"""

from __future__ import annotations

from typing import ClassVar


class CampaignError(Exception):
    """The base of all refusals; `facts` are the values its message is made of."""

    code: ClassVar[str] = "campaign"

    def __init__(self, message: str, **facts: str | int) -> None:
        super().__init__(message)
        self.facts: dict[str, str | int] = facts


class NotFound(CampaignError):
    """No such thing, or not this customer's. `what` is a stable word: list, contact, template, task …"""

    code = "campaign-not-found"

    def __init__(self, what: str, name: str | int) -> None:
        super().__init__(f"there is no {what} {name}", what=what, name=name)
        self.what = what


class BadInput(CampaignError):
    """A value is missing or out of its bounds; `field` names it."""

    code = "campaign-bad-input"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}", field=field, reason=message)
        self.field = field


class NotAllowed(CampaignError):
    """This principal, or this customer as things stand, may not do that."""

    code = "campaign-not-allowed"

    def __init__(self, message: str = "the service of this customer is disabled or over") -> None:
        super().__init__(message, reason=message)


class AlreadyThere(CampaignError):
    """The name is taken; `what` is a stable word: username, contact, domain, mailbox."""

    code = "campaign-already-there"

    def __init__(self, what: str, name: str) -> None:
        super().__init__(f"the {what} {name} exists already", what=what, name=name)
        self.what = what


class MalformedAddress(CampaignError):
    """A text that is no mail address."""

    code = "campaign-malformed-address"

    def __init__(self, text: str) -> None:
        super().__init__(f"{text[:100]!r} is not a mail address", address=text[:100])


class InUse(CampaignError):
    """A task that is not over needs it; `what` is list or template."""

    code = "campaign-in-use"

    def __init__(self, what: str, name: str | int) -> None:
        super().__init__(f"the {what} {name} is used by a task that is not over", what=what, name=name)
        self.what = what


class VerifiedDomain(CampaignError):
    """A domain that was verified is not removed by its customer."""

    code = "campaign-verified-domain"

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is verified: only a manager removes it", domain=name)


class BadTemplate(CampaignError):
    """A template that cannot be used: it does not compile, is not checked yet, or was refused."""

    code = "campaign-bad-template"

    def __init__(self, message: str, *, line: int = 0) -> None:
        super().__init__(f"line {line}: {message}" if line else message, line=line, reason=message)


class NoSender(CampaignError):
    """No mailbox that the task may send from fits."""

    code = "campaign-no-sender"

    def __init__(self, wanted: str) -> None:
        super().__init__(f"{wanted} is no mailbox on a verified domain of this customer", sender=wanted)


class ListDisabled(CampaignError):
    """The category is switched off."""

    code = "campaign-list-disabled"

    def __init__(self, list_id: int) -> None:
        super().__init__(f"the list {list_id} is disabled", list=list_id)


class WrongState(CampaignError):
    """A task cannot do that in the state it is in."""

    code = "campaign-wrong-state"

    def __init__(self, task_id: int, state: int) -> None:
        super().__init__(f"the task {task_id} is in state {state}", task=task_id, state=state)


class TooManyCalls(CampaignError):
    """The hourly limit is reached."""

    code = "campaign-too-many-calls"

    def __init__(self, limit: int) -> None:
        super().__init__(f"at most {limit} calls an hour", limit=limit)


class NotEnoughVolume(CampaignError):
    """The customer's volume does not reach for so many recipients."""

    code = "campaign-not-enough-volume"

    def __init__(self, wanted: int, available: int) -> None:
        super().__init__(
            f"{wanted} mails are wanted and {available} available", wanted=wanted, available=available
        )
