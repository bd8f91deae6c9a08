"""How many recipients of a run are in which state: counted by SQL, never added up on the way.

The figures of a finished run are kept in `run_count` once somebody has counted them; who changes a recipient
of such a run throws them away in the same transaction. All others are counted from the ledger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

import asyncpg

from postroad.db.pool import Database

DELIVERED, FAILED, CANCELLED = 2, 3, 4
NOT_EXIST, OVER_QUOTA, USER_REJECT, RUBBISH, INVALID, MALFORMED = 1, 2, 3, 5, 8, 9
DROPPED = (INVALID, MALFORMED)  # before sending

# Columns run_id, day, state, failure, count; $1 is the customer. Shelves of runs that need counting are found
# first, so that PostgreSQL looks at those partitions alone.
FIGURES_OF_CUSTOMER = """
SELECT run_id, day, state, failure, count FROM run_count WHERE customer_id = $1
UNION ALL
SELECT r.run_id, r.day, r.state, r.failure, count(*) FROM recipient r
WHERE r.customer_id = $1
  AND r.run_id = ANY(ARRAY(SELECT id FROM run WHERE customer_id = $1 AND NOT is_counted))
  AND r.shelf = ANY(ARRAY(SELECT shelf FROM run WHERE customer_id = $1 AND NOT is_counted))
GROUP BY r.run_id, r.day, r.state, r.failure
"""
_KEPT = """
SELECT run_id, day, state, failure, count FROM run_count WHERE customer_id = $1 AND run_id = ANY($2::bigint[])
"""
_COUNTED_NOW = """
SELECT run_id, day, state, failure, count(*) AS count FROM recipient
WHERE customer_id = $1 AND run_id = ANY($2::bigint[]) AND shelf = ANY($3::bigint[])
GROUP BY run_id, day, state, failure
"""
# The lock on the run stands against whoever is about to change a recipient of it.
_LOCK_FINISHED = """
SELECT id, shelf FROM run WHERE customer_id = $1 AND id = ANY($2::bigint[])
  AND finished_at IS NOT NULL AND NOT is_counted AND shelf IS NOT NULL ORDER BY id FOR UPDATE SKIP LOCKED
"""
_KEEP = """
INSERT INTO run_count (customer_id, run_id, day, state, failure, count)
SELECT customer_id, run_id, day, state, failure, count(*) FROM recipient
WHERE customer_id = $1 AND run_id = ANY($2::bigint[]) AND shelf = ANY($3::bigint[]) AND day IS NOT NULL
GROUP BY customer_id, run_id, day, state, failure
ON CONFLICT (customer_id, run_id, day, state, failure) DO UPDATE SET count = EXCLUDED.count
"""


@dataclass(slots=True)
class Figures:
    """What became of some recipients, in the words of C.1 and 2.4 of our page."""

    delivered: int = 0
    waiting: int = 0
    cancelled: int = 0
    failures: dict[int, int] = field(default_factory=dict)

    def count(self, state: int, failure: int, count: int) -> None:
        """Add a row of figures."""
        if state == DELIVERED:
            self.delivered += count
        elif state == FAILED:
            self.failures[failure] = self.failures.get(failure, 0) + count
        elif state == CANCELLED:
            self.cancelled += count
        else:
            self.waiting += count

    @property
    def invalid(self) -> int:
        """Dropped before sending: invalid and malformed."""
        return sum(self.failures.get(each, 0) for each in DROPPED)

    @property
    def failed(self) -> int:
        """All failures of delivery, those judged spam included."""
        return sum(self.failures.values()) - self.invalid

    @property
    def sent(self) -> int:
        """Handed to delivery."""
        return self.delivered + self.failed

    @property
    def total(self) -> int:
        """Sent and dropped."""
        return self.sent + self.invalid

    @property
    def points(self) -> int:
        """What is paid for: all that was sent but what was judged spam."""
        return self.sent - self.failures.get(RUBBISH, 0)


class RunFigures:
    """Counts runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def by_run(self, customer_id: int, run_ids: Sequence[int]) -> dict[int, Figures]:
        """The figures of each of these runs, over all days."""
        figures = {run_id: Figures() for run_id in run_ids}
        for row in await self._rows(customer_id, run_ids):
            figures[row["run_id"]].count(row["state"], row["failure"], row["count"])
        return figures

    async def by_day(self, customer_id: int, run_ids: Sequence[int]) -> dict[tuple[int, date], Figures]:
        """The figures of each run and day; what is not in a final state belongs to no day."""
        figures: dict[tuple[int, date], Figures] = {}
        for row in await self._rows(customer_id, run_ids):
            if row["day"] is not None:
                key = (row["run_id"], row["day"])
                figures.setdefault(key, Figures()).count(row["state"], row["failure"], row["count"])
        return figures

    async def _rows(self, customer_id: int, run_ids: Sequence[int]) -> list[asyncpg.Record]:
        if not run_ids:
            return []
        ids = list(run_ids)
        await self._keep_finished(customer_id, ids)
        # One snapshot: a run whose figures are thrown away in between would be counted twice or not at all.
        async with (
            self._database.connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            open_runs = await connection.fetch(
                "SELECT id, shelf FROM run WHERE customer_id = $1 AND id = ANY($2::bigint[]) "
                "AND NOT is_counted AND shelf IS NOT NULL",
                customer_id,
                ids,
            )
            rows = await connection.fetch(_KEPT, customer_id, ids)
            if open_runs:
                rows += await connection.fetch(
                    _COUNTED_NOW,
                    customer_id,
                    [row["id"] for row in open_runs],
                    sorted({row["shelf"] for row in open_runs}),
                )
        return rows

    async def _keep_finished(self, customer_id: int, ids: list[int]) -> None:
        async with self._database.transaction() as connection:
            finished = await connection.fetch(_LOCK_FINISHED, customer_id, ids)
            if not finished:
                return
            found = [row["id"] for row in finished]
            shelves = sorted({row["shelf"] for row in finished})
            await connection.execute(
                "DELETE FROM run_count WHERE customer_id = $1 AND run_id = ANY($2::bigint[])",
                customer_id,
                found,
            )
            await connection.execute(_KEEP, customer_id, found, shelves)
            await connection.execute(
                "UPDATE run SET is_counted = true WHERE customer_id = $1 AND id = ANY($2::bigint[])",
                customer_id,
                found,
            )
