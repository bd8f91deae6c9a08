"""Walking a road: once for each crash point and fault, with what must hold afterwards.

After each walk the same road is walked again with nothing broken, by the same worker: service must have come
back by itself. Then the worker's long-lived tasks live, its hands are empty, no lease is left behind, the
store's own check finds nothing, and nothing was logged as an error of ours.
"""

from __future__ import annotations

import asyncio
import gc
import random
import ssl
import subprocess
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Coroutine,
    Generator,
    Iterator,
    MutableMapping,
    Sequence,
)
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    ExitStack,
    aclosing,
    asynccontextmanager,
    contextmanager,
)
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias
from unittest import mock

import structlog

from postroad.db.group_commit import CommitFailed
from postroad.db.pool import Database, DatabaseUnavailable
from postroad.server.parts import Parts
from tests.faults.campaign_roads import ROADS
from tests.faults.roads import Road
from tests.faults.scene import PATIENCE, Clock, Scene, Walk, until
from tests.faults.wire import Fault, Message, Point, crash_points, distinct

WALK_SECONDS = 300.0  # a bound for what hangs; a walk takes a second, and a stall some ten
SETTLED_SECONDS = 0.08  # nothing on the wire for so long: announcements are gathered for 50 ms


_LIMITS = {"acquire_seconds": 3.0, "statement_seconds": 1.0}  # of the pool; asyncpg gives up 5 s later
_CONSTANTS = {
    "db.group_commit.BATCH_SECONDS": 2.0,
    "db.group_commit.RESOLVE_SECONDS": 10.0,
    "db.notify.CONNECT_SECONDS": 2.0,
    "transport.delivery.presence.CONNECT_SECONDS": 2.0,
    "transport.delivery.presence.CHECK_SECONDS": 0.5,
    "directory.passwords.MEMORY_COST_KIBIBYTES": 64,
}

Choose: TypeAlias = Callable[[list[Message], list[Point]], list[Point]]
MakeScene: TypeAlias = Callable[[], AbstractAsyncContextManager[Scene]]


@dataclass
class Tally:
    """What came of walking one road with one kind of fault."""

    road: str
    fault: Fault
    points: int = 0
    tried: int = 0
    injected: int = 0
    failures: list[str] = field(default_factory=list)

    def as_row(self) -> list[object]:
        """Its row of the table (`table.py`)."""
        return [self.road, self.fault.value, self.points, self.tried, self.injected, len(self.failures)]


@dataclass
class _Watch:
    """What one worker's tasks did and said."""

    tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)
    said: deque[str] = field(default_factory=lambda: deque(maxlen=8))

    def living(self) -> set[str]:
        """The names of tasks that go on; unnamed ones come and go."""
        return {
            task.get_name()
            for task in self.tasks
            if not task.done() and not task.get_name().startswith("Task-")
        }


# Of the pool: presence and listeners stand on connections of their own.
_LOCKED = """
SELECT a.query, l.mode, l.classid, l.objid FROM pg_stat_activity a JOIN pg_locks l USING (pid)
WHERE a.datname = current_database() AND a.application_name = 'postroad'
AND (a.state = 'idle' AND l.locktype = 'advisory' OR a.state LIKE 'idle in transaction%')
"""

_watch: ContextVar[_Watch | None] = ContextVar("watch", default=None)


@contextmanager
def watching() -> Iterator[list[str]]:
    """See every task that is made and every error that is logged, by the worker that did it.

    Gives a list that fills with errors of tasks that nobody waited for.
    """
    loose: list[str] = []
    loop = asyncio.get_running_loop()
    before, factory, handler = structlog.get_config(), loop.get_task_factory(), loop.get_exception_handler()
    loop.set_task_factory(_make_task)
    loop.set_exception_handler(
        lambda _loop, context: loose.append(f"{context['message']}: {context.get('exception')!r}")
    )
    structlog.configure(processors=[_hear], cache_logger_on_first_use=False)
    try:
        with _haste():
            yield loose
    finally:
        loop.set_task_factory(factory)
        loop.set_exception_handler(handler)
        structlog.configure(**before)


@contextmanager
def _haste() -> Iterator[None]:
    """Give up sooner than a server does, so that a walk ends in seconds."""
    with ExitStack() as stack:
        # Nobody here offers TLS, and reading the authorities of the system takes longer than a walk.
        stack.enter_context(mock.patch.object(ssl.SSLContext, "set_default_verify_paths"))
        stack.enter_context(mock.patch.dict(Database.__init__.__kwdefaults__, _LIMITS))
        for place, seconds in _CONSTANTS.items():
            stack.enter_context(mock.patch(f"postroad.{place}", seconds))
        yield


def _make_task(
    loop: asyncio.AbstractEventLoop,
    work: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
    **options: Any,
) -> asyncio.Task[Any]:
    task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, **options)
    watch = _watch.get()
    if watch is not None:
        watch.tasks.add(task)
        task.add_done_callback(watch.tasks.discard)
    return task


