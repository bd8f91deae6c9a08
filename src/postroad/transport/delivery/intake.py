"""Getting jobs out of their sources into this worker's flight, keeping their leases, and giving back what is
not begun.

From a claim a job goes to its route's site, is loaded, and comes to the dispatcher; each step is one that
others need not wait for. Whatever is claimed is settled or given back, wherever it stands when the worker
stops. How mail is delivered is the dispatcher's matter.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Protocol

import structlog

from postroad.db.pool import DatabaseUnavailable
from postroad.db.tasks import Kept, TaskSupervisor
from postroad.transport.delivery.destinations import SiteName, Unreachable, is_its_own_site
from postroad.transport.delivery.inflight import MAX_BYTES_IN_FLIGHT, ClaimRoom, InFlight
from postroad.transport.delivery.presence import Presence
from postroad.transport.delivery.questions import Questions
from postroad.transport.delivery.sites import Backoff, Route, Site, Sites
from postroad.transport.delivery.source import AnyJob, AnySource, Failure, Stage

CLAIM = 500  # recipients at once
LOAD = 500  # mails loaded at once
LOAD_BYTES = MAX_BYTES_IN_FLIGHT // 4
BUSY_POLL_SECONDS = 0.5  # while something is in flight: others may have given some back
# A job that no attempt was begun for in this time is given back: another worker may do better, and nothing
# that keeps it here keeps it for ever.
LONGEST_WAIT_SECONDS = 120.0
WATCH_SECONDS = 5.0
PAUSE_SECONDS = 0.5  # after the database could not be reached

log = structlog.get_logger("postroad.transport.delivery.intake")


class Takes(Protocol):
    """Who delivers what was claimed (`dispatcher.py`)."""

    def ready(self, job: AnyJob) -> None:
        """Deliver this; it is loaded, and its site is known."""
        ...

    def fail(self, jobs: Sequence[AnyJob], failure: Failure) -> None:
        """Put these off, or give them up."""
        ...

    def withdraw(self, job: AnyJob) -> bool:
        """Take a job out of the line if it is not under way; False if it is."""
        ...

    def end(self, job: AnyJob) -> None:
        """Forget a job that is another's now, under way or not."""
        ...

    def go_on(self) -> None:
        """This worker is sure of its leases (again): what waited for that may go."""
        ...


class Finds(Protocol):
    """Who knows where routes lead (`connector.py`)."""

    async def site(self, route: str) -> SiteName:
        """Say which site a route leads to. Raises `Unreachable`."""
        ...


@dataclass(slots=True, eq=False)
class _Feed:
    """What goes on about one source.

    `lock` is held while a claim, a return or a look at leases is under way.
    """

    source: AnySource
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    to_load: deque[AnyJob] = field(default_factory=deque)
    loads: asyncio.Event = field(default_factory=asyncio.Event)
    returned: list[AnyJob] = field(default_factory=list)
    returns: asyncio.Event = field(default_factory=asyncio.Event)
    is_returned: asyncio.Event = field(default_factory=asyncio.Event)
    is_unsure: bool = False  # whether what was given back last is written


