"""What an account got by day: counted from its folders' newest entries, a bounded number of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from ..db.pool import Database

LOOKED_AT = 20_000  # newest entries of a folder: about 10 ms


@dataclass(frozen=True, slots=True)
class FolderDay:
    """One day (UTC) of a folder."""

    folder_id: int
    day: date
    messages: int
    unseen: int
    size_bytes: int


class MailStatistics:
    """Counts for all accounts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def by_day(self, account_id: int, days: int) -> Sequence[FolderDay]:
        """Return the days with mail of the last `days`, today among them, newest first."""
        # Along the primary key from its end: UIDs rise as mails come, so the newest stand together.
        rows = await self._database.fetch(
            "SELECT f.id, (e.received_at AT TIME ZONE 'UTC')::date AS day, count(*) AS messages, "
            "count(*) FILTER (WHERE e.flags & 1 = 0) AS unseen, sum(e.size_bytes)::bigint AS size_bytes "
            "FROM folder f CROSS JOIN LATERAL (SELECT received_at, flags, size_bytes FROM entry "
            "WHERE entry.folder_id = f.id ORDER BY entry.uid DESC LIMIT $3) e "
            "WHERE f.account_id = $1 AND e.received_at >= date_trunc('day', now() AT TIME ZONE 'UTC') "
            "AT TIME ZONE 'UTC' - $2::interval GROUP BY f.id, 2 ORDER BY f.id, 2 DESC",
            account_id,
            timedelta(days=days - 1),
            LOOKED_AT,
        )
        return [FolderDay(*row) for row in rows]
