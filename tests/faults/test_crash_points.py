"""Every crash point of every road: PostgreSQL breaks at the N-th message, and everything promised holds.

`make test` walks a share of the moments at which a closed connection makes a difference, and fewer of the
other faults, others with each commit; `make crash-points` (POSTROAD_CRASH_POINTS=all) walks all of it.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from tests.conftest import fresh_database
from tests.faults.campaign_roads import ROADS
from tests.faults.scene import Scene, scene
from tests.faults.table import PROPERTY
from tests.faults.walking import Case, Choose, every_point, share, walk_all
from tests.faults.wire import Fault

IS_WHOLE = os.environ.get("POSTROAD_CRASH_POINTS") == "all"
ANSWERS = (Fault.TERMINATED, Fault.DEADLOCK, Fault.CANCEL, Fault.DISK_FULL)
# Points of a fault on each road, when not all are tried.
SHARE_CLOSED = 24
SHARE = 2
SIDE_BY_SIDE = 5  # walks at once: much of a walk is waiting
MOST_FAILURES = 1000 if IS_WHOLE else 4

Walk = Callable[..., Awaitable[None]]


@pytest.fixture
def walk(cluster_dsn: str, template_database: str, record_property: Callable[[str, object], None]) -> Walk:
    """Walk cases, write them into the table, and fail when one fell."""

    @asynccontextmanager
    async def make_scene() -> AsyncIterator[Scene]:
        async with fresh_database(cluster_dsn, template_database) as dsn, scene(dsn) as made:
            yield made

    async def walk(cases: Sequence[Case], side_by_side: int = SIDE_BY_SIDE) -> None:
        tallies = await walk_all(make_scene, cases, side_by_side=side_by_side, most_failures=MOST_FAILURES)
        for tally in tallies:
            record_property(PROPERTY, tally.as_row())
        fell = [failure for tally in tallies for failure in tally.failures]
        assert not fell, f"{len(fell)} of {sum(tally.tried for tally in tallies)} walks fell:\n" + "\n".join(
            fell[:20]
        )

    return walk


@pytest.mark.timeout(3600 if IS_WHOLE else 600)
@pytest.mark.parametrize("road", ROADS)
async def test_a_connection_that_closes_at_any_message(walk: Walk, road: str) -> None:
    await walk([Case(road, Fault.CLOSED, chosen(road, Fault.CLOSED, SHARE_CLOSED))])


@pytest.mark.timeout(3600 if IS_WHOLE else 600)
@pytest.mark.parametrize("road", ROADS)
async def test_statements_that_fail_and_backends_that_end(walk: Walk, road: str) -> None:
    await walk([Case(road, fault, chosen(road, fault)) for fault in ANSWERS])


@pytest.mark.timeout(3600 if IS_WHOLE else 600)
async def test_a_connection_on_which_nothing_passes_any_more(walk: Walk) -> None:
    """All roads side by side: whoever is stalled waits."""
    await walk([Case(road, Fault.STALL, chosen(road, Fault.STALL)) for road in ROADS], 8)


def chosen(road: str, fault: Fault, count: int = SHARE) -> Choose:
    """Which points are tried."""
    return every_point if IS_WHOLE else share(road, fault, count)