class Intake:
    """What one worker takes in."""

    def __init__(
        self,
        sources: Sequence[AnySource],
        finds: Finds,
        presence: Presence,
        in_flight: InFlight,
        sites: Sites,
        backoff: Backoff,
        tasks: TaskSupervisor,
        monotonic: Callable[[], float],
        *,
        lease: timedelta,
        poll_seconds: float,
        reap_seconds: float,
        tell_others: Callable[[], None],
    ) -> None:
        self._finds = finds
        self._presence = presence
        self._in_flight = in_flight
        self._sites = sites
        self._backoff = backoff
        self._tasks = tasks
        self._monotonic = monotonic
        self._lease = lease
        self._poll_seconds = poll_seconds
        self._reap_seconds = reap_seconds
        self._tell_others = tell_others
        self._feeds = {source: _Feed(source) for source in sources}
        self._checks = asyncio.Event()
        self._is_recalled = False
        self._recalls = 0
        self._epoch = 0
        self._is_stopping = False
        self._takes: Takes
        self._kept: list[Kept] = []
        self._lookups: set[asyncio.Task[None]] = set()
        self._questions = Questions()
        self.waited_too_long = 0  # jobs given back because nothing was begun for them in time
        for source in sources:
            in_flight.meet(source)

    # Starting and stopping

    def start(self, takes: Takes) -> None:
        """Begin to look into the sources."""
        self._takes = takes
        self._presence.on_change = self._checks.set
        self._checks.set()
        for feed in self._feeds.values():
            feed.wake.set()
            feed.is_returned.set()
            self._keep(partial(self._claiming, feed), f"{feed.source.name} claims")
            self._keep(partial(self._loading, feed), f"{feed.source.name} loads")
            self._keep(partial(self._returning, feed), f"{feed.source.name} returns")
        self._keep(self._renewing, "leases")
        self._keep(self._reaping, "reaping")
        self._keep(self._watching, "waiting mail")

    def _keep(self, work: Callable[[], Awaitable[None]], name: str) -> None:
        self._kept.append(self._tasks.keep(f"delivery: {name}", work))

    async def stop(self) -> None:
        """Take nothing more in, and give back what was not begun."""
        self._is_stopping = True
        for kept in self._kept:
            kept.end()
        for task in self._lookups:
            task.cancel()
        await asyncio.gather(*(kept.stop() for kept in self._kept))
        await asyncio.gather(*self._lookups, return_exceptions=True)
        for feed in self._feeds.values():
            self.give_back([job for job in self._of(feed) if self._takes.withdraw(job)])
            await self._return(feed)

    async def leave(self) -> None:
        """End whatever is still leased to this worker: nobody works at it any more."""
        for source in self._feeds:
            try:
                await source.leave()
            except DatabaseUnavailable as error:
                log.debug("leaving_failed", error=str(error))  # its death will be noticed

    # From outside

    @property
    def may_begin(self) -> bool:
        """Whether this worker surely has the leases that it thinks it has."""
        return not self._is_stopping and self._presence.is_held and self._presence.epoch == self._epoch

    @property
    def recalls(self) -> int:
        """How often leases were looked at because mail was recalled."""
        return self._recalls

    @property
    def oldest_wait_seconds(self) -> float:
        """How long the job has waited that has waited longest without an attempt."""
        since = min((job.since for job in self._in_flight.jobs if job.stage is Stage.WAITING), default=None)
        return 0.0 if since is None else self._monotonic() - since

    def look(self) -> None:
        """Look into the sources now."""
        for feed in self._feeds.values():
            feed.wake.set()

    def recall(self) -> None:
        """Somebody wants mail back: look which of it is not to be begun any more."""
        self._is_recalled = True
        self._checks.set()

    def take(self, job: AnyJob, *, is_certain: bool) -> None:
        """Take in a job whose room was held. Unless `is_certain`, its lease is looked at first."""
        self._in_flight.add(job, is_held=True)
        if not is_certain:
            task = asyncio.create_task(self._take_when_sure(job))
            self._lookups.add(task)
            task.add_done_callback(self._lookups.discard)
        elif job.site is None:
            self._route(job)
        else:
            self._led(job, job.site)

    def give_back(self, jobs: Iterable[AnyJob]) -> None:
        """End the leases of jobs that were not begun, soon."""
        for job in jobs:
            job.stage = Stage.RETURNING
            feed = self._feeds[job.source]
            feed.returned.append(job)
            feed.is_returned.clear()
            feed.returns.set()

    # Claiming

    def _of(self, feed: _Feed) -> list[AnyJob]:
        return [job for job in self._in_flight.jobs if job.source is feed.source]

    async def _claiming(self, feed: _Feed) -> None:
        while True:
            poll = self._poll_seconds
            if self._in_flight.recipients:
                poll = min(poll, BUSY_POLL_SECONDS)
            await _wait(feed.wake, poll)
            try:
                while await self._claim(feed):
                    pass
            except DatabaseUnavailable as error:
                log.debug("claim_failed", source=feed.source.name, error=str(error))
                await asyncio.sleep(PAUSE_SECONDS)
            except Exception:
                log.exception("claim_failed", source=feed.source.name)
                await asyncio.sleep(10 * PAUSE_SECONDS)

    async def _claim(self, feed: _Feed) -> bool:
        """Lease what is due and there is room for; True when there may be more of both."""
        source, in_flight = feed.source, self._in_flight
        most = min(CLAIM, in_flight.room(source))
        if not most or not self.may_begin:
            return False
        kept: list[AnyJob] = []
        too_much: list[AnyJob] = []
        async with feed.lock:
            if feed.is_unsure:
                return False
            claimed = await source.claim(ClaimRoom(source, in_flight, self._sites, most))
            for job in claimed:
                # Their number is known before the claim, their size is not.
                fits = not in_flight.size_bytes or (
                    in_flight.size_bytes + job.size_bytes <= MAX_BYTES_IN_FLIGHT
                )
                if not fits:
                    job.size_bytes = 0  # it will never be loaded here
                in_flight.add(job)
                (kept if fits else too_much).append(job)
        self.give_back(too_much)
        for job in kept:
            self._route(job)
        return not too_much and sum(len(job.recipients) for job in claimed) >= most

    # To the site

    def _route(self, job: AnyJob) -> None:
        if is_its_own_site(job.route):
            self._lead(job, self._sites.site(job.route))
            return
        route, now = self._sites.route(job.route), self._monotonic()
        failure = route.closed_by(now)
        if failure is not None:
            self._takes.fail([job], failure)
        elif route.looking is not None:
            route.looking.append(job)
        elif route.site is not None and route.fresh_until > now:
            self._lead(job, route.site)
        else:
            route.looking = [job]
            task = asyncio.create_task(self._find(route))
            self._lookups.add(task)
            task.add_done_callback(self._lookups.discard)

    async def _find(self, route: Route) -> None:
        async with self._questions.ask():
            await self._find_now(route)

    async def _find_now(self, route: Route) -> None:
        failure = Failure(451, "4.4.3", f"nobody can say where mail for {route.name} goes")
        found: SiteName | None = None
        try:
            found = await self._finds.site(route.name)
        except Unreachable as error:
            failure = error.failure
        except Exception:
            log.exception("looking_up_failed", route=route.name)
        finally:
            jobs = [job for job in route.looking or () if job.stage is Stage.WAITING]
            route.looking = None
        if found is None:
            log.info("route_leads_nowhere", route=route.name, status=failure.status, text=failure.text)
            if not failure.is_permanent:
                self._backoff.failed(route, failure)
            self._takes.fail(jobs, failure)
            return
        self._backoff.worked(route)
        site = self._sites.leads(route, found.name, found.good_for_seconds)
        for job in jobs:
            self._lead(job, site)

    def _lead(self, job: AnyJob, site: Site) -> None:
        if self._in_flight.takes_at(job.source, site, len(job.recipients)):
            self._in_flight.lead(job, site)
            self._led(job, site)
        else:
            self.give_back([job])

    def _led(self, job: AnyJob, site: Site) -> None:
        failure = site.closed_by(self._monotonic())
        if failure is not None:
            self._takes.fail([job], failure)  # without a look at it
        elif job.loaded is not None:
            self._takes.ready(job)
        else:
            feed = self._feeds[job.source]
            feed.to_load.append(job)
            feed.loads.set()

    # Loading

    async def _loading(self, feed: _Feed) -> None:
        while True:
            await _wait(feed.loads)
            while feed.to_load:
                batch = self._batch(feed)
                if batch:
                    await self._load(feed, batch)

    def _batch(self, feed: _Feed) -> list[AnyJob]:
        """Take the next jobs to be loaded, a few megabytes at once."""
        batch: list[AnyJob] = []
        size = 0
        now = self._monotonic()
        while feed.to_load and len(batch) < LOAD:
            job = feed.to_load[0]
            if batch and size + job.size_bytes > LOAD_BYTES:
                break
            feed.to_load.popleft()
            if job.stage is not Stage.WAITING:
                continue
            failure = None if job.site is None else job.site.closed_by(now)
            if failure is not None:
                self._takes.fail([job], failure)
                continue
            batch.append(job)
            size += job.size_bytes
        return batch

    async def _load(self, feed: _Feed, batch: Sequence[AnyJob]) -> None:
        try:
            answers = await feed.source.load(batch)
        except DatabaseUnavailable as error:
            log.debug("loading_failed", source=feed.source.name, error=str(error))
            self.give_back([job for job in batch if job.stage is Stage.WAITING])
            await asyncio.sleep(PAUSE_SECONDS)
            return
        except Exception:
            log.exception("loading_failed", source=feed.source.name)
            failure = Failure(451, "4.3.0", "the mail could not be read")
            self._takes.fail([job for job in batch if job.stage is Stage.WAITING], failure)
            return
        for job, answer in zip(batch, answers, strict=True):
            if job.stage is not Stage.WAITING:
                continue
            if isinstance(answer, Failure):
                self._takes.fail([job], answer)
            else:
                job.loaded = answer
                self._takes.ready(job)

    # Giving back

    async def _returning(self, feed: _Feed) -> None:
        while True:
            await _wait(feed.returns)
            try:
                await self._write_returns(feed)
            except DatabaseUnavailable as error:
                log.debug("giving_back_failed", source=feed.source.name, error=str(error))
                feed.returns.set()
                await asyncio.sleep(PAUSE_SECONDS)

    async def _return(self, feed: _Feed) -> None:
        try:
            await self._write_returns(feed)
        except DatabaseUnavailable as error:
            log.debug("giving_back_failed", source=feed.source.name, error=str(error))

    async def _write_returns(self, feed: _Feed) -> None:
        async with feed.lock:
            jobs = [job for job in feed.returned if job.stage is Stage.RETURNING]
            if jobs:
                # An answer that is lost may hide that they are free by now. Were one of them claimed again
                # before this is repeated, its new lease would be ended.
                was_unsure, feed.is_unsure = feed.is_unsure, True
                await feed.source.give_back(jobs)
                feed.is_unsure = False
                if was_unsure:
                    feed.wake.set()
            for job in jobs:
                self._in_flight.done(job)
        feed.returned = [job for job in feed.returned if job.stage is Stage.RETURNING]
        if not feed.returned:
            feed.is_returned.set()

    # Leases

    async def _renewing(self) -> None:
        while True:
            await _wait(self._checks, self._lease.total_seconds() / 4)
            try:
                await self._look_at_leases()
            except DatabaseUnavailable:
                self._checks.set()
                await asyncio.sleep(PAUSE_SECONDS)

    async def _look_at_leases(self) -> None:
        epoch = self._presence.epoch
        is_recall = self._is_recalled or self._presence.is_recalled
        self._is_recalled = self._presence.is_recalled = False
        try:
            recall = await self._presence.recalled() if is_recall else 0
            self._recalls += is_recall  # what was reserved before this is looked at when it is taken
            for feed in self._feeds.values():
                await self._renew(feed)
            if is_recall:
                for feed in self._feeds.values():
                    await feed.is_returned.wait()
                await self._presence.answer(recall)
        except DatabaseUnavailable:
            self._is_recalled = is_recall
            raise
        if epoch != self._epoch:
            self._epoch = epoch
            self._takes.go_on()
            self.look()

    async def _renew(self, feed: _Feed) -> None:
        async with feed.lock:
            jobs = self._of(feed)
            if not jobs:
                return
            renewal = await feed.source.renew(jobs)
        if renewal.lost:
            log.warning("leases_lost", source=feed.source.name, jobs=len(renewal.lost))
        for job in renewal.lost:
            self._takes.end(job)
        self.give_back([job for job in renewal.withdrawn if self._takes.withdraw(job)])

    async def _take_when_sure(self, job: AnyJob) -> None:
        feed = self._feeds[job.source]
        while True:
            try:
                renewal = await feed.source.renew([job])
            except DatabaseUnavailable:
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            break
        if renewal.lost:
            self._takes.end(job)
        elif renewal.withdrawn:
            self.give_back([job])
        elif job.site is None:
            self._route(job)
        else:
            self._led(job, job.site)

    async def _reaping(self) -> None:
        while True:
            await asyncio.sleep(self._reap_seconds)
            try:
                await self._presence.reap()
                for feed in self._feeds.values():
                    freed = await feed.source.free()
                    async with feed.lock:
                        freed += await feed.source.free_forgotten(self._of(feed))
                    if freed:
                        log.warning("leases_freed", source=feed.source.name, jobs=freed)
                        feed.wake.set()
            except DatabaseUnavailable:
                continue
            except Exception:
                log.exception("reaping_failed")

    async def _watching(self) -> None:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            latest = self._monotonic() - LONGEST_WAIT_SECONDS
            late = [job for job in self._in_flight.jobs if job.since < latest and self._takes.withdraw(job)]
            if late:
                log.warning("waited_too_long", jobs=len(late))
                self.waited_too_long += len(late)
                self.give_back(late)
                self._tell_others()
            if self.may_begin:
                self._takes.go_on()  # the proof of life may have been missing for a moment


async def _wait(event: asyncio.Event, seconds: float | None = None) -> None:
    """Wait for an event or so long, and clear it."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
    event.clear()
