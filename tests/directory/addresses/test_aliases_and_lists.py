"""Aliases, distribution lists and application passwords: their bounds, pages and refusals."""

from __future__ import annotations

import pytest

from postroad.directory.addresses.lists import MAX_MEMBERS
from postroad.directory.errors import (
    BadValue,
    LimitReached,
    UnknownAccount,
    UnknownAlias,
    UnknownApplicationPassword,
    UnknownList,
    UnknownTarget,
)
from postroad.directory.identity.application_passwords import MAX_EACH, new_token, token_hash
from tests.directory.conftest import House, address

PASSWORD = "correct horse"
FAR = address("x@far.test")


async def test_an_alias_keeps_its_targets_in_order_and_once(house: House) -> None:
    targets = [address(text) for text in ("z@far.test", "a@far.test", "Z@far.test")]
    alias = await house.aliases.add(address("info@example.com"), targets)
    assert [str(target) for target in alias.targets] == ["z@far.test", "a@far.test"]
    assert (await house.aliases.set_targets(alias.address, [FAR])).targets == (FAR,)
    assert [one.address for one in await house.aliases.leading_to(FAR)] == [alias.address]
    await house.aliases.remove(alias.address)
    for lost in (house.aliases.get, house.aliases.remove):
        with pytest.raises(UnknownAlias):
            await lost(alias.address)
    with pytest.raises(UnknownAlias):
        await house.aliases.set_targets(alias.address, [FAR])


async def test_an_alias_leads_somewhere_else(house: House) -> None:
    info = address("info@example.com")
    with pytest.raises(BadValue):
        await house.aliases.add(info, [])
    with pytest.raises(BadValue):
        await house.aliases.add(info, [FAR, info])
    with pytest.raises(BadValue):
        await house.aliases.add(info, [address(f"u{n}@far.test") for n in range(1001)])
    with pytest.raises(UnknownTarget):
        await house.aliases.add(info, [FAR, address("typo@example.com")])


async def test_aliases_are_paged(house: House) -> None:
    for name in ("c", "a", "b"):
        await house.aliases.add(address(f"{name}@example.com"), [FAR])
    first = await house.aliases.list(limit=2)
    rest = await house.aliases.list("example.com", after=first[-1].address.key)
    assert [one.address.local_part for one in [*first, *rest]] == ["a", "b", "c"]


async def test_members_are_added_raised_and_removed(house: House) -> None:
    team = address("team@example.com")
    await house.lists.add(team, "  The   team ")
    people = [address(f"p{number}@far.test") for number in range(5)]
    assert await house.lists.add_members(team, [*people, people[0]]) == 5
    assert await house.lists.add_members(team, people[:2], owners=True) == 2
    assert await house.lists.add_members(team, people[:2]) == 0  # an owner stays one
    found = await house.lists.get(team)
    assert (found.name, found.member_count, found.posting) == ("The team", 5, "members")
    page = await house.lists.members(team, after="p0@far.test", limit=2)
    assert [(str(one.address), one.is_owner) for one in page] == [
        ("p1@far.test", True),
        ("p2@far.test", False),
    ]
    assert await house.lists.remove_members(team, [*people[3:], FAR]) == 2
    assert [one.member_count for one in await house.lists.list("example.com")] == [3]
    changed = await house.lists.set(team, name="Other")
    assert (changed.name, changed.posting) == ("Other", "members")


async def test_lists_have_their_bounds(house: House) -> None:
    team = address("team@example.com")
    for doing in (house.lists.get(team), house.lists.remove(team), house.lists.add_members(team, [FAR])):
        with pytest.raises(UnknownList):
            await doing
    await house.lists.add(team)
    with pytest.raises(BadValue):
        await house.lists.add_members(team, [team])
    with pytest.raises(UnknownTarget):
        await house.lists.add_members(team, [address("typo@example.com")])
    with pytest.raises(BadValue):
        await house.lists.set(team, posting="nobody")  # type: ignore[arg-type]
    many = [address(f"m{number}@far.test") for number in range(MAX_MEMBERS)]
    assert await house.lists.add_members(team, many) == MAX_MEMBERS
    with pytest.raises(LimitReached):
        await house.lists.add_members(team, [FAR])
    assert (await house.lists.get(team)).member_count == MAX_MEMBERS


async def test_application_passwords_are_bounded_and_shown_once(house: House) -> None:
    wang = address("wang@example.com")
    with pytest.raises(UnknownAccount):
        await house.application_passwords.add(wang, "x")
    with pytest.raises(UnknownAccount):
        await house.application_passwords.list(wang)
    await house.accounts.add(wang, PASSWORD)
    assert await house.application_passwords.list(wang) == []
    with pytest.raises(BadValue):
        await house.application_passwords.add(wang, "  ")
    made, token = await house.application_passwords.add(wang, "telephone")
    stored = await house.database.fetchval("SELECT application_password::text FROM application_password")
    assert token.replace("-", "") not in stored
    assert await house.application_passwords.list(wang) == [made]
    for _ in range(MAX_EACH - 1):
        await house.application_passwords.add(wang, "more")
    with pytest.raises(LimitReached):
        await house.application_passwords.add(wang, "too many")
    await house.accounts.add(address("li@example.com"), PASSWORD)
    with pytest.raises(UnknownApplicationPassword):
        await house.application_passwords.remove(address("li@example.com"), made.id)


@pytest.mark.parametrize("text", ["", "x" * 24 + "!", "l" * 24, "a" * 23, "a" * 25, "a" * 10_000, "é" * 24])
def test_other_texts_are_no_tokens(text: str) -> None:
    assert token_hash(text) is None


def test_tokens_are_all_different() -> None:
    assert len({token_hash(new_token()) for _ in range(200)}) == 200
