"""Limits on how often something is asked for: the 100 calls of add-task an hour (A.7 of our EDM page).

A window that slides: a call counts for 60 minutes by the database's clock, over all workers.
"""

from __future__ import annotations

from datetime import timedelta

from postroad.campaigns.errors import TooManyCalls
from postroad.db.pool import Database

WINDOW = timedelta(hours=1)

# The lock makes two calls at once count one another; it is one customer's, and held for two short statements.
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('postroad counted call ' || $1::text || $2, 0))"
_COUNT = """
INSERT INTO counted_call (customer_id, kind)
SELECT $1, $2
WHERE (SELECT count(*) FROM counted_call
       WHERE customer_id = $1 AND kind = $2 AND called_at > clock_timestamp() - $4::interval) < $3
RETURNING true
"""


class CallLimits:
    """Counts calls."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def count(self, customer_id: int, kind: str, limit: int) -> None:
        """Count a call of this kind; raise `TooManyCalls`, without counting it, past `limit` in an hour."""
        async with self._database.transaction() as connection:
            await connection.execute(_LOCK, str(customer_id), kind)
            if not await connection.fetchval(_COUNT, customer_id, kind, limit, WINDOW):
                raise TooManyCalls(limit)

    async def sweep(self) -> int:
        """Remove what no window reaches any more; return how many rows."""
        done = await self._database.execute(
            "DELETE FROM counted_call WHERE called_at < clock_timestamp() - $1::interval", WINDOW
        )
        return int(done.split()[1])
