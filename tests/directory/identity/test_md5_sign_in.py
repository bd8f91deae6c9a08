"""The MD5 of a password instead of it, where a door takes that, and being vouched for."""

from __future__ import annotations

import hashlib

import pytest

from postroad.directory.addresses.accounts import Account
from postroad.directory.errors import AccountDisabled, TooManyFailures, WrongCredentials
from tests.directory.conftest import LIMITS, House, address

PASSWORD = "correct horse"
CLIENT = "192.0.2.7"
NAME = "wang@example.com"


def md5(password: str) -> str:
    return hashlib.md5(password.encode()).hexdigest()


@pytest.fixture
async def wang(house: House) -> Account:
    account = await house.accounts.add(address(NAME), PASSWORD)
    await house.heard()
    return account


async def enters(house: House, password: str, *, takes_md5: bool = True, name: str = NAME) -> bool:
    try:
        await house.sign_in.check(name, password, CLIENT, takes_md5=takes_md5)
    except WrongCredentials:
        return False
    return True


async def test_the_md5_opens_in_either_case_where_it_is_taken(house: House, wang: Account) -> None:
    assert await enters(house, md5(PASSWORD))
    assert await enters(house, md5(PASSWORD).upper())
    assert await enters(house, PASSWORD)
    assert not await enters(house, md5("another"))
    assert not await enters(house, md5("another"), name="nobody@example.com")


async def test_the_md5_is_no_password_anywhere_else(house: House, wang: Account) -> None:
    assert await enters(house, md5(PASSWORD))  # remembered as right, for that door alone
    assert not await enters(house, md5(PASSWORD), takes_md5=False)
    with pytest.raises(WrongCredentials):
        await house.sign_in.check(NAME, md5(PASSWORD), CLIENT, "smtp")


async def test_a_password_that_looks_like_an_md5_is_one(house: House) -> None:
    password = md5("whatever").upper()
    await house.accounts.add(address("hex@example.com"), password)
    assert await enters(house, password, name="hex@example.com")
    assert not await enters(house, password.lower(), name="hex@example.com")
    assert await enters(house, md5(password), name="hex@example.com")


async def test_a_new_password_voids_the_old_md5(house: House, wang: Account) -> None:
    assert await enters(house, md5(PASSWORD))
    await house.accounts.set_password(wang.address, "battery staple")
    await house.heard()
    assert not await enters(house, md5(PASSWORD))
    assert await enters(house, md5("battery staple"))


async def test_what_is_kept_is_a_slow_hash_and_never_the_md5(house: House, wang: Account) -> None:
    kept = await house.database.fetchval("SELECT md5_hash FROM credential")
    assert kept.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert md5(PASSWORD) not in kept


async def test_an_account_without_one_gets_it_when_the_password_is_next_given(
    house: House, wang: Account
) -> None:
    await house.database.execute("UPDATE credential SET md5_hash = NULL")
    house.sign_in = house.another_worker()
    assert not await enters(house, md5(PASSWORD))
    house.sign_in = house.another_worker()
    assert await enters(house, PASSWORD, takes_md5=False)
    house.sign_in = house.another_worker()
    assert await enters(house, md5(PASSWORD))


async def test_a_wrong_md5_is_one_failure_and_a_right_one_resets(house: House, wang: Account) -> None:
    for number in range(LIMITS.pair_failures - 1):
        assert not await enters(house, md5(f"guess {number}"))
    assert await enters(house, md5(PASSWORD))
    assert await house.database.fetchval("SELECT count(*) FROM sign_in_attempt WHERE subject ~ '^pair'") == 0
    for number in range(LIMITS.pair_failures):
        assert not await enters(house, md5(f"another guess {number}"))
    with pytest.raises(TooManyFailures):
        await enters(house, md5("one more"))


async def test_vouching_names_the_account_and_heeds_its_lock(house: House, wang: Account) -> None:
    await house.domain("example.org", alias_of="example.com")
    principal = await house.sign_in.vouched("Wang@example.org")
    assert (principal.account_id, principal.address, principal.via) == (wang.id, wang.address, "ticket")
    for name in ("nobody@example.com", "wang", "", "wang@far.test"):
        with pytest.raises(WrongCredentials):
            await house.sign_in.vouched(name)
    await house.accounts.set_disabled(wang.address, True)
    await house.heard()
    with pytest.raises(AccountDisabled):
        await house.sign_in.vouched(NAME)
