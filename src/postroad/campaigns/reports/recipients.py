"""Who got it: one address over all runs of a customer, also of tasks that were removed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from postroad.db.pool import Database

MAX_ROWS = 1000

_OF_ADDRESS = """
SELECT r.address, r.run_id, coalesce(t.id, 0) AS task_id, coalesce(t.ident, '') AS ident, n.kind, r.state,
       r.failure, r.attempts, r.doubts, r.code, r.reply, r.changed_at, r.due_at
FROM recipient r
JOIN run n ON n.customer_id = r.customer_id AND n.id = r.run_id
LEFT JOIN task t ON t.customer_id = n.customer_id AND t.id = n.task_id
WHERE r.customer_id = $1 AND hashtextextended(lower(r.address), 0) = hashtextextended(lower($2), 0)
  AND lower(r.address) = lower($2) AND ($3::bigint IS NULL OR t.id = $3)
ORDER BY r.run_id DESC LIMIT $4
"""
_OF_TASK = """
SELECT r.address, r.run_id, t.id AS task_id, t.ident, n.kind, r.state,
       r.failure, r.attempts, r.doubts, r.code, r.reply, r.changed_at, r.due_at
FROM task t
JOIN run n ON n.customer_id = t.customer_id AND n.task_id = t.id
JOIN recipient r ON r.customer_id = n.customer_id AND r.run_id = n.id AND r.shelf = n.shelf
WHERE t.customer_id = $1 AND t.id = $2 AND r.number > $3 AND ($4::smallint IS NULL OR r.state = $4)
ORDER BY r.number LIMIT $5
"""


@dataclass(frozen=True, slots=True)
class Recipient:
    """What became of one recipient: states and failures as in 0054_tasks.sql; `reply` is its server's."""

    address: str
    run_id: int
    task_id: int
    ident: str
    kind: str
    state: int
    failure: int
    attempts: int
    doubts: int
    code: int | None
    reply: str | None
    changed_at: datetime | None
    due_at: datetime | None


class Recipients:
    """Looks recipients up."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_address(
        self, customer_id: int, address: str, task_id: int | None = None, limit: int = 100
    ) -> list[Recipient]:
        """Every run that had the address, the newest first."""
        rows = await self._database.fetch(
            _OF_ADDRESS, customer_id, address.strip(), task_id, max(1, min(limit, MAX_ROWS))
        )
        return [Recipient(**row) for row in rows]

    async def of_task(
        self, customer_id: int, task_id: int, *, after: int = 0, state: int | None = None, limit: int = 100
    ) -> list[Recipient]:
        """The recipients of a task in their order, those behind the number `after`."""
        rows = await self._database.fetch(
            _OF_TASK, customer_id, task_id, after, state, max(1, min(limit, MAX_ROWS))
        )
        return [Recipient(**row) for row in rows]
