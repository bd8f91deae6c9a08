"""Long-lived tasks are started again whenever they end, counted, and named while they are down."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

import postroad
from postroad.db.notify import Announcer, Listener
from postroad.db.pool import CONNECTION_ERRORS, Database
from postroad.db.tasks import TOO_MANY, TaskSupervisor


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    "ending",
    [ValueError("a mistake"), asyncpg.InternalClientError("unknown state"), asyncio.CancelledError(), None],
    ids=["error", "lost connection", "stray cancellation", "return"],
)
async def test_whatever_ends_a_task_it_is_started_again_and_counted(ending: BaseException | None) -> None:
    died: list[str] = []
    runs = 0

    async def work() -> None:
        nonlocal runs
        runs += 1
        if runs > 2:
            await asyncio.Event().wait()
        if ending is not None:
            raise ending

    tasks = TaskSupervisor(died.append, first_pause_seconds=0.001)
    kept = tasks.keep("work", work)
    await until(lambda: runs == 3)
    assert died == ["work", "work"]
    assert tasks.troubles() == {}  # twice may be bad luck
    await kept.stop()
    await kept.stop()
    assert kept.task is not None
    assert kept.task.cancelled()


async def test_a_task_that_is_down_or_falls_over_again_and_again_is_named_until_it_is_steady() -> None:
    now = 1000.0
    runs = 0
    may_go_on = asyncio.Event()

    async def work() -> None:
        nonlocal runs
        runs += 1
        if runs <= TOO_MANY:
            raise RuntimeError(f"fall {runs}")
        may_go_on.set()
        await asyncio.Event().wait()

    tasks = TaskSupervisor(first_pause_seconds=0.05, monotonic=lambda: now)
    kept = tasks.keep("work", work)
    await until(lambda: runs == 1)
    assert await tasks.trouble() == "work: RuntimeError: fall 1"  # down, waiting for its next start
    async with asyncio.timeout(20):
        await may_go_on.wait()
    assert await tasks.trouble() == f"work: RuntimeError: fall {TOO_MANY}"  # up, but looping
    now += 61
    assert await tasks.trouble() is None
    await kept.stop()


async def test_the_end_of_the_loop_ends_kept_tasks_too() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    kept = TaskSupervisor().keep("work", work)
    await asyncio.sleep(0)
    assert kept.task is not None
    kept.task.cancel()  # as asyncio.run does with whatever is left
    await asyncio.wait([kept.task])
    assert ended.is_set()
    assert kept.task.cancelled()


async def test_announcer_and_listener_live_through_kills_of_their_connections(database: Database) -> None:
    tasks = TaskSupervisor()
    async with (
        asyncio.timeout(60),
        Announcer(database, tasks) as announcer,
        Listener(database.dsn, tasks) as listener,
        listener.subscribe("folder") as heard,
    ):
        for number in range(8):
            await listener.listening()
            announcer.announce("folder", f"{number}")
            while await anext(heard) != f"{number}":
                pass
            await database.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name = 'postroad notifications'"
            )
            announcer.announce("folder", f"{number} after the kill")
            while await anext(heard) is not None:  # told to look
                pass
    assert await tasks.trouble() is None


async def test_what_asyncpg_says_of_an_ended_connection_is_no_death_of_a_task(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaths: list[str] = []
    tasks = TaskSupervisor(deaths.append)
    failures = iter([asyncpg.InternalClientError("got result for unknown protocol state 3")] * 2)
    execute = asyncpg.Connection.execute

    async def fail_first(self: asyncpg.Connection[asyncpg.Record], *arguments: object, **more: object) -> str:
        if (error := next(failures, None)) is not None:
            raise error
        return await execute(self, *arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(asyncpg.Connection, "execute", fail_first)
    async with (
        asyncio.timeout(30),
        Listener(database.dsn, tasks) as listener,
        Announcer(database, tasks) as announcer,
        listener.subscribe("folder") as heard,
    ):
        await listener.listening()
        announcer.announce("folder", "still there")
        while await anext(heard) != "still there":
            pass
    assert deaths == []
    assert asyncpg.InternalClientError in CONNECTION_ERRORS


# What ends with the thing it works on: a batch, a look-up, a request, a connection, a command.
SHORT_LIVED = {
    "api/events.py",  # for one stream
    "bridges/oa/outgoing.py",  # a group inside a kept task
    "bridges/oa/watch.py",  # while migrations run
    "campaigns/contacts/imports.py",  # keeping the lease of one import
    "campaigns/contacts/merging.py",
    "cli/checks/dns.py",
    "cli/doctor.py",
    "db/dump.py",
    "db/group_commit.py",
    "db/tasks.py",
    "dns/lookups.py",
    "listeners/access.py",
    "listeners/imap_selecting.py",  # for one IDLE
    "listeners/smtp_session.py",
    "listeners/tls_first.py",
    "notifications/telling.py",  # a group inside a kept task, and a line of one receiver
    "server/supervisor.py",
    "server/worker.py",  # the doors of the web: the worker ends with them, and is started again
    "transport/delivery/allowance.py",
    "transport/delivery/dispatcher.py",
    "transport/delivery/intake.py",  # looking up a route, looking at a lease
    "transport/delivery/rates.py",
    "web/mail/live.py",
}


def test_no_room_starts_a_bare_task_that_nobody_looks_after() -> None:
    source = Path(postroad.__file__).parent
    found = {
        str(path.relative_to(source))
        for path in source.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in ("create_task", "ensure_future")
    }
    assert found <= SHORT_LIVED
