"""Seeding goes through the real services, happens once, and goes on where it was cut off."""

from __future__ import annotations

import json
import stat
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from postroad.db.pool import Database
from postroad.demo.people import ALICE, CHEN, COLLEAGUES, SALES, TEAM
from postroad.demo.seed import Demo, House, new_password
from postroad.directory.addresses.accounts import Accounts
from postroad.directory.addresses.aliases import Aliases
from postroad.directory.addresses.domains import Domains
from postroad.directory.addresses.lists import DistributionLists
from postroad.directory.passwords import PasswordHashing
from postroad.events.outbox import Outbox
from postroad.mailstore.append import Append
from postroad.mailstore.blobs import Blobs
from postroad.mailstore.changes import FolderChanged
from postroad.mailstore.folders import Folders, Role, ensure_defaults_in
from postroad.mailstore.messages import Messages
from postroad.message.address import Address

NOW = datetime(2026, 5, 14, 3, 30, tzinfo=UTC)


class Nobody:
    """Hears about changes."""

    def announce(self, changes: Iterable[FolderChanged]) -> None:
        """Forget them."""


@pytest.fixture
async def house(database: Database, tmp_path: Path) -> AsyncIterator[House]:
    hashing = PasswordHashing()
    accounts = Accounts(database, Outbox(), hashing, ensure_defaults_in)
    messages = Messages(database, Blobs(str(tmp_path / "blobs")))
    yield House(
        domains=Domains(database, accounts, lambda: NOW),
        accounts=accounts,
        aliases=Aliases(database),
        lists=DistributionLists(database),
        folders=Folders(database, Nobody()),
        append=Append(database, messages, Nobody(), lambda: NOW),
        clock=lambda: NOW,
    )
    hashing.close()


async def counts(database: Database) -> tuple[int, ...]:
    return tuple(
        [
            await database.fetchval(f"SELECT count(*) FROM {table}")
            for table in ("entry", "message", "account", "alias", "distribution_list_member")
        ]
    )


async def test_a_second_seeding_adds_nothing_and_names_the_same_passwords(
    database: Database, house: House, tmp_path: Path
) -> None:
    first = await Demo(house, tmp_path).seed()
    after_first = await counts(database)
    second = await Demo(house, tmp_path).seed()
    assert second == first
    assert await counts(database) == after_first
    assert [account.address for account in first] == [person.address for person in COLLEAGUES]


async def test_the_company_is_complete(database: Database, house: House, tmp_path: Path) -> None:
    await Demo(house, tmp_path).seed()
    chen = await house.accounts.get_by_address(Address.parse(CHEN.address))
    folders = {folder.name: folder for folder in await house.folders.list(chen.id)}
    assert folders["客户 Customers/欧洲 Europe"].message_count == 1
    inbox = await house.folders.get_by_role(chen.id, Role.INBOX)
    assert inbox.message_count > inbox.unseen_count > 2
    members = await house.lists.members(Address.parse(TEAM.address))
    assert len(members) == 3
    alias = await house.aliases.get(Address.parse(SALES.address))
    assert {str(target) for target in alias.targets} == {CHEN.address, ALICE.address}


async def test_an_interrupted_seeding_goes_on_where_it_stopped(
    database: Database, house: House, tmp_path: Path
) -> None:
    await Demo(house, tmp_path).seed()
    complete = await counts(database)
    record = tmp_path / "demo.json"
    kept = json.loads(record.read_text())
    assert kept["complete"]
    kept["complete"] = False
    record.write_text(json.dumps(kept))
    await Demo(house, tmp_path).seed()
    assert await counts(database) == complete


async def test_what_was_deleted_does_not_come_back(database: Database, house: House, tmp_path: Path) -> None:
    await Demo(house, tmp_path).seed()
    await database.execute("DELETE FROM entry WHERE uid = 1")
    left = await counts(database)
    await Demo(house, tmp_path).seed()
    assert await counts(database) == left


async def test_a_lost_record_gets_new_passwords(database: Database, house: House, tmp_path: Path) -> None:
    first = await Demo(house, tmp_path).seed()
    complete = await counts(database)
    (tmp_path / "demo.json").unlink()
    second = await Demo(house, tmp_path).seed()
    assert {account.password for account in first}.isdisjoint(account.password for account in second)
    assert (await counts(database))[2:] == complete[2:]


async def test_only_its_owner_reads_the_record(house: House, tmp_path: Path) -> None:
    await Demo(house, tmp_path).seed()
    assert stat.S_IMODE((tmp_path / "demo.json").stat().st_mode) == 0o600


def test_passwords_are_long_and_differ() -> None:
    made = {new_password() for _ in range(100)}
    assert len(made) == 100
    assert {len(password) for password in made} == {14}
