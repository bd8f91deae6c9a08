"""Signing in: right and wrong, fast and slow, and how guessing is stopped."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest
from argon2 import PasswordHasher

from postroad.directory.addresses.accounts import Account
from postroad.directory.errors import AccountDisabled, TooManyFailures, WrongCredentials
from postroad.directory.identity.attempts import Attempts, client_subject
from postroad.directory.identity.known_origins import KnownOrigins
from postroad.directory.identity.sign_in import SignIn
from postroad.directory.passwords import MAX_WAITING, PasswordHashing
from postroad.directory.principals import Kind, PrincipalId
from tests.directory.conftest import LIMITS, House, address

PASSWORD = "correct horse"
CLIENT = "192.0.2.7"
ELSEWHERE = "198.51.100.9"


@pytest.fixture
async def wang(house: House) -> Account:
    account = await house.accounts.add(address("wang@example.com"), PASSWORD)
    await house.heard()
    return account


class Hashes:
    """Counts how often a password is really checked."""

    def __init__(self, hashing: PasswordHashing, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        real = hashing._verify

        def counted(password_hash: str | None, password: str) -> bool:
            self.count += 1
            return real(password_hash, password)

        monkeypatch.setattr(hashing, "_verify", counted)


@pytest.fixture
def hashes(hashing: PasswordHashing, monkeypatch: pytest.MonkeyPatch) -> Hashes:
    return Hashes(hashing, monkeypatch)


async def guess(
    sign_in: SignIn, password: str, client: str = CLIENT, name: str = "wang@example.com", device: str = ""
) -> str:
    try:
        await sign_in.check(name, password, client, device=device)
    except (WrongCredentials, TooManyFailures) as refusal:
        return refusal.code
    return "in"


async def test_the_right_password_opens(house: House, wang: Account) -> None:
    await house.domain("example.org", alias_of="example.com")
    for name in ("wang@example.com", " Wang@EXAMPLE.com ", "wang@example.org"):
        principal = await house.sign_in.check(name, PASSWORD, CLIENT)
        assert (principal.account_id, principal.address) == (wang.id, wang.address)
        assert (principal.credential_version, principal.via) == (1, "password")


WRONG_PASSWORDS = ["correct hors", "CORRECT HORSE", "", "x" * 2000, "\ud800", "correct\x00horse"]
NAMES = ["wang@example.com", "nobody@example.com", "wang", "", "a@" * 500]


@pytest.mark.parametrize("password", WRONG_PASSWORDS, ids=lambda password: ascii(password)[:16])
@pytest.mark.parametrize("name", NAMES, ids=lambda name: name[:20])
async def test_wrong_ones_are_refused_alike(house: House, wang: Account, name: str, password: str) -> None:
    with pytest.raises(WrongCredentials):
        await house.sign_in.check(name, password, CLIENT)


async def test_every_guess_costs_one_hash_whether_the_account_exists_or_not(
    house: House, wang: Account, hashes: Hashes
) -> None:
    assert await guess(house.sign_in, "wrong") == "wrong-credentials"
    assert await guess(house.sign_in, "wrong", name="nobody@example.com") == "wrong-credentials"
    assert await guess(house.sign_in, "wrong", name="nobody@far.test") == "wrong-credentials"
    assert hashes.count == 3


async def test_a_right_password_is_remembered_for_minutes(
    house: House, wang: Account, hashes: Hashes
) -> None:
    for _ in range(20):
        assert await guess(house.sign_in, PASSWORD) == "in"
    assert hashes.count == 1
    await house.pass_time(301)
    assert await guess(house.sign_in, PASSWORD) == "in"
    assert hashes.count == 2


async def test_many_at_once_share_one_hash(house: House, wang: Account, hashes: Hashes) -> None:
    assert await asyncio.gather(*(guess(house.sign_in, PASSWORD) for _ in range(30))) == ["in"] * 30
    assert hashes.count == 1


async def test_a_changed_password_is_void_at_once_in_every_worker(house: House, wang: Account) -> None:
    other = house.another_worker()
    assert await guess(house.sign_in, PASSWORD) == await guess(other, PASSWORD) == "in"
    await house.accounts.set_password(wang.address, "another horse")
    await house.heard()
    for worker in (house.sign_in, other):
        assert await guess(worker, PASSWORD) == "wrong-credentials"
        assert (await worker.check("wang@example.com", "another horse", CLIENT)).credential_version == 2


async def test_a_new_password_opens_before_its_announcement_is_heard(house: House, wang: Account) -> None:
    class Deaf:
        def add(self, channel: str, callback: Callable[[str | None], None]) -> None:
            pass

    other = SignIn(house.database, house.hashing, LIMITS, Deaf(), monotonic=house.clock.monotonic)
    assert await guess(other, PASSWORD) == "in"
    assert await guess(other, "another horse") == "wrong-credentials"
    await house.accounts.set_password(wang.address, "another horse")
    _, token = await house.application_passwords.add(wang.address, "telephone")
    assert await guess(other, "another horse") == "in"
    assert (await other.check("wang@example.com", token, CLIENT, "smtp")).via == "application-password"


async def test_a_disabled_account_says_so_to_its_owner_only(house: House, wang: Account) -> None:
    assert await guess(house.sign_in, PASSWORD) == "in"
    await house.accounts.set_disabled(wang.address, True)
    await house.heard()
    with pytest.raises(AccountDisabled):
        await house.sign_in.check("wang@example.com", PASSWORD, CLIENT)
    assert await guess(house.sign_in, "wrong") == "wrong-credentials"


async def test_an_account_made_this_second_can_sign_in(house: House) -> None:
    assert await guess(house.sign_in, PASSWORD, name="new@example.com") == "wrong-credentials"
    await house.accounts.add(address("new@example.com"), PASSWORD)
    assert await guess(house.sign_in, PASSWORD, name="new@example.com") == "in"


async def test_guesses_at_an_account_from_one_client_are_limited_over_all_workers(
    house: House, wang: Account
) -> None:
    workers = [house.sign_in, house.another_worker(), house.another_worker()]
    for number, worker in enumerate(workers):
        assert await guess(worker, f"guess {number}") == "wrong-credentials"
    for worker in workers:
        with pytest.raises(TooManyFailures) as refusal:
            await worker.check("wang@example.com", PASSWORD, CLIENT)
        assert 118 <= refusal.value.retry_after <= 120
    await house.pass_time(100)
    assert await guess(house.sign_in, PASSWORD) == "too-many-failures"
    await house.pass_time(21)
    assert await guess(house.sign_in, PASSWORD) == "in"


async def test_a_stranger_locks_nobody_out_but_himself(house: House, wang: Account) -> None:
    """Ten wrong passwords at SMTP must not close the webmail."""
    for number in range(LIMITS.pair_failures):
        with pytest.raises(WrongCredentials):
            await house.sign_in.check("wang@example.com", f"guess {number}", ELSEWHERE, "smtp")
    assert await guess(house.sign_in, PASSWORD, ELSEWHERE) == "too-many-failures"
    assert await guess(house.sign_in, PASSWORD, CLIENT) == "in"


async def lock(house: House) -> None:
    """Fill the account's own count from as many clients as that takes."""
    for number in range(LIMITS.account_failures):
        await guess(house.sign_in, f"lock {number}", f"203.0.113.{number}")
    assert await guess(house.sign_in, "once more", "203.0.113.99") == "too-many-failures"


