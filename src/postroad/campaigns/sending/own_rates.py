"""Rates that customers and tasks have of their own, beside those of receivers: kept when recipients are
claimed.

They are buckets of the same rates that receivers have (`delivery/rates.py`), so all workers of all servers
share them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from asyncpg import Record

from postroad.transport.delivery.rates import Rates
from postroad.transport.delivery.shaping import SiteLimits

Wanted = tuple[int, str, int]  # run, domain, recipients


async def keep_to_rates(
    rates: Rates, runs: Sequence[Record], wanted: Sequence[Wanted]
) -> tuple[list[Wanted], float]:
    """What of this may be claimed now, and in how many seconds more (0: all of it may). `runs` have id,
    customer_id, mails_per_minute and of_customer.

    What is claimed and given back counts all the same: a rate is never passed, and reached in the long run.
    Raises `DatabaseUnavailable`.
    """
    known = {row["id"]: row for row in runs}
    allowed: list[Wanted] = []
    waits = [0.0]
    for run_id, of_run in groupby(wanted, key=lambda each: each[0]):
        run = known[run_id]
        parts = list(of_run)
        limits = [
            _limits(f"campaign run {run_id}", run["mails_per_minute"]),
            _limits(f"campaign customer {run['customer_id']}", run["of_customer"]),
        ]
        for place, limit in enumerate(limits):
            if limit is None or not parts:
                continue
            asked = sum(most for _, _, most in parts)
            grant = await rates.take(limit, asked)
            parts = _cut(parts, grant.count)
            if grant.count < asked:
                waits.append(grant.wait_seconds)
            earlier = limits[place - 1] if place else None
            if earlier is not None:
                await rates.give_back(earlier, asked - grant.count)
        allowed += parts
    return allowed, max(waits)


def _limits(bucket: str, mails_per_minute: int | None) -> SiteLimits | None:
    if mails_per_minute is None:
        return None
    return SiteLimits("", bucket, 1, 1, mails_per_minute)


def _cut(parts: Sequence[Wanted], count: int) -> list[Wanted]:
    """The first of these that are no more than `count` recipients."""
    kept = []
    for run_id, domain, most in parts:
        if count > 0:
            kept.append((run_id, domain, min(most, count)))
            count -= most
    return kept
