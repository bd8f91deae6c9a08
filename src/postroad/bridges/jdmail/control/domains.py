"""Commands about domains (section 6.1)."""

from __future__ import annotations

from collections.abc import Sequence

from postroad.bridges.jdmail.control.house import Asked, House, paged_rows
from postroad.bridges.jdmail.control.places import canonical
from postroad.directory.errors import BadValue, DomainIsAlias, DomainTaken, UnknownDomain
from postroad.listeners.ctrl import Answer, Done, Rows, TextLines, Wanted
from postroad.protocols.ctrl.patterns import pattern
from postroad.protocols.ctrl.replies import Code, CtrlFailure


async def domainadd(house: House, asked: Asked) -> Answer:
    """A domain of its own, with keys to sign its mail."""
    (name,) = asked.arguments
    _check_whole_server(asked)
    _check_name(name)
    if await house.inventory.domain(canonical(name)) is not None:
        raise CtrlFailure(house.domain_exists)
    try:
        await house.domains.add(name)
    except DomainTaken as error:
        raise CtrlFailure(house.domain_exists) from error
    except BadValue as error:
        raise CtrlFailure(Code.BAD_HOST) from error
    return Done()


async def domaindel(house: House, asked: Asked) -> Answer:
    """A domain with everything in it, without asking."""
    _check_whole_server(asked)
    found = await house.inventory.domain(canonical(asked.arguments[0]))
    if found is None or found.alias_of is not None:
        raise CtrlFailure(Code.UNKNOWN_DOMAIN)
    try:
        await house.domains.remove(found.name, force=True)
    except UnknownDomain as error:
        raise CtrlFailure(Code.UNKNOWN_DOMAIN) from error
    return Done()


async def domainlist(house: House, asked: Asked) -> Answer:
    """Domains that match any of the patterns."""
    patterns = [pattern(text) for text in asked.arguments]
    return Rows(
        paged_rows(
            [
                (each.name,)
                for each in await house.inventory.domains()
                if each.alias_of is None
                and asked.rights.cover(each.name)
                and (not patterns or any(one.matches(each.name) for one in patterns))
            ]
        )
    )


async def aliasdomainadd(house: House, asked: Asked) -> Answer:
    """A domain whose addresses are those of another. Wildcards are not names of ours."""
    real, alias = asked.arguments
    _check_whole_server(asked)
    home = await house.inventory.domain(canonical(real))
    if home is None or home.alias_of is not None:
        raise CtrlFailure(Code.UNKNOWN_DOMAIN)
    if await house.inventory.domain(canonical(alias)) is not None:
        raise CtrlFailure(Code.DOMAIN_ALIAS_EXISTS)
    _check_name(alias)
    try:
        await house.domains.add(alias, alias_of=home.name)
    except DomainTaken as error:
        raise CtrlFailure(Code.DOMAIN_ALIAS_EXISTS) from error
    except (UnknownDomain, DomainIsAlias) as error:
        raise CtrlFailure(Code.UNKNOWN_DOMAIN) from error
    except BadValue as error:
        raise CtrlFailure(Code.BAD_HOST) from error
    return Done()


async def aliasdomaindel(house: House, asked: Asked) -> Answer:
    """An alias domain."""
    _check_whole_server(asked)
    found = await house.inventory.domain(canonical(asked.arguments[0]))
    if found is None or found.alias_of is None:
        raise CtrlFailure(Code.DOMAIN_ALIAS_NOT_FOUND)
    try:
        await house.domains.remove(found.name, force=True)
    except UnknownDomain as error:
        raise CtrlFailure(Code.DOMAIN_ALIAS_NOT_FOUND) from error
    return Done()


async def aliasdomainlist(house: House, asked: Asked) -> Answer:
    """Alias domains; with three arguments none, as the original has it."""
    if len(asked.arguments) > 2:
        return Rows(paged_rows([]))
    real, alias = [pattern(text) for text in (*asked.arguments, "*", "*")[:2]]
    return Rows(
        paged_rows(
            [
                (each.alias_of, each.name)
                for each in await house.inventory.domains()
                if each.alias_of is not None
                and asked.rights.cover(each.name)
                and real.matches(each.alias_of)
                and alias.matches(each.name)
            ]
        )
    )


async def custdomset(_: House, asked: Asked) -> Answer:
    """There are no custom domains here: removing one is done already, rules for one are refused."""
    _check_whole_server(asked)
    _check_name(asked.arguments[0])

    async def store(lines: Sequence[bytes]) -> None:
        if lines:
            raise CtrlFailure(Code.CANNOT_WRITE)

    return Wanted(store)


async def custdomget(_: House, __: Asked) -> Answer:
    """There are none."""
    raise CtrlFailure(Code.NOT_CUSTOM)


async def custdomlist(_: House, __: Asked) -> Answer:
    """There are none."""
    return TextLines(())


def _check_whole_server(asked: Asked) -> None:
    # Who administers single domains is told that there are no others.
    if not asked.rights.everything:
        raise CtrlFailure(Code.UNKNOWN_DOMAIN)


def _check_name(name: str) -> None:
    if not all(name.split(".")):
        raise CtrlFailure(Code.BAD_ADDRESS)
    if not canonical(name):
        raise CtrlFailure(Code.BAD_HOST)
