"""Domains: their keys and records, alias domains, and what keeps one from being removed."""

from __future__ import annotations

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from postroad.directory.addresses.dns_records import dns_records
from postroad.directory.addresses.domains import Domains
from postroad.directory.addresses.resolver import AliasTargets, NotLocal
from postroad.directory.errors import (
    BadValue,
    DomainInUse,
    DomainIsAlias,
    DomainTaken,
    LimitReached,
    UnknownDomain,
    UnknownTarget,
)
from postroad.message.sign import sign
from tests.directory.conftest import House, address

PASSWORD = "correct horse"


@pytest.fixture
def domains(house: House) -> Domains:
    return Domains(house.database, house.accounts, house.clock)


async def test_a_domain_comes_with_both_kinds_of_key(domains: Domains) -> None:
    made = await domains.add("例子.CN")
    assert made.name == "xn--fsqu00a.cn"
    keys = await domains.keys("例子.cn")
    assert {(key.selector, key.algorithm) for key in keys} == {
        ("r202611", "rsa-sha256"),
        ("e202611", "ed25519-sha256"),
    }
    assert all("PRIVATE" not in repr(key) for key in keys)
    rsa = next(key for key in keys if key.algorithm == "rsa-sha256").signing_key.private_key
    assert isinstance(rsa, RSAPrivateKey)
    assert rsa.key_size == 2048


@pytest.mark.parametrize(
    "name", ["", "localhost", "[192.0.2.1]", "a b.com", "x" * 300 + ".com", "-a-.example/"]
)
async def test_what_is_no_domain_is_refused(domains: Domains, name: str) -> None:
    with pytest.raises(BadValue):
        await domains.add(name)


async def test_names_are_found_and_listed(domains: Domains, house: House) -> None:
    with pytest.raises(DomainTaken):
        await domains.add("EXAMPLE.com.")
    await domains.add("b.test")
    await domains.add("a.test")
    await house.accounts.add(address("x@a.test"), PASSWORD)
    names = [domain.name for domain in await domains.list()]
    assert names == ["a.test", "b.test", "example.com"]
    assert [domain.name for domain in await domains.list("a.test", 1)] == ["b.test"]
    assert (await domains.get("A.test")).account_count == 1
    for name in ("c.test", "no name"):
        with pytest.raises(UnknownDomain):
            await domains.get(name)


async def test_an_independent_verifier_accepts_what_the_published_records_say(
    domains: Domains, house: House
) -> None:
    await domains.add("signed.test")
    keys = [key.signing_key for key in (await domains.signing_keys(["signed.test"]))["signed.test"]]
    assert [key.algorithm for key in keys] == ["rsa-sha256", "ed25519-sha256"]
    records = dns_records("signed.test", "mail.example.com", await domains.keys("signed.test"))
    published = {f"{one.name}.": one.value.encode() for one in records if one.type == "TXT"}
    content = b"From: a@signed.test\r\nSubject: x\r\n\r\nbody\r\n"
    for field in sign(content, keys, now=house.clock.now).split(b"DKIM-Signature:")[1:]:
        verifier = dkim.DKIM(b"DKIM-Signature:" + field + content)
        assert verifier.verify(dnsfunc=lambda name, **_: published[name.decode()])


async def test_records_are_lines_of_a_zone_file(domains: Domains) -> None:
    await domains.add("z.test")
    records = dns_records("z.test", "mail.example.com", await domains.keys("z.test"))
    assert [record.purpose for record in records] == ["mx", "spf", "dkim", "dkim", "dmarc", "tls-reports"]
    lines = [record.zone_line for record in records]
    assert lines[0] == "z.test. IN MX 10 mail.example.com."
    assert lines[1] == 'z.test. IN TXT "v=spf1 mx a:mail.example.com ~all"'
    assert any('" "' in line for line in lines)  # an RSA key needs two strings
    assert all(len(text) <= 255 for record in records for text in record.strings)


