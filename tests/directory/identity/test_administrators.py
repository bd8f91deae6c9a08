"""Administrators, control accounts, what they may, and the log of what was done."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest

from postroad.directory.errors import (
    BadValue,
    DirectoryError,
    NameTaken,
    NotAllowed,
    TooManyFailures,
    UnknownDomain,
    UnknownPrincipal,
    WeakPassword,
    WrongCredentials,
)
from postroad.directory.identity.administrators import Administrators
from postroad.directory.identity.audit import OPERATOR, Actor, Audit
from postroad.directory.identity.control_accounts import ControlAccounts
from postroad.directory.principals import Kind, PrincipalId
from tests.directory.conftest import LIMITS, House, address

PASSWORD = "correct horse"
CLIENT = "192.0.2.7"
OPERATOR_ROOT = Actor(OPERATOR, None, "root")
CHALLENGE = b"<1234567890.42@127.0.0.1>"


def administrators_of(house: House) -> Administrators:
    return Administrators(house.database, house.hashing)


def control_accounts_of(house: House) -> ControlAccounts:
    return ControlAccounts(house.database, house.hashing, house.sign_in)


async def test_an_administrator_through_its_life(house: House) -> None:
    administrators = administrators_of(house)
    made = await administrators.add("Root", PASSWORD, OPERATOR_ROOT, display_name="The root")
    assert (made.name, made.is_of_server, made.domains) == ("root", True, ())
    signed_in = await house.sign_in.check("ROOT", PASSWORD, CLIENT, kinds=[Kind.ADMINISTRATOR])
    token = await house.sessions.open(signed_in)
    session = await house.sessions.find(token, [Kind.ADMINISTRATOR])
    assert session is not None
    assert (session.principal, session.display_name) == (made.principal, "The root")
    with pytest.raises(WrongCredentials):
        await house.sign_in.check("root", PASSWORD, CLIENT)
    await administrators.set_password("root", "another horse", Actor.of(signed_in, CLIENT))
    assert await house.sessions.find(token, [Kind.ADMINISTRATOR]) is None
    with pytest.raises(NameTaken):
        await administrators.add("ROOT", PASSWORD, OPERATOR_ROOT)
    with pytest.raises(WeakPassword):
        await administrators.add("other", "short", OPERATOR_ROOT)
    with pytest.raises(UnknownDomain):
        await administrators.add("other", PASSWORD, OPERATOR_ROOT, domains=["far.test"])
    assert [one.name for one in await administrators.list()] == ["root"]
    await administrators.remove("root", OPERATOR_ROOT)
    assert await administrators.list() == []
    assert await house.database.fetchval("SELECT count(*) FROM credential") == 0
    with pytest.raises(UnknownPrincipal):
        await administrators.remove("root", OPERATOR_ROOT)
    entries = await Audit(house.database, timedelta(days=1)).list()
    assert [(entry.action, entry.subject, entry.actor.name) for entry in reversed(entries)] == [
        ("administrator.add", "root", "root"),
        ("administrator.password", "root", "root"),
        ("administrator.remove", "root", "root"),
    ]
    assert (entries[1].actor.kind, entries[1].actor.client) == ("administrator", CLIENT)
    assert PASSWORD not in str(entries) and "another horse" not in str(entries)


async def test_rights_are_over_domains_and_their_alias_domains(house: House) -> None:
    await house.domain("example.net")
    await house.domain("example.org", alias_of="example.com")
    administrators = administrators_of(house)
    one = await administrators.add("one", PASSWORD, OPERATOR_ROOT, domains=["EXAMPLE.com"])
    root = await administrators.add("root", PASSWORD, OPERATOR_ROOT)
    rights = await administrators.rights(one.principal)
    assert rights.domains == {"example.com", "example.org"}
    assert rights.cover("Example.ORG") and not rights.cover("example.net") and not rights.cover("")
    rights.check("example.com")
    with pytest.raises(NotAllowed):
        rights.check("example.net")
    with pytest.raises(NotAllowed):
        rights.check_everything()
    assert (await administrators.rights(root.principal)).cover("example.net")
    assert (await administrators.rights(PrincipalId(Kind.ACCOUNT, 1))).are_none
    with pytest.raises(UnknownDomain):
        await administrators.add("two", PASSWORD, OPERATOR_ROOT, domains=["example.org"])


async def test_a_domain_that_goes_leaves_an_administrator_without_rights(house: House) -> None:
    """Never one of everything: no domain left is not the whole server."""
    administrators = administrators_of(house)
    one = await administrators.add("one", PASSWORD, OPERATOR_ROOT, domains=["example.com"])
    await house.database.execute("DELETE FROM domain")
    assert (await administrators.rights(one.principal)).are_none
    [left] = await administrators.list()
    assert (left.name, left.is_of_server, left.domains) == ("one", False, ())
    await administrators.remove("one", OPERATOR_ROOT)


async def test_an_account_administers_the_domain_it_is_in(house: House) -> None:
    administrators = administrators_of(house)
    account = await house.accounts.add(address("wang@example.com"), PASSWORD)
    made = await administrators.add_account(address("wang@example.com"), OPERATOR_ROOT)
    assert (made.principal, made.domains) == (PrincipalId(Kind.ACCOUNT, account.id), ("example.com",))
    assert (await administrators.rights(made.principal)).domains == {"example.com"}
    with pytest.raises(DirectoryError):
        await administrators.set_password("wang@example.com", "another horse", OPERATOR_ROOT)
    await administrators.remove("wang@example.com", OPERATOR_ROOT)
    assert (await administrators.rights(made.principal)).are_none
    assert (await house.sign_in.check("wang@example.com", PASSWORD, CLIENT)).account_id == account.id
    await administrators.add_account(address("wang@example.com"), OPERATOR_ROOT)
    await house.accounts.remove(address("wang@example.com"))
    assert await house.database.fetchval("SELECT count(*) FROM administers") == 0


async def test_a_control_account_signs_in_by_password_and_by_digest(house: House) -> None:
    accounts = control_accounts_of(house)
    await accounts.add(
        "Admin", PASSWORD, OPERATOR_ROOT, commands=["USERADD", "noop"], domains=["example.com"]
    )
    by_password = await accounts.check_password("admin", PASSWORD, CLIENT)
    digest = hashlib.md5(CHALLENGE + PASSWORD.encode()).hexdigest()
    by_digest = await accounts.check_digest("ADMIN", CHALLENGE, digest.upper(), CLIENT)
    assert by_digest.principal.via == "digest"
    for session in (by_password, by_digest):
        assert session.rights.cover("example.com") and not session.rights.everything
        assert session.account.allows_command("UserAdd") and not session.account.allows_command("userdel")
    with pytest.raises(WrongCredentials):
        await accounts.check_digest("admin", b"<another@127.0.0.1>", digest, CLIENT)
    await accounts.set_password("admin", "another horse", OPERATOR_ROOT)
    with pytest.raises(WrongCredentials):
        await accounts.check_digest("admin", CHALLENGE, digest, CLIENT)
    await accounts.remove("admin", OPERATOR_ROOT)
    assert await accounts.list() == []


async def test_digests_are_guesses_like_passwords(house: House) -> None:
    accounts = control_accounts_of(house)
    await accounts.add("admin", PASSWORD, OPERATOR_ROOT)
    for number in range(LIMITS.pair_failures):
        with pytest.raises(WrongCredentials):
            await accounts.check_digest("admin", CHALLENGE, f"{number:032x}", CLIENT)
    right = hashlib.md5(CHALLENGE + PASSWORD.encode()).hexdigest()
    with pytest.raises(TooManyFailures):
        await accounts.check_digest("admin", CHALLENGE, right, CLIENT)
    with pytest.raises(TooManyFailures):
        await accounts.check_password("admin", PASSWORD, CLIENT)
    assert (await accounts.check_digest("admin", CHALLENGE, right, "198.51.100.9")).account.name == "admin"


async def test_an_account_without_a_readable_secret_takes_no_digest(house: House) -> None:
    accounts = control_accounts_of(house)
    await accounts.add("admin", PASSWORD, OPERATOR_ROOT, takes_digest=False)
    assert await house.database.fetchval("SELECT digest_secret FROM control_account") is None
    for secret in (PASSWORD, "nobody", ""):
        for name in ("admin", "nobody"):
            digest = hashlib.md5(CHALLENGE + secret.encode()).hexdigest()
            with pytest.raises((WrongCredentials, TooManyFailures)):
                await accounts.check_digest(name, CHALLENGE, digest, CLIENT)
    await accounts.check_password("admin", PASSWORD, "198.51.100.9")
    await accounts.set_password("admin", "another horse", OPERATOR_ROOT)
    assert await house.database.fetchval("SELECT digest_secret FROM control_account") is None


async def test_control_accounts_are_good_from_their_networks_only(house: House) -> None:
    accounts = control_accounts_of(house)
    assert not await accounts.may_connect(CLIENT)
    await accounts.add("near", PASSWORD, OPERATOR_ROOT, networks=["192.0.2.0/24", "2001:db8::1/48"])
    assert await accounts.may_connect("192.0.2.9") and await accounts.may_connect("::ffff:192.0.2.9")
    assert await accounts.may_connect("2001:db8::77")
    assert not await accounts.may_connect("198.51.100.9") and not await accounts.may_connect("unix:")
    with pytest.raises(WrongCredentials):
        await accounts.check_password("near", PASSWORD, "198.51.100.9")
    await accounts.check_password("near", PASSWORD, CLIENT)


@pytest.mark.parametrize(
    "bad",
    [
        {"networks": []},
        {"networks": ["nowhere"]},
        {"commands": []},
        {"commands": ["user add"]},
        {"commands": ["x" * 51]},
        {"domains": ["example.com"] * 1001},
    ],
    ids=str,
)
async def test_what_a_control_account_may_is_checked(house: House, bad: dict[str, list[str]]) -> None:
    with pytest.raises(BadValue):
        await control_accounts_of(house).add("admin", PASSWORD, OPERATOR_ROOT, **bad)  # type: ignore[arg-type]
    assert await house.database.fetchval("SELECT count(*) FROM control_account") == 0


async def test_a_control_password_cannot_look_like_a_digest(house: House) -> None:
    with pytest.raises(BadValue):
        await control_accounts_of(house).add("admin", "#correct horse", OPERATOR_ROOT)


async def test_the_log_is_read_by_pages_and_kept_for_its_time(house: House) -> None:
    audit = Audit(house.database, timedelta(days=30))
    for number in range(5):
        await audit.record(
            OPERATOR_ROOT, "account.add", f"u{number}@example.com", number=number, many=["a"] * 99
        )
    # A fact may have any name: a list's subject is one.
    facts = {"subject": "s", "actor": "a", "action": "b"}
    await audit.record(Actor("customer", 7, "acme\0" + "x" * 900, CLIENT), "task.add", "t", **facts)
    newest = await audit.list(limit=2)
    assert [entry.subject for entry in newest] == ["t", "u4@example.com"]
    assert len(newest[0].actor.name) == 500
    assert len(str(newest[1].facts)) < 300
    older = await audit.list(before=newest[-1].id, limit=2)
    assert [entry.subject for entry in older] == ["u3@example.com", "u2@example.com"]
    assert len(await audit.list(action="account.")) == 5
    assert len(await audit.list(action="account.add", subject="u1@example.com", actor="root")) == 1
    assert await audit.list(action="account") == []
    await house.database.execute(
        "UPDATE audit_entry SET happened_at = now() - interval '31 days' WHERE action = 'account.add'"
    )
    assert await audit.sweep() == 5
    assert [entry.action for entry in await audit.list()] == ["task.add"]