def _hear(_logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    watch = _watch.get()
    if watch is not None:
        watch.said.append(" ".join(f"{key}={value!r}" for key, value in event.items()))
        if method in ("error", "exception", "critical"):
            watch.errors.append(watch.said[-1])
    raise structlog.DropEvent


async def walk(
    scene: Scene, road: str, fault: Fault | None = None, point: Point | None = None
) -> list[Message]:
    """Walk a road with one fault, hold everything against what was promised, give the messages counted.

    Raises `AssertionError`.
    """
    async with asyncio.timeout(WALK_SECONDS), held_worker(scene) as parts:
        _, act = await _prepared(ROADS[road], scene, parts, is_strict=False)
        async with aclosing(act):
            await scene.wire.quiet(0.02)
            scene.wire.arm(fault, point)
            await anext(act)
            await scene.wire.quiet(SETTLED_SECONDS)
            journal = scene.wire.disarm()
            await walk_unbroken(ROADS[road], scene, parts)
            await anext(act, None)
    return journal


async def walk_unbroken(road: Road, scene: Scene, parts: Parts) -> None:
    """Walk a road with nothing broken: service must be had."""
    walk, act = await _prepared(road, scene, parts, is_strict=True)
    async with aclosing(act):
        await anext(act)
        await walk.until_queue_rests()
        await anext(act, None)


async def _prepared(
    road: Road, scene: Scene, parts: Parts, *, is_strict: bool
) -> tuple[Walk, AsyncGenerator[None, None]]:
    """Set out on a road; what must stand before the walk is no part of it, and is tried until it stands."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while True:
        walk = Walk(scene, parts, is_strict)
        act = road(walk)
        try:
            await anext(act)
        except (DatabaseUnavailable, CommitFailed):
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(0.1)
        else:
            return walk, act


@asynccontextmanager
async def held_worker(scene: Scene, clock: Clock | None = None) -> AsyncIterator[Parts]:
    """A worker that must be as well afterwards as it was before: nothing dead, nothing kept, nothing wrong.

    Only in a task of its own, since what a worker does is told from others by its context.
    """
    watch = _Watch()
    token = _watch.set(watch)
    try:
        async with scene.worker(clock) as parts:
            await scene.wire.quiet(0.02)  # it has looked into the queue once
            standing = watch.living()
            yield parts
            dead = standing - watch.living()
            assert not dead, f"tasks are dead: {sorted(dead)}"
            await _hold_worker(scene, parts)
        left = await scene.database.fetch("SELECT * FROM queue_recipient WHERE lease_owner IS NOT NULL")
        assert not left, f"leases were left behind: {[dict(row) for row in left]}"
        problems = await scene.problems()
        assert not problems, f"verify: {problems}"
        assert not watch.errors, f"logged as errors of ours: {watch.errors}"
    except BaseException as error:
        error.add_note(f"last said: {list(watch.said)}")
        raise
    finally:
        _watch.reset(token)


async def _hold_worker(scene: Scene, parts: Parts) -> None:
    """Nothing is in a worker's hands any more: no mail, no connection, no lock; and it is known to live."""

    async def rests() -> bool:
        use = parts.database.use()
        transport = parts.transport
        return transport.dispatcher.in_flight == 0 and use.open == use.idle and transport.presence.is_held

    async def is_unlocked() -> bool:
        return not await scene.database.fetch(_LOCKED)

    await until(rests, "the worker's hands are empty, and its presence is held")
    await until(is_unlocked, "no connection that nobody uses holds a lock")


# -- many walks


@dataclass(frozen=True, slots=True)
class Case:
    """One road with one kind of fault, at the points that `choose` picks."""

    road: str
    fault: Fault
    choose: Choose

    def __str__(self) -> str:
        return f"{self.road}, {self.fault.value}"


async def walk_all(
    make_scene: MakeScene, cases: Sequence[Case], *, side_by_side: int, most_failures: int
) -> list[Tally]:
    """Walk many cases, each on scenes of its own, and tell what came of them.

    A case is given up after `most_failures`: each has waited in vain for a while.
    """
    tallies: list[Tally] = []
    steps: deque[tuple[Case, Tally, Point]] = deque()
    with watching() as loose:
        async with AsyncExitStack() as stack:
            scenes = [await stack.enter_async_context(make_scene()) for _ in range(side_by_side)]
            journals = {
                road: await asyncio.create_task(walk(scenes[0], road))
                for road in dict.fromkeys(case.road for case in cases)
            }
            for case in cases:
                points = crash_points(journals[case.road], case.fault)
                tallies.append(Tally(case.road, case.fault, len(points)))
                chosen = case.choose(journals[case.road], points)
                steps.extend((case, tallies[-1], point) for point in chosen)

            async def lane(scene: Scene) -> None:
                while steps:
                    case, tally, point = steps.popleft()
                    if len(tally.failures) >= most_failures:
                        continue
                    tally.tried += 1
                    try:
                        await asyncio.create_task(walk(scene, case.road, case.fault, point))
                    except Exception as error:
                        told = "; ".join([str(error), *getattr(error, "__notes__", ())])
                        tally.failures.append(f"{case} {point}: {type(error).__name__}: {told}")
                        await scene.clear()
                    tally.injected += scene.wire.struck is not None

            await asyncio.gather(*map(lane, scenes))
        gc.collect()  # so that tasks whose errors nobody has read are told of now
        if loose:
            tallies[-1].failures.append(f"errors that nobody waited for: {loose[:10]}")
    return tallies


def every_point(_journal: list[Message], points: list[Point]) -> list[Point]:
    """All of them."""
    return points


def share(road: str, fault: Fault, count: int) -> Choose:
    """`count` points, drawn by the commit: a run of the same commit tries the same ones."""

    def choose(journal: list[Message], points: list[Point]) -> list[Point]:
        some = distinct(journal, points)
        return random.Random(f"{commit()} {road} {fault.name}").sample(some, min(count, len(some)))

    return choose


def commit() -> str:
    """The commit that is tested; "" outside a repository."""
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=False,
            cwd=Path(__file__).parent,
        )
    except OSError:
        return ""
    return answer.stdout.strip()
