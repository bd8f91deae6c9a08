"""What one worker may begin at one site now: taken from the shared rate a batch at a time, spent at once.

Delivery goes on in callbacks and cannot wait for a statement a mail; it spends what is here, and is called
when there is more. What is not spent in time goes back to the others.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from postroad.db.pool import DatabaseUnavailable
from postroad.transport.delivery.rates import Rates
from postroad.transport.delivery.shaping import SiteLimits

DATABASE_AWAY_SECONDS = 1.0  # then it is asked again; nothing is sent on a guess meanwhile


class Allowance:
    """One site's part of this worker. Make it in the loop that uses it; `close` gives back what is left."""

    def __init__(
        self,
        rates: Rates,
        limits: SiteLimits,
        on_more: Callable[[], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`on_more` is called when `spend` has said no and may say yes now."""
        self._rates = rates
        self._limits = limits
        self._on_more = on_more
        self._monotonic = monotonic
        self._left = 0
        self._good_until = 0.0
        self._asking: asyncio.Task[None] | None = None
        self._returning: set[asyncio.Task[None]] = set()
        self._expiry: asyncio.TimerHandle | None = None
        self.opens_at = 0.0  # when more may be had, by the monotonic clock; in the past: it can be tried

    def spend(self, waiting: int = 1) -> bool:
        """Whether one mail may be begun now; if so, it is counted.

        If not, as many as `waiting` are asked for, and `on_more` is called once some may be begun.
        """
        if self._limits.mails_per_minute is None:
            return True
        if self._left and self._monotonic() < self._good_until:
            self._left -= 1
            return True
        self._return_left()
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask(max(1, waiting)), name="allowance")
        return False

    def change(self, limits: SiteLimits) -> None:
        """Other limits hold from now on; what was granted under the old ones is spent or goes back."""
        self._limits = limits
        self.opens_at = 0.0

    async def close(self) -> None:
        """Ask for nothing more, and give back what is left."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        self._return_left()
        await asyncio.gather(*self._returning, return_exceptions=True)

    async def _ask(self, wanted: int) -> None:
        try:
            while True:
                try:
                    grant = await self._rates.take(self._limits, wanted)
                except DatabaseUnavailable:
                    pause = DATABASE_AWAY_SECONDS
                else:
                    if grant.count:
                        break
                    pause = grant.wait_seconds
                self.opens_at = self._monotonic() + pause
                await asyncio.sleep(pause)
        finally:
            self._asking = None
        self._left = grant.count
        self._good_until = grant.good_until
        loop = asyncio.get_running_loop()
        self._expiry = loop.call_later(max(0.0, grant.good_until - self._monotonic()), self._return_left)
        self._on_more()

    def _return_left(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        count, self._left = self._left, 0
        if count:
            task = asyncio.create_task(self._rates.give_back(self._limits, count))
            self._returning.add(task)
            task.add_done_callback(self._returning.discard)
