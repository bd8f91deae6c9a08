"""Any commands in any order, against a model of what the page says the directory is (sections 6.1 to 6.4)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from postroad.bridges.jdmail.control.desk import Desk
from postroad.directory import passwords
from postroad.directory.addresses import domains
from postroad.listeners.ctrl import Caller, Rows
from postroad.protocols.ctrl.replies import Code, CtrlFailure
from postroad.protocols.ctrl.server import Login
from postroad.server.control_doors import control_house
from tests.bridges.jdmail.room import ADMIN, PASSWORD, QUICK_KEYS, open_room

DOMAINS = st.sampled_from(["d1.test", "d2.test", "D3.test"])
NAMES = st.sampled_from(["a", "B", "c"])
KINDS = st.sampled_from(["U", "M", "m", ""])
PASSWORDS = st.sampled_from(["one", "two", ""])


class Directory(RuleBasedStateMachine):
    """The model: what there is, by the page."""

    runner: asyncio.Runner
    caller: Caller

    def __init__(self) -> None:
        super().__init__()
        self.homes: dict[str, str] = {}  # domains with where their addresses are
        self.users: dict[tuple[str, str], str | None] = {}  # passwords; None is a list
        self.aliases: dict[tuple[str, str], tuple[str, str]] = {}
        self.members: dict[tuple[str, str], set[str]] = {}

    def teardown(self) -> None:
        for home in [name for name, home in self.homes.items() if name == home]:
            assert self.ask("domaindel", home) == 0

    # -- asking

    def ask(self, command: str, *arguments: str) -> int:
        """The code of the answer."""
        try:
            self.runner.run(self.caller.answer(command, arguments))
        except CtrlFailure as failure:
            return failure.code
        return 0

    def rows(self, command: str, *arguments: str) -> list[tuple[str, ...]]:
        async def read() -> list[tuple[str, ...]]:
            answer = await self.caller.answer(command, arguments)
            assert isinstance(answer, Rows)
            return [tuple(row) async for page in answer.pages for row in page]

        return self.runner.run(read())

    # -- commands

    @rule(domain=DOMAINS)
    def domainadd(self, domain: str) -> None:
        name = domain.lower()
        assert self.ask("domainadd", domain) == (Code.NO_LOCK if name in self.homes else 0)
        self.homes.setdefault(name, name)

    @rule(domain=DOMAINS)
    def domaindel(self, domain: str) -> None:
        name = domain.lower()
        is_there = self.homes.get(name) == name
        assert self.ask("domaindel", domain) == (0 if is_there else Code.UNKNOWN_DOMAIN)
        if not is_there:
            return
        self.homes = {alias: home for alias, home in self.homes.items() if home != name}
        for key in [key for key in self.users if key[0] == name]:
            self.forget(key)
        self.aliases = {key: target for key, target in self.aliases.items() if key[0] != name}

    @rule(real=DOMAINS, alias=DOMAINS)
    def aliasdomainadd(self, real: str, alias: str) -> None:
        home, name = real.lower(), alias.lower()
        expected = 0
        if self.homes.get(home) != home:
            expected = Code.UNKNOWN_DOMAIN
        elif name in self.homes:
            expected = Code.DOMAIN_ALIAS_EXISTS
        assert self.ask("aliasdomainadd", real, alias) == expected
        if not expected:
            self.homes[name] = home

    @rule(alias=DOMAINS)
    def aliasdomaindel(self, alias: str) -> None:
        name = alias.lower()
        is_there = self.homes.get(name, name) != name
        assert self.ask("aliasdomaindel", alias) == (0 if is_there else Code.DOMAIN_ALIAS_NOT_FOUND)
        if is_there:
            del self.homes[name]

    @rule(domain=DOMAINS, name=NAMES, password=PASSWORDS, kind=KINDS)
    def useradd(self, domain: str, name: str, password: str, kind: str) -> None:
        key = (self.homes.get(domain.lower(), ""), name.lower())
        expected = 0
        if not password:
            expected = Code.SYNTAX
        elif not key[0]:
            expected = Code.UNKNOWN_DOMAIN
        elif key in self.aliases:
            expected = Code.ALIAS_EXISTS
        elif key in self.users:
            expected = Code.USER_EXISTS
        assert self.ask("useradd", domain, name, password, kind) == expected
        if not expected:
            self.users[key] = None if kind == "M" else password
            if kind == "M":
                self.members[key] = set()

    @rule(domain=DOMAINS, name=NAMES)
    def userdel(self, domain: str, name: str) -> None:
        key = (domain.lower(), name.lower())
        expected = (
            0 if key in self.users else Code.USER_NOT_FOUND if key[0] in self.homes else Code.UNKNOWN_DOMAIN
        )
        assert self.ask("userdel", domain, name) == expected
        if not expected:
            self.forget(key)

    @rule(domain=DOMAINS, name=NAMES, password=PASSWORDS)
    def userpasswd(self, domain: str, name: str, password: str) -> None:
        key = (self.homes.get(domain.lower(), ""), name.lower())
        expected = 0
        if not password:
            expected = Code.SYNTAX
        elif not key[0]:
            expected = Code.UNKNOWN_DOMAIN
        elif self.users.get(key) is None:
            expected = Code.NO_RECORD
        assert self.ask("userpasswd", domain, name, password) == expected
        if not expected:
            self.users[key] = password

    @rule(domain=DOMAINS, name=NAMES)
    def userauth(self, domain: str, name: str) -> None:
        password = self.users.get((self.homes.get(domain.lower(), ""), name.lower()))
        expected = Code.NO_RECORD if password is None else 0
        assert self.ask("userauth", domain, name, password or "x") == expected

    @rule(domain=DOMAINS, name=NAMES, account=NAMES)
    def aliasadd(self, domain: str, name: str, account: str) -> None:
        home = self.homes.get(domain.lower(), "")
        key, to = (home, name.lower()), (home, account.lower())
        expected = 0
        if not home:
            expected = Code.UNKNOWN_DOMAIN
        elif to not in self.users:
            expected = Code.NO_RECORD
        elif key in self.users and key != to:
            expected = Code.USER_EXISTS
        elif key in self.aliases or key == to:
            expected = Code.ALIAS_EXISTS if key in self.aliases else Code.USER_EXISTS
        assert self.ask("aliasadd", domain, name, account) == expected
        if not expected:
            self.aliases[key] = to

    @rule(domain=DOMAINS, name=NAMES)
    def aliasdel(self, domain: str, name: str) -> None:
        key = (self.homes.get(domain.lower(), ""), name.lower())
        assert self.ask("aliasdel", domain, name) == (0 if key in self.aliases else Code.ALIAS_NOT_FOUND)
        self.aliases.pop(key, None)

    @rule(domain=DOMAINS, name=NAMES, member=st.sampled_from(["x@elsewhere.test", "Y@elsewhere.test"]))
    def mluseradd(self, domain: str, name: str, member: str) -> None:
        expected = self.list_code(domain, name)
        key = (self.homes.get(domain.lower(), ""), name.lower())
        if not expected and member.lower() in self.members[key]:
            expected = Code.MEMBER_EXISTS
        assert self.ask("mluseradd", domain, name, member) == expected
        if not expected:
            self.members[key].add(member.lower())

    @rule(domain=DOMAINS, name=NAMES, member=st.sampled_from(["X@elsewhere.test", "y@elsewhere.test"]))
    def mluserdel(self, domain: str, name: str, member: str) -> None:
        expected = self.list_code(domain, name)
        key = (self.homes.get(domain.lower(), ""), name.lower())
        if not expected and member.lower() not in self.members[key]:
            expected = Code.MEMBER_NOT_FOUND
        assert self.ask("mluserdel", domain, name, member) == expected
        if not expected:
            self.members[key].discard(member.lower())

    # -- what must hold

    def list_code(self, domain: str, name: str) -> int:
        home = self.homes.get(domain.lower(), "")
        if not home:
            return Code.UNKNOWN_DOMAIN
        if (home, name.lower()) not in self.users:
            return Code.NO_RECORD
        return 0 if self.users[(home, name.lower())] is None else Code.NOT_A_LIST

    def forget(self, key: tuple[str, str]) -> None:
        """An account takes along the aliases that lead to it alone; those of a list lead nowhere."""
        if self.users.pop(key) is not None:
            self.aliases = {alias: target for alias, target in self.aliases.items() if target != key}
        self.members.pop(key, None)

    @invariant()
    def lists_agree(self) -> None:
        if not hasattr(self, "caller"):
            return
        assert {row[0] for row in self.rows("domainlist")} == {
            name for name, home in self.homes.items() if name == home
        }
        assert set(self.rows("aliasdomainlist")) == {
            (home, name) for name, home in self.homes.items() if name != home
        }
        assert set(self.rows("userlist")) == {
            (*key, "", "M" if password is None else "U") for key, password in self.users.items()
        }
        assert {row[:2] for row in self.rows("aliaslist")} == self.aliases.keys()
        for key, members in self.members.items():
            assert {row[0] for row in self.rows("mluserlist", *key)} == members


def test_any_commands_in_any_order(
    database_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(domains, "_ALGORITHMS", QUICK_KEYS)
    monkeypatch.setattr(passwords, "MEMORY_COST_KIBIBYTES", 8)
    monkeypatch.setattr(passwords, "TIME_COST", 1)
    with asyncio.Runner() as runner:
        opening = open_room(database_dsn, tmp_path)
        room = runner.run(opening.__aenter__())
        try:
            from postroad.config import Settings

            desk = Desk(control_house(Settings(), room.parts))
            login = Login(ADMIN, PASSWORD, False, b"")
            Directory.runner = runner
            Directory.caller = runner.run(desk.sign_in(login, "127.0.0.1", takes_passwords=True))
            run_state_machine_as_test(
                Directory, settings=settings(max_examples=8, stateful_step_count=15, deadline=None)
            )
        finally:
            runner.run(opening.__aexit__(None, None, None))
