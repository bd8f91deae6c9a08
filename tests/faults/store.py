"""What lies in a running server's store, read from the database rather than from the server's word."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg

from postroad.db.cluster import Cluster
from postroad.db.pool import Database
from postroad.mailstore.blobs import Blobs
from postroad.mailstore.verify import verify


def names_in_inbox(dsn: str, address: str) -> dict[str, int]:
    """How many copies of each numbered mail lie in the account's folders, by name."""
    return asyncio.run(_names(dsn, address))


async def _names(dsn: str, address: str) -> dict[str, int]:
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch(
            """
            SELECT split_part(m.message_id, '@', 1) AS name, count(*) AS copies
            FROM entry e JOIN message m ON m.id = e.message_id JOIN account a ON a.id = e.account_id
            WHERE a.address = $1 AND m.message_id LIKE '%@pour.test'
            GROUP BY 1
            """,
            address,
        )
        return {row["name"]: row["copies"] for row in rows}
    finally:
        await connection.close()


def problems(dsn: str, blobs: Path) -> list[str]:
    """What the store's own consistency check finds wrong."""
    return asyncio.run(_problems(dsn, blobs))


async def _problems(dsn: str, blobs: Path) -> list[str]:
    async with Database(dsn, max_size=2) as database:
        return [str(problem) async for problem in verify(database, Blobs(str(blobs)))]


def embedded_dsn(data_dir: Path) -> str:
    """The DSN of a running server's embedded database."""
    return Cluster(data_dir).dsn
