"""What goes after its time: rows of `websent` that are done with, and their files.

Files go before rows: cut off in between, the next sweep still knows what to remove.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from postroad.bridges.oa.attachments import DatFiles
from postroad.db.pool import Database

BATCH = 500

# Rows that never were to be sent, and attachments whose mail never came, age from now on.
_ADOPT = """
INSERT INTO oa_websent_state (mailid, done_at)
SELECT mailid, $1 FROM (
    SELECT w.mailid FROM oa.websent w WHERE w.mailstatus IS NULL OR w.mailstatus NOT IN (1, 2)
    UNION
    SELECT a.mailid FROM oa.websentattach a
    WHERE length(a.mailid) <= 16 AND NOT EXISTS (SELECT FROM oa.websent w WHERE w.mailid = a.mailid)
) AS strays
ON CONFLICT (mailid) DO NOTHING
"""
_OLD = """
SELECT mailid FROM oa_websent_state WHERE done_at < $1 ORDER BY done_at LIMIT $2
"""


class WebsentRetention:
    """Removes rows `days` after they were done with."""

    def __init__(self, database: Database, files: DatFiles, days: int, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._files = files
        self._age = timedelta(days=days)
        self._clock = clock

    async def sweep(self) -> int:
        """Remove what is old; returns how many mails that were. Raises `DatabaseUnavailable`."""
        now = self._clock()
        await self._database.execute(_ADOPT, now)
        removed = 0
        while True:
            rows = await self._database.fetch(_OLD, now - self._age, BATCH)
            ids = [row["mailid"] for row in rows]
            if not ids:
                break
            await self._remove(ids)
            removed += len(ids)
        await self._remove_lone_files(now)
        return removed

    async def _remove(self, ids: list[str]) -> None:
        attached = await self._database.fetch(
            "SELECT mailid, attachid FROM oa.websentattach WHERE mailid = ANY($1::text[])", ids
        )
        await asyncio.to_thread(self._files.remove, [(row["mailid"], row["attachid"]) for row in attached])
        async with self._database.transaction() as connection:
            for table in ("oa.websentattach", "oa.websent", "oa_websent_state"):
                await connection.execute(f"DELETE FROM {table} WHERE mailid = ANY($1::text[])", ids)

    async def _remove_lone_files(self, now: datetime) -> None:
        old = await asyncio.to_thread(self._files.older_than, (now - self._age).timestamp(), BATCH)
        if not old:
            return
        known = await self._database.fetch(
            "SELECT DISTINCT mailid FROM oa.websentattach WHERE mailid = ANY($1::text[])",
            [mail_id for mail_id, _ in old],
        )
        kept = {row["mailid"] for row in known}
        await asyncio.to_thread(self._files.remove, [each for each in old if each[0] not in kept])
