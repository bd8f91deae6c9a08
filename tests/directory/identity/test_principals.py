"""Principals that are no accounts: their passwords, sessions and failures, beside those of accounts."""

from __future__ import annotations

import pytest

from postroad.directory.credentials import (
    Credentials,
    NewCredential,
    add_in,
    checked_name,
    hash_password,
    set_disabled_in,
)
from postroad.directory.errors import (
    AccountDisabled,
    BadValue,
    NameTaken,
    TooManyFailures,
    UnknownPrincipal,
    WeakPassword,
    WrongCredentials,
)
from postroad.directory.principals import Kind, NotAnAccount, PrincipalId, name_key
from tests.directory.conftest import LIMITS, House, address

PASSWORD = "correct horse"
CLIENT = "192.0.2.7"
CUSTOMERS = (Kind.CUSTOMER, Kind.MANAGER)


async def add(
    house: House, kind: Kind, principal_id: int, name: str, *, with_md5: bool = False
) -> PrincipalId:
    """Do what the room of a kind does in the transaction that makes one."""
    key = checked_name(kind, name)
    hashed = await hash_password(house.hashing, key, PASSWORD, with_md5=with_md5)
    made = PrincipalId(kind, principal_id)
    async with house.database.transaction() as connection:
        await add_in(connection, [NewCredential(made, key, hashed)])
    return made


async def refusal(house: House, name: str, password: str, *kinds: Kind, client: str = CLIENT) -> str:
    try:
        await house.sign_in.check(name, password, client, "api", kinds=kinds)
    except (WrongCredentials, TooManyFailures, AccountDisabled) as error:
        return error.code
    return "in"


async def test_each_kind_has_names_of_its_own(house: House) -> None:
    account = await house.accounts.add(address("wang@example.com"), "mailbox horse")
    await add(house, Kind.CUSTOMER, 7, "Wang@example.com")
    await add(house, Kind.MANAGER, 7, "Müller")
    customer = await house.sign_in.check("wang@EXAMPLE.com", PASSWORD, CLIENT, "api", kinds=CUSTOMERS)
    manager = await house.sign_in.check(" MÜLLER", PASSWORD, CLIENT, "api", kinds=CUSTOMERS)
    person = await house.sign_in.check("wang@example.com", "mailbox horse", CLIENT)
    assert (customer.principal_id, customer.name) == (PrincipalId(Kind.CUSTOMER, 7), "wang@example.com")
    assert (manager.principal_id, manager.name) == (PrincipalId(Kind.MANAGER, 7), "müller")
    assert person.principal_id == PrincipalId(Kind.ACCOUNT, account.id)
    assert await refusal(house, "wang@example.com", PASSWORD, Kind.ACCOUNT) == "wrong-credentials"
    assert await refusal(house, "wang@example.com", "mailbox horse", *CUSTOMERS) == "wrong-credentials"
    with pytest.raises(NotAnAccount):
        assert customer.account_id
    with pytest.raises(NotAnAccount):
        assert customer.address


async def test_the_first_kind_that_has_the_name_is_asked(house: House) -> None:
    """A customer's mailbox signs in at SMTP beside accounts; an account of that address comes before it."""
    mailbox = await add(house, Kind.CUSTOMER_MAILBOX, 3, "news@example.com")
    kinds = (Kind.ACCOUNT, Kind.CUSTOMER_MAILBOX)
    found = await house.sign_in.check("News@example.com", PASSWORD, CLIENT, "smtp", kinds=kinds)
    assert (found.principal_id, str(found.address)) == (mailbox, "news@example.com")
    account = await house.accounts.add(address("news@example.com"), "mailbox horse")
    found = await house.sign_in.check("news@example.com", "mailbox horse", CLIENT, "smtp", kinds=kinds)
    assert found.principal_id == PrincipalId(Kind.ACCOUNT, account.id)
    assert await refusal(house, "news@example.com", PASSWORD, *kinds) == "wrong-credentials"


async def test_a_name_is_taken_once_a_kind(house: House) -> None:
    await add(house, Kind.CUSTOMER, 1, "acme")
    await add(house, Kind.MANAGER, 1, "acme")
    with pytest.raises(NameTaken):
        await add(house, Kind.CUSTOMER, 2, "ACME")
    for name in ("", " ", "a:b", "a\nb", "\ud800"):
        with pytest.raises(BadValue):
            await add(house, Kind.CUSTOMER, 3, name)
    with pytest.raises(WeakPassword):
        await hash_password(house.hashing, "correct horse", PASSWORD)


