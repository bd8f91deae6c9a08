"""One database for the tests of the campaign side, emptied before each: making one takes longer than they."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

from postroad.db.pool import Database
from tests.conftest import fresh_database

# What a customer's end does not take along, and what belongs to nobody.
_REST = (
    *("contact", "recipient", "ledger_chunk", "link", "hit", "user_agent", "sender_mailbox", "sender_domain"),
    *("counted_call", "sign_in_attempt", "credit"),
)


def one_database(cluster_dsn: str, template_database: str) -> Iterator[str]:
    """The DSN of a database that lasts for the session."""
    with asyncio.Runner() as runner:
        lent = fresh_database(cluster_dsn, template_database)
        yield runner.run(lent.__aenter__())
        runner.run(lent.__aexit__(None, None, None))


async def emptied(dsn: str) -> AsyncIterator[Database]:
    """An open pool on the database, with nobody in it."""
    async with Database(dsn) as database:
        await database.execute("DELETE FROM customer WHERE manager_id IS NOT NULL")
        await database.execute("DELETE FROM customer")
        for table in _REST:
            await database.execute(f"DELETE FROM {table}")
        yield database
