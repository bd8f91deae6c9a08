"""Rates that customers and tasks have of their own, beside those of receivers: kept when recipients are
claimed.

So is the ramp of a domain that receivers do not know yet: few mails an hour on its first day, twice as many
each day. They are buckets of the same rates that receivers have (`delivery/rates.py`), so all workers of
all servers share them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from asyncpg import Record

from postroad.db.pool import Database
from postroad.transport.delivery.rates import Rates
from postroad.transport.delivery.shaping import SiteLimits

HOUR_SECONDS = 3600.0
# 240 mails on the first day, as advice for new domains has it; after two weeks 80,000 an hour need no ramp.
FIRST_DAY_PER_HOUR = 10
WARM_UP_DAYS = 14

Wanted = tuple[int, str, int]  # run, domain, recipients


class OwnRates:
    """Keeps runs to them, for one worker."""

    def __init__(self, database: Database) -> None:
        self._by_minute = Rates(database)
        self._by_hour = Rates(database, minute_seconds=HOUR_SECONDS)

    async def keep(self, runs: Sequence[Record], wanted: Sequence[Wanted]) -> tuple[list[Wanted], float]:
        """What of this may be claimed now, and in how many seconds more (0: all of it may).

        `runs` have id, customer_id, mails_per_minute, of_customer, warm_domain and warm_days. What is
        claimed and given back counts all the same: a rate is never passed, and reached in the long run.
        Raises `DatabaseUnavailable`.
        """
        known = {row["id"]: row for row in runs}
        allowed: list[Wanted] = []
        waits = [0.0]
        for run_id, of_run in groupby(wanted, key=lambda each: each[0]):
            parts = list(of_run)
            taken: list[tuple[Rates, SiteLimits]] = []
            for rates, limit in self._limits(known[run_id]):
                asked = sum(most for _, _, most in parts)
                if not asked:
                    break
                grant = await rates.take(limit, asked)
                if grant.count < asked:
                    waits.append(grant.wait_seconds)
                    parts = _cut(parts, grant.count)
                    for earlier, their_limit in taken:
                        await earlier.give_back(their_limit, asked - grant.count)
                taken.append((rates, limit))
            allowed += parts
        return allowed, max(waits)

    def _limits(self, run: Record) -> list[tuple[Rates, SiteLimits]]:
        found = []
        if run["mails_per_minute"] is not None:
            found.append((self._by_minute, _limit(f"campaign run {run['id']}", run["mails_per_minute"])))
        if run["of_customer"] is not None:
            bucket = f"campaign customer {run['customer_id']}"
            found.append((self._by_minute, _limit(bucket, run["of_customer"])))
        if run["warm_domain"] is not None:
            hourly = FIRST_DAY_PER_HOUR * 2 ** max(0, run["warm_days"])
            found.append((self._by_hour, _limit(f"warm-up {run['warm_domain']}", hourly)))
        return found


def _limit(bucket: str, mails: int) -> SiteLimits:
    return SiteLimits("", bucket, 1, 1, mails)


def _cut(parts: Sequence[Wanted], count: int) -> list[Wanted]:
    """The first of these that are no more than `count` recipients."""
    kept = []
    for run_id, domain, most in parts:
        if count > 0:
            kept.append((run_id, domain, min(most, count)))
            count -= most
    return kept
