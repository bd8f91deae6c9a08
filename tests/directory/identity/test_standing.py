"""Sessions that last end when what opened them is void, and only then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from postroad.directory.identity import standing as module
from postroad.directory.identity.standing import Standing
from postroad.directory.principals import Principal
from tests.directory.conftest import House, address

WANG, PASSWORD = "wang@example.com", "correct horse"


@pytest.fixture
async def standing(house: House) -> AsyncIterator[Standing]:
    made = Standing(house.database, house.listener)
    await house.listener.listening()
    running = asyncio.create_task(made.run())
    yield made
    running.cancel()


@pytest.fixture
async def wang(house: House) -> Principal:
    await house.accounts.add(address(WANG), PASSWORD)
    return await house.sign_in.check(WANG, PASSWORD, "192.0.2.1", "imap")


async def test_a_new_password_ends_it(house: House, standing: Standing, wang: Principal) -> None:
    ended = asyncio.Event()
    standing.watch(wang, ended.set)
    await house.accounts.set_password(wang.address, "another horse")
    await asyncio.wait_for(ended.wait(), 10)


@pytest.mark.parametrize("how", ["disabled", "removed"])
async def test_so_does_the_end_of_the_account(
    house: House, standing: Standing, wang: Principal, how: str
) -> None:
    ended = asyncio.Event()
    standing.watch(wang, ended.set)
    if how == "disabled":
        await house.accounts.set_disabled(wang.address, True)
    else:
        await house.accounts.remove(wang.address)
    await asyncio.wait_for(ended.wait(), 10)


async def test_an_application_password_ends_its_own(
    house: House, standing: Standing, wang: Principal
) -> None:
    made, token = await house.application_passwords.add(wang.address, "telephone")
    telephone = await house.sign_in.check(WANG, token, "192.0.2.1", "imap")
    assert telephone.application_password_id == made.id
    by_token, by_password = asyncio.Event(), asyncio.Event()
    standing.watch(telephone, by_token.set)
    standing.watch(wang, by_password.set)
    await house.accounts.set_password(wang.address, "another horse")
    await asyncio.wait_for(by_password.wait(), 10)
    assert not by_token.is_set()  # it is no password of that account's owner
    await house.application_passwords.remove(wang.address, made.id)
    await asyncio.wait_for(by_token.wait(), 10)


async def test_who_has_left_is_not_told_and_others_stay(
    house: House, standing: Standing, wang: Principal
) -> None:
    await house.accounts.add(address("li@example.com"), PASSWORD)
    li = await house.sign_in.check("li@example.com", PASSWORD, "192.0.2.1", "imap")
    told: list[str] = []
    last = asyncio.Event()
    standing.watch(wang, lambda: told.append("left"))()
    standing.watch(li, lambda: told.append("li"))
    standing.watch(wang, last.set)
    await house.accounts.update(address("li@example.com"), display_name="Li")  # doubtful, and found sound
    await house.accounts.set_password(wang.address, "another horse")
    await asyncio.wait_for(last.wait(), 10)
    assert told == []


async def test_a_change_during_the_sign_in_is_not_missed(
    house: House, standing: Standing, wang: Principal
) -> None:
    await house.accounts.set_password(wang.address, "another horse")
    await house.heard()
    ended = asyncio.Event()
    standing.watch(wang, ended.set)
    await asyncio.wait_for(ended.wait(), 10)


async def test_a_lost_announcement_costs_time_only(
    house: House, wang: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Deaf:
        def add(self, channel: str, callback: object) -> None:
            """Nothing is ever heard here."""

    monkeypatch.setattr(module, "POLL_SECONDS", 0.05)
    standing = Standing(house.database, Deaf())
    ended = asyncio.Event()
    standing.watch(wang, ended.set)
    running = asyncio.create_task(standing.run())
    await house.accounts.set_password(wang.address, "another horse")
    await asyncio.wait_for(ended.wait(), 10)
    running.cancel()
