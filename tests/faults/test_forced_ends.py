"""PostgreSQL ends a worker's connections, or itself, while all roads are walked at once.

Announcer, listener and presence stand on connections of their own that nobody borrows; each must come back
by itself, whichever is ended and however often. A clock that jumps changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, aclosing
from datetime import timedelta

import pytest

from postroad.db.cluster import Cluster
from postroad.db.migrate import migrate
from tests.conftest import fresh_database
from tests.faults.roads import ROADS
from tests.faults.scene import Clock, Scene, Walk, scene
from tests.faults.walking import held_worker, walk_unbroken, watching
from tests.running import reachable_directory

ROUNDS = 5
POOL, LISTENERS, PRESENCE = "postroad", "postroad notifications", "postroad worker"


@pytest.fixture
async def made(cluster_dsn: str, template_database: str) -> AsyncIterator[Scene]:
    """A scene on a database of its own."""
    async with fresh_database(cluster_dsn, template_database) as dsn, scene(dsn) as made:
        yield made


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "which",
    [[LISTENERS], [PRESENCE], [POOL], [POOL, LISTENERS, PRESENCE]],
    ids=["announcer and listener", "presence", "pool", "all"],
)
async def test_backends_that_are_ended_by_force(made: Scene, which: Sequence[str]) -> None:
    async def end_again_and_again() -> None:
        for _ in range(ROUNDS):
            await made.database.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                "AND application_name = ANY($1::text[]) AND pid <> pg_backend_pid()",
                list(which),
            )
            await made.wire.quiet(0.1)

    await walk_all_roads(made, end_again_and_again)


@pytest.mark.timeout(300)
async def test_postgresql_starts_again_in_the_middle() -> None:
    with reachable_directory("postroad-again-") as directory:
        cluster = Cluster(directory, durable=False)
        dsn = await asyncio.to_thread(cluster.ensure_running)
        try:
            await migrate(dsn)

            async def start_again() -> None:
                await asyncio.to_thread(cluster.stop)
                await asyncio.to_thread(cluster.ensure_running)

            async with scene(dsn) as made:
                await walk_all_roads(made, start_again)
        finally:
            await asyncio.to_thread(cluster.stop)
            cluster.leave()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("jump", [timedelta(days=3), timedelta(hours=-2)], ids=["ahead", "behind"])
async def test_a_clock_that_jumps(made: Scene, jump: timedelta) -> None:
    clock = Clock()

    async def jumps() -> None:
        clock.ahead = jump

    await walk_all_roads(made, jumps, clock)


async def walk_all_roads(
    made: Scene, disturb: Callable[[], Awaitable[object]], clock: Clock | None = None
) -> None:
    """Walk every road at once while `disturb` happens, then each once more; all that was promised holds."""
    with watching() as loose:
        async with held_worker(made, clock) as parts, AsyncExitStack() as stack:
            acts = [
                await stack.enter_async_context(aclosing(road(Walk(made, parts, is_strict=False))))
                for road in ROADS.values()
            ]
            for act in acts:
                await anext(act)
            await asyncio.gather(disturb(), *(anext(act) for act in acts))
            for road in ROADS.values():
                await walk_unbroken(road, made, parts)
            for act in acts:
                await anext(act, None)
    assert not loose
