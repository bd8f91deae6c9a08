"""Commands about the members of mailing lists (section 6.4).

Of a member's permissions three letters mean something: R receives the list's mail, W may write to it, A may
write to it when the mail is submitted here by somebody signed in.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from postroad.bridges.jdmail.control.house import Asked, House, Row, paged
from postroad.bridges.jdmail.control.places import account_at, address_or_none, home_of, parsed_address
from postroad.directory.addresses.lists import ListMember, MemberPosts
from postroad.directory.errors import BadValue, LimitReached, UnknownList, UnknownTarget
from postroad.listeners.ctrl import Answer, Done, Rows
from postroad.message.address import Address
from postroad.protocols.ctrl.replies import Code, CtrlFailure

DEFAULT = "RW"
PAGE = 1000
_LETTERS: dict[MemberPosts, str] = {"always": "W", "signed-in": "A", "never": ""}


async def mluseradd(house: House, asked: Asked) -> Answer:
    """A member; further arguments than its permissions are ignored."""
    domain, name, member, permissions = (*asked.arguments, DEFAULT)[:4]
    home = await home_of(house, asked, domain)
    new = _member(parsed_address(member), permissions.upper())
    address = await _list(house, name, home)
    try:
        if not await house.lists.add_member(address, new):
            raise CtrlFailure(Code.MEMBER_EXISTS)
    except UnknownList as error:
        raise CtrlFailure(Code.NO_RECORD) from error
    except (UnknownTarget, BadValue) as error:
        raise CtrlFailure(Code.BAD_ADDRESS) from error
    except LimitReached as error:
        raise CtrlFailure(Code.CANNOT_WRITE) from error
    return Done()


async def mluserdel(house: House, asked: Asked) -> Answer:
    """A member goes."""
    domain, name, member = asked.arguments
    address = await _list(house, name, await home_of(house, asked, domain))
    try:
        found = await house.lists.remove_members(address, [parsed_address(member)])
    except UnknownList as error:
        raise CtrlFailure(Code.NO_RECORD) from error
    except CtrlFailure as failure:
        raise CtrlFailure(Code.MEMBER_NOT_FOUND) from failure
    if not found:
        raise CtrlFailure(Code.MEMBER_NOT_FOUND)
    return Done()


async def mluserlist(house: House, asked: Asked) -> Answer:
    """The members with their permissions, by address."""
    domain, name = asked.arguments
    address = await _list(house, name, await home_of(house, asked, domain))

    async def rows() -> AsyncIterator[Row]:
        after = ""
        while True:
            members = await house.lists.members(address, after, PAGE)
            for member in members:
                yield str(member.address), ("R" if member.receives else "") + _LETTERS[member.posts]
            if len(members) < PAGE:
                return
            after = members[-1].address.key

    return Rows(paged(rows()))


async def _list(house: House, name: str, home: str) -> Address:
    """Return the address of a list. Raises `CtrlFailure`: no such record, or an account."""
    address = address_or_none(name, home)
    if address is None:
        raise CtrlFailure(Code.NO_RECORD)
    try:
        return (await house.lists.get(address)).address
    except UnknownList:
        await account_at(house, name, home)
        raise CtrlFailure(Code.NOT_A_LIST) from None


def _member(address: Address, permissions: str) -> ListMember:
    posts: MemberPosts = "always" if "W" in permissions else "signed-in" if "A" in permissions else "never"
    return ListMember(address, is_owner=False, receives="R" in permissions, posts=posts)
