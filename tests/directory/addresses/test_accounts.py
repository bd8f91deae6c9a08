"""Accounts: made whole or not at all, changed with an event, removed without a trace."""

from __future__ import annotations

import asyncio

import pytest

from postroad.directory.addresses.accounts import NewAccount
from postroad.directory.errors import (
    AddressTaken,
    BadValue,
    DomainIsAlias,
    UnknownAccount,
    UnknownDomain,
    WeakPassword,
)
from tests.directory.conftest import House, address

PASSWORD = "correct horse"


async def events(house: House) -> list[tuple[str, int | None]]:
    rows = await house.database.fetch("SELECT kind, account_id FROM event ORDER BY id")
    return [(row["kind"], row["account_id"]) for row in rows]


async def test_an_account_comes_with_folders_a_credential_and_an_event(house: House) -> None:
    account = await house.accounts.add(
        address("Wang.Wei@Example.com"),
        PASSWORD,
        display_name="  王  伟 ",
        mobile="+86 138-0013-8000",
        language="zh",
        quota_bytes=10_000_000,
    )
    assert account.address.key == "wang.wei@example.com"
    assert (account.display_name, account.mobile, account.language) == ("王 伟", "+8613800138000", "zh")
    assert house.store.prepared == [account.id]
    assert await events(house) == [("account.added", account.id)]
    assert await house.accounts.get_by_address(address("wang.WEI@EXAMPLE.com")) == account
    assert await house.accounts.get(account.id) == account
    assert PASSWORD not in await house.database.fetchval("SELECT password_hash FROM credential")


async def test_many_accounts_are_made_together_or_not_at_all(house: House) -> None:
    new = [NewAccount(address(f"user{number}@example.com"), PASSWORD) for number in (3, 1, 2)]
    accounts = await house.accounts.add_many(new)
    assert [str(account.address) for account in accounts] == [str(one.address) for one in new]
    with pytest.raises(AddressTaken) as refusal:
        await house.accounts.add_many([NewAccount(address("new@example.com"), PASSWORD), new[1]])
    assert refusal.value.facts["address"] == "user1@example.com"
    with pytest.raises(AddressTaken):
        await house.accounts.add_many([NewAccount(address("twice@example.com"), PASSWORD)] * 2)
    assert await house.accounts.count() == 3


async def test_lists_are_paged_by_key(house: House) -> None:
    await house.domain("example.net")
    for name in ("d@example.com", "a@example.com", "c@example.net", "b@example.com"):
        await house.accounts.add(address(name), PASSWORD)
    first = await house.accounts.list(limit=2)
    rest = await house.accounts.list(after=first[-1].address.key)
    assert [one.address.key[0] for one in [*first, *rest]] == ["a", "b", "c", "d"]
    assert [one.address.key[0] for one in await house.accounts.list("example.com")] == ["a", "b", "d"]
    assert await house.accounts.count("example.net") == 1
    assert set(await house.accounts.get_many([first[0].id, 10**9])) == {first[0].id}


async def test_one_name_has_one_meaning(house: House) -> None:
    await house.accounts.add(address("sales@example.com"), PASSWORD)
    with pytest.raises(AddressTaken) as by_alias:
        await house.aliases.add(address("sales@example.com"), [address("x@elsewhere.test")])
    assert by_alias.value.facts["kind"] == "account"
    with pytest.raises(AddressTaken):
        await house.lists.add(address("SALES@example.com"))
    await house.lists.add(address("all@example.com"))
    with pytest.raises(AddressTaken) as by_account:
        await house.accounts.add(address("all@example.com"), PASSWORD)
    assert by_account.value.facts["kind"] == "list"
    await house.lists.remove(address("all@example.com"))
    await house.accounts.add(address("all@example.com"), PASSWORD)


async def test_of_two_who_want_a_name_at_once_one_gets_it(house: House) -> None:
    results = await asyncio.gather(
        house.accounts.add(address("one@example.com"), PASSWORD),
        house.lists.add(address("one@example.com")),
        house.aliases.add(address("one@example.com"), [address("x@elsewhere.test")]),
        return_exceptions=True,
    )
    assert sum(isinstance(result, AddressTaken) for result in results) == 2


