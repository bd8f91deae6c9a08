"""Every crash point of every road: PostgreSQL breaks at the N-th message, and everything promised holds.

`make test` walks every moment at which a closed connection makes a difference, and a share of the other
faults; `make crash-points` (POSTROAD_CRASH_POINTS=all) walks all of it.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from tests.conftest import fresh_database
from tests.faults import walking
from tests.faults.roads import ROADS
from tests.faults.scene import Scene, scene
from tests.faults.table import PROPERTY
from tests.faults.wire import Fault, distinct

IS_WHOLE = os.environ.get("POSTROAD_CRASH_POINTS") == "all"
SHARE = 4  # points of each other fault on each road


@pytest.mark.timeout(3600 if IS_WHOLE else 600)
@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name.lower())
@pytest.mark.parametrize("road", ROADS)
async def test_every_crash_point(
    cluster_dsn: str,
    template_database: str,
    record_property: Callable[[str, object], None],
    road: str,
    fault: Fault,
) -> None:
    @asynccontextmanager
    async def make_scene() -> AsyncIterator[Scene]:
        async with fresh_database(cluster_dsn, template_database) as dsn, scene(dsn) as made:
            yield made

    if IS_WHOLE:
        choose: walking.Choose = walking.every_point
    elif fault is Fault.CLOSED:
        choose = distinct
    else:
        choose = walking.share(road, fault, SHARE)
    tally = await walking.walk_road(make_scene, road, fault, choose, 1000 if IS_WHOLE else 5)
    record_property(PROPERTY, tally.as_row())
    assert not tally.failures, f"{len(tally.failures)} of {tally.tried} walks fell:\n" + "\n".join(
        tally.failures[:20]
    )
