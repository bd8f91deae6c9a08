"""Commands about aliases (section 6.3).

The alias `*` of a domain is its catch-all; other wildcards are not names of ours. Aliases for the addresses
that accounts have elsewhere are not kept here: there are none to list, and adding one is refused.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from postroad.bridges.jdmail.control.house import Asked, House, Row, paged, paged_rows
from postroad.bridges.jdmail.control.places import (
    account_at,
    address_or_none,
    canonical,
    home_of,
    new_address,
    parsed_address,
)
from postroad.directory.errors import (
    AddressTaken,
    BadValue,
    DirectoryError,
    UnknownAlias,
    UnknownList,
    UnknownTarget,
)
from postroad.listeners.ctrl import Answer, Done, Rows
from postroad.message.address import Address
from postroad.protocols.ctrl.patterns import pattern
from postroad.protocols.ctrl.replies import Code, CtrlFailure

CATCH_ALL = "*"


async def aliasadd(house: House, asked: Asked) -> Answer:
    """An alias for an account or a list of ours."""
    domain, name, account = asked.arguments
    home = await home_of(house, asked, domain)
    target = await _target(house, asked, account, home)
    if name == CATCH_ALL:
        return await _set_catch_all(house, home, target)
    if "*" in name or "?" in name:  # as a name of ours it would not stand for others
        raise CtrlFailure(Code.BAD_NAME)
    address = new_address(name, home)
    try:
        await house.aliases.add(address, [target])
    except AddressTaken as error:
        is_alias = error.facts["kind"] == "alias"
        raise CtrlFailure(Code.ALIAS_EXISTS if is_alias else Code.USER_EXISTS) from error
    except UnknownTarget as error:
        raise CtrlFailure(Code.NO_RECORD) from error
    except BadValue as error:  # to itself: that is an account, or a list
        raise CtrlFailure(Code.USER_EXISTS) from error
    except DirectoryError as error:
        raise CtrlFailure(Code.UNKNOWN_DOMAIN) from error
    return Done()


async def aliasdel(house: House, asked: Asked) -> Answer:
    """An alias."""
    domain, name = asked.arguments
    try:
        home = await home_of(house, asked, domain)
    except CtrlFailure as failure:
        raise CtrlFailure(Code.ALIAS_NOT_FOUND) from failure
    if name == CATCH_ALL:
        if (await house.domains.get(home)).catch_all is None:
            raise CtrlFailure(Code.ALIAS_NOT_FOUND)
        await house.domains.set_catch_all(home, None)
        return Done()
    address = address_or_none(name, home)
    try:
        if address is None:
            raise UnknownAlias(name)
        await house.aliases.remove(address)
    except UnknownAlias as error:
        raise CtrlFailure(Code.ALIAS_NOT_FOUND) from error
    return Done()


async def aliaslist(house: House, asked: Asked) -> Answer:
    """Aliases, a row for each address they lead to; a name alone is one of the same domain."""
    domain, alias, account = [pattern(text) for text in (*asked.arguments, "*", "*", "*")[:3]]
    only_domain = None if domain.literal is None else canonical(domain.literal)

    async def rows() -> AsyncIterator[Row]:
        async for each in house.inventory.aliases(only_domain):
            if not asked.rights.cover(each.domain):
                continue
            if not (domain.matches(each.domain) and alias.matches(each.local_part)):
                continue
            for target in each.targets:
                name, _, where = target.rpartition("@")
                shown = name if where == each.domain else target
                if account.matches(shown):
                    yield each.domain, each.local_part, shown

    return Rows(paged(rows()))


async def exaliasadd(_: House, asked: Asked) -> Answer:
    """Refused: nothing here would follow it."""
    for text in asked.arguments:
        parsed_address(text)
    raise CtrlFailure(Code.CANNOT_WRITE_EXTERNAL)


async def exaliasdel(_: House, asked: Asked) -> Answer:
    """There are none."""
    parsed_address(asked.arguments[0])
    raise CtrlFailure(Code.EXTERNAL_NOT_FOUND)


async def exaliaslist(_: House, asked: Asked) -> Answer:
    """There are none; patterns are written as addresses."""
    if any("@" not in text for text in asked.arguments):
        raise CtrlFailure(Code.BAD_ADDRESS)
    return Rows(paged_rows([]))


async def _target(house: House, asked: Asked, account: str, home: str) -> Address:
    """Return the account or list that an alias is to lead to. Raises `CtrlFailure`: record not found."""
    name, at, domain = account.rpartition("@")
    try:
        where = await home_of(house, asked, domain) if at else home
        name = name if at else account
        try:
            return (await account_at(house, name, where)).address
        except CtrlFailure:
            return (await house.lists.get(new_address(name, where))).address
    except (CtrlFailure, UnknownList) as error:
        raise CtrlFailure(Code.NO_RECORD) from error


async def _set_catch_all(house: House, home: str, target: Address) -> Answer:
    if (await house.domains.get(home)).catch_all is not None:
        raise CtrlFailure(Code.ALIAS_EXISTS)
    try:
        await house.domains.set_catch_all(home, target)
    except UnknownTarget as error:
        raise CtrlFailure(Code.NO_RECORD) from error
    except DirectoryError as error:
        raise CtrlFailure(Code.UNKNOWN_DOMAIN) from error
    return Done()