async def test_guesses_from_everywhere_at_one_account_are_limited_too(house: House, wang: Account) -> None:
    await lock(house)
    assert await guess(house.sign_in, PASSWORD, "203.0.113.99") == "too-many-failures"
    assert await guess(house.another_worker(), PASSWORD, "203.0.113.99") == "too-many-failures"
    await house.pass_time(121)
    assert await guess(house.sign_in, PASSWORD, "203.0.113.99") == "in"


async def test_a_network_that_was_right_before_is_not_locked_by_strangers(
    house: House, wang: Account
) -> None:
    assert await guess(house.sign_in, PASSWORD, "2001:db8:1:2::1") == "in"
    await house.pass_time(301)  # nothing is remembered in memory
    await lock(house)
    assert await guess(house.sign_in, PASSWORD, ELSEWHERE) == "too-many-failures"
    assert await guess(house.sign_in, PASSWORD, "2001:db8:1:2:ffff::7") == "in", "the same /64"
    for number in range(LIMITS.pair_failures - 1):
        assert await guess(house.sign_in, f"guess {number}", "2001:db8:1:2::9") == "wrong-credentials"
    assert await guess(house.sign_in, "the last guess", "2001:db8:1:2::9") == "wrong-credentials"
    assert await guess(house.sign_in, "one more", "2001:db8:1:2::9") == "too-many-failures"