async def test_failures_are_counted_by_kind_and_name(house: House) -> None:
    await house.accounts.add(address("wang@example.com"), PASSWORD)
    await add(house, Kind.CUSTOMER, 7, "wang@example.com")
    for number in range(LIMITS.pair_failures):
        await refusal(house, "wang@example.com", f"guess {number}", *CUSTOMERS)
    assert await refusal(house, "wang@example.com", PASSWORD, *CUSTOMERS) == "too-many-failures"
    assert await refusal(house, "wang@example.com", PASSWORD, Kind.ACCOUNT) == "in"


async def test_a_new_password_ends_sessions_and_what_was_remembered(house: House) -> None:
    customer = await add(house, Kind.CUSTOMER, 7, "acme")
    await house.listener.listening()
    signed_in = await house.sign_in.check("acme", PASSWORD, CLIENT, "web", kinds=CUSTOMERS)
    token = await house.sessions.open(signed_in)
    assert await house.sessions.find(token) is None, "a customer's session opens no mailbox"
    session = await house.sessions.find(token, CUSTOMERS)
    assert session is not None
    assert (session.principal, session.name, session.mailbox) == (customer, "acme", None)
    with pytest.raises(NotAnAccount):
        assert session.account_id
    credentials = Credentials(house.database, house.hashing)
    assert await credentials.find(Kind.CUSTOMER, "Acme") == customer
    assert await credentials.set_password(customer, "another horse") == 2
    await house.heard()
    assert await house.sessions.find(token, CUSTOMERS) is None
    assert await refusal(house, "acme", PASSWORD, *CUSTOMERS) == "wrong-credentials"
    assert await refusal(house, "acme", "another horse", *CUSTOMERS) == "in"


async def test_a_disabled_one_says_so_to_who_knows_the_password(house: House) -> None:
    customer = await add(house, Kind.CUSTOMER, 7, "acme")
    token = await house.sessions.open(await house.sign_in.check("acme", PASSWORD, CLIENT, kinds=CUSTOMERS))
    async with house.database.transaction() as connection:
        await set_disabled_in(connection, customer, True)
    await house.heard()
    assert await refusal(house, "acme", PASSWORD, *CUSTOMERS) == "account-disabled"
    assert await refusal(house, "acme", "wrong", *CUSTOMERS) == "wrong-credentials"
    assert await house.sessions.find(token, CUSTOMERS) is None
    async with house.database.transaction() as connection:
        await set_disabled_in(connection, customer, False)
        with pytest.raises(UnknownPrincipal):
            await set_disabled_in(connection, PrincipalId(Kind.CUSTOMER, 8), True)
    assert await house.sessions.find(token, CUSTOMERS) is not None


async def test_md5_is_kept_for_those_who_asked_for_it(house: House) -> None:
    await add(house, Kind.CUSTOMER, 1, "with", with_md5=True)
    await add(house, Kind.CUSTOMER, 2, "without")
    await house.sign_in.check("without", PASSWORD, CLIENT, kinds=CUSTOMERS)
    rows = await house.database.fetch("SELECT name FROM credential WHERE md5_hash IS NOT NULL")
    assert [row["name"] for row in rows] == ["with"]


async def test_everything_goes_with_the_account(house: House) -> None:
    wang = address("wang@example.com")
    await house.accounts.add(wang, PASSWORD)
    await house.application_passwords.add(wang, "telephone")
    await house.sessions.open(await house.sign_in.check(str(wang), PASSWORD, CLIENT))
    await add(house, Kind.CUSTOMER, 1, "same id, another kind")
    await house.accounts.remove(wang)
    for table, left in (("credential", 1), ("application_password", 0), ("web_session", 0)):
        assert await house.database.fetchval(f"SELECT count(*) FROM {table}") == left, table


@pytest.mark.parametrize(
    ("kind", "name", "key"),
    [
        (Kind.ACCOUNT, " Wang@EXAMPLE.com ", "wang@example.com"),
        (Kind.ACCOUNT, "wang", ""),
        (Kind.CUSTOMER, " ACME GmbH ", "acme gmbh"),
        (Kind.CUSTOMER, "Stra\u00dfe", "strasse"),
        (Kind.ADMINISTRATOR, "\u738b\u4f1f", "\u738b\u4f1f"),
        (Kind.ADMINISTRATOR, "a\x00b", ""),
    ],
)
def test_names_are_compared_in_one_form(kind: Kind, name: str, key: str) -> None:
    assert name_key(kind, name) == key
