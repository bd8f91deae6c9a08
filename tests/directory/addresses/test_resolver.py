"""What addresses mean, and that memory never answers what the database would not."""

from __future__ import annotations

import time

import pytest

from postroad.directory.addresses.resolver import (
    AliasTargets,
    ListTarget,
    LocalAccount,
    NotLocal,
    Resolver,
    UnknownLocal,
)
from tests.directory.conftest import Counting, House, address

PASSWORD = "correct horse"


async def test_each_kind_of_address_is_recognised(house: House) -> None:
    await house.domain("example.org", alias_of="example.com")
    account = await house.accounts.add(address("wang@example.com"), PASSWORD, quota_bytes=7)
    await house.aliases.add(address("info@example.com"), [address("wang@example.com"), address("x@far.test")])
    team = await house.lists.add(address("team@example.com"), "Team", "owners")
    here = LocalAccount(account.id, address("wang@example.com"), False, 7)
    expected = {
        "WANG@example.com": here,
        "wang+shop@example.com": here,
        "wang@example.org": here,
        "Wang+a+b@example.org": here,
        "info@example.org": AliasTargets((address("wang@example.com"), address("x@far.test"))),
        "team@example.com": ListTarget(team.id, address("team@example.com"), "Team", "owners"),
        "nobody@example.com": UnknownLocal(),
        "+wang@example.com": UnknownLocal(),
        '"wang+shop"@example.com': here,  # RFC 5321 4.1.2: the quoted form of the same local part
        "wang@far.test": NotLocal(),
        "wang@sub.example.com": NotLocal(),
        "other@mail.example.com": UnknownLocal(),  # the server's own name: nobody else has it
    }
    answers = await house.resolver.resolve_many([address(text) for text in expected])
    for text, meaning in expected.items():
        assert answers[address(text).key] == meaning, text
        assert await house.resolver.resolve(address(text)) == meaning, text


async def test_an_address_spelled_with_a_plus_goes_before_the_subaddress(house: House) -> None:
    await house.accounts.add(address("wang@example.com"), PASSWORD)
    await house.aliases.add(address("wang+jobs@example.com"), [address("x@far.test")])
    assert isinstance(await house.resolver.resolve(address("wang+jobs@example.com")), AliasTargets)
    assert isinstance(await house.resolver.resolve(address("wang+other@example.com")), LocalAccount)


