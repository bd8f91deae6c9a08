"""Putting the demo company into a house: domain, accounts, alias, list, and its mail, each of them once.

`demo.json` in the data directory keeps the passwords, and whether the mail is complete: what its reader
deletes later does not come back. A seeding that was cut off goes on where it stopped.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from postroad.demo.letter import Box, Place
from postroad.demo.mails import mails
from postroad.demo.people import ALICE, CHEN, COLLEAGUES, DOMAIN, LIN, SALES, TEAM, Person
from postroad.directory.addresses.accounts import Account, Accounts
from postroad.directory.addresses.aliases import Aliases
from postroad.directory.addresses.domains import Domains
from postroad.directory.addresses.lists import DistributionLists
from postroad.directory.errors import AddressTaken, DomainTaken
from postroad.mailstore.append import Append
from postroad.mailstore.errors import NoSuchFolder
from postroad.mailstore.flags import Flag
from postroad.mailstore.folders import Folders, Role
from postroad.message.address import Address

RECORD = "demo.json"
# Letters and digits that nobody mistakes for each other; 12 of them are 58 bits.
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
_LANGUAGES = {CHEN: "zh", ALICE: "en", LIN: "zh"}


@dataclass(frozen=True, slots=True)
class House:
    """The services that the demo is put in by."""

    domains: Domains
    accounts: Accounts
    aliases: Aliases
    lists: DistributionLists
    folders: Folders
    append: Append
    clock: Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class DemoAccount:
    """Who can sign in to the demo, and with what."""

    name: str
    address: str
    password: str


@dataclass(slots=True)
class _Record:
    """What `demo.json` holds."""

    passwords: dict[str, str]
    mails: set[str]
    is_complete: bool

    @classmethod
    def read(cls, path: Path) -> _Record:
        """Read the file; a missing or broken one is a record of nothing."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            found = json.loads(path.read_text(encoding="utf-8"))
            return cls(dict(found["passwords"]), set(found["mails"]), bool(found["complete"]))
        return cls({}, set(), False)

    def write(self, path: Path) -> None:
        """Replace the file; only its owner may read it."""
        fresh = path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        fresh.touch(0o600)
        content = {"passwords": self.passwords, "mails": sorted(self.mails), "complete": self.is_complete}
        fresh.write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
        fresh.replace(path)


class Demo:
    """The demo company in one house."""

    def __init__(self, house: House, data_dir: Path) -> None:
        """`data_dir` gets `demo.json`."""
        self._house = house
        self._path = data_dir / RECORD

    async def seed(self) -> list[DemoAccount]:
        """Make what is missing and return who can sign in. Nothing happens when all is there."""
        record = _Record.read(self._path)
        accounts, are_new = await self._accounts(record)
        if are_new:
            record.mails, record.is_complete = set(), False
            record.write(self._path)
        if not record.is_complete:
            await self._names()
            await self._mails(record, accounts)
            record.is_complete = True
            record.write(self._path)
        return [
            DemoAccount(person.name, person.address, record.passwords[person.address])
            for person in COLLEAGUES
        ]

    async def _accounts(self, record: _Record) -> tuple[dict[Person, Account], bool]:
        with suppress(DomainTaken):
            await self._house.domains.add(DOMAIN)
        accounts: dict[Person, Account] = {}
        are_new = False
        for person in COLLEAGUES:
            address = Address.parse(person.address)
            known = record.passwords.get(person.address)
            password = known or new_password()
            try:
                accounts[person] = await self._house.accounts.add(
                    address, password, display_name=person.name, language=_LANGUAGES[person]
                )
                are_new = True
            except AddressTaken:
                accounts[person] = await self._house.accounts.get_by_address(address)
                if known is None:  # the record was lost: a new password, so that it can be printed
                    await self._house.accounts.set_password(address, password)
            if known is None:
                record.passwords[person.address] = password
                record.write(self._path)
        return accounts, are_new

    async def _names(self) -> None:
        sales, team = Address.parse(SALES.address), Address.parse(TEAM.address)
        with suppress(AddressTaken):
            await self._house.aliases.add(sales, [Address.parse(who.address) for who in (CHEN, ALICE)])
        with suppress(AddressTaken):
            await self._house.lists.add(team, TEAM.name)
        await self._house.lists.add_members(team, [Address.parse(who.address) for who in COLLEAGUES])

    async def _mails(self, record: _Record, accounts: dict[Person, Account]) -> None:
        now = self._house.clock()
        for mail, content in mails(now):
            if mail.key in record.mails:
                continue
            for place in mail.places:
                await self._put(accounts[place.owner], place, content, mail.at.moment(now))
            record.mails.add(mail.key)
            record.write(self._path)

    async def _put(self, account: Account, place: Place, content: bytes, when: datetime) -> None:
        flags = place.flags
        if isinstance(place.folder, Box):
            folder: int | Role = Role(place.folder.value)
            if place.folder is Box.DRAFTS:
                flags |= Flag.DRAFT
        else:
            folder = await self._folder(account.id, place.folder)
        await self._house.append.put(account.id, folder, content, flags, place.keywords, when)

    async def _folder(self, account_id: int, path: str) -> int:
        try:
            return (await self._house.folders.get_by_name(account_id, path)).id
        except NoSuchFolder:
            return (await self._house.folders.create(account_id, path)).id


def new_password() -> str:
    """A password that can be read aloud."""
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(3))