async def test_a_known_device_is_locked_by_nobody_but_itself(house: House, wang: Account) -> None:
    principal = await house.sign_in.check("wang@example.com", PASSWORD, CLIENT)
    device = await house.sign_in.remember_device(principal.principal_id)
    assert await house.sign_in.remember_device(principal.principal_id, device) == device
    assert await house.sign_in.remember_device(principal.principal_id, "no token") != device
    await house.pass_time(301)
    await lock(house)
    for number in range(LIMITS.client_failures):
        await guess(house.sign_in, "x", ELSEWHERE, f"user{number}@example.com")
    assert await guess(house.sign_in, PASSWORD, ELSEWHERE) == "too-many-failures"
    assert await guess(house.sign_in, PASSWORD, ELSEWHERE, device=device) == "in", "travelling"
    assert await guess(house.another_worker(), PASSWORD, ELSEWHERE, device=device) == "in"
    other = await house.sign_in.remember_device(principal.principal_id)
    for number in range(LIMITS.pair_failures):
        assert await guess(house.sign_in, f"by cookie {number}", device=other) == "wrong-credentials"
    assert await guess(house.sign_in, PASSWORD, "192.0.2.77", device=other) == "too-many-failures"
    assert await guess(house.sign_in, PASSWORD, ELSEWHERE, device=device) == "in"


async def test_a_device_is_known_for_who_signed_in_with_it_alone(house: House, wang: Account) -> None:
    await house.accounts.add(address("lin@example.com"), PASSWORD)
    lin = await house.sign_in.check("lin@example.com", PASSWORD, CLIENT)
    device = await house.sign_in.remember_device(lin.principal_id)
    await lock(house)
    assert await guess(house.sign_in, PASSWORD, ELSEWHERE, device=device) == "too-many-failures"


async def test_names_that_do_not_exist_are_limited_alike(house: House, wang: Account) -> None:
    answers = [await guess(house.sign_in, f"guess {n}", name="nobody@example.com") for n in range(4)]
    assert answers == ["wrong-credentials"] * 3 + ["too-many-failures"]


async def test_a_client_is_limited_whatever_names_it_tries(house: House, wang: Account) -> None:
    for number in range(5):
        assert await guess(house.sign_in, "x", name=f"user{number}@example.com") == "wrong-credentials"
    assert await guess(house.sign_in, PASSWORD) == "too-many-failures"
    assert await guess(house.another_worker(), PASSWORD) == "too-many-failures"
    assert await guess(house.sign_in, PASSWORD, ELSEWHERE) == "in"


async def test_guesses_that_wander_over_a_network_are_one_client(house: House, wang: Account) -> None:
    answers = [
        await guess(house.sign_in, f"guess {number}", f"2001:db8:9:9:{number:x}::{number:x}")
        for number in range(1, 6)
    ]
    assert answers == ["wrong-credentials"] * 3 + ["too-many-failures"] * 2
    for number in range(2):
        await guess(house.sign_in, "x", f"2001:db8:9:9::{number:x}", f"user{number}@example.com")
    assert await guess(house.sign_in, "x", "2001:db8:9:9::77", "lin@example.com") == "too-many-failures"
    assert await guess(house.sign_in, PASSWORD, "2001:db8:9:a::1") == "in"


async def test_a_right_password_forgives_the_pair_and_takes_back_its_own_try(
    house: House, wang: Account
) -> None:
    for number in range(2):
        assert await guess(house.sign_in, f"guess {number}") == "wrong-credentials"
    await house.pass_time(30)
    assert await guess(house.sign_in, PASSWORD) == "in"
    rows = await house.database.fetch("SELECT subject, tries FROM sign_in_attempt ORDER BY subject")
    assert [tuple(row) for row in rows] == [("account:wang@example.com", 2), (f"client:{CLIENT}", 2)]


async def test_failures_long_ago_do_not_count(house: House, wang: Account) -> None:
    for number in range(8):
        assert await guess(house.sign_in, f"guess {number}") == "wrong-credentials"
        await house.pass_time(61)


async def test_the_same_wrong_password_again_is_no_new_guess(
    house: House, wang: Account, hashes: Hashes
) -> None:
    for _ in range(20):
        assert await guess(house.sign_in, "last week's") == "wrong-credentials"
    assert hashes.count == 1
    assert await guess(house.sign_in, PASSWORD) == "in"


async def test_who_guesses_on_is_answered_later_and_later(house: House, wang: Account) -> None:
    for number in range(3):
        await guess(house.sign_in, f"guess {number}")
    assert house.clock.pauses == [0.5]
    await guess(house.sign_in, PASSWORD, ELSEWHERE)
    assert house.clock.pauses == [0.5]


