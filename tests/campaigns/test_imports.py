"""Imports: all of a file or nothing, whatever happens in the middle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from postroad.campaigns.contacts.files.reading import Options
from postroad.campaigns.contacts.imports import MAX_ATTEMPTS, Imports
from postroad.campaigns.errors import BadInput, NotFound
from tests.campaigns.house import House


async def a_list(house: House, username: str) -> tuple[int, int]:
    """A customer and an empty list of it."""
    customer = await house.customer(username)
    return customer.id, await house.campaigns.lists.add(customer.id, "readers")


def pieces(*parts: bytes) -> Iterator[bytes]:
    yield from parts


async def count(house: House, customer: int) -> int:
    return await house.campaigns.contacts.count(customer)


async def test_a_broken_upload_leaves_nothing(house: House) -> None:
    customer, list_id = await a_list(house, "broken")

    def breaks_off() -> Iterator[bytes]:
        yield b"a@example.com\n"
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await house.campaigns.imports.receive(customer, list_id, "x.txt", breaks_off())
    with pytest.raises(BadInput):
        await house.campaigns.imports.receive(customer, list_id, "x.txt", pieces())
    with pytest.raises(NotFound):
        await house.campaigns.imports.receive(customer, list_id + 1, "x.txt", pieces(b"a@example.com"))
    assert await house.database.fetchval("SELECT count(*) FROM contact_import") == 0
    assert not await house.campaigns.imports.run_once()


async def test_a_worker_that_dies_is_followed_by_another(house: House) -> None:
    customer, list_id = await a_list(house, "dies")
    imports = house.campaigns.imports
    job = await imports.receive(
        customer, list_id, "x.txt", pieces(b"a@example.com\nb@exa", b"mple.com\nno\n")
    )
    # Dead in the middle: its transaction is gone, its lease runs on.
    await house.database.execute(
        "UPDATE contact_import SET state = 'reading', attempts = 1, lease_until = now() + interval '1 minute'"
    )
    assert not await imports.run_once()
    await house.database.execute("UPDATE contact_import SET lease_until = now() - interval '1 second'")
    assert await Imports(house.database).run_once()
    done = await imports.get(customer, job)
    assert (done.state, done.total, done.added, done.refused) == ("done", 3, 2, 1)
    assert [(each.line, each.reason, each.content) async for each in imports.refusals(customer, job)] == [
        (3, "no-address", "no")
    ]
    assert await house.database.fetchval("SELECT count(*) FROM contact_import_piece") == 0
    assert await count(house, customer) == 2


async def test_who_lost_its_lease_merges_nothing(house: House) -> None:
    customer, list_id = await a_list(house, "lost")
    imports = house.campaigns.imports
    job = await imports.receive(customer, list_id, "x.txt", pieces(b"a@example.com\n"))
    # Another worker takes the job while this one is at it: the attempt is no longer its own.
    await house.database.execute(
        "CREATE FUNCTION taken() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN UPDATE contact_import SET attempts = attempts + 1; RETURN NULL; END $$"
    )
    await house.database.execute(
        "CREATE TRIGGER taken AFTER INSERT ON contact FOR EACH STATEMENT EXECUTE FUNCTION taken()"
    )
    try:
        assert await imports.run_once()
    finally:
        await house.database.execute("DROP FUNCTION taken CASCADE")
    assert await count(house, customer) == 0
    assert (await imports.get(customer, job)).state == "reading"


async def test_a_job_that_kills_workers_is_given_up(house: House) -> None:
    customer, list_id = await a_list(house, "kills")
    job = await house.campaigns.imports.receive(customer, list_id, "x.txt", pieces(b"a@example.com\n"))
    await house.database.execute("UPDATE contact_import SET attempts = $1", MAX_ATTEMPTS)
    assert await house.campaigns.imports.run_once()
    assert (await house.campaigns.imports.get(customer, job)).state == "failed"
    assert await house.database.fetchval("SELECT count(*) FROM contact_import_piece") == 0


async def test_a_list_that_goes_away_meanwhile(house: House) -> None:
    customer, list_id = await a_list(house, "away")
    job = await house.campaigns.imports.receive(customer, list_id, "x.txt", pieces(b"a@example.com\n"))
    await house.campaigns.lists.remove(customer, list_id)
    assert await house.campaigns.imports.run_once()
    assert (await house.campaigns.imports.get(customer, job)).error == "the list was removed"
    assert await count(house, customer) == 0


async def test_one_address_in_ten_thousand_cases_is_one(house: House, tmp_path: Path) -> None:
    customer, list_id = await a_list(house, "cases")
    word = "abcdefghijklmn"
    lines = [
        "".join(sign.upper() if number >> place & 1 else sign for place, sign in enumerate(word))
        + "@example.com"
        for number in range(10_000)
    ]
    file = tmp_path / "cases.txt"
    file.write_text("\n".join(lines))
    job = await house.campaigns.imports.import_file(customer, list_id, file, Options("rows"))
    done = await house.campaigns.imports.get(customer, job)
    assert (done.total, done.added, done.repeated, done.state) == (10_000, 1, 9_999, "done")


async def test_removed_contacts_stay_while_a_run_may_need_them(house: House) -> None:
    customer, list_id = await a_list(house, "purge")
    await house.campaigns.imports.receive(customer, list_id, "x.txt", pieces(b"a@example.com\n"))
    await house.campaigns.imports.run_once()
    task = await house.database.fetchval(
        "WITH t AS (INSERT INTO task (customer_id, ident, state, sender_kind, send_at) "
        "VALUES ($1, 'x', 2, 'all', now()) RETURNING id) "
        "INSERT INTO run (customer_id, task_id) SELECT $1, id FROM t RETURNING id",
        customer,
    )
    assert await house.campaigns.contacts.empty(customer, list_id) == 1
    await house.database.execute(
        "UPDATE contact SET removed_at = now() + interval '1 second' - interval '1 hour'"
    )
    await house.database.execute("UPDATE run SET created_at = now() - interval '2 hours'")
    assert await house.campaigns.contacts.purge() == 0
    await house.database.execute("UPDATE run SET finished_at = now() WHERE id = $1", task)
    assert await house.campaigns.contacts.purge() == 1
