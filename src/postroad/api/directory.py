"""The directory for who administers: domains, accounts, aliases, lists. Rights are the service's to ask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar
from urllib.parse import quote

from postroad.api import directory_models as models
from postroad.api.operations import Answer, Call, Handler, Method, Model, Operation
from postroad.api.problems import Problem
from postroad.api.service import BASE
from postroad.directory.addresses.accounts import AccountChanges, NewAccount
from postroad.directory.errors import AddressTaken, DomainTaken
from postroad.directory.identity.administration import Administration, Hand
from postroad.directory.identity.audit import Actor
from postroad.directory.identity.tokens import Scope
from postroad.mailstore.statistics import MailStatistics
from postroad.message.address import Address, BadAddress

T = TypeVar("T")
_READ, _WRITE = Scope.DIRECTORY_READ, Scope.DIRECTORY_WRITE


class DirectoryCalls:
    """Operations of administrators."""

    def __init__(self, administration: Administration, statistics: MailStatistics) -> None:
        self._administration = administration
        self._statistics = statistics

    def operations(self) -> Sequence[Operation]:
        """What can be asked for."""
        return [
            *self._of_domains(),
            *self._of_accounts(),
            *self._of_aliases(),
            *self._of_lists(),
        ]

    # -- domains

    def _of_domains(self) -> Sequence[Operation]:
        place = "/domains"
        return [
            _reading(place, "listDomains", "Domains", self.domains, models.DomainPage, models.DomainsQuery),
            _creating(
                place, "createDomain", "Make a domain", self.add_domain, models.NewDomain, models.Domain
            ),
            _reading(place + "/{domain}", "getDomain", "One domain", self.domain, models.Domain),
            _reading(
                place + "/{domain}/statistics",
                "domainStatistics",
                "What the accounts of a domain hold",
                self.statistics,
                models.DomainStatistics,
                models.LargestQuery,
            ),
            _removing(place + "/{domain}", "deleteDomain", "Remove an empty domain", self.remove_domain),
        ]

    async def domains(self, call: Call) -> Answer:
        """A page."""
        query: models.DomainsQuery = call.query
        found = await self._administration.domains(_hand(call), query.cursor or "", query.limit + 1)
        shown, more = _page(found, query.limit)
        return Answer(
            models.DomainPage(
                domains=[models.Domain.of(one) for one in shown], next=shown[-1].name if more else None
            )
        )

    async def domain(self, call: Call) -> Answer:
        """One."""
        return Answer(models.Domain.of(await self._administration.domain(_hand(call), call.path["domain"])))

    async def statistics(self, call: Call) -> Answer:
        """What its accounts hold."""
        query: models.LargestQuery = call.query
        domain = await self._administration.domain(_hand(call), call.path["domain"])
        found = await self._statistics.of_domain(domain.name, query.limit)
        return Answer(
            models.DomainStatistics(
                accounts=found.accounts,
                messages=found.messages,
                unread=found.unseen,
                size_bytes=found.size_bytes,
                largest=[
                    models.Holding(
                        address=one.address,
                        messages=one.messages,
                        unread=one.unseen,
                        size_bytes=one.size_bytes,
                        quota_bytes=one.quota_bytes,
                    )
                    for one in found.largest
                ],
            )
        )

    async def add_domain(self, call: Call) -> Answer:
        """Make one."""
        body: models.NewDomain = call.body
        try:
            made = await self._administration.add_domain(_hand(call), body.name, body.alias_of)
        except DomainTaken:
            if not call.repeats:
                raise
            made = await self._administration.domain(_hand(call), body.name)
        return Answer(models.Domain.of(made), location=_place("domains", made.name))

    async def remove_domain(self, call: Call) -> Answer:
        """Remove one."""
        await self._administration.remove_domain(_hand(call), call.path["domain"])
        return Answer()

    # -- accounts

    def _of_accounts(self) -> Sequence[Operation]:
        place, one = "/accounts", "/accounts/{address}"
        return [
            _reading(
                place, "listAccounts", "Accounts", self.accounts, models.AccountPage, models.DirectoryQuery
            ),
            _creating(
                place, "createAccount", "Make an account", self.add_account, models.NewAccount, models.Account
            ),
            _reading(one, "getAccount", "One account", self.account, models.Account),
            _changing(
                "PATCH",
                one,
                "changeAccount",
                "Set fields of an account, or its password",
                self.change_account,
                models.AccountChange,
                models.Account,
            ),
            _removing(one, "deleteAccount", "Remove an account with its mail", self.remove_account),
        ]

    async def accounts(self, call: Call) -> Answer:
        """A page."""
        query: models.DirectoryQuery = call.query
        hand = _hand(call)
        found = await self._administration.accounts(hand, query.domain, query.cursor or "", query.limit + 1)
        shown, more = _page(found, query.limit)
        return Answer(
            models.AccountPage(
                accounts=[models.Account.of(one) for one in shown],
                next=shown[-1].address.key if more else None,
                total=await self._administration.count_accounts(hand, query.domain),
            )
        )

    async def account(self, call: Call) -> Answer:
        """One."""
        found = await self._administration.account(_hand(call), _address(call))
        return Answer(models.Account.of(found))

    async def add_account(self, call: Call) -> Answer:
        """Make one."""
        body: models.NewAccount = call.body
        address = parsed(body.address)
        try:
            made = await self._administration.add_account(
                _hand(call),
                NewAccount(
                    address,
                    body.password,
                    body.display_name,
                    body.mobile,
                    body.language,
                    body.quota_bytes,
                ),
            )
        except AddressTaken as error:
            if not call.repeats or error.facts.get("kind") != "account":
                raise
            made = await self._administration.account(_hand(call), address)
        return Answer(models.Account.of(made), location=_place("accounts", made.address.key))

    async def change_account(self, call: Call) -> Answer:
        """Set what was sent."""
        body: models.AccountChange = call.body
        changes: AccountChanges = {}
        if body.display_name is not None:
            changes["display_name"] = body.display_name
        if body.is_disabled is not None:
            changes["is_disabled"] = body.is_disabled
        # These may be taken away: null is a value.
        if "mobile" in body.model_fields_set:
            changes["mobile"] = body.mobile
        if "language" in body.model_fields_set:
            changes["language"] = body.language
        if "quota_bytes" in body.model_fields_set:
            changes["quota_bytes"] = body.quota_bytes
        changed = await self._administration.change_account(
            _hand(call), _address(call), body.password, **changes
        )
        return Answer(models.Account.of(changed))

    async def remove_account(self, call: Call) -> Answer:
        """Remove one."""
        await self._administration.remove_account(_hand(call), _address(call))
        return Answer()

    # -- aliases

    def _of_aliases(self) -> Sequence[Operation]:
        place, one = "/aliases", "/aliases/{address}"
        return [
            _reading(place, "listAliases", "Aliases", self.aliases, models.AliasPage, models.DirectoryQuery),
            _creating(place, "createAlias", "Make an alias", self.add_alias, models.NewAlias, models.Alias),
            _reading(one, "getAlias", "One alias", self.alias, models.Alias),
            _changing(
                "PUT",
                one,
                "changeAlias",
                "Lead an alias elsewhere",
                self.set_targets,
                models.AliasChange,
                models.Alias,
            ),
            _removing(one, "deleteAlias", "Remove an alias", self.remove_alias),
        ]

    async def aliases(self, call: Call) -> Answer:
        """A page."""
        query: models.DirectoryQuery = call.query
        found = await self._administration.aliases(
            _hand(call), query.domain, query.cursor or "", query.limit + 1
        )
        shown, more = _page(found, query.limit)
        return Answer(
            models.AliasPage(
                aliases=[models.Alias.of(one) for one in shown], next=shown[-1].address.key if more else None
            )
        )

    async def alias(self, call: Call) -> Answer:
        """One."""
        return Answer(models.Alias.of(await self._administration.alias(_hand(call), _address(call))))

    async def add_alias(self, call: Call) -> Answer:
        """Make one."""
        body: models.NewAlias = call.body
        address = parsed(body.address)
        try:
            made = await self._administration.add_alias(_hand(call), address, _all_parsed(body.targets))
        except AddressTaken as error:
            if not call.repeats or error.facts.get("kind") != "alias":
                raise
            made = await self._administration.alias(_hand(call), address)
        return Answer(models.Alias.of(made), location=_place("aliases", made.address.key))

    async def set_targets(self, call: Call) -> Answer:
        """Lead it elsewhere."""
        body: models.AliasChange = call.body
        changed = await self._administration.set_targets(
            _hand(call), _address(call), _all_parsed(body.targets)
        )
        return Answer(models.Alias.of(changed))

    async def remove_alias(self, call: Call) -> Answer:
        """Remove one."""
        await self._administration.remove_alias(_hand(call), _address(call))
        return Answer()

    # -- lists

    def _of_lists(self) -> Sequence[Operation]:
        place, one = "/lists", "/lists/{address}"
        return [
            _reading(
                place, "listLists", "Distribution lists", self.lists, models.ListPage, models.DirectoryQuery
            ),
            _creating(
                place, "createList", "Make a list", self.add_list, models.NewList, models.DistributionList
            ),
            _reading(one, "getList", "One list", self.distribution_list, models.DistributionList),
            _removing(one, "deleteList", "Remove a list", self.remove_list),
            _reading(
                one + "/members",
                "listMembers",
                "Who reads a list",
                self.members,
                models.MemberPage,
                models.MembersQuery,
            ),
            _changing(
                "POST",
                one + "/members",
                "addMembers",
                "Add members, or make members owners",
                self.add_members,
                models.NewMembers,
                models.Changed,
            ),
            _changing(
                "POST",
                one + "/members/remove",
                "removeMembers",
                "Remove members",
                self.remove_members,
                models.OldMembers,
                models.Changed,
            ),
        ]

    async def lists(self, call: Call) -> Answer:
        """A page."""
        query: models.DirectoryQuery = call.query
        found = await self._administration.lists(
            _hand(call), query.domain, query.cursor or "", query.limit + 1
        )
        shown, more = _page(found, query.limit)
        return Answer(
            models.ListPage(
                lists=[models.DistributionList.of(one) for one in shown],
                next=shown[-1].address.key if more else None,
            )
        )

    async def distribution_list(self, call: Call) -> Answer:
        """One."""
        found = await self._administration.distribution_list(_hand(call), _address(call))
        return Answer(models.DistributionList.of(found))

    async def add_list(self, call: Call) -> Answer:
        """Make one."""
        body: models.NewList = call.body
        address = parsed(body.address)
        try:
            made = await self._administration.add_list(_hand(call), address, body.name, body.posting)
        except AddressTaken as error:
            if not call.repeats or error.facts.get("kind") in ("account", "alias"):
                raise
            made = await self._administration.distribution_list(_hand(call), address)
        return Answer(models.DistributionList.of(made), location=_place("lists", made.address.key))

    async def remove_list(self, call: Call) -> Answer:
        """Remove one."""
        await self._administration.remove_list(_hand(call), _address(call))
        return Answer()

    async def members(self, call: Call) -> Answer:
        """A page."""
        query: models.MembersQuery = call.query
        found = await self._administration.members(
            _hand(call), _address(call), query.cursor or "", query.limit + 1
        )
        shown, more = _page(found, query.limit)
        return Answer(
            models.MemberPage(
                members=[models.Member.of(one) for one in shown], next=shown[-1].address.key if more else None
            )
        )

    async def add_members(self, call: Call) -> Answer:
        """Add them; those that are there already are passed over."""
        body: models.NewMembers = call.body
        changed = await self._administration.add_members(
            _hand(call), _address(call), _all_parsed(body.addresses), owners=body.owners
        )
        return Answer(models.Changed(changed=changed))

    async def remove_members(self, call: Call) -> Answer:
        """Remove them."""
        body: models.OldMembers = call.body
        changed = await self._administration.remove_members(
            _hand(call), _address(call), _all_parsed(body.addresses)
        )
        return Answer(models.Changed(changed=changed))


def parsed(text: str) -> Address:
    """An address of a body. Raises `Problem`."""
    try:
        return Address.parse(text.strip())
    except BadAddress as error:
        raise Problem("bad-address", {"address": text}) from error


def _all_parsed(texts: Sequence[str]) -> list[Address]:
    return [parsed(text) for text in texts]


def _address(call: Call) -> Address:
    """The address of the path: one that is none names nothing."""
    try:
        return Address.parse(call.path["address"])
    except BadAddress as error:
        raise Problem("not-found") from error


def _hand(call: Call) -> Hand:
    principal = call.bearer.principal
    return Hand(principal, Actor(principal.kind, principal.id, call.bearer.name, call.client))


def _page(found: Sequence[T], limit: int) -> tuple[Sequence[T], bool]:
    """What is shown of a page that was read with one too many, and whether there is more."""
    return found[:limit], len(found) > limit


def _place(noun: str, name: str) -> str:
    return f"{BASE}/{noun}/{quote(name, safe='@')}"


def _reading(
    path: str,
    name: str,
    summary: str,
    handler: Handler,
    answer: type[Model],
    query: type[Model] | None = None,
) -> Operation:
    return Operation(
        method="GET",
        path=path,
        name=name,
        summary=summary,
        tag="directory",
        handler=handler,
        scope=_READ,
        of_account=False,
        query=query,
        answer=answer,
    )


def _creating(
    path: str, name: str, summary: str, handler: Handler, body: type[Model], answer: type[Model]
) -> Operation:
    return Operation(
        method="POST",
        path=path,
        name=name,
        summary=summary,
        tag="directory",
        handler=handler,
        scope=_WRITE,
        of_account=False,
        body=body,
        answer=answer,
        status=201,
        creates=True,
    )


def _changing(
    method: Method,
    path: str,
    name: str,
    summary: str,
    handler: Handler,
    body: type[Model],
    answer: type[Model],
) -> Operation:
    return Operation(
        method=method,
        path=path,
        name=name,
        summary=summary,
        tag="directory",
        handler=handler,
        scope=_WRITE,
        of_account=False,
        body=body,
        answer=answer,
    )


def _removing(path: str, name: str, summary: str, handler: Handler) -> Operation:
    return Operation(
        method="DELETE",
        path=path,
        name=name,
        summary=summary,
        tag="directory",
        handler=handler,
        scope=_WRITE,
        of_account=False,
        status=204,
    )