async def test_a_blocked_guesser_learns_nothing_from_memory(house: House, wang: Account) -> None:
    """The right password is remembered: a guess at it would be cheap, so it must not be answered."""
    assert await guess(house.sign_in, PASSWORD, ELSEWHERE) == "in"
    for number in range(6):
        await guess(house.sign_in, "x", name=f"user{number}@example.com")
    assert await guess(house.sign_in, PASSWORD, CLIENT) == "too-many-failures"


async def test_forty_guesses_at_once_are_forty_tries(house: House, wang: Account, hashes: Hashes) -> None:
    workers = [house.sign_in, house.another_worker()]
    answers = await asyncio.gather(*(guess(workers[number % 2], f"guess {number}") for number in range(40)))
    assert hashes.count == LIMITS.pair_failures
    assert answers.count("too-many-failures") == 40 - LIMITS.pair_failures
    assert await guess(house.sign_in, PASSWORD) == "too-many-failures"
    assert await guess(house.sign_in, PASSWORD, ELSEWHERE) == "in"


async def test_guesses_at_once_from_many_clients_are_counted_for_the_name(
    house: House, wang: Account, hashes: Hashes
) -> None:
    answers = await asyncio.gather(
        *(guess(house.sign_in, f"guess {number}", f"10.0.{number}.1") for number in range(60))
    )
    assert hashes.count == LIMITS.account_failures
    assert answers.count("too-many-failures") == 60 - LIMITS.account_failures


async def test_many_workers_may_be_right_at_once(house: House, wang: Account) -> None:
    """A mail program opens a connection to each of more workers than there are tries: none is refused."""

    async def patience(seconds: float) -> None:
        await asyncio.sleep(5 * seconds)

    workers = [
        SignIn(house.database, house.hashing, LIMITS, house.listener, pause=patience)
        for _ in range(LIMITS.pair_failures + 3)
    ]
    answers = await asyncio.gather(*(guess(worker, PASSWORD) for worker in workers))
    assert answers == ["in"] * len(workers)


async def test_more_than_can_wait_are_asked_to_come_back_and_not_counted(
    house: House, wang: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    with monkeypatch.context() as patch:
        patch.setattr(house.hashing, "_verify", lambda _hash, _password: release.wait(60) and False)
        waiting = [asyncio.create_task(house.hashing.verify(None, "x")) for _ in range(MAX_WAITING)]
        await asyncio.sleep(0)
        try:
            for _ in range(LIMITS.pair_failures + 1):
                assert await guess(house.sign_in, PASSWORD) == "sign-in-busy"
        finally:
            release.set()
            await asyncio.gather(*waiting)
    assert await guess(house.sign_in, PASSWORD) == "in"


async def test_a_client_that_leaves_does_not_take_the_others_along(house: House, wang: Account) -> None:
    first = asyncio.create_task(guess(house.sign_in, PASSWORD))
    others = [asyncio.create_task(guess(house.sign_in, PASSWORD)) for _ in range(3)]
    await asyncio.sleep(0)
    first.cancel()
    assert await asyncio.gather(*others) == ["in"] * 3


async def test_application_passwords_open_the_mail_doors_only(
    house: House, wang: Account, hashes: Hashes
) -> None:
    made, token = await house.application_passwords.add(wang.address, "telephone")
    await house.heard()
    for door in ("smtp", "imap", "pop3"):
        for typed in (token, token.replace("-", ""), token.upper().replace("-", " ")):
            principal = await house.sign_in.check("wang@example.com", typed, CLIENT, door)
            assert principal.via == "application-password"
    assert hashes.count == 0
    with pytest.raises(WrongCredentials):
        await house.sign_in.check("wang@example.com", token, CLIENT, "web")
    used = (await house.application_passwords.list(wang.address))[0].last_used_at
    assert used is not None
    await lock(house)
    assert (await house.sign_in.check("wang@example.com", token, ELSEWHERE, "imap")).account_id == wang.id
    await house.application_passwords.remove(wang.address, made.id)
    await house.heard()
    with pytest.raises((WrongCredentials, TooManyFailures)):
        await house.sign_in.check("wang@example.com", token, "203.0.113.5", "imap")


async def test_an_old_hash_is_made_anew_at_the_next_sign_in(house: House, wang: Account) -> None:
    old = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)
    await house.database.execute("UPDATE credential SET password_hash = $1", old)
    sign_in = house.another_worker()
    assert await guess(sign_in, PASSWORD) == "in"
    renewed = await house.database.fetchval("SELECT password_hash FROM credential")
    assert renewed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await guess(house.another_worker(), PASSWORD) == "in"
    assert await house.database.fetchval("SELECT version FROM credential") == 1


