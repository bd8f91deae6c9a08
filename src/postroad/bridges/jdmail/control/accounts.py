"""Commands about accounts, and making and removing lists, which are accounts of the type `M` (section
6.2)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.utils import format_datetime

from postroad.bridges.jdmail.control.house import Asked, House, Row, paged, paged_rows
from postroad.bridges.jdmail.control.places import (
    account_at,
    address_or_none,
    canonical,
    home_of,
    new_address,
    own_domain,
)
from postroad.directory.addresses.accounts import Account
from postroad.directory.errors import (
    AddressTaken,
    DomainIsAlias,
    SignInRefused,
    UnknownAccount,
    UnknownAlias,
    UnknownDomain,
    UnknownList,
    WeakPassword,
)
from postroad.directory.passwords import TooBusyToHash
from postroad.directory.principals import Kind, PrincipalId
from postroad.listeners.ctrl import Answer, Done, Rows
from postroad.message.address import Address
from postroad.protocols.ctrl.patterns import pattern
from postroad.protocols.ctrl.replies import Code, CtrlFailure

LIST = "M"
KIBIBYTE = 1024
# Whoever asks whether somebody's password is right does so for others: limits hold for the name, not for
# them.
ASKED_FOR_OTHERS = "127.0.0.1"


async def useradd(house: House, asked: Asked) -> Answer:
    """An account, or with the type `M` a list. The checks are in the original's order."""
    domain, name, password, kind = asked.arguments
    _check_given(password)
    home = await home_of(house, asked, domain)
    address = new_address(name, home)
    try:
        if kind.startswith(LIST):
            await house.lists.add(address)
        else:
            await house.accounts.add(
                address,
                password,
                quota_bytes=house.settings.new_account_kilobytes * KIBIBYTE or None,
                policy=house.policy,
            )
    except AddressTaken as error:
        is_alias = error.facts["kind"] == "alias"
        raise CtrlFailure(Code.ALIAS_EXISTS if is_alias else Code.USER_EXISTS) from error
    except WeakPassword as error:
        raise CtrlFailure(Code.BAD_PASSWORD) from error
    except TooBusyToHash as error:
        raise CtrlFailure(Code.BUSY) from error
    except (UnknownDomain, DomainIsAlias) as error:  # gone, or changed, since the look
        raise CtrlFailure(Code.UNKNOWN_DOMAIN) from error
    return Done()


async def userdel(house: House, asked: Asked) -> Answer:
    """An account with all its mail, or a list. Alias domains are not followed."""
    domain, name = asked.arguments
    home = await own_domain(house, asked, domain)
    address = None if home is None else address_or_none(name, home)
    if address is None:
        raise CtrlFailure(Code.USER_NOT_FOUND)
    try:
        await house.accounts.remove(address)
    except UnknownAccount:
        try:
            await house.lists.remove(address)
        except UnknownList as error:
            raise CtrlFailure(Code.USER_NOT_FOUND) from error
    return Done()


async def userpasswd(house: House, asked: Asked) -> Answer:
    """Another password, also the same one. A list has none to change."""
    domain, name, password = asked.arguments
    _check_given(password)
    home = await home_of(house, asked, domain)
    account = await account_at(house, name, home)
    try:
        await house.accounts.set_password(account.address, password, house.policy)
    except UnknownAccount as error:
        raise CtrlFailure(Code.NO_RECORD) from error
    except WeakPassword as error:
        raise CtrlFailure(Code.BAD_PASSWORD) from error
    except TooBusyToHash as error:
        raise CtrlFailure(Code.BUSY) from error
    return Done()


async def userauth(house: House, asked: Asked) -> Answer:
    """Whether a password is right, within the limits on guessing at this name."""
    domain, name, password = asked.arguments
    try:
        account = await account_at(house, name, await home_of(house, asked, domain))
    except CtrlFailure as failure:
        raise CtrlFailure(Code.NO_RECORD) from failure
    try:
        await house.sign_in.check(str(account.address), password, ASKED_FOR_OTHERS, "control")
    except SignInRefused as error:
        raise CtrlFailure(Code.BAD_PASSWORD) from error
    return Done()


async def userlist(house: House, asked: Asked) -> Answer:
    """Accounts and lists. The field of the password is empty: nobody can read one here."""
    domain, name = [pattern(text) for text in (*asked.arguments, "*", "*")[:2]]
    # Of a whole domain the index gives what is asked for, of a whole name too.
    only_domain = None if domain.literal is None else canonical(domain.literal)
    only_address = None
    if only_domain and name.literal is not None:
        address = address_or_none(name.literal, only_domain)
        only_address = "" if address is None else address.key

    async def rows() -> AsyncIterator[Row]:
        async for each in house.inventory.holders(only_domain, only_address):
            local_part = each.address.rpartition("@")[0]
            if asked.rights.cover(each.domain) and domain.matches(each.domain) and name.matches(local_part):
                yield each.domain, local_part, "", LIST if each.is_list else "U"

    return Rows(paged(rows()))


async def userstat(house: House, asked: Asked) -> Answer:
    """What an account holds, and when somebody signed in last (exact to a day); aliases are followed."""
    domain, name = asked.arguments
    try:
        home = await home_of(house, asked, domain)
    except CtrlFailure as failure:
        raise CtrlFailure(Code.NO_RECORD) from failure
    address = address_or_none(name, home)
    if address is None:
        raise CtrlFailure(Code.NO_RECORD)
    found = await _followed(house, asked, address)
    if found is None:
        return _stat(address, 0, 0, None)
    usage = await house.quota.usage(found.id)
    seen = await house.known_origins.last_seen(PrincipalId(Kind.ACCOUNT, found.id))
    return _stat(found.address, usage.used_bytes, usage.message_count, seen)


async def _followed(house: House, asked: Asked, address: Address) -> Account | None:
    """Return the account that has the address or that its alias leads to; None for a list."""
    for _ in range(MAX_ALIASES):
        try:
            return await house.accounts.get_by_address(address)
        except UnknownAccount:
            pass
        try:
            await house.lists.get(address)
            return None
        except UnknownList:
            pass
        try:
            target = (await house.aliases.get(address)).targets[0]
            address = Address(target.local_part, await home_of(house, asked, target.domain))
        except (UnknownAlias, CtrlFailure) as error:
            raise CtrlFailure(Code.NO_RECORD) from error
    raise CtrlFailure(Code.NO_RECORD)


MAX_ALIASES = 20  # in a row, as when mail is routed


def _stat(address: Address, used_bytes: int, mails: int, seen: tuple[str, datetime] | None) -> Answer:
    origin, at = seen if seen is not None else ("client:0.0.0.0", datetime.now(UTC))
    network = "127.0.0.1" if origin == "loopback" else origin.removeprefix("client:").partition("/")[0]
    return Rows(
        paged_rows(
            [
                ("RealAddress", address.key),
                ("MailboxSize", str(used_bytes)),
                ("MailboxMessages", str(mails)),
                ("LastLoginTimeDate", format_datetime(at.astimezone(UTC).replace(tzinfo=None))),
                ("LastLoginIP", network),
            ]
        )
    )


def _check_given(password: str) -> None:
    # Section 9, case 8: no account without a password.
    if not password:
        raise CtrlFailure(Code.SYNTAX)
