"""The views' cost: a count looks at one account's rows alone, however many accounts there are."""

from __future__ import annotations

import re

import pytest

from postroad.db.pool import Database

QUESTIONS = (
    "SELECT count(*) FROM oa.webreceive WHERE account = 'u7@x.example'",
    "SELECT count(*) FROM oa.webreceive WHERE account = 'u7@x.example' AND isread = 0",
    "SELECT count(*) FROM oa.{view} WHERE account = 'u7@x.example'",
    "SELECT count(*) FROM oa.{view} WHERE account = 'u7@x.example' AND isread = 0",
    "SELECT accseqno FROM oa.ldap WHERE account = 'u7@x.example'",
)


@pytest.fixture
async def crowd(database: Database) -> Database:
    """Two thousand accounts with folders and mails, of which one in three is unread."""
    await database.execute("INSERT INTO domain (name) VALUES ('x.example')")
    await database.execute(
        "INSERT INTO account (domain_id, address) "
        "SELECT d.id, 'u' || n || '@x.example' FROM domain d, generate_series(1, 2000) n"
    )
    await database.execute(
        "INSERT INTO folder (account_id, name, role) SELECT a.id, r, r FROM account a, "
        "unnest(ARRAY['inbox', 'sent', 'drafts', 'trash']) AS r"
    )
    await database.execute(
        "INSERT INTO entry "
        "(folder_id, uid, account_id, message_id, mod_sequence, flags, received_at, size_bytes) "
        "SELECT f.id, n, f.account_id, f.id * 100 + n, 1, CASE WHEN n % 3 = 0 THEN 0 ELSE 1 END, now(), 100 "
        "FROM folder f, generate_series(1, 9) AS n"
    )
    await database.execute("ANALYZE account, folder, entry")
    return database


@pytest.mark.parametrize("question", QUESTIONS)
async def test_a_count_reads_no_other_accounts_rows(crowd: Database, question: str) -> None:
    number = await crowd.fetchval("SELECT accseqno FROM oa.ldap WHERE account = 'u7@x.example'")
    plan = "\n".join(
        row[0]
        for row in await crowd.fetch(
            f"EXPLAIN (ANALYZE, BUFFERS) {question.format(view=f'X{number:06d}mail')}"
        )
    )
    # The domain is one row; every other table is reached by an index.
    assert re.findall(r"Seq Scan on (\w+)", plan) in ([], ["domain"]), plan
    assert "message" not in plan, plan
    if "isread" in question:
        assert "entry_unseen" in plan, plan
    read = re.search(r"shared hit=(\d+)(?: read=(\d+))?", plan)
    assert read is not None
    assert int(read[1]) + int(read[2] or 0) < 60, plan


async def test_counts_are_right_and_leave_out_what_was_not_received(crowd: Database) -> None:
    number = await crowd.fetchval("SELECT accseqno FROM oa.ldap WHERE account = 'u7@x.example'")
    counts = [await crowd.fetchval(each.format(view=f"X{number:06d}mail")) for each in QUESTIONS[:4]]
    assert counts == [9, 3, 9, 3]


@pytest.mark.parametrize(
    ("number", "name"), [(3, "x000003mail"), (999_999, "x999999mail"), (1_234_567, "x1234567mail")]
)
async def test_a_relation_has_six_digits_or_more(database: Database, number: int, name: str) -> None:
    assert await database.fetchval("SELECT oa_view_name($1)", number) == name
    await database.execute("INSERT INTO domain (name) VALUES ('x.example')")
    await database.execute(
        "INSERT INTO account (id, domain_id, address) OVERRIDING SYSTEM VALUE "
        "SELECT $1, id, 'a@x.example' FROM domain",
        number,
    )
    assert await database.fetchval(f"SELECT count(*) FROM oa.{name} WHERE account = 'a@x.example'") == 0
    await database.execute("DELETE FROM account")
    assert await database.fetchval("SELECT to_regclass($1)", f"oa.{name}") is None


async def test_an_account_that_is_not_made_after_all_has_no_relation(database: Database) -> None:
    await database.execute("INSERT INTO domain (name) VALUES ('x.example')")
    with pytest.raises(RuntimeError):
        async with database.transaction() as connection:
            await connection.execute(
                "INSERT INTO account (domain_id, address) SELECT id, 'a@x.example' FROM domain"
            )
            raise RuntimeError
    assert not await database.fetchval(
        "SELECT count(*) FROM pg_views WHERE schemaname = 'oa' AND viewname ~ '^x\\d+mail$'"
    )
