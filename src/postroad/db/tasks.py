"""`TaskSupervisor`: the long-lived tasks of one process, each started again whenever it ends.

A task that dies without a word takes its service with it while everything else looks well. So what runs for
as long as the process does is kept here: begun again with backoff, counted, and named in `/readyz` while it
is down or keeps falling over. Work that ends by itself (one mail, one request) is no matter of this file.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable

import structlog

FIRST_PAUSE_SECONDS = 0.1
LAST_PAUSE_SECONDS = 30.0
STEADY_SECONDS = 60.0  # one that has lived so long is well again: its next pause is the first one
TOO_MANY = 3  # deaths within STEADY_SECONDS; one or two may be bad luck with the database

log = structlog.get_logger("postroad.tasks")


class Kept:
    """One task that is kept going."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_stopping = False
        self.is_down = False
        self.error = ""
        self.deaths: deque[float] = deque(maxlen=TOO_MANY)
        self.task: asyncio.Task[None] | None = None

    def end(self) -> None:
        """End it for good, without waiting for that. Twice is no error."""
        self.is_stopping = True
        if self.task is not None:
            self.task.cancel()

    async def stop(self) -> None:
        """End it for good, and wait until it has ended. Twice is no error."""
        self.end()
        if self.task is not None:
            await asyncio.wait([self.task])


class TaskSupervisor:
    """Keeps tasks alive. Whoever starts one stops it; the supervisor itself has no end of its own."""

    def __init__(
        self,
        restarted: Callable[[str], None] = lambda _name: None,
        *,
        first_pause_seconds: float = FIRST_PAUSE_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`restarted` hears the name of every task that died, to count it."""
        self._restarted = restarted
        self._first_pause = first_pause_seconds
        self._monotonic = monotonic
        self._kept: set[Kept] = set()

    def keep(self, name: str, work: Callable[[], Awaitable[object]]) -> Kept:
        """Run `work()` until `stop`, anew whenever it raises or returns: it is meant to do neither.

        Several tasks may have one name. `work` is called afresh, so what it holds is made anew too.
        """
        kept = Kept(name)
        self._kept.add(kept)
        kept.task = asyncio.get_running_loop().create_task(self._run(kept, work), name=name)
        kept.task.add_done_callback(lambda _: self._kept.discard(kept))
        return kept

    def troubles(self) -> dict[str, str]:
        """The tasks that are down just now, or died again and again of late: name and last error."""
        since = self._monotonic() - STEADY_SECONDS
        return {
            kept.name: kept.error
            for kept in self._kept
            if not kept.is_stopping
            and (kept.is_down or (len(kept.deaths) == TOO_MANY and kept.deaths[0] > since))
        }

    async def trouble(self) -> str | None:
        """The same in words, as a check of `/readyz`; None when all tasks are well."""
        troubles = self.troubles()
        return "; ".join(f"{name}: {error}" for name, error in sorted(troubles.items())) or None

    async def _run(self, kept: Kept, work: Callable[[], Awaitable[object]]) -> None:
        pause = self._first_pause
        while True:
            began = self._monotonic()
            try:
                await work()
                error: BaseException | None = None
            except asyncio.CancelledError as cancelled:
                # Ours when somebody asked for it; else it escaped from something that the work waited for.
                if kept.is_stopping or _is_cancelled():
                    raise
                error = cancelled
            except Exception as raised:
                error = raised
            now = self._monotonic()
            if now - began >= STEADY_SECONDS:
                pause = self._first_pause
            kept.error = _words(error)
            kept.deaths.append(now)
            kept.is_down = True
            self._restarted(kept.name)
            log.error("task_died", task=kept.name, retry_seconds=pause, exc_info=error)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LAST_PAUSE_SECONDS)
            kept.is_down = False


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _words(error: BaseException | None) -> str:
    if error is None:
        return "it ended"
    return f"{type(error).__name__}: {error}"[:200]
