"""Announcements reach every listener of their channel, each once and in order, and outlive lost connections.

A lost announcement may only cost time: so whoever may have missed one is told to look.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from postroad.db import notify
from postroad.db.notify import LONGEST_PAYLOAD_BYTES, QUEUE_LENGTH, Announcer, Listener
from postroad.db.pool import Database


async def kill_sessions(database: Database) -> int:
    """End the connections of announcers and listeners; returns how many there were."""
    killed = await database.fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name = 'postroad notifications'"
    )
    return len(killed)


async def heard_until(announcements: AsyncIterator[str | None], last: str) -> list[str | None]:
    """Everything that comes, up to and with `last`."""
    heard: list[str | None] = []
    async with asyncio.timeout(60):
        while not heard or heard[-1] != last:
            heard.append(await anext(announcements))
    return heard


@pytest.fixture
async def announcer(database: Database) -> AsyncIterator[Announcer]:
    async with Announcer(database) as announcer:
        yield announcer


@pytest.fixture
async def listener(database: Database) -> AsyncIterator[Listener]:
    async with Listener(database.dsn) as listener:
        yield listener


async def test_an_announcement_reaches_the_listeners_of_its_channel_once_and_in_order(
    announcer: Announcer, listener: Listener
) -> None:
    async with listener.subscribe("folder") as one, listener.subscribe("folder") as two:
        await listener.listening()
        announcer.announce("other", "not for us")
        for payload in ("1", "2", "1", "last"):
            announcer.announce("folder", payload)
        for announcements in (one, two):
            assert [each for each in await heard_until(announcements, "last") if each is not None] == [
                "1",
                "2",
                "last",
            ]


async def test_who_begins_to_listen_is_told_to_look_before_anything_else(
    announcer: Announcer, listener: Listener
) -> None:
    """What was announced before is not heard, so only looking shows it."""
    async with listener.subscribe("folder") as announcements:
        await listener.listening()
        announcer.announce("folder", "1")
        assert await heard_until(announcements, "1") == [None, "1"]


async def test_every_process_hears_every_announcement(database: Database, announcer: Announcer) -> None:
    async with (
        Listener(database.dsn) as here,
        Listener(database.dsn) as there,
        here.subscribe("folder") as one,
        there.subscribe("folder") as other,
    ):
        await here.listening()
        await there.listening()
        announcer.announce("folder", "驿路 'quoted'; \\ and so on")
        for announcements in (one, other):
            await heard_until(announcements, "驿路 'quoted'; \\ and so on")


async def test_what_is_announced_again_while_it_is_sent_is_sent_again(
    database: Database, announcer: Announcer, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be about a later commit than the first one."""
    execute = asyncpg.Connection.execute
    sending = asyncio.Event()

    async def announce_meanwhile(
        self: asyncpg.Connection[asyncpg.Record], query: str, *arguments: object, **more: object
    ) -> str:
        if "pg_notify" in query and not sending.is_set():
            sending.set()
            announcer.announce("folder", "1")
            announcer.announce("folder", "last")
        return await execute(self, query, *arguments, **more)  # type: ignore[arg-type]

    async with listener.subscribe("folder") as announcements:
        await listener.listening()
        monkeypatch.setattr(asyncpg.Connection, "execute", announce_meanwhile)
        announcer.announce("folder", "1")
        assert await heard_until(announcements, "last") == [None, "1", "1", "last"]


@pytest.mark.parametrize("round_", range(3))
async def test_after_a_lost_connection_listeners_are_told_to_look(
    database: Database, announcer: Announcer, listener: Listener, round_: int
) -> None:
    async with listener.subscribe("folder") as announcements:
        await listener.listening()
        announcer.announce("folder", "before")
        await heard_until(announcements, "before")
        assert await kill_sessions(database) == 2
        async with asyncio.timeout(60):
            assert await anext(announcements) is None
        await listener.listening()
        announcer.announce("folder", f"after {round_}")
        assert await heard_until(announcements, f"after {round_}") == [f"after {round_}"]


