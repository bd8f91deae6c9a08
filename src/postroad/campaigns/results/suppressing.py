"""Addresses that nothing is sent to any more, by rule; the SQL of `suppression`.

How often an address failed is counted from the ledger when it fails again, never kept beside it. An address
is suppressed for the customer whose mail failed: another one may know it better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from postroad.campaigns.errors import NotFound
from postroad.db.pool import Connection, Database

MAX_LISTED = 1000
RUNS_AT_ONCE = 20

# The count runs through the index of addresses, only for those whose type wants more than one failure.
_SUPPRESS = """
INSERT INTO suppression (customer_id, address, failure, reason, run_id)
SELECT DISTINCT ON (lower(r.address)) r.customer_id, lower(r.address), r.failure, left(coalesce(r.reply, ''),
500), r.run_id FROM recipient r
JOIN suppression_rule s ON s.failure = r.failure
WHERE r.customer_id = $1 AND r.run_id = $2 AND r.shelf = $3 AND r.state = 3
  AND ($4::integer[] IS NULL OR r.number = ANY($4))
  AND (s.failures = 1 OR s.failures <= (
      SELECT count(*) FROM recipient o
      WHERE hashtextextended(lower(o.address), 0) = hashtextextended(lower(r.address), 0)
        AND lower(o.address) = lower(r.address) AND o.customer_id = r.customer_id AND o.state = 3
        AND o.failure = r.failure AND o.changed_at > now() - make_interval(days => s.within_days)))
ORDER BY lower(r.address)
ON CONFLICT (customer_id, address) DO NOTHING
"""
_UNJUDGED = """
SELECT customer_id, id, shelf FROM run
WHERE judged_at IS NULL AND finished_at IS NOT NULL AND finished_at < now() - interval '5 seconds'
ORDER BY finished_at LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED
"""


@dataclass(frozen=True, slots=True)
class Suppression:
    """One address and why; `failure` as in part C.1 of our page."""

    address: str
    failure: int
    reason: str
    run_id: int | None
    created_at: datetime


class Suppressions:
    """The suppressed addresses of customers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, customer_id: int, *, after: str = "", limit: int = 100) -> list[Suppression]:
        """A customer's, by address, those behind `after`."""
        rows = await self._database.fetch(
            "SELECT address, failure, reason, run_id, created_at FROM suppression "
            "WHERE customer_id = $1 AND address > $2 ORDER BY address LIMIT $3",
            customer_id,
            after,
            max(1, min(limit, MAX_LISTED)),
        )
        return [Suppression(**row) for row in rows]

    async def remove(self, customer_id: int, address: str) -> None:
        """Let mail go to the address again. Raises `NotFound`."""
        done = await self._database.execute(
            "DELETE FROM suppression WHERE customer_id = $1 AND address = $2",
            customer_id,
            address.strip().lower(),
        )
        if done == "DELETE 0":
            raise NotFound("suppression", address[:200])

    async def judge_finished(self) -> int:
        """Hold the failures of runs that have finished against the rules; return how many runs."""
        total = 0
        while done := await self._database.commit(self._judge_in):
            total += done
        return total

    async def _judge_in(self, connection: Connection) -> int:
        runs = await connection.fetch(_UNJUDGED, RUNS_AT_ONCE)
        for run in runs:
            if run["shelf"] is not None:
                await suppress_in(connection, run["customer_id"], run["id"], run["shelf"])
            await connection.execute(
                "UPDATE run SET judged_at = now() WHERE customer_id = $1 AND id = $2",
                run["customer_id"],
                run["id"],
            )
        return len(runs)


async def suppress_in(
    connection: Connection, customer_id: int, run_id: int, shelf: int, numbers: Sequence[int] | None = None
) -> None:
    """Hold failed recipients of a run against the rules: those of `numbers`, or all."""
    await connection.execute(
        _SUPPRESS, customer_id, run_id, shelf, None if numbers is None else list(numbers)
    )
