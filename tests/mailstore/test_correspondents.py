"""Who is suggested as a recipient, and in which order."""

from __future__ import annotations

from postroad.mailstore.correspondents import REMEMBERED_SECONDS, Correspondents
from postroad.mailstore.folders import Role
from tests.mailstore.conftest import Store, mail


async def test_people_written_to_come_before_people_who_only_wrote(store: Store) -> None:
    account = await store.account()
    to_clara = mail().replace(b"To: Bert <bert@test.example>", b'To: "Weber, Clara" <clara@x.example>')
    await store.append.put(account, Role.SENT, to_clara)
    from_cleo = mail(message_id="2@x.example").replace(b"Anna <anna@", b"Cleo <cleo@")
    await store.deliver([account], from_cleo)
    people = await Correspondents(store.database).matching(account, "CL", 5)
    assert [one.address for one in people] == ["clara@x.example", "cleo@test.example"]
    assert people[0].name == "Weber, Clara"
    assert await Correspondents(store.database).matching(account, " ", 5) == []


async def test_machines_and_other_accounts_people_are_left_out(store: Store) -> None:
    account, other = await store.accounts(2)
    await store.deliver([account], mail().replace(b"anna@", b"no-reply@"))
    await store.deliver([other], mail(message_id="2@x.example"))
    assert await Correspondents(store.database).matching(account, "a", 5) == []


async def test_the_answer_is_remembered_for_a_minute(store: Store) -> None:
    account, now = await store.account(), 0.0
    known = Correspondents(store.database, lambda: now)
    assert await known.matching(account, "anna", 5) == []
    await store.deliver([account])
    assert await known.matching(account, "anna", 5) == []
    now += REMEMBERED_SECONDS
    assert len(await known.matching(account, "anna", 5)) == 1
