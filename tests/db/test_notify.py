"""Announcements reach every listener, coalesced, and both sides come back after a lost connection."""

from __future__ import annotations

import asyncio

from postroad.db.notify import Announcer, Listener
from postroad.db.pool import Database


async def kill_sessions(database: Database) -> None:
    await database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name = 'postroad notifications'"
    )


async def test_an_announcement_reaches_the_listeners_of_its_channel(database: Database) -> None:
    heard: list[str | None] = []
    done = asyncio.Event()

    def hear(payload: str | None) -> None:
        heard.append(payload)
        if payload == "last":
            done.set()

    async with Listener(database.dsn) as listener, Announcer(database) as announcer:
        listener.add("folder", hear)
        await listener.listening()
        announcer.announce("other", "not for us")
        announcer.announce("folder", "1")
        announcer.announce("folder", "1")
        announcer.announce("folder", "last")
        async with asyncio.timeout(10):
            await done.wait()
    assert heard == [None, "1", "last"]


async def test_after_a_lost_connection_listeners_are_told_to_look(database: Database) -> None:
    async with (
        asyncio.timeout(20),
        Announcer(database) as announcer,
        Listener(database.dsn) as listener,
        listener.subscribe("folder") as announcements,
    ):
        assert await anext(announcements) is None
        await listener.listening()
        announcer.announce("folder", "before")
        assert await anext(announcements) == "before"
        await kill_sessions(database)
        assert await anext(announcements) is None
        await listener.listening()
        announcer.announce("folder", "after")
        assert await anext(announcements) == "after"


async def test_a_slow_reader_gets_one_hint_instead_of_an_endless_queue(database: Database) -> None:
    async with (
        asyncio.timeout(20),
        Announcer(database) as announcer,
        Listener(database.dsn) as listener,
        listener.subscribe("slow") as slow,
        listener.subscribe("quick") as quick,
    ):
        await listener.listening()
        assert await anext(quick) is None
        for number in range(3000):
            announcer.announce("slow", str(number))
        announcer.announce("quick", "end")
        assert await anext(quick) == "end"
        assert await anext(slow) is None


async def test_announcing_to_a_database_that_is_away_troubles_nobody() -> None:
    class Nowhere:
        dsn = "postgresql://postroad@/postroad?host=/nonexistent"

    async with Announcer(Nowhere()) as announcer:
        for number in range(30_000):
            announcer.announce("folder", str(number))
