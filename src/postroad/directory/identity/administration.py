"""What somebody administers, done with their rights as they are now, and written to the audit log.

The rights are asked once for each thing done. What somebody may not administer is refused in the same words
whether it exists or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Unpack

from postroad.db.pool import Database
from postroad.directory.addresses.accounts import Account, AccountChanges, Accounts, NewAccount
from postroad.directory.addresses.aliases import Alias, Aliases
from postroad.directory.addresses.domains import Domain, Domains
from postroad.directory.addresses.lists import DistributionList, DistributionLists, ListMember
from postroad.directory.addresses.resolver import Posting
from postroad.directory.identity.audit import Actor, record_in
from postroad.directory.identity.rights import Rights, rights_in
from postroad.directory.principals import PrincipalId
from postroad.message.address import Address


@dataclass(frozen=True, slots=True)
class Hand:
    """Who does it: the principal whose rights count, and how the log names them."""

    principal: PrincipalId
    actor: Actor


class Administration:
    """Domains, accounts, aliases and lists, for whoever has rights. Every method raises `NotAllowed`."""

    def __init__(
        self,
        database: Database,
        domains: Domains,
        accounts: Accounts,
        aliases: Aliases,
        lists: DistributionLists,
    ) -> None:
        self._database = database
        self._domains = domains
        self._accounts = accounts
        self._aliases = aliases
        self._lists = lists

    async def rights(self, hand: Hand) -> Rights:
        """What may be administered now."""
        return await rights_in(self._database, hand.principal)

    # -- domains

    async def domains(self, hand: Hand, after: str, limit: int) -> list[Domain]:
        """The domains that are covered, by name, those after `after`. None at all is no refusal."""
        rights = await self.rights(hand)
        if rights.everything:
            return await self._domains.list(after, limit)
        names = sorted(name for name in rights.domains if name > after)[:limit]
        return [await self._domains.get(name) for name in names]

    async def domain(self, hand: Hand, name: str) -> Domain:
        """One domain. Raises `UnknownDomain`."""
        await self._check(hand, name)
        return await self._domains.get(name)

    async def add_domain(self, hand: Hand, name: str, alias_of: str | None) -> Domain:
        """Make a domain; only who administers the whole server. Raises what `Domains.add` does."""
        (await self.rights(hand)).check_everything()
        made = await self._domains.add(name, alias_of)
        await self._note(hand, "domain.add", made.name, alias_of=alias_of)
        return made

    async def remove_domain(self, hand: Hand, name: str) -> None:
        """Remove an empty domain; only who administers the whole server. Raises `DomainInUse`."""
        (await self.rights(hand)).check_everything()
        await self._domains.remove(name)
        await self._note(hand, "domain.remove", name)

    # -- accounts

    async def accounts(self, hand: Hand, domain: str | None, after: str, limit: int) -> list[Account]:
        """Accounts by address, of one domain or of the whole server."""
        return await self._accounts.list(await self._of(hand, domain), after, limit)

    async def account(self, hand: Hand, address: Address) -> Account:
        """One account. Raises `UnknownAccount`."""
        await self._check(hand, address.domain)
        return await self._accounts.get_by_address(address)

    async def add_account(self, hand: Hand, new: NewAccount) -> Account:
        """Make an account. Raises what `Accounts.add_many` does."""
        await self._check(hand, new.address.domain)
        [made] = await self._accounts.add_many([new])
        await self._note(hand, "account.add", made.address.key)
        return made

    async def change_account(
        self, hand: Hand, address: Address, password: str | None, **changes: Unpack[AccountChanges]
    ) -> Account:
        """Set fields, and the password if there is one. Raises what `Accounts` does."""
        await self._check(hand, address.domain)
        account = await self._accounts.update(address, **changes)
        if password is not None:
            await self._accounts.set_password(address, password)
        changed = [*sorted(changes), *(["password"] if password is not None else [])]
        await self._note(hand, "account.set", address.key, changed=changed)
        return account

    async def remove_account(self, hand: Hand, address: Address) -> None:
        """Remove an account with its mail. Raises `UnknownAccount`."""
        await self._check(hand, address.domain)
        await self._accounts.remove(address)
        await self._note(hand, "account.remove", address.key)

    async def count_accounts(self, hand: Hand, domain: str | None) -> int:
        """How many there are."""
        return await self._accounts.count(await self._of(hand, domain))

    # -- aliases

    async def aliases(self, hand: Hand, domain: str | None, after: str, limit: int) -> list[Alias]:
        """Aliases by address."""
        return await self._aliases.list(await self._of(hand, domain), after, limit)

    async def alias(self, hand: Hand, address: Address) -> Alias:
        """One alias. Raises `UnknownAlias`."""
        await self._check(hand, address.domain)
        return await self._aliases.get(address)

    async def add_alias(self, hand: Hand, address: Address, targets: Sequence[Address]) -> Alias:
        """Make an alias. Raises what `Aliases.add` does."""
        await self._check(hand, address.domain)
        made = await self._aliases.add(address, targets)
        await self._note(hand, "alias.add", address.key, targets=[str(one) for one in made.targets])
        return made

    async def set_targets(self, hand: Hand, address: Address, targets: Sequence[Address]) -> Alias:
        """Lead an alias elsewhere. Raises what `Aliases.set_targets` does."""
        await self._check(hand, address.domain)
        changed = await self._aliases.set_targets(address, targets)
        await self._note(hand, "alias.set", address.key, targets=[str(one) for one in changed.targets])
        return changed

    async def remove_alias(self, hand: Hand, address: Address) -> None:
        """Remove an alias. Raises `UnknownAlias`."""
        await self._check(hand, address.domain)
        await self._aliases.remove(address)
        await self._note(hand, "alias.remove", address.key)

    # -- lists

    async def lists(self, hand: Hand, domain: str | None, after: str, limit: int) -> list[DistributionList]:
        """Lists by address."""
        return await self._lists.list(await self._of(hand, domain), after, limit)

    async def distribution_list(self, hand: Hand, address: Address) -> DistributionList:
        """One list. Raises `UnknownList`."""
        await self._check(hand, address.domain)
        return await self._lists.get(address)

    async def add_list(self, hand: Hand, address: Address, name: str, posting: Posting) -> DistributionList:
        """Make an empty list. Raises what `DistributionLists.add` does."""
        await self._check(hand, address.domain)
        made = await self._lists.add(address, name, posting)
        await self._note(hand, "list.add", address.key, posting=posting)
        return made

    async def remove_list(self, hand: Hand, address: Address) -> None:
        """Remove a list. Raises `UnknownList`."""
        await self._check(hand, address.domain)
        await self._lists.remove(address)
        await self._note(hand, "list.remove", address.key)

    async def members(self, hand: Hand, address: Address, after: str, limit: int) -> list[ListMember]:
        """Who reads a list, by address. Raises `UnknownList`."""
        await self._check(hand, address.domain)
        return await self._lists.members(address, after, limit)

    async def add_members(
        self, hand: Hand, address: Address, members: Sequence[Address], *, owners: bool
    ) -> int:
        """Add members or owners; returns how many rows changed. Raises what the lists do."""
        await self._check(hand, address.domain)
        count = await self._lists.add_members(address, members, owners=owners)
        await self._note(hand, "list.add-members", address.key, count=count, owners=owners)
        return count

    async def remove_members(self, hand: Hand, address: Address, members: Sequence[Address]) -> int:
        """Remove members; returns how many were there. Raises `UnknownList`."""
        await self._check(hand, address.domain)
        count = await self._lists.remove_members(address, members)
        await self._note(hand, "list.remove-members", address.key, count=count)
        return count

    async def _check(self, hand: Hand, domain: str) -> None:
        (await self.rights(hand)).check(domain)

    async def _of(self, hand: Hand, domain: str | None) -> str | None:
        """The domain to look in; the whole server only for who administers it. Raises `UnknownDomain`."""
        rights = await self.rights(hand)
        if domain is None:
            rights.check_everything()
            return None
        rights.check(domain)
        return (await self._domains.get(domain)).name

    async def _note(self, hand: Hand, action: str, subject: str, /, **facts: object) -> None:
        async with self._database.transaction() as connection:
            await record_in(connection, hand.actor, action, subject, **facts)