async def test_accounts_live_in_domains_of_their_own(house: House) -> None:
    await house.domain("example.org", alias_of="example.com")
    with pytest.raises(UnknownDomain):
        await house.accounts.add(address("a@nowhere.test"), PASSWORD)
    with pytest.raises(DomainIsAlias):
        await house.accounts.add(address("a@example.org"), PASSWORD)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"mobile": "13800138000"}, "mobile"),
        ({"mobile": "+0123456789"}, "mobile"),
        ({"language": "fr"}, "language"),
        ({"quota_bytes": 0}, "quota_bytes"),
        ({"quota_bytes": 2**62}, "quota_bytes"),
        ({"display_name": "a\x00b"}, "display_name"),
        ({"display_name": "x" * 201}, "display_name"),
    ],
)
async def test_values_out_of_bounds_are_refused(house: House, changes: dict[str, object], field: str) -> None:
    with pytest.raises(BadValue) as refusal:
        await house.accounts.add(address("a@example.com"), PASSWORD, **changes)  # type: ignore[arg-type]
    assert refusal.value.facts["field"] == field


async def test_an_update_sets_what_is_given_and_nothing_else(house: House) -> None:
    await house.accounts.add(address("a@example.com"), PASSWORD, display_name="A", mobile="+8613800138000")
    account = await house.accounts.update(address("a@example.com"), mobile=None, quota_bytes=5)
    assert (account.display_name, account.mobile, account.quota_bytes) == ("A", None, 5)
    account = await house.accounts.set_disabled(address("a@example.com"), True)
    assert account.is_disabled
    assert account.quota_bytes == 5
    assert await house.accounts.update(address("a@example.com")) == account
    assert [kind for kind, _ in await events(house)] == [
        "account.added",
        "account.changed",
        "account.changed",
    ]
    with pytest.raises(UnknownAccount):
        await house.accounts.update(address("b@example.com"), language="en")


async def test_who_gets_the_address_next_inherits_nothing(house: House) -> None:
    leaving, staying = address("leaving@example.com"), address("staying@example.com")
    account = await house.accounts.add(leaving, PASSWORD)
    await house.accounts.add(staying, PASSWORD)
    await house.aliases.add(address("only@example.com"), [leaving])
    await house.aliases.add(address("both@example.com"), [leaving, staying])
    await house.lists.add(address("team@example.com"))
    await house.lists.add_members(address("team@example.com"), [leaving, staying])
    await house.database.execute("UPDATE domain SET catch_all = $1, postmaster = $1", leaving.key)

    await house.accounts.remove(leaving)

    assert [alias.address.key for alias in await house.aliases.list()] == ["both@example.com"]
    assert (await house.aliases.get(address("both@example.com"))).targets == (staying,)
    assert [member.address for member in await house.lists.members(address("team@example.com"))] == [staying]
    assert await house.database.fetchval("SELECT count(coalesce(catch_all, postmaster)) FROM domain") == 0
    assert (await events(house))[-1] == ("account.removed", account.id)
    with pytest.raises(UnknownAccount):
        await house.accounts.remove(leaving)
    with pytest.raises(UnknownAccount):
        await house.accounts.get_by_address(leaving)


@pytest.mark.parametrize(
    "password",
    [
        "",
        "short77",
        "a@example.com",
        "A@EXAMPLE.COM",
        "example.com",
        "aaaaaaaaaaaa",
        "abababababab",
        "x\x07yzabcdef",
    ],
)
async def test_weak_passwords_are_refused(house: House, password: str) -> None:
    with pytest.raises(WeakPassword):
        await house.accounts.add(address("a@example.com"), password)
    await house.accounts.add(address("a@example.com"), PASSWORD)
    with pytest.raises(WeakPassword):
        await house.accounts.set_password(address("a@example.com"), password)


async def test_a_new_password_counts_up_the_version_and_tells(house: House) -> None:
    account = await house.accounts.add(address("a@example.com"), PASSWORD)
    await house.accounts.set_password(address("a@example.com"), "another horse")
    assert await house.database.fetchval("SELECT version FROM credential") == 2
    assert (await events(house))[-1] == ("credential.changed", account.id)
    with pytest.raises(UnknownAccount):
        await house.accounts.set_password(address("b@example.com"), "another horse")


async def test_a_refusal_of_the_mail_store_leaves_no_account(house: House) -> None:
    house.store.refuses = True
    with pytest.raises(RuntimeError):
        await house.accounts.add(address("a@example.com"), PASSWORD)
    assert await house.accounts.count() == 0
    assert await events(house) == []
