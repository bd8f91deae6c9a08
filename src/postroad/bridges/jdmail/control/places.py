"""Domains and addresses as commands name them, found in our directory.

Names are compared without case (section 6). A domain that the control account does not administer is, to it,
a domain that is not here.
"""

from __future__ import annotations

import re

from postroad.bridges.jdmail.control.house import Asked, House
from postroad.directory.addresses.accounts import Account
from postroad.directory.errors import UnknownAccount
from postroad.message.address import Address, BadAddress, canonical_domain
from postroad.protocols.ctrl.replies import Code, CtrlFailure

# Section 6.2: letters, digits and these in parts joined by single dots.
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+(?:\.[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+)*\Z")


def canonical(domain: str) -> str:
    """Return the name of a domain as it is kept; "" for what is none."""
    try:
        return canonical_domain(domain)
    except BadAddress:
        return ""


async def home_of(house: House, asked: Asked, domain: str) -> str:
    """Return the domain where the addresses of `domain` are: itself, or what it is an alias of.

    Raises `CtrlFailure` when it is not here.
    """
    found = await house.inventory.domain(canonical(domain))
    if found is None or not asked.rights.cover(found.name):
        raise CtrlFailure(Code.UNKNOWN_DOMAIN)
    return found.alias_of or found.name


async def own_domain(house: House, asked: Asked, domain: str) -> str | None:
    """Return the name of a domain that holds addresses itself; None for an alias domain.

    Raises `CtrlFailure` when it is not here.
    """
    name = canonical(domain)
    home = await home_of(house, asked, domain)
    return home if home == name else None


def new_address(name: str, domain: str) -> Address:
    """Return the address that an account, an alias or a list is to get. Raises `CtrlFailure`."""
    if not _NAME.match(name):
        raise CtrlFailure(Code.BAD_NAME)
    try:
        return Address.parse(f"{name}@{domain}")
    except BadAddress as error:
        raise CtrlFailure(Code.BAD_NAME) from error


def address_or_none(name: str, domain: str) -> Address | None:
    """Return an address to look for; None for what can be nobody's."""
    try:
        return new_address(name, domain)
    except CtrlFailure:
        return None


def parsed_address(text: str) -> Address:
    """Return an address given whole. Raises `CtrlFailure`."""
    try:
        return Address.parse(text)
    except BadAddress as error:
        raise CtrlFailure(Code.BAD_ADDRESS) from error


async def account_at(house: House, name: str, home: str) -> Account:
    """Return the account of a name in a domain of its own. Raises `CtrlFailure`: record not found."""
    address = address_or_none(name, home)
    if address is not None:
        try:
            return await house.accounts.get_by_address(address)
        except UnknownAccount:
            pass
    raise CtrlFailure(Code.NO_RECORD)
