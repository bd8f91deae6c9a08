"""What every worker does about tasks every second: begin those that are due, end those that are over.

And what is done when nobody did so for hours, since the server was down or this is a restored backup:
nothing that fell due meanwhile, and nothing that was under way, goes on without being asked about. It is
paused, with the reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from postroad.campaigns.sending.beginning import Beginning
from postroad.campaigns.sending.ending import Ending
from postroad.db.pool import Connection, Database, DatabaseUnavailable

LOOK_SECONDS = 1.0
SEEN_EVERY = timedelta(seconds=20)  # how exactly it is known when somebody last looked

log = structlog.get_logger("postroad.campaigns.sending.watch")

_SEEN = "SELECT seen_at, seen_at < now() - $1::interval AS is_old FROM campaign_watch"
_LOOK = "UPDATE campaign_watch SET seen_at = now()"
# A time in the past is no mistake of who asks for it: such a task is due from when it was made.
_PAUSE = """
UPDATE task SET state = -2, reason = $2
WHERE deleted_at IS NULL AND (state = 2
    OR state IN (-5, 1) AND greatest(send_at, created_at) < now() - $1::interval)
"""


class Watch:
    """Looks after the tasks of all customers. Every worker has one; rows' locks part their work."""

    def __init__(
        self,
        database: Database,
        beginning: Beginning,
        ending: Ending,
        late: timedelta,
        on_begun: Callable[[], None],
    ) -> None:
        """`late`: how long nobody may have looked. `on_begun` tells workers that there is something to
        claim.
        """
        self._database = database
        self._beginning = beginning
        self._ending = ending
        self._late = late
        self._on_begun = on_begun
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Something was asked of a task: look now."""
        self._wake.set()

    async def run(self) -> None:
        """Look, until cancelled."""
        while True:
            try:
                await self.look()
            except DatabaseUnavailable as error:
                log.debug("watch_put_off", reason=str(error))
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()

    async def look(self) -> None:
        """Do everything that is to be done now. Raises `DatabaseUnavailable`."""
        await self._look_back()
        await self._beginning.prepare_due()
        while await self._beginning.begin_next():
            self._on_begun()
        await self._ending.cancel_rest()
        await self._ending.finish()

    async def _look_back(self) -> None:
        """Say that somebody looks; and if nobody did for long, pause what is late."""
        seen = await self._database.fetchrow(_SEEN, SEEN_EVERY)
        if seen is None or seen["is_old"]:
            await self._database.commit(self._look_back_in)

    async def _look_back_in(self, connection: Connection) -> None:
        await connection.execute("SELECT FROM campaign_watch FOR UPDATE")
        seen = await connection.fetchrow(_SEEN, self._late)
        if seen is None:
            await connection.execute("INSERT INTO campaign_watch (seen_at) VALUES (now())")
            return
        if seen["is_old"]:
            status = await connection.execute(_PAUSE, self._late, _reason(seen["seen_at"]))
            if not status.endswith(" 0"):
                log.warning("late_tasks_paused", tasks=int(status.rpartition(" ")[2]))
        await connection.execute(_LOOK)


def _reason(seen_at: datetime) -> str:
    since = "" if seen_at.year < 1970 else f" since {seen_at:%Y-%m-%d %H:%M} UTC"
    return f"nothing was sent{since}: resume it if it is still to be sent"
