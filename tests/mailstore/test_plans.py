"""The hot queries use their indexes on a filled store, also with the plan that a worker's connection keeps.

Plans are looked at, not times: a sequential scan of a table that grows is what turns slow months later.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from postroad.db.pool import Connection
from postroad.mailstore.delivery import DELIVER, DELIVER_BY_ROLE
from postroad.mailstore.entries import ENTRY_COLUMNS, OWN_FOLDER, Only
from postroad.mailstore.filing import COPY, EXPUNGE, MOVE, SET_FLAGS
from postroad.mailstore.indexer import CLAIM
from postroad.mailstore.lexemes import account_lexeme
from postroad.mailstore.query import parse_query
from postroad.mailstore.search import search_sql

from .conftest import Store

GROWING = {
    "entry",
    "message",
    "content",
    "folder",
    "search_document",
    "expunged",
    "message_release",
    "account",
}

FILL = """
INSERT INTO domain (name) VALUES ('plans.example');
INSERT INTO account (domain_id, address) SELECT d.id, 'p' || n || '@plans.example'
    FROM domain d, generate_series(1, 2000) n;
INSERT INTO folder (account_id, name, role) SELECT id, 'INBOX', 'inbox' FROM account;
INSERT INTO folder (account_id, name, role) SELECT id, 'Sent', 'sent' FROM account;
INSERT INTO message (id, size_bytes, subject) SELECT n, 100, 'subject ' || n FROM generate_series(1, 30000) n;
INSERT INTO content (message_id, body) SELECT n, 'x' FROM generate_series(1, 30000) n;
INSERT INTO entry (folder_id, uid, account_id, message_id, mod_sequence, received_at, size_bytes, flags,
    thread)
    SELECT f.id, n, f.account_id, n, n, now() - n * interval '1 minute', 100, CASE WHEN n % 97 = 0 THEN 4
        ELSE 1 END, n
    FROM generate_series(1, 20000) n, (SELECT id, account_id FROM folder WHERE role = 'inbox' ORDER BY id
        LIMIT 1) f;
INSERT INTO entry (folder_id, uid, account_id, message_id, mod_sequence, received_at, size_bytes, thread)
    SELECT f.id, n, f.account_id, 20000 + n * 100 + f.id % 100, n, now(), 100, n FROM generate_series(1, 8) n,
    (SELECT id, account_id FROM folder WHERE role = 'inbox' ORDER BY id OFFSET 1 LIMIT 1000) f;
INSERT INTO search_document SELECT n, array_to_tsvector(ARRAY['a:' || CASE WHEN n <= 20000 THEN 1 ELSE n END,
    'word' || n % 1000, 'common', 's:word' || n % 1000]) FROM generate_series(1, 30000) n;
INSERT INTO search_pending SELECT n FROM generate_series(1, 30000) n;
"""


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


async def assert_no_scan(
    connection: Connection, query: str, *parameters: object, is_sorted: bool = True
) -> None:
    """Explain a query with its first (custom) plan and with the generic one.

    Neither reads a table from end to end.
    """
    for mode in ("force_custom_plan", "force_generic_plan"):
        await connection.execute(f"SET plan_cache_mode = {mode}")
        transaction = connection.transaction()
        await transaction.start()
        try:
            rows = await connection.fetch(f"EXPLAIN (FORMAT json) {query}", *parameters)
        finally:
            await transaction.rollback()
        plan = rows[0][0]
        tree = (json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]
        scanned = {
            node["Relation Name"]
            for node in nodes(tree)
            if node["Node Type"] == "Seq Scan" and node["Relation Name"] in GROWING
        }
        assert scanned == set(), f"{mode}: {query}"
        sorts = [node for node in nodes(tree) if "Sort" in node["Node Type"]]
        assert is_sorted or not sorts, f"{mode} reads more than a page: {query}"


@pytest.fixture
async def connection(store: Store) -> Any:
    store.is_damaged = True  # made by hand
    async with store.database.connection() as connection:
        await connection.execute(FILL)
        yield connection
        await connection.execute("RESET plan_cache_mode")


@pytest.mark.parametrize("is_analysed", [True, False])
async def test_hot_queries_read_no_table_from_end_to_end(connection: Connection, is_analysed: bool) -> None:
    if is_analysed:
        await connection.execute("VACUUM ANALYZE")
    row = await connection.fetchrow("SELECT folder_id, account_id FROM entry WHERE uid = 20000")
    assert row is not None
    folder, account = row

    page = (
        f"SELECT {ENTRY_COLUMNS} FROM (SELECT * FROM entry e WHERE e.folder_id = {OWN_FOLDER} AND e.uid < $3 "
        f"{{}} "
        "ORDER BY e.uid DESC LIMIT 50) e JOIN message m ON m.id = e.message_id ORDER BY e.uid DESC"
    )
    for only in ("", *(f"AND {each.value}" for each in Only)):
        await assert_no_scan(connection, page.format(only), folder, account, 15_000, is_sorted=False)
    for name, deliver in (("role", DELIVER_BY_ROLE), ("any", DELIVER)):
        folders = [None if name == "role" else folder] * 3
        await assert_no_scan(
            connection, deliver, [account] * 3, ["inbox"] * 3, folders, [40_001, 40_002, 40_003], [1] * 3,
                [0] * 3,
            [(await connection.fetchval("SELECT now()"))] * 3, [1] * 3, [False] * 3, [""] * 3,
        )  # fmt: skip
    uids = [100, 200, 300]
    await assert_no_scan(connection, SET_FLAGS.chosen, folder, uids, 0, 1, None)
    await assert_no_scan(connection, MOVE.chosen, folder, folder + 1, uids)
    await assert_no_scan(connection, COPY.chosen, folder, folder + 1, uids)
    await assert_no_scan(connection, EXPUNGE.chosen, folder, uids, 0, 100)
    await assert_no_scan(connection, CLAIM, 50)
    for text in ("word7", "subject:word7 common", "common", "word7 is:unread before:2026-01-01", "is:unread"):
        for within in (None, folder):
            query, parameters = search_sql(account, parse_query(text), within, None, 50)
            await assert_no_scan(connection, query, *parameters)
    assert account_lexeme(1) == "a:1"
    await assert_no_scan(connection, "SELECT sum(size_bytes) FROM folder WHERE account_id = $1", account)
    await assert_no_scan(
        connection, "SELECT 1 FROM entry e WHERE e.account_id = $1 AND e.thread = $2 LIMIT 5", account, 7
    )
    await assert_no_scan(
        connection,
        "SELECT * FROM entry WHERE folder_id = $1 AND mod_sequence > $2 ORDER BY mod_sequence LIMIT 10",
        folder,
        19_000,
    )
