"""The DNS as the house asks it, against a real name server that behaves and misbehaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from postroad.config import BadSettings, load
from postroad.dns.answers import LookupFailed, Mx, NameNotFound, Tlsa
from postroad.dns.lookups import (
    FAILURE_TTL,
    LONGEST_NEGATIVE_TTL,
    LONGEST_TTL,
    SHORTEST_TTL,
    Lookups,
)
from postroad.dns.resolver import MAX_RECORDS, Resolver
from tests.name_server import NameServer, name_server

DIGEST = "ab" * 32
ZONE: dict[tuple[str, str], list[str]] = {
    ("one.example", "MX"): ["20 Second.Example.", "10 first.example."],
    ("null.example", "MX"): ["0 ."],
    ("first.example", "A"): ["192.0.2.1", "192.0.2.2"],
    ("first.example", "AAAA"): ["2001:db8::1"],
    ("second.example", "A"): ["192.0.2.3"],
    ("text.example", "TXT"): ['"v=spf1 " "mx -all"', '"\\228\\184\\173 second"'],
    ("_25._tcp.first.example", "TLSA"): [f"3 1 1 {DIGEST}", f"255 9 0 {DIGEST}"],
    ("1.2.0.192.in-addr.arpa", "PTR"): ["First.Example."],
    ("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", "PTR"): ["first.example."],
    ("alias.example", "CNAME"): ["step.example."],
    ("step.example", "CNAME"): ["one.example."],
    ("dangling.example", "CNAME"): ["nowhere.example."],
    ("loop.example", "CNAME"): ["pool.example."],
    ("pool.example", "CNAME"): ["loop.example."],
    ("large.example", "TXT"): [f'"{number:04} {"x" * 200}"' for number in range(20)],
    ("many.example", "A"): [f"192.0.2.{number}" for number in range(1, 121)],
    ("xn--fiqs8s.example", "A"): ["192.0.2.7"],
    **{(f"chain{number}.example", "CNAME"): [f"chain{number + 1}.example."] for number in range(20)},
}


class Now:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@asynccontextmanager
async def asking(
    ttl: int = 300, try_seconds: float = 3.0, total_seconds: float = 12.0, at_once: int = 200
) -> AsyncIterator[tuple[Lookups, NameServer, Now]]:
    now = Now()
    async with name_server(ZONE, ttl) as server:
        lookups = Lookups(
            server.address, now, try_seconds=try_seconds, total_seconds=total_seconds, at_once=at_once
        )
        try:
            yield lookups, server, now
        finally:
            await lookups.close()


# Answers in types


async def test_records_come_typed_and_in_lower_case() -> None:
    async with asking() as (lookups, _, _):
        assert set(await lookups.mx("ONE.example.")) == {Mx(20, "second.example"), Mx(10, "first.example")}
        assert (await lookups.mx("null.example")).records == (Mx(0, ""),)
        assert set(await lookups.txt("text.example")) == {"v=spf1 mx -all", "中 second"}
        assert set(await lookups.tlsa("first.example", 25)) == {
            Tlsa(3, 1, 1, bytes.fromhex(DIGEST)),
            Tlsa(255, 9, 0, bytes.fromhex(DIGEST)),
        }
        assert (await lookups.names("192.0.2.1")).records == ("first.example",)
        assert (await lookups.names("2001:db8::1")).records == ("first.example",)
        found = (await lookups.addresses("first.example")).records
        assert found[0] == "2001:db8::1" and set(found[1:]) == {"192.0.2.1", "192.0.2.2"}
        assert (await lookups.ipv4("中国.example")).records == ("192.0.2.7",)
        await lookups.probe()


@pytest.mark.parametrize("name", ["a..example", "x" * 64 + ".example", "a." * 130, "-\ud800.example"])
async def test_what_cannot_be_a_name_does_not_exist(name: str) -> None:
    async with asking() as (lookups, server, _):
        with pytest.raises(NameNotFound):
            await lookups.mx(name)
        assert not server.asked


async def test_an_answer_is_bounded() -> None:
    async with asking() as (lookups, _, _):
        assert len(await lookups.ipv4("many.example")) == MAX_RECORDS


# Absences


async def test_a_name_without_such_records_is_told_from_no_name() -> None:
    async with asking() as (lookups, _, _):
        assert (await lookups.mx("second.example")).records == ()
        with pytest.raises(NameNotFound):
            await lookups.mx("missing.example")
        assert (await lookups.addresses("second.example")).records == ("192.0.2.3",)
        assert (await lookups.addresses("one.example")).records == ()
        with pytest.raises(NameNotFound):
            await lookups.addresses("missing.example")


@pytest.mark.parametrize(
    ("minimum", "kept"),
    [(30, 30), (0, SHORTEST_TTL), (86400, LONGEST_NEGATIVE_TTL), (None, SHORTEST_TTL)],
)
async def test_absences_are_kept_as_long_as_their_zone_says(minimum: int | None, kept: int) -> None:
    async with asking() as (lookups, server, now):
        server.negative_ttl = minimum

        async def ask() -> None:
            assert (await lookups.mx("second.example")).records == ()
            with pytest.raises(NameNotFound):
                await lookups.mx("missing.example")

        await ask()
        now.seconds += kept - 0.5
        await ask()
        assert server.asked["second.example", "MX"] == server.asked["missing.example", "MX"] == 1
        now.seconds += 1
        await ask()
        assert server.asked["second.example", "MX"] == server.asked["missing.example", "MX"] == 2


# Time to live


@pytest.mark.parametrize(("ttl", "kept"), [(300, 300), (0, SHORTEST_TTL), (10**6, LONGEST_TTL)])
async def test_answers_are_kept_by_their_time_to_live(ttl: int, kept: int) -> None:
    async with asking(ttl) as (lookups, server, now):
        assert (await lookups.mx("one.example")).good_for_seconds == kept
        now.seconds += kept - 0.5
        assert (await lookups.mx("one.example")).good_for_seconds == 0.5
        assert server.asked["one.example", "MX"] == 1
        now.seconds += 1
        await lookups.mx("one.example")
        assert server.asked["one.example", "MX"] == 2


# Aliases


@pytest.mark.parametrize("follows", [True, False])
async def test_aliases_are_followed_by_the_resolver_or_by_us(follows: bool) -> None:
    async with asking() as (lookups, server, _):
        server.follows_aliases = follows
        answer = await lookups.mx("alias.example")
        assert {record.host for record in answer} == {"first.example", "second.example"}
        assert answer.good_for_seconds == 300
        with pytest.raises(NameNotFound):
            await lookups.mx("dangling.example")


@pytest.mark.parametrize("follows", [True, False])
@pytest.mark.parametrize("name", ["loop.example", "chain0.example"])
async def test_aliases_without_end_are_a_failure(name: str, follows: bool) -> None:
    async with asking() as (lookups, server, _):
        server.follows_aliases = follows
        with pytest.raises((LookupFailed, NameNotFound)):
            await lookups.mx(name)
        assert server.asked.total() <= 10


# Failures


async def test_a_server_that_fails_is_not_asked_again_for_seconds() -> None:
    async with asking() as (lookups, server, now):
        server.failing.add("one.example")
        for _ in range(3):
            with pytest.raises(LookupFailed, match=r"one\.example"):
                await lookups.mx("one.example")
        assert server.asked["one.example", "MX"] == 1
        server.failing.clear()
        now.seconds += FAILURE_TTL
        assert len(await lookups.mx("one.example")) == 2


async def test_one_family_that_fails_is_forgiven_when_the_other_answers() -> None:
    async with asking() as (lookups, server, _):
        answer = await lookups.ipv4("second.example")
        server.failing.add("second.example")
        assert answer.records == (await lookups.addresses("second.example")).records
        server.failing.add("first.example")
        with pytest.raises(LookupFailed):
            await lookups.addresses("first.example")


@pytest.mark.parametrize("kind", ["silent", "garbage", "strange"])
async def test_silence_and_garbage_end_in_time(kind: str) -> None:
    async with asking(try_seconds=0.2, total_seconds=0.6) as (lookups, server, _):
        getattr(server, kind).add("one.example")
        with pytest.raises(LookupFailed):
            await lookups.mx("one.example")
        assert server.asked["one.example", "MX"] >= 2, "asked more than once"
        assert len(await lookups.mx("null.example")) == 1, "others are answered"


async def test_a_slow_server_is_waited_for() -> None:
    async with asking() as (lookups, server, _):
        server.late.add("one.example")
        asked = asyncio.create_task(lookups.mx("one.example"))
        await server.until(lambda: server.under_way > 0)
        assert len(await lookups.mx("null.example")) == 1, "others need not wait"
        server.released.set()
        assert len(await asked) == 2


async def test_what_is_too_large_for_a_datagram_comes_by_tcp() -> None:
    async with asking() as (lookups, server, _):
        texts = (await lookups.txt("large.example")).records
        assert len(texts) == 20 and all(len(text) == 205 for text in texts)
        assert server.asked_by_tcp["large.example"] == 1


async def test_a_server_that_is_away_is_a_failure() -> None:
    async with name_server(ZONE) as server:
        address = server.address
    lookups = Lookups(address, try_seconds=0.2, total_seconds=0.6)
    with pytest.raises(LookupFailed):
        await lookups.mx("one.example")
    await lookups.close()


# Many at once


async def test_questions_at_once_are_one() -> None:
    async with asking() as (lookups, server, _):
        answers = await asyncio.gather(*(lookups.mx("one.example") for _ in range(500)))
        assert len({answer.records for answer in answers}) == 1
        assert server.asked["one.example", "MX"] == 1


async def test_an_asker_that_leaves_does_not_take_the_answer_with_it() -> None:
    async with asking() as (lookups, server, _):
        server.late.add("one.example")
        first = asyncio.create_task(lookups.mx("one.example"))
        second = asyncio.create_task(lookups.mx("one.example"))
        await server.until(lambda: server.under_way > 0)
        first.cancel()
        server.released.set()
        assert len(await second) == 2
        with pytest.raises(asyncio.CancelledError):
            await first


async def test_a_flood_of_names_keeps_to_its_sockets_and_its_memory() -> None:
    async with asking(at_once=10) as (lookups, server, _):
        names = [f"{number}.flood.example" for number in range(300)]
        server.late.update(names)
        asked = [asyncio.create_task(lookups.mx(name)) for name in names]
        await server.until(lambda: server.under_way >= 10)
        server.released.set()
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(outcome, NameNotFound) for outcome in outcomes)
        assert server.most_under_way <= 10
        assert not lookups._asking


async def test_closing_gives_up_what_is_under_way() -> None:
    async with asking() as (lookups, server, _):
        server.silent.add("one.example")
        asked = asyncio.create_task(lookups.mx("one.example"))
        await server.until(lambda: bool(server.asked))
        await lookups.close()
        with pytest.raises(asyncio.CancelledError):
            await asked


# Whom to believe


async def test_an_answer_is_secure_when_a_resolver_on_this_machine_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with asking() as (lookups, server, now):
        assert not (await lookups.tlsa("first.example", 25)).is_secure
        server.is_secure = True
        now.seconds += LONGEST_TTL
        assert (await lookups.tlsa("first.example", 25)).is_secure
        assert (await lookups.addresses("first.example")).is_secure
        assert (await lookups.mx("second.example")).is_secure, "an absence is vouched for too"
        # The same bit from a resolver elsewhere could be anybody's.
        monkeypatch.setattr("postroad.dns.resolver._is_loopback", lambda _address: False)
        now.seconds += LONGEST_TTL
        assert not (await lookups.tlsa("first.example", 25)).is_secure


async def test_a_chain_is_secure_only_as_a_whole() -> None:
    async with asking() as (lookups, server, _):
        server.is_secure = True
        server.failing.add("first.example")
        assert (await lookups.ipv4("second.example")).is_secure
        server.failing.add("second.example")
        assert not (await lookups.addresses("second.example")).is_secure, "nobody knows about IPv6"


@pytest.mark.parametrize(
    "resolver", ["nonsense", "dns.example:53", "127.0.0.1:x", "127.0.0.1:0", "127.0.0.1"]
)
def test_a_resolver_that_cannot_be_meant_is_refused_with_words(resolver: str, tmp_path: Path) -> None:
    file = tmp_path / "postroad.toml"
    file.write_text(f'[delivery]\nresolver = "{resolver}"\n')
    with pytest.raises(BadSettings, match=r"delivery\.resolver: .*127\.0\.0\.1:53"):
        load(file)


async def test_the_systems_resolver_is_read_again_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine may get its resolver after us."""
    import dns.asyncresolver
    import dns.resolver

    made: list[str] = []
    async with name_server(ZONE) as server:

        class System(dns.asyncresolver.Resolver):
            def __init__(self) -> None:
                super().__init__(configure=False)
                if not made:
                    made.append("nothing yet")
                    raise dns.resolver.NoResolverConfiguration
                made.append("a resolver")
                self.nameservers = ["127.0.0.1"]
                self.port = int(server.address.rpartition(":")[2])

        monkeypatch.setattr("dns.asyncresolver.Resolver", System)
        resolver = Resolver()
        with pytest.raises(LookupFailed):
            await resolver.ask("one.example", "MX")
        assert len((await resolver.ask("one.example", "MX")).records) == 2
        assert made == ["nothing yet", "a resolver"]
