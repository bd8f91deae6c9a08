"""The tables of the campaign side: what every key begins with, and what the ledger's updates cost."""

from __future__ import annotations

import asyncio

from postroad.db.pool import Database

# Tables that are one for all customers, and why: the customer itself, a counter, a dictionary of user agents.
SHARED = {"customer", "email_id", "user_agent"}
CAMPAIGN_TABLES = """
SELECT c.relname, c.relkind::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE a.attname = 'customer_id' AND c.relkind IN ('r', 'p') AND NOT c.relispartition
"""
FIRST_KEY_COLUMN = """
SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
WHERE i.indrelid = $1::text::regclass AND i.indisprimary
"""


async def test_every_key_of_the_campaign_side_begins_with_the_customer(database: Database) -> None:
    names = [row["relname"] for row in await database.fetch(CAMPAIGN_TABLES)]
    assert {"contact", "recipient", "task", "run", "hit", "ledger_chunk"} <= set(names)
    for name in set(names) - {"counted_call"}:  # an index and no key: its rows live for an hour
        assert await database.fetchval(FIRST_KEY_COLUMN, name) == "customer_id", name


async def test_the_three_ids_of_a_run_come_from_different_ranges(database: Database) -> None:
    customer = await database.fetchval("INSERT INTO customer (username) VALUES ('a') RETURNING id")
    task = await database.fetchval(
        "INSERT INTO task (customer_id, ident, state, sender_kind, send_at) "
        "VALUES ($1, 'x', 1, 'all', now()) RETURNING id",
        customer,
    )
    run = await database.fetchval(
        "INSERT INTO run (customer_id, task_id) VALUES ($1, $2) RETURNING id", customer, task
    )
    day = await database.fetchval(
        "INSERT INTO run_day (customer_id, run_id, day) VALUES ($1, $2, '2026-01-01') RETURNING id",
        customer,
        run,
    )
    assert task < 500_000_000 < run < 1_000_000_000 < day


async def test_a_shelf_is_made_once_by_however_many_ask(database: Database) -> None:
    asked = [database.fetchval("SELECT ledger_shelf($1, 10)", run) for run in range(8)]
    small = await asyncio.gather(*asked)
    assert len(set(small)) == 1
    assert await database.fetchval("SELECT ledger_shelf(500000009, 100000)") == 500000009
    assert (
        await database.fetchval("SELECT count(*) FROM pg_inherits WHERE inhparent = 'recipient'::regclass")
        == 2
    )


async def test_settling_a_recipient_touches_no_index(database: Database) -> None:
    shelf = await database.fetchval("SELECT ledger_shelf(1, 100000)")  # one of its own
    await database.execute(
        "INSERT INTO recipient (customer_id, run_id, shelf, contact_id, number, address) "
        "SELECT 1, 1, $1, n, n, 'reader' || n || '@example.com' FROM generate_series(1, 1000) AS n",
        shelf,
    )
    async with database.connection() as connection:
        for state in (1, 2):
            await connection.execute(
                "UPDATE recipient SET state = $1, changed_at = now(), day = '2026-01-01', attempts = 1 "
                "WHERE customer_id = 1 AND run_id = 1 AND number % 10 = 3",
                state,
            )
        await connection.execute("SELECT pg_stat_force_next_flush()")
        counts = await connection.fetchrow(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = $1",
            f"recipient_{shelf}",
        )
    assert counts is not None
    assert counts["n_tup_upd"] == 200
    assert counts["n_tup_hot_upd"] == 200
