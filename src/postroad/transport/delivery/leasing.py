"""Getting mail out of the queue into a worker's hand, keeping its leases, and giving back what is not begun.

Three loops of a worker. How mail is delivered is the dispatcher's matter; SQL is in `queue.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from postroad.db.pool import DatabaseUnavailable
from postroad.mailstore.errors import MailStoreError
from postroad.mailstore.messages import Messages
from postroad.transport.delivery.hand import MAX_BYTES_IN_HAND, MAX_PER_ROUTE, Hand
from postroad.transport.delivery.limits import Failure, Job
from postroad.transport.delivery.presence import Presence
from postroad.transport.queue.rows import Leased, Queue

CLAIM = 500  # recipients at once
READ_BYTES = MAX_BYTES_IN_HAND // 4  # contents read at once
BUSY_POLL_SECONDS = 0.5  # while there is mail in hand: others may have given some back

log = structlog.get_logger("postroad.transport.delivery.leasing")


class Takes(Protocol):
    """Who delivers what was leased."""

    def ready(self, job: Job) -> None:
        """Deliver this."""
        ...

    def fail(self, jobs: Sequence[Job], failure: Failure) -> None:
        """Put these off, or give them up."""
        ...


class Leasing:
    """Leases of one worker."""

    def __init__(
        self,
        queue: Queue,
        messages: Messages,
        presence: Presence,
        hand: Hand,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
        *,
        lease: timedelta,
        poll_seconds: float,
        bury_seconds: float,
    ) -> None:
        self._queue = queue
        self._messages = messages
        self._presence = presence
        self._hand = hand
        self._clock = clock
        self._monotonic = monotonic
        self._lease = lease
        self._poll_seconds = poll_seconds
        self._bury_seconds = bury_seconds
        self._wake = asyncio.Event()
        self._wake.set()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, takes: Takes) -> None:
        """Begin to look into the queue."""
        self._tasks = [
            asyncio.create_task(self._claiming(takes), name="queue claims"),
            asyncio.create_task(self._renewing(), name="queue leases"),
            asyncio.create_task(self._burying(), name="queue burials"),
        ]

    async def stop(self) -> None:
        """Lease nothing more, renew nothing more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def look(self) -> None:
        """Look into the queue now."""
        self._wake.set()

    def new_lease(self) -> tuple[int, datetime]:
        """Owner and end of a lease that begins now."""
        return self._presence.owner, self._clock() + self._lease

    def born(self, leased: Leased) -> datetime:
        """The end of the lease that a mail was queued with."""
        return leased.envelope.queued_at + self._lease

    async def give_back(self, jobs: Sequence[Job]) -> None:
        """End leases whose attempt was not begun. If the database cannot hear it, they run out."""
        keys = [key for job in jobs for key in keys_of(job.leased)]
        if keys:
            with suppress(DatabaseUnavailable):
                await self._queue.give_back(self._presence.owner, keys, self._clock())
        for job in jobs:
            self._hand.done(job)

    async def _claiming(self, takes: Takes) -> None:
        while True:
            poll = self._poll_seconds
            with suppress(TimeoutError):
                async with asyncio.timeout(min(poll, BUSY_POLL_SECONDS) if self._hand.recipients else poll):
                    await self._wake.wait()
            self._wake.clear()
            try:
                while await self._claim(takes):
                    pass
            except DatabaseUnavailable as error:
                log.debug("claim_failed", error=str(error))
                await asyncio.sleep(1.0)
            except Exception:
                log.exception("claim_failed")
                await asyncio.sleep(5.0)

    async def _claim(self, takes: Takes) -> bool:
        """Lease what is due and there is room for; True when there may be more of both."""
        room = min(CLAIM, self._hand.room)
        if not room or not self._presence.is_held:
            return False
        now = self._clock()
        claimed = await self._queue.claim(
            self._presence.owner, now, self._lease, room, MAX_PER_ROUTE // 2, self._hand.busy_routes()
        )
        kept: list[Job] = []
        too_much: list[Job] = []
        for leased in claimed:
            job = Job(leased, now + self._lease)
            route = self._hand.route(leased.route)
            fits = not self._hand.size_bytes or self._hand.size_bytes + job.size_bytes <= MAX_BYTES_IN_HAND
            self._hand.hold(route, len(leased.recipients), job.size_bytes)
            (kept if fits else too_much).append(job)
        if too_much:  # their number is known before the claim, their size is not
            await self.give_back(too_much)
        await self._load(kept, takes)
        return not too_much and sum(len(leased.recipients) for leased in claimed) >= room

    async def _load(self, jobs: Sequence[Job], takes: Takes) -> None:
        """Read the contents of claimed mails, a few megabytes at once, and set them going."""
        now = self._monotonic()
        wanted: list[Job] = []
        for job in jobs:
            if self._hand.route(job.leased.route).closed_by(now) is not None:
                takes.ready(job)  # it will be put off without a look at it
            else:
                wanted.append(job)
        while wanted:
            batch: list[Job] = []
            size = 0
            while wanted and (not batch or size + wanted[0].size_bytes <= READ_BYTES):
                batch.append(wanted.pop(0))
                size += batch[-1].size_bytes
            try:
                contents = await self._messages.contents([job.leased.envelope.message_id for job in batch])
            except (DatabaseUnavailable, MailStoreError) as error:
                takes.fail(batch, Failure(451, "4.3.0", f"the mail could not be read: {error}"))
                continue
            for job in batch:
                job.content = contents.get(job.leased.envelope.message_id)
                if job.content is None:
                    log.error("queued_mail_without_content", id=job.leased.envelope.id)
                    takes.fail([job], Failure(554, "5.3.0", "the mail is damaged"))
                else:
                    takes.ready(job)

    async def _renewing(self) -> None:
        pause = self._lease.total_seconds() / 4
        while True:
            await asyncio.sleep(pause)
            now = self._clock()
            old = [job for job in self._hand.jobs if job.lease_until < now + self._lease / 2]
            if not old:
                continue
            until = now + self._lease
            try:
                await self._queue.renew(
                    self._presence.owner, [key for job in old for key in keys_of(job.leased)], until
                )
            except DatabaseUnavailable:
                continue
            for job in old:
                job.lease_until = until

    async def _burying(self) -> None:
        while True:
            await asyncio.sleep(self._bury_seconds)
            try:
                if await self._presence.bury():
                    self._wake.set()
            except DatabaseUnavailable:
                continue
            except Exception:
                log.exception("burial_failed")


def keys_of(leased: Leased) -> list[tuple[int, int]]:
    """The keys of its recipients in the queue."""
    return [(leased.envelope.id, recipient.number) for recipient in leased.recipients]