async def test_composed_and_decomposed_letters_are_the_same_password(house: House) -> None:
    await house.accounts.add(address("a@example.com"), "caf\u00e9 au lait")
    assert await guess(house.sign_in, "cafe\u0301\u00a0au lait", name="a@example.com") == "in"


def attempts_of(house: House) -> Attempts:
    return Attempts(house.database, LIMITS, monotonic=house.clock.monotonic)


async def test_a_flood_of_invented_names_does_not_fill_the_table(house: House, wang: Account) -> None:
    attempts = attempts_of(house)
    for number in range(30):
        name, client = f"user{number}@example.com", f"10.0.{number}.1"
        await attempts.failed(await attempts.reserve(attempts.attempt(Kind.ACCOUNT, name, client)))
    blocked = attempts.attempt(Kind.ACCOUNT, "wang@example.com", CLIENT)
    for _ in range(3):
        await attempts.failed(await attempts.reserve(blocked))
    assert await attempts.sweep(most_rows=10) == 83
    with pytest.raises(TooManyFailures):
        await attempts_of(house).reserve(blocked)
    await house.pass_time(130)
    await attempts.sweep()
    assert await house.database.fetchval("SELECT count(*) FROM sign_in_attempt") == 0


async def test_tries_counted_at_once_are_all_counted(house: House) -> None:
    attempts = [attempts_of(house) for _ in range(3)]
    attempt = attempts[0].attempt(Kind.ACCOUNT, "a@example.com", "10.0.0.1")
    await asyncio.gather(*(one.reserve(attempt) for one in attempts))
    rows = await house.database.fetch("SELECT tries FROM sign_in_attempt")
    assert [row["tries"] for row in rows] == [3, 3, 3]


async def test_a_try_that_was_not_made_is_given_back(house: House) -> None:
    attempts = attempts_of(house)
    attempt = attempts.attempt(Kind.ACCOUNT, "a@example.com", "10.0.0.1")
    for _ in range(10):
        await attempts.not_made(await attempts.reserve(attempt))
    rows = await house.database.fetch("SELECT tries FROM sign_in_attempt")
    assert [row["tries"] for row in rows] == [0, 0, 0]


async def test_no_name_can_be_made_to_count_as_another_one_elsewhere(house: House) -> None:
    attempts = attempts_of(house)
    plain = attempts.attempt(Kind.CUSTOMER, "acme", "192.0.2.1")
    odd = attempts.attempt(Kind.CUSTOMER, "acme from client:192.0.2.1", "192.0.2.9")
    assert not set(plain.subjects) & set(odd.subjects)


async def test_origins_that_are_not_used_any_more_are_forgotten(house: House, wang: Account) -> None:
    origins = KnownOrigins(house.database)
    for number in range(70):
        await origins.remember(PrincipalId(Kind.ACCOUNT, wang.id), f"client:10.0.0.{number}")
    assert await house.database.fetchval("SELECT count(*) FROM known_origin") == 60
    await origins.remember(PrincipalId(Kind.ACCOUNT, 999_999), "client:10.0.0.1")
    await house.pass_time(181 * 86400)
    await origins.remember(PrincipalId(Kind.ACCOUNT, wang.id), "client:10.0.0.69")
    assert await origins.sweep() == 59


@pytest.mark.parametrize(
    ("client", "subject"),
    [
        ("192.0.2.1", "client:192.0.2.1"),
        ("::ffff:192.0.2.1", "client:192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "client:2001:db8:1:2::/64"),
        ("fe80::1%eth0", "client:fe80::/64"),
        ("127.0.0.1", None),
        ("::1", None),
        ("unix:", "client:unknown"),
        ("", "client:unknown"),
    ],
)
def test_clients_are_counted_by_what_one_customer_gets(client: str, subject: str | None) -> None:
    assert client_subject(client) == subject


async def test_a_right_password_from_memory_begins_the_count_anew_but_lifts_no_block(
    house: House, wang: Account
) -> None:
    assert await guess(house.sign_in, PASSWORD) == "in"
    for number in range(LIMITS.pair_failures - 1):
        assert await guess(house.sign_in, f"guess {number}") == "wrong-credentials"
    assert await guess(house.sign_in, PASSWORD) == "in"
    for number in range(LIMITS.pair_failures):
        assert await guess(house.sign_in, f"last {number}") == "wrong-credentials"
    assert await guess(house.sign_in, PASSWORD) == "too-many-failures"
    assert await guess(house.sign_in, PASSWORD, ELSEWHERE) == "in"
    assert await guess(house.sign_in, PASSWORD) == "too-many-failures"
