"""Whether the loop is alive: its lag is measured, and who holds it is named while they do.

A loop that one computation holds serves nobody: every door of the worker waits. The loop beats by itself; a
thread looks whether a beat is overdue, and then writes down where the loop's thread stands. The process's
clocks are read: how late, and how much of that the worker itself was computing (the rest it waited for a
processor that others had).
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from types import FrameType
from typing import Protocol

import structlog

BEAT_SECONDS = 0.05
LIMIT_SECONDS = 0.1  # people notice; a hundred sessions of SMTP stand still for it
QUIET_SECONDS = 1.0  # between two log lines: whoever holds the loop often is named often enough
MAX_FRAMES = 15  # innermost ones of a stack that is logged

log = structlog.get_logger("postroad.server.watchdog")


class LagCount(Protocol):
    """Counts beats of the loop."""

    def lagged(self, seconds: float, *, is_held: bool) -> None:
        """Count one that came so late; `is_held` when later than the limit."""
        ...


class Watchdog:
    """The watchdog of one worker's loop."""

    def __init__(self, count: LagCount, limit_seconds: float = LIMIT_SECONDS) -> None:
        self._count = count
        self._limit = limit_seconds
        self._due = float("inf")  # when the next beat should come, by the monotonic clock
        self._cpu_before = 0.0
        self._thread_id = 0

    async def run(self) -> None:
        """Watch the running loop until cancelled."""
        self._thread_id = threading.get_ident()
        stopped = threading.Event()
        threading.Thread(target=self._watch, args=(stopped,), name="watchdog", daemon=True).start()
        try:
            while True:
                self._cpu_before = time.process_time()
                due = self._due = time.monotonic() + BEAT_SECONDS
                await asyncio.sleep(BEAT_SECONDS)
                lag = max(time.monotonic() - due, 0.0)
                self._count.lagged(lag, is_held=lag > self._limit)
        finally:
            self._due = float("inf")
            stopped.set()

    def _watch(self, stopped: threading.Event) -> None:
        """The thread: sleeps, looks, and tells once of each beat that does not come."""
        told, quiet_until = float("inf"), 0.0
        while not stopped.wait(BEAT_SECONDS):
            due, now = self._due, time.monotonic()
            if now - due > self._limit and due != told and now >= quiet_until:
                told, quiet_until = due, now + QUIET_SECONDS
                self._tell(now - due)

    def _tell(self, late: float) -> None:
        frames = sys._current_frames()
        own = threading.get_ident()
        log.warning(
            "loop_held",
            seconds=round(late, 3),
            cpu_seconds=round(time.process_time() - self._cpu_before, 3),
            where=stack_of(frames.get(self._thread_id)),
            threads=[
                stack_of(frame)[-1:]
                for thread_id, frame in frames.items()
                if thread_id not in (self._thread_id, own)
            ],
        )


def stack_of(frame: FrameType | None) -> list[str]:
    """The innermost places of a stack, the last one being where it stands: file, line, function."""
    places: list[str] = []
    while frame is not None and len(places) < MAX_FRAMES:
        code = frame.f_code
        places.append(f"{code.co_filename.rpartition('site-packages/')[2]}:{frame.f_lineno} {code.co_name}")
        frame = frame.f_back
    return places[::-1]
