"""A pause or a cancellation reaches all workers before it is answered: nothing more of the run begins after
that.

What was asked for is committed already, so that `renew` calls the run's jobs withdrawn. The run's lock is
then taken once for itself (who claims has it beside others), and the workers that have chunks of the run
are recalled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from postroad.campaigns.sending.ledger import RUN_LOCK
from postroad.db.pool import Database
from postroad.transport.delivery.announcing import QUEUE_CHANNEL, Announce
from postroad.transport.delivery.recall import recall

# Workers obey within milliseconds; one that is stopped has lost its proof of life before it could begin
# anything.
WAIT_SECONDS = 5.0

log = structlog.get_logger("postroad.campaigns.sending.halting")

_OWNERS = "SELECT DISTINCT owner FROM ledger_chunk WHERE run_id = $1 AND owner IS NOT NULL"


class Halting:
    """The orders of this process (`tasks.orders`)."""

    def __init__(
        self, database: Database, announcer: Announce, on_look: Callable[[], None] = lambda: None
    ) -> None:
        """`on_look` wakes who looks after the tasks, where that is this process."""
        self._database = database
        self._announcer = announcer
        self._on_look = on_look

    def look(self) -> None:
        """Something may be due, or over."""
        self._on_look()
        self._announcer.announce(QUEUE_CHANNEL)

    async def halt(self, run_id: int) -> None:
        """Return when no worker begins anything of the run any more. Raises `DatabaseUnavailable`."""
        async with self._database.transaction() as connection:
            await connection.execute(f"SELECT pg_advisory_xact_lock({RUN_LOCK.format('$1::bigint')})", run_id)
        owners = [row["owner"] for row in await self._database.fetch(_OWNERS, run_id)]
        if not owners:
            return
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await recall(self._database, self._announcer, owners)
        except TimeoutError:
            log.warning("workers_did_not_answer", run=run_id)