async def test_new_keys_sign_and_old_ones_stay_published(domains: Domains) -> None:
    await domains.add("k.test")

    async def signing() -> set[str]:
        return {key.selector for key in (await domains.signing_keys(["k.test", "far.test"]))["k.test"]}

    assert await signing() == {"r202611", "e202611"}
    assert len(await domains.add_keys("k.test")) == 4
    assert await signing() == {"r202611b", "e202611b"}
    assert await domains.remove_key("k.test", "r202611")
    assert not await domains.remove_key("k.test", "r202611")
    with pytest.raises(LimitReached):
        for _ in range(5):
            await domains.add_keys("k.test")
    assert await domains.signing_keys(["far.test"]) == {}


async def test_an_alias_domain_is_the_same_names_and_nothing_of_its_own(
    domains: Domains, house: House
) -> None:
    made = await domains.add("other.test", alias_of="example.com")
    assert made.alias_of == "example.com"
    assert len(await domains.keys("other.test")) == 2  # mail sent in its name is signed in its name
    with pytest.raises(DomainIsAlias):
        await domains.add("third.test", alias_of="other.test")
    with pytest.raises(DomainIsAlias):
        await domains.set_catch_all("other.test", address("x@far.test"))
    assert (await domains.set_alias_of("other.test", None)).alias_of is None
    await house.accounts.add(address("x@other.test"), PASSWORD)
    with pytest.raises(DomainInUse):
        await domains.set_alias_of("other.test", "example.com")
    with pytest.raises(BadValue):
        await domains.set_alias_of("example.com", "example.com")
    with pytest.raises(UnknownDomain):
        await domains.set_alias_of("example.com", "nowhere.test")


async def test_a_domain_that_others_stand_for_cannot_become_an_alias(domains: Domains) -> None:
    await domains.add("other.test", alias_of="example.com")
    await domains.add("home.test")
    with pytest.raises(DomainInUse):
        await domains.set_alias_of("example.com", "home.test")


async def test_catch_all_and_postmaster_must_lead_somewhere(domains: Domains, house: House) -> None:
    await house.accounts.add(address("wang@example.com"), PASSWORD)
    with pytest.raises(UnknownTarget):
        await domains.set_catch_all("example.com", address("wnag@example.com"))
    changed = await domains.set_catch_all("example.com", address("Wang@example.com"))
    assert str(changed.catch_all) == "wang@example.com"
    changed = await domains.set_postmaster("example.com", address("x@far.test"))
    assert str(changed.postmaster) == "x@far.test"
    await house.heard()
    meaning = await house.resolver.resolve(address("abuse@example.com"))
    assert meaning == AliasTargets((address("x@far.test"),))
    assert (await domains.set_catch_all("example.com", None)).catch_all is None


async def test_a_domain_in_use_is_removed_only_by_force(domains: Domains, house: House) -> None:
    for number in range(3):
        await house.accounts.add(address(f"u{number}@example.com"), PASSWORD)
    await house.aliases.add(address("a@example.com"), [address("u0@example.com")])
    await house.lists.add(address("l@example.com"))
    await domains.add("other.test", alias_of="example.com")
    with pytest.raises(DomainInUse) as refusal:
        await domains.remove("example.com")
    assert (refusal.value.facts["accounts"], refusal.value.facts["others"]) == (3, 3)
    await domains.remove("example.com", force=True)
    assert await domains.list() == []
    assert await house.accounts.count() == 0
    removed = await house.database.fetchval("SELECT count(*) FROM event WHERE kind = 'account.removed'")
    assert removed == 3
    assert await house.database.fetchval("SELECT count(*) FROM local_address") == 0
    await house.heard()
    assert await house.resolver.resolve(address("u0@example.com")) == NotLocal()
    with pytest.raises(UnknownDomain):
        await domains.remove("example.com", force=True)
