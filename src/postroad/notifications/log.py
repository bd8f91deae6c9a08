"""The log of what receivers were told; the SQL of `notification_attempt`. `lines.py` writes it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from postroad.db.pool import Database

MAX_PAGE = 1000


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One attempt."""

    id: int
    happened_at: datetime
    account: str
    event_id: int
    outcome: str
    detail: str


class NotificationLog:
    """All attempts, for as long as they are kept."""

    def __init__(self, database: Database, keep: timedelta) -> None:
        self._database = database
        self._keep = keep

    async def list(self, receiver_id: int, before: int | None = None, limit: int = 100) -> list[LogEntry]:
        """Return up to `limit` attempts (at most 1,000), newest first, those before the id `before`."""
        rows = await self._database.fetch(
            """
            SELECT t.id, t.happened_at, coalesce(a.address, '#' || t.account_id) AS account, t.event_id,
                   t.outcome, t.detail
            FROM notification_attempt t LEFT JOIN account a ON a.id = t.account_id
            WHERE t.receiver_id = $1 AND ($2::bigint IS NULL OR t.id < $2) ORDER BY t.id DESC LIMIT $3
            """,
            receiver_id,
            before,
            max(1, min(limit, MAX_PAGE)),
        )
        return [LogEntry(*row) for row in rows]

    async def sweep(self) -> int:
        """Forget attempts that are older than they are kept; called now and then by the server."""
        rows = await self._database.fetch(
            "DELETE FROM notification_attempt WHERE happened_at < now() - $1::interval RETURNING 1",
            self._keep,
        )
        return len(rows)
