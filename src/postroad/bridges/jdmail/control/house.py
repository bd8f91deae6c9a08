"""What the commands stand on, and what each is given. No command here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from postroad.config import Ctrl
from postroad.directory.addresses.accounts import Accounts
from postroad.directory.addresses.aliases import Aliases
from postroad.directory.addresses.domains import Domains
from postroad.directory.addresses.inventory import Inventory
from postroad.directory.addresses.lists import DistributionLists
from postroad.directory.addresses.variables import Variables
from postroad.directory.identity.audit import Audit
from postroad.directory.identity.control_accounts import ControlAccounts
from postroad.directory.identity.known_origins import KnownOrigins
from postroad.directory.identity.rights import Rights
from postroad.directory.identity.sign_in import SignIn
from postroad.directory.passwords import Policy, check_policy, check_usable
from postroad.listeners.ctrl import Answer
from postroad.mailstore.quota import Quota
from postroad.protocols.ctrl.replies import Code
from postroad.transport.queue.queued_mails import QueuedMails

PAGE = 200  # rows of a list said at a time


@dataclass(frozen=True, slots=True)
class House:
    """The services."""

    settings: Ctrl
    control_accounts: ControlAccounts
    sign_in: SignIn
    domains: Domains
    accounts: Accounts
    aliases: Aliases
    lists: DistributionLists
    variables: Variables
    inventory: Inventory
    known_origins: KnownOrigins
    quota: Quota
    queued_mails: QueuedMails
    audit: Audit

    @property
    def policy(self) -> Policy:
        """What judges new passwords."""
        return check_usable if self.settings.any_password else check_policy

    @property
    def bad_login(self) -> Code:
        """What a failed login is answered with (section 9, cases 3 and 4)."""
        return Code.NO_LOCK if self.settings.document_texts else Code.BAD_LOGIN

    @property
    def domain_exists(self) -> Code:
        """What an existing domain is answered with (section 9, case 5)."""
        return Code.NO_LOCK if self.settings.document_texts else Code.DOMAIN_EXISTS


@dataclass(frozen=True, slots=True)
class Asked:
    """One command as it was given, and what its giver may administer."""

    arguments: tuple[str, ...]
    rights: Rights


Handler: TypeAlias = Callable[[House, Asked], Awaitable[Answer]]
Row: TypeAlias = tuple[str, ...]


async def paged(rows: AsyncIterator[Row]) -> AsyncIterator[Sequence[Row]]:
    """Yield rows some at a time."""
    page: list[Row] = []
    async for row in rows:
        page.append(row)
        if len(page) == PAGE:
            yield page
            page = []
    if page:
        yield page


async def paged_rows(rows: Sequence[Row]) -> AsyncIterator[Sequence[Row]]:
    """Yield rows that are at hand some at a time."""
    for first in range(0, len(rows), PAGE):
        yield rows[first : first + PAGE]