async def test_what_could_not_be_sent_is_sent_when_the_connection_is_back_and_nothing_twice_over(
    database: Database, announcer: Announcer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while it sends: the batch is kept, in its order, before what came since."""
    execute = asyncpg.Connection.execute
    failures = 2

    async def fail(
        self: asyncpg.Connection[asyncpg.Record], query: str, *arguments: object, **more: object
    ) -> str:
        nonlocal failures
        if "pg_notify" in query and failures:
            failures -= 1
            announcer.announce("folder", f"during {failures}")
            raise asyncpg.ConnectionDoesNotExistError("killed")
        return await execute(self, query, *arguments, **more)  # type: ignore[arg-type]

    async with Listener(database.dsn) as listener, listener.subscribe("folder") as announcements:
        await listener.listening()
        monkeypatch.setattr(asyncpg.Connection, "execute", fail)
        announcer.announce("folder", "1")
        announcer.announce("folder", "2")
        async with asyncio.timeout(60):
            await announcer.flushed()
        announcer.announce("folder", "last")
        assert await heard_until(announcements, "last") == [
            None,
            "1",
            "2",
            "during 1",
            "during 0",
            "last",
        ]


async def test_a_slow_reader_gets_one_hint_instead_of_an_endless_queue(
    announcer: Announcer, listener: Listener
) -> None:
    async with listener.subscribe("slow") as slow, listener.subscribe("quick") as quick:
        await listener.listening()
        assert await anext(quick) is None
        for number in range(MANY):
            announcer.announce("slow", str(number))
        announcer.announce("quick", "end")
        await heard_until(quick, "end")
        assert await anext(slow) is None
        rest = await heard_until(slow, str(MANY - 1))
        assert len(rest) <= QUEUE_LENGTH


async def test_one_listener_that_fails_does_not_deafen_the_others(
    announcer: Announcer, listener: Listener
) -> None:
    def fail(_payload: str | None) -> None:
        raise ValueError("a mistake")

    listener.add("folder", fail)
    async with listener.subscribe("folder") as announcements:
        await listener.listening()
        announcer.announce("folder", "1")
        await heard_until(announcements, "1")
        announcer.announce("folder", "2")
        assert await heard_until(announcements, "2") == ["2"]


async def test_who_is_removed_hears_nothing_more_and_its_channel_is_given_up(
    announcer: Announcer, listener: Listener
) -> None:
    heard: list[str | None] = []
    listener.add("gone", heard.append)
    async with listener.subscribe("kept") as announcements:
        await listener.listening()
        listener.remove("gone", heard.append)
        listener.remove("gone", heard.append)  # twice is no error
        await listener.listening()
        before = len(heard)
        announcer.announce("gone", "1")
        announcer.announce("kept", "1")
        await heard_until(announcements, "1")
        assert len(heard) == before


async def test_a_payload_that_is_too_long_is_dropped_and_holds_up_no_other(
    announcer: Announcer, listener: Listener
) -> None:
    async with listener.subscribe("folder") as announcements:
        await listener.listening()
        announcer.announce("folder", "驿" * (LONGEST_PAYLOAD_BYTES // 3 + 1))
        announcer.announce("folder", "x" * LONGEST_PAYLOAD_BYTES)
        announcer.announce("folder", "last")
        assert await heard_until(announcements, "last") == [None, "x" * LONGEST_PAYLOAD_BYTES, "last"]


MANY = (
    2 * QUEUE_LENGTH + QUEUE_LENGTH // 2
)  # not a multiple: the last one must not be the one that is too much


class Nowhere:
    dsn = "postgresql://postroad@/postroad?host=/nonexistent"


async def test_announcing_to_a_database_that_is_away_troubles_nobody_and_keeps_a_bounded_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(notify, "MOST_PENDING", 100)
    async with Announcer(Nowhere()) as announcer:
        for number in range(30_000):
            announcer.announce("folder", str(number))
        assert len(announcer._pending) == 100
        announcer.announce("folder", "7")  # known already, so it takes no room
        assert len(announcer._pending) == 100
