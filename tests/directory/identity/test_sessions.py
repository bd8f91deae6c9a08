"""Web sessions: found while in force, ended by whatever should end them."""

from __future__ import annotations

import pytest

from postroad.directory.principals import Principal
from tests.directory.conftest import House, address

PASSWORD = "correct horse"
DAY = 86400.0


@pytest.fixture
async def principal(house: House) -> Principal:
    await house.accounts.add(address("wang@example.com"), PASSWORD, display_name="王", language="zh")
    return await house.sign_in.check("wang@example.com", PASSWORD, "192.0.2.1", "web")


async def test_a_session_knows_its_account(house: House, principal: Principal) -> None:
    token = await house.sessions.open(principal)
    session = await house.sessions.find(token)
    assert session is not None
    assert (session.account_id, str(session.address)) == (principal.account_id, "wang@example.com")
    assert (session.display_name, session.language) == ("王", "zh")
    assert len(session.csrf_token) >= 43
    assert session.csrf_token != token
    stored = await house.database.fetchval("SELECT web_session::text FROM web_session")
    assert token not in stored


@pytest.mark.parametrize("token", ["", "x", "A" * 43, "é" * 43, "A" * 100_000, "A" * 42 + "\n"], ids=range(6))
async def test_no_other_token_finds_one(house: House, principal: Principal, token: str) -> None:
    await house.sessions.open(principal)
    assert await house.sessions.find(token) is None
    await house.sessions.close(token)


async def test_it_ends_when_the_password_changes_or_the_account_is_locked(
    house: House, principal: Principal
) -> None:
    token = await house.sessions.open(principal)
    await house.accounts.set_disabled(principal.address, True)
    assert await house.sessions.find(token) is None
    await house.accounts.set_disabled(principal.address, False)
    assert await house.sessions.find(token) is not None
    await house.accounts.set_password(principal.address, "another horse")
    assert await house.sessions.find(token) is None
    late = await house.sessions.open(principal)  # signed in with the old password, opened after the change
    assert await house.sessions.find(late) is None


async def test_use_keeps_it_and_idleness_ends_it(house: House, principal: Principal) -> None:
    used, idle = await house.sessions.open(principal), await house.sessions.open(principal)
    for _ in range(3):
        house.clock.move(10 * DAY)
        assert await house.sessions.find(used) is not None
    assert await house.sessions.find(idle) is None
    assert await house.sessions.sweep() == 1
    for _ in range(5):
        house.clock.move(10 * DAY)
        assert await house.sessions.find(used) is not None
    house.clock.move(10 * DAY + 1)
    assert await house.sessions.find(used) is None  # 90 days are the end of it


async def test_signing_out_ends_one_or_all_others(house: House, principal: Principal) -> None:
    tokens = [await house.sessions.open(principal) for _ in range(4)]
    await house.sessions.close(tokens[0])
    assert await house.sessions.find(tokens[0]) is None
    assert await house.sessions.close_all(principal.principal_id, except_token=tokens[1]) == 2
    assert await house.sessions.find(tokens[1]) is not None
    assert await house.sessions.close_all(principal.principal_id) == 1


async def test_an_account_has_a_bounded_number(house: House, principal: Principal) -> None:
    tokens = []
    for _ in range(33):
        tokens.append(await house.sessions.open(principal))
        house.clock.move(1)
    found = [await house.sessions.find(token) is not None for token in tokens]
    assert found == [False] * 3 + [True] * 30