async def test_one_query_answers_all_that_memory_does_not_know(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        await house.accounts.add(address(f"user{number}@example.com"), PASSWORD)
    many = [address(f"user{number}@example.com") for number in range(200)] + [
        address(f"u{number}@far{number}.test") for number in range(200)
    ]
    await house.heard()
    counting = Counting(house.database, monkeypatch)
    await house.resolver.resolve_many(many)
    assert counting.queries == 1
    await house.resolver.resolve_many(many)
    for one in many:
        await house.resolver.resolve(one)
    assert counting.queries == 1


async def test_changes_void_what_is_remembered(house: House) -> None:
    wang, resolver = address("wang@example.com"), house.resolver

    async def meaning() -> str:
        await house.heard()
        return type(await resolver.resolve(wang)).__name__

    async def is_disabled() -> object:
        await house.heard()
        return getattr(await resolver.resolve(address("wang+tag@example.com")), "is_disabled", None)

    assert await meaning() == "UnknownLocal"
    await house.accounts.add(wang, PASSWORD)
    assert await meaning() == "LocalAccount"
    assert await is_disabled() is False
    await house.accounts.set_disabled(wang, True)
    assert await is_disabled() is True
    await house.accounts.remove(wang)
    assert await meaning() == "UnknownLocal"
    await house.aliases.add(wang, [address("x@far.test")])
    assert await meaning() == "AliasTargets"
    await house.aliases.remove(wang)
    await house.lists.add(wang)
    assert await meaning() == "ListTarget"


async def test_a_lost_announcement_costs_a_minute_at_most(house: House) -> None:
    wang = address("wang@example.com")
    await house.accounts.add(wang, PASSWORD)
    await house.heard()
    assert isinstance(await house.resolver.resolve(wang), LocalAccount)
    await house.database.execute("DELETE FROM account")  # nobody is told
    assert isinstance(await house.resolver.resolve(wang), LocalAccount)
    house.clock.move(61)
    assert isinstance(await house.resolver.resolve(wang), UnknownLocal)
    await house.database.execute(
        "INSERT INTO alias (domain_id, address, targets) SELECT id, $1, '{x@far.test}' FROM domain", wang.key
    )
    house.clock.move(6)
    assert isinstance(await house.resolver.resolve(wang), AliasTargets)


async def test_a_catch_all_gets_what_nobody_else_gets(house: House) -> None:
    await house.domain("example.org", alias_of="example.com")
    await house.accounts.add(address("wang@example.com"), PASSWORD)
    await house.database.execute("UPDATE domain SET catch_all = 'wang@example.com' WHERE alias_of IS NULL")
    resolver = Resolver(house.database)
    caught = AliasTargets((address("wang@example.com"),))
    assert await resolver.resolve(address("anything@example.com")) == caught
    assert await resolver.resolve(address("anything@example.org")) == caught
    assert isinstance(await resolver.resolve(address("wang@example.com")), LocalAccount)
    await house.database.execute("DELETE FROM account")
    assert await resolver.resolve(address("wang@example.com")) == UnknownLocal()  # never round in a circle


@pytest.mark.parametrize("name", ["postmaster", "abuse", "Postmaster", "abuse+x"])
async def test_required_names_are_always_read_by_somebody(house: House, name: str) -> None:
    await house.domain("example.net")
    resolver = Resolver(house.database, "mail.example.com")

    async def reader(domain: str = "example.net") -> object:
        meaning = await resolver.resolve(address(f"{name}@{domain}"))
        return str(meaning.addresses[0]) if isinstance(meaning, AliasTargets) else type(meaning).__name__

    assert await reader() == "UnknownLocal"  # nobody is here at all
    await house.accounts.add(address("first@example.com"), PASSWORD)
    await house.accounts.add(address("second@example.com"), PASSWORD)
    assert await reader() == "first@example.com"
    assert await reader("mail.example.com") == "first@example.com"
    await house.accounts.set_disabled(address("first@example.com"), True)
    assert await reader() == "second@example.com"
    await house.accounts.add(address("third@example.net"), PASSWORD)
    assert await reader() == "third@example.net"
    await house.database.execute("UPDATE domain SET catch_all = 'c@far.test' WHERE name = 'example.net'")
    assert await reader() == "c@far.test"
    await house.database.execute("UPDATE domain SET postmaster = 'p@far.test' WHERE name = 'example.net'")
    assert await reader() == "p@far.test"
    local = await house.accounts.add(address(f"{name.partition('+')[0]}@example.net"), PASSWORD)
    meaning = await resolver.resolve(address(f"{name}@example.net"))
    assert isinstance(meaning, LocalAccount)
    assert meaning.account_id == local.id


async def test_an_account_sends_as_itself_and_its_aliases(house: House) -> None:
    await house.domain("example.org", alias_of="example.com")
    wang = await house.accounts.add(address("wang@example.com"), PASSWORD)
    await house.accounts.add(address("li@example.com"), PASSWORD)
    await house.accounts.add(address("wang+boss@example.com"), PASSWORD)
    await house.aliases.add(
        address("sales@example.com"), [address("wang@example.com"), address("li@example.com")]
    )
    await house.aliases.add(address("other@example.com"), [address("li@example.com")])
    await house.lists.add(address("team@example.com"))
    await house.lists.add_members(address("team@example.com"), [address("wang@example.com")])
    for text, may in {
        "Wang@example.com": True,
        "wang+shop@example.com": True,
        "wang@example.org": True,
        "sales@example.com": True,
        "sales+x@example.org": True,
        "wang+boss@example.com": False,
        "li@example.com": False,
        "other@example.com": False,
        "team@example.com": False,
        "nobody@example.com": False,
        "wang@far.test": False,
    }.items():
        assert await house.resolver.may_send_as(wang.id, address(text)) is may, text
        assert await house.resolver.may_send_as(wang.id, address(text)) is may, text
    await house.aliases.set_targets(address("sales@example.com"), [address("li@example.com")])
    await house.heard()
    assert not await house.resolver.may_send_as(wang.id, address("sales@example.com"))


async def test_who_may_write_to_a_list(house: House) -> None:
    owner = await house.accounts.add(address("owner@example.com"), PASSWORD)
    member = await house.accounts.add(address("member@example.com"), PASSWORD)
    stranger = await house.accounts.add(address("stranger@example.com"), PASSWORD)
    team = address("team@example.com")
    await house.lists.add(team)
    await house.lists.add_members(team, [member.address, address("friend@far.test")])
    await house.lists.add_members(team, [owner.address], owners=True)

    async def may(posting: str) -> list[bool]:
        await house.lists.set(team, posting=posting)  # type: ignore[arg-type]
        resolver = Resolver(house.database)
        target = await resolver.resolve(team)
        assert isinstance(target, ListTarget)
        assert target.posting == posting
        return [
            await resolver.may_post(target, address("owner+x@example.com"), None),
            await resolver.may_post(target, address("alias@example.com"), owner.id),
            await resolver.may_post(target, member.address, member.id),
            await resolver.may_post(target, address("friend@far.test"), None),
            await resolver.may_post(target, stranger.address, stranger.id),
            await resolver.may_post(target, None, None),
        ]

    assert await may("anyone") == [True] * 6
    assert await may("members") == [True, True, True, True, False, False]
    assert await may("owners") == [True, True, False, False, False, False]
    target = await house.resolver.resolve(team)
    assert isinstance(target, ListTarget)
    members = await house.resolver.list_members(target.list_id)
    assert [str(one) for one in members] == ["friend@far.test", "member@example.com", "owner@example.com"]
    assert await house.resolver.list_owners(target.list_id) == (owner.address,)


async def test_an_answer_read_while_something_changed_is_not_kept(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    wang = address("wang@example.com")
    real = house.database.fetch

    async def slow(*arguments: object) -> object:
        rows = await real(*arguments)  # type: ignore[arg-type]
        monkeypatch.undo()
        await house.accounts.add(
            wang, PASSWORD
        )  # commits, and is announced, before the old answer comes back
        await house.heard()
        return rows

    monkeypatch.setattr(house.database, "fetch", slow)
    assert isinstance(await house.resolver.resolve(wang), UnknownLocal)
    assert isinstance(await house.resolver.resolve(wang), LocalAccount)


async def test_without_announcements_nothing_is_remembered(house: House) -> None:
    resolver = Resolver(house.database, monotonic=time.monotonic)
    assert isinstance(await resolver.resolve(address("wang@example.com")), UnknownLocal)
    await house.accounts.add(address("wang@example.com"), PASSWORD)
    assert isinstance(await resolver.resolve(address("wang@example.com")), LocalAccount)
