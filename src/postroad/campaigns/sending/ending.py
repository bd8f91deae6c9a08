"""How runs end: what a cancelled one has not sent is cancelled with it, and one of which nothing is left is
finished.

Nothing is left when no chunk is: a chunk goes in the very transaction that writes its last recipient's
final state.
"""

from __future__ import annotations

import structlog

from postroad.campaigns.sending.ledger import plan_anew_in
from postroad.db.pool import Connection, Database

AT_ONCE = 100  # chunks in one transaction

log = structlog.get_logger("postroad.campaigns.sending.ending")

_ENDED = """
SELECT r.customer_id, r.id, r.shelf FROM task t
JOIN run r ON r.customer_id = t.customer_id AND r.task_id = t.id
WHERE t.state IN (-4, -3, 4) AND r.expanded_at IS NOT NULL AND r.finished_at IS NULL ORDER BY r.id
"""
# Not those that a worker has: what is on the wire ends as it ends, and its chunk comes free then.
_FREE_CHUNKS = """
SELECT first_number, last_number FROM ledger_chunk
WHERE customer_id = $1 AND run_id = $2 AND owner IS NULL ORDER BY first_number LIMIT $3 FOR UPDATE SKIP LOCKED
"""
_CANCEL = """
UPDATE recipient r SET state = 4, due_at = NULL, changed_at = now(), day = (now() AT TIME ZONE $5)::date
WHERE r.customer_id = $1 AND r.run_id = $2 AND r.shelf = $3 AND r.number = ANY($4::int[]) AND r.state = 0
"""
_DROP = "DELETE FROM ledger_chunk WHERE customer_id = $1 AND run_id = $2 AND first_number = ANY($3::int[])"

_FINISH = """
WITH done AS (
    SELECT r.customer_id, r.id, r.task_id FROM task t
    JOIN run r ON r.customer_id = t.customer_id AND r.task_id = t.id
    WHERE t.state IN (-4, -3, -2, 2, 4) AND r.expanded_at IS NOT NULL AND r.finished_at IS NULL
      AND NOT EXISTS (SELECT FROM ledger_chunk c WHERE c.customer_id = r.customer_id AND c.run_id = r.id)
    FOR UPDATE OF r SKIP LOCKED
), finished AS (
    UPDATE run r SET finished_at = now() FROM done
    WHERE r.customer_id = done.customer_id AND r.id = done.id
)
UPDATE task t SET state = CASE WHEN t.state IN (-2, 2) THEN 3 ELSE t.state END,
                  reason = CASE WHEN t.state IN (-2, 2) THEN '' ELSE t.reason END,
                  ended_at = coalesce(t.ended_at, now())
FROM done WHERE t.customer_id = done.customer_id AND t.id = done.task_id
RETURNING t.customer_id, t.id, t.state
"""


class Ending:
    """Ends runs; every worker may."""

    def __init__(self, database: Database, zone: str) -> None:
        self._database = database
        self._zone = zone

    async def cancel_rest(self) -> int:
        """Cancel what runs that are not to go on have not sent; returns how many recipients.

        Raises `DatabaseUnavailable`.
        """
        cancelled = 0
        for row in await self._database.fetch(_ENDED):
            while (count := await self._cancel_some(row["customer_id"], row["id"], row["shelf"])) is not None:
                cancelled += count
        return cancelled

    async def _cancel_some(self, customer_id: int, run_id: int, shelf: int) -> int | None:
        async def work(connection: Connection) -> int | None:
            await plan_anew_in(connection)
            chunks = await connection.fetch(_FREE_CHUNKS, customer_id, run_id, AT_ONCE)
            if not chunks:
                return None
            firsts = [row["first_number"] for row in chunks]
            numbers = [
                number for row in chunks for number in range(row["first_number"], row["last_number"] + 1)
            ]
            status = await connection.execute(_CANCEL, customer_id, run_id, shelf, numbers, self._zone)
            await connection.execute(_DROP, customer_id, run_id, firsts)
            return int(status.rpartition(" ")[2])

        return await self._database.commit(work)

    async def finish(self) -> int:
        """Finish the runs of which nothing is left; returns how many. Raises `DatabaseUnavailable`."""
        rows = await self._database.fetch(_FINISH)
        for row in rows:
            log.info("task_ended", customer=row["customer_id"], task=row["id"], state=row["state"])
        return len(rows)
