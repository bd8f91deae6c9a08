"""The views (`XNNNNNNmail`) of accounts that went while somebody read them: removed when nobody does.

DROP VIEW waits for whoever has the view open, and what the same transaction has locked waits with it.
So removing an account then only notes the view (0090_oa_views.sql); it is empty from then on.
"""

from __future__ import annotations

from datetime import timedelta

import structlog

from postroad.db.pool import Database, RowsHeld

BATCH = 100
LOCK_MILLISECONDS = 200  # somebody reads it: the next time, then
_TRY_AGAIN = timedelta(minutes=1)

log = structlog.get_logger("postroad.bridges.oa.views")


class GoneViews:
    """Removes what was noted."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def sweep(self) -> int:
        """Remove what nobody reads; returns how many views that were. Raises `DatabaseUnavailable`."""
        removed = 0
        while ids := [
            row["account_id"]
            for row in await self._database.fetch(
                "SELECT account_id FROM oa_view_gone WHERE try_at <= now() ORDER BY try_at LIMIT $1", BATCH
            )
        ]:
            for account_id in ids:
                removed += await self._remove(account_id)
        return removed

    async def _remove(self, account_id: int) -> bool:
        try:
            async with self._database.transaction() as connection:
                await connection.execute(f"SET LOCAL lock_timeout = {LOCK_MILLISECONDS}")
                name = await connection.fetchval("SELECT quote_ident(oa_view_name($1))", account_id)
                await connection.execute(f"DROP VIEW IF EXISTS oa.{name}")
                await connection.execute("DELETE FROM oa_view_gone WHERE account_id = $1", account_id)
        except RowsHeld:
            await self._database.execute(
                "UPDATE oa_view_gone SET try_at = now() + $2::interval WHERE account_id = $1",
                account_id,
                _TRY_AGAIN,
            )
            log.info("oa_view_in_use", account_id=account_id)
            return False
        return True
