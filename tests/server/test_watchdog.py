"""A loop that is held is named while it is held, and counted when it is free again."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable

import structlog
from structlog.testing import capture_logs

from postroad.server.watchdog import Watchdog, stack_of


class Counted:
    """Remembers the beats."""

    def __init__(self) -> None:
        self.beats: list[tuple[float, bool]] = []

    def lagged(self, seconds: float, *, is_held: bool) -> None:
        self.beats.append((seconds, is_held))


def hold_until(told: threading.Event) -> None:
    """Compute, and let nobody else have the loop."""
    while not told.is_set():
        sum(range(1_000))


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0.01)


async def test_the_place_that_holds_the_loop_is_logged_while_it_does_and_counted() -> None:
    counted = Counted()
    told = threading.Event()
    with capture_logs() as logs:
        watching = asyncio.create_task(Watchdog(counted).run())
        await until(lambda: len(counted.beats) > 2)

        def tell() -> None:
            while not logs:
                time.sleep(0.01)
            told.set()

        teller = threading.Thread(target=tell)
        teller.start()
        hold_until(told)  # ends only when the watchdog has spoken
        await until(lambda: any(is_held for _, is_held in counted.beats))
        watching.cancel()
    (line, *_) = [each for each in logs if each["event"] == "loop_held"]
    assert any("hold_until" in place for place in line["where"])
    assert line["seconds"] > 0.1
    assert line["cpu_seconds"] > 0
    # What a person reads at the console takes no list under the names it knows ("stack", "exception").
    assert "hold_until" in structlog.dev.ConsoleRenderer(colors=False)(None, "warning", dict(line))
    teller.join()


async def test_a_loop_that_waits_is_not_held() -> None:
    counted = Counted()
    watchdog = Watchdog(counted, limit_seconds=60)
    with capture_logs() as logs:
        watching = asyncio.create_task(watchdog.run())
        await until(lambda: len(counted.beats) > 5)
        watching.cancel()
    assert not logs
    assert not any(is_held for _, is_held in counted.beats)


def test_a_stack_ends_where_it_stands() -> None:
    places = stack_of(sys._getframe())
    assert places[-1].endswith("test_a_stack_ends_where_it_stands")
    assert stack_of(None) == []
