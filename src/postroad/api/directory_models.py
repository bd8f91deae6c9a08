"""The directory as JSON: domains, accounts, aliases, lists."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from postroad.api.operations import Model, Text
from postroad.directory.addresses.accounts import Account as StoredAccount
from postroad.directory.addresses.aliases import Alias as StoredAlias
from postroad.directory.addresses.domains import Domain as StoredDomain
from postroad.directory.addresses.lists import DistributionList as StoredList
from postroad.directory.addresses.lists import ListMember as StoredMember
from postroad.directory.addresses.resolver import Posting

MAX_LIMIT = 500
AddressText = Annotated[Text, StringConstraints(min_length=1, max_length=320)]
DomainName = Annotated[Text, StringConstraints(min_length=1, max_length=255)]
DisplayName = Annotated[Text, StringConstraints(max_length=200)]
Password = Annotated[Text, StringConstraints(min_length=1, max_length=1000)]
Addresses = Annotated[list[AddressText], Field(min_length=1, max_length=1000)]
QuotaBytes = Annotated[int, Field(ge=1, le=2**50)]


class DirectoryQuery(Model):
    """Which of them, by name or address. Without `domain` all of the server: only who administers it."""

    domain: DomainName | None = None
    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT)] = 100
    cursor: AddressText | None = None


class DomainsQuery(Model):
    """A page of domains."""

    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT)] = 100
    cursor: DomainName | None = None


class Domain(Model):
    """A domain; an alias domain has nothing of its own."""

    name: str
    alias_of: str | None
    catch_all: str | None
    postmaster: str | None
    accounts: int
    created_at: datetime

    @classmethod
    def of(cls, one: StoredDomain) -> Domain:
        """As the directory has it."""
        return cls(
            name=one.name,
            alias_of=one.alias_of,
            catch_all=None if one.catch_all is None else str(one.catch_all),
            postmaster=None if one.postmaster is None else str(one.postmaster),
            accounts=one.account_count,
            created_at=one.created_at,
        )


class DomainPage(Model):
    """Domains by name. `next` is the cursor of the following page, null at the end."""

    domains: list[Domain]
    next: str | None


class Holding(Model):
    """What an account holds."""

    address: str
    messages: int
    unread: int
    size_bytes: int
    quota_bytes: int | None


class DomainStatistics(Model):
    """What the accounts of a domain hold together, and those that hold most, the largest first."""

    accounts: int
    messages: int
    unread: int
    size_bytes: int
    largest: list[Holding]


class LargestQuery(Model):
    """How many of the largest accounts are told."""

    limit: Annotated[int, Field(ge=0, le=MAX_LIMIT)] = 20


class NewDomain(Model):
    """A domain to be made; with `alias_of` every address of that domain is here as well."""

    name: DomainName
    alias_of: DomainName | None = None


class Account(Model):
    """An account; `quota_bytes` null is no limit."""

    address: str
    display_name: str
    mobile: str | None
    language: str | None
    quota_bytes: int | None
    is_disabled: bool
    created_at: datetime

    @classmethod
    def of(cls, one: StoredAccount) -> Account:
        """As the directory has it."""
        return cls(
            address=str(one.address),
            display_name=one.display_name,
            mobile=one.mobile,
            language=one.language,
            quota_bytes=one.quota_bytes,
            is_disabled=one.is_disabled,
            created_at=one.created_at,
        )


class AccountPage(Model):
    """Accounts by address, and how many there are in all."""

    accounts: list[Account]
    next: str | None
    total: int


class NewAccount(Model):
    """An account to be made."""

    address: AddressText
    password: Password
    display_name: DisplayName = ""
    mobile: Annotated[Text, StringConstraints(max_length=40)] | None = None
    language: Literal["en", "zh"] | None = None
    quota_bytes: QuotaBytes | None = None


class AccountChange(Model):
    """What is to be set; what is left out stays."""

    password: Password | None = None
    display_name: DisplayName | None = None
    mobile: Annotated[Text, StringConstraints(max_length=40)] | None = None
    language: Literal["en", "zh"] | None = None
    quota_bytes: QuotaBytes | None = None
    is_disabled: bool | None = None


class Alias(Model):
    """An alias and where its mail goes."""

    address: str
    targets: list[str]
    created_at: datetime

    @classmethod
    def of(cls, one: StoredAlias) -> Alias:
        """As the directory has it."""
        targets = [str(target) for target in one.targets]
        return cls(address=str(one.address), targets=targets, created_at=one.created_at)


class AliasPage(Model):
    """Aliases by address."""

    aliases: list[Alias]
    next: str | None


class NewAlias(Model):
    """An alias to be made."""

    address: AddressText
    targets: Addresses


class AliasChange(Model):
    """Where an alias is to lead instead."""

    targets: Addresses


class DistributionList(Model):
    """A list; `posting` says whose mail it takes."""

    address: str
    name: str
    posting: Posting
    members: int
    created_at: datetime

    @classmethod
    def of(cls, one: StoredList) -> DistributionList:
        """As the directory has it."""
        return cls(
            address=str(one.address),
            name=one.name,
            posting=one.posting,
            members=one.member_count,
            created_at=one.created_at,
        )


class ListPage(Model):
    """Lists by address."""

    lists: list[DistributionList]
    next: str | None


class NewList(Model):
    """A list to be made."""

    address: AddressText
    name: DisplayName = ""
    posting: Posting = "members"


class Member(Model):
    """A reader of a list."""

    address: str
    is_owner: bool

    @classmethod
    def of(cls, one: StoredMember) -> Member:
        """As the directory has it."""
        return cls(address=str(one.address), is_owner=one.is_owner)


class MemberPage(Model):
    """Members by address."""

    members: list[Member]
    next: str | None


class MembersQuery(Model):
    """A page of members."""

    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT)] = 100
    cursor: AddressText | None = None


class NewMembers(Model):
    """Addresses that come onto a list; with `owners` they may post where only owners may."""

    addresses: Addresses
    owners: bool = False


class OldMembers(Model):
    """Addresses that leave a list."""

    addresses: Addresses


class Changed(Model):
    """How many were changed."""

    changed: int
