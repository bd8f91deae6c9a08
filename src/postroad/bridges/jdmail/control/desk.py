"""The table of commands, and who may give them. What each does is in the modules beside this one.

Interface page ctrl-protocol.md, section 6: the number of arguments is checked before everything else. A
command that a control account may not give is, to it, no command.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from postroad.bridges.jdmail.control import accounts, aliases, domains, lists, other, queue, variables
from postroad.bridges.jdmail.control.house import Asked, Handler, House
from postroad.directory.errors import SignInRefused, TooManyFailures
from postroad.directory.identity.audit import Actor
from postroad.directory.identity.control_accounts import ControlSession
from postroad.listeners.ctrl import Answer
from postroad.protocols.ctrl.replies import Code, CtrlFailure
from postroad.protocols.ctrl.server import Login

Subject = Callable[[Sequence[str]], str]


def _first(arguments: Sequence[str]) -> str:
    return arguments[0]


def _address(arguments: Sequence[str]) -> str:
    return f"{arguments[1]}@{arguments[0]}"


def _member(arguments: Sequence[str]) -> str:
    return f"{arguments[1]}@{arguments[0]} {arguments[2]}"


def _mail(arguments: Sequence[str]) -> str:
    return arguments[2]


@dataclass(frozen=True, slots=True)
class Entry:
    """One command: how many arguments it takes, and for the audit log what it is done to, if it changes."""

    handler: Handler
    least: int
    most: float
    subject: Subject | None = None


_MANY = math.inf
COMMANDS: dict[str, Entry] = {
    "domainadd": Entry(domains.domainadd, 1, 1, _first),
    "domaindel": Entry(domains.domaindel, 1, 1, _first),
    "domainlist": Entry(domains.domainlist, 0, _MANY),
    "aliasdomainadd": Entry(domains.aliasdomainadd, 2, 2, _address),
    "aliasdomaindel": Entry(domains.aliasdomaindel, 1, 1, _first),
    "aliasdomainlist": Entry(domains.aliasdomainlist, 0, 3),
    "custdomset": Entry(domains.custdomset, 1, 1),
    "custdomget": Entry(domains.custdomget, 1, 1),
    "custdomlist": Entry(domains.custdomlist, 0, 0),
    "useradd": Entry(accounts.useradd, 4, 4, _address),
    "userdel": Entry(accounts.userdel, 2, 2, _address),
    "userpasswd": Entry(accounts.userpasswd, 3, 3, _address),
    "userauth": Entry(accounts.userauth, 3, 3),
    "userlist": Entry(accounts.userlist, 0, 2),
    "userstat": Entry(accounts.userstat, 2, 2),
    "uservars": Entry(variables.uservars, 2, 2),
    "uservarsset": Entry(variables.uservarsset, 4, _MANY, _address),
    "usergetmproc": Entry(other.usergetmproc, 2, 3),
    "usersetmproc": Entry(other.usersetmproc, 2, 3),
    "aliasadd": Entry(aliases.aliasadd, 3, 3, _address),
    "aliasdel": Entry(aliases.aliasdel, 2, 2, _address),
    "aliaslist": Entry(aliases.aliaslist, 0, 3),
    "exaliasadd": Entry(aliases.exaliasadd, 2, 2),
    "exaliasdel": Entry(aliases.exaliasdel, 1, 1),
    "exaliaslist": Entry(aliases.exaliaslist, 0, 2),
    "mluseradd": Entry(lists.mluseradd, 3, _MANY, _member),
    "mluserdel": Entry(lists.mluserdel, 3, 3, _member),
    "mluserlist": Entry(lists.mluserlist, 2, 2),
    "poplnkadd": Entry(other.poplnkadd, 6, 6),
    "poplnkdel": Entry(other.poplnk, 4, 4),
    "poplnklist": Entry(other.poplnklist, 0, 2),
    "poplnkenable": Entry(other.poplnk, 3, 5),
    "frozlist": Entry(queue.frozlist, 0, _MANY),
    "frozsubmit": Entry(queue.frozsubmit, 3, 3, _mail),
    "frozdel": Entry(queue.frozdel, 3, 3, _mail),
    "frozgetlog": Entry(queue.frozgetlog, 3, 3),
    "frozgetmsg": Entry(queue.frozgetmsg, 3, 3),
    "etrn": Entry(queue.etrn, 1, _MANY),
    "filelist": Entry(other.filelist, 2, 2),
    "cfgfileget": Entry(other.cfgfile, 1, 1),
    "cfgfileset": Entry(other.cfgfile, 1, 1),
}


class Desk:
    """Lets control accounts in (`listeners.ctrl.ControlDesk`)."""

    commands = frozenset(COMMANDS)

    def __init__(self, house: House) -> None:
        self._house = house

    async def may_connect(self, client: str) -> bool:
        """Whether any control account may be used from there."""
        return await self._house.control_accounts.may_connect(client)

    async def sign_in(self, login: Login, client: str, *, takes_passwords: bool) -> Clerk:
        """Say who signs in. Raises `CtrlFailure`, `DatabaseUnavailable`."""
        control_accounts = self._house.control_accounts
        try:
            if login.is_digest:
                session = await control_accounts.check_digest(
                    login.name, login.challenge, login.secret, client
                )
            elif takes_passwords:
                session = await control_accounts.check_password(login.name, login.secret, client)
            else:
                raise CtrlFailure(self._house.bad_login)
        except TooManyFailures as refusal:
            raise CtrlFailure(Code.BUSY) from refusal
        except SignInRefused as refusal:
            raise CtrlFailure(self._house.bad_login) from refusal
        return Clerk(self._house, session, client)


class Clerk:
    """Somebody who signed in, and gives commands (`listeners.ctrl.Caller`)."""

    def __init__(self, house: House, session: ControlSession, client: str) -> None:
        self._house = house
        self._session = session
        self._actor = Actor.of(session.principal, client)

    @property
    def name(self) -> str:
        """What they signed in with."""
        return self._session.account.name

    async def answer(self, command: str, arguments: Sequence[str]) -> Answer:
        """Do what is asked. Raises `CtrlFailure`, `DatabaseUnavailable`."""
        try:
            session = await self._house.control_accounts.as_it_is_now(self._session)
        except SignInRefused as refusal:
            raise CtrlFailure(Code.BAD_LOGIN) from refusal
        entry = COMMANDS.get(command)
        if (
            entry is None
            or not entry.least <= len(arguments) <= entry.most
            or not session.account.allows_command(command)
        ):
            raise CtrlFailure(Code.SYNTAX)
        answer = await entry.handler(self._house, Asked(tuple(arguments), session.rights))
        if entry.subject is not None:
            await self._house.audit.record(self._actor, f"control.{command}", entry.subject(arguments))
        return answer
