"""Delivery: brings jobs to connections, and what became of them to their sources.

Decides when to open and close connections; holds no SQL and speaks no SMTP. Whatever comes free (a
connection, an opening, room at a site) goes to whoever can use it: sites that wait for a connection stand in
one line (`_hungry`), and hosts that keep us waiting cannot keep others waiting. Everything in flight is
bounded (`inflight.py`) and leased (`intake.py`): whatever happens to this worker, others go on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

import structlog

from postroad.db.tasks import TaskSupervisor
from postroad.protocols.smtp.outcomes import Outcome, Verdict
from postroad.transport.delivery.allowance import Allowance
from postroad.transport.delivery.connections import CannotConnect, Session
from postroad.transport.delivery.destinations import SiteName, Unreachable, is_its_own_site
from postroad.transport.delivery.inflight import InFlight
from postroad.transport.delivery.intake import Intake
from postroad.transport.delivery.presence import Presence
from postroad.transport.delivery.rates import Rates
from postroad.transport.delivery.shaping import Shaping, SiteLimits, SiteTls
from postroad.transport.delivery.sites import Backoff, Site, Sites
from postroad.transport.delivery.source import (
    AnyJob,
    AnySource,
    Attempted,
    Failure,
    Job,
    Recipient,
    Result,
    Stage,
    Taken,
)

MAX_RECIPIENTS = 100  # of one transaction; RFC 5321 4.5.3.1.8: every server takes 100
POLL_SECONDS = 5.0
REAP_SECONDS = 10.0
FULL_SECONDS = 2.0  # how soon a site at its limit is looked at again
ENOUGH_SECONDS = 30.0  # how soon one that would not have a further connection is asked again
# A host that lets us wait so long while others wait for a connection no longer counts among the connections
# that there may be; as many of these again are kept, the oldest openings beyond are given up.
SLOW_SECONDS = 3.0
SILENT_SECONDS = 60.0  # longer than honest hosts think about a whole mail, with few exceptions
LET_US_WAIT = "the host let us wait while others waited"
OLDEST_EVERY = 4  # of so many connections that come free, one is for who has waited longest
FAIR_MAILS = 20  # a connection gives its place to a site that waits for one after so many mails

log = structlog.get_logger("postroad.transport.delivery.dispatcher")


class Opens(Protocol):
    """Who opens sessions (`connector.py`)."""

    async def site(self, route: str) -> SiteName:
        """Say which site a route leads to. Raises `Unreachable`."""
        ...

    async def open(self, route: str, tls: SiteTls | None) -> Session:
        """Open a session, as securely as `tls` asks at least. Raises `Unreachable`, `CannotConnect`."""
        ...


@dataclass(frozen=True, slots=True)
class DispatchLimits:
    """How much one worker does at once. `lease`: how long a silent worker keeps its mail (`presence.py`)."""

    lease: timedelta
    connections: int
    poll_seconds: float = POLL_SECONDS
    reap_seconds: float = REAP_SECONDS


@dataclass(frozen=True, slots=True)
class DeliveryState:
    """What one worker has at the moment, for the metrics.

    `oldest_wait_seconds` is how long the job has waited that has waited longest without an attempt;
    `waited_too_long` how many jobs were given back for that so far.
    """

    recipients: int
    connections: int
    oldest_wait_seconds: float
    waited_too_long: int


@dataclass(frozen=True, slots=True)
class Reservation:
    """Room kept for a mail that is about to be committed, leased from birth to `owner`."""

    owner: int
    site: Site | None
    recalls: int


@dataclass(slots=True, eq=False)
class _Opening:
    """A connection being opened."""

    site: Site
    since: float
    task: asyncio.Task[None] | None = None


class Dispatcher:
    """Delivers. `async with` starts it; leaving drains it."""

    def __init__(
        self,
        sources: Sequence[AnySource],
        connector: Opens,
        presence: Presence,
        limits: DispatchLimits,
        shaping: Shaping,
        rates: Rates,
        tasks: TaskSupervisor,
        backoff: Backoff | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        tell_others: Callable[[], None] = lambda: None,
        watch: Callable[[Attempted[Any, Any]], None] = lambda _attempted: None,
        learn: Callable[[SiteLimits, Sequence[Result]], None] = lambda _limits, _results: None,
    ) -> None:
        """`tell_others` makes the other workers look into the sources: there is work this one had to leave.
        `watch` is told of every attempt, `learn` what a site answered.
        """
        self._sources = tuple(sources)
        self._connector = connector
        self._presence = presence
        self._limits = limits
        self._monotonic = monotonic
        self._tell_others = tell_others
        self._watch = watch
        self._learn = learn
        self._backoff = backoff or Backoff(monotonic)
        self._rates = rates
        self._sites = Sites(shaping, monotonic, self._allowance)
        self._in_flight = InFlight(self._sites, monotonic, presence.share_of, self.look)
        self._intake = Intake(
            self._sources,
            connector,
            presence,
            self._in_flight,
            self._sites,
            self._backoff,
            tasks,
            monotonic,
            lease=limits.lease,
            poll_seconds=limits.poll_seconds,
            reap_seconds=limits.reap_seconds,
            tell_others=tell_others,
        )
        self._sessions: dict[Session, Site] = {}
        self._openings: dict[_Opening, None] = {}  # in order of age
        self._unused: dict[Session, Site] = {}  # sessions without work, longest first
        self._hungry: dict[Site, None] = {}  # sites that wait for a connection, in the order they began to
        self._turns = 0
        self._slow = 0  # connections that are waited for in vain, as counted last
        self._looks_around: asyncio.TimerHandle | None = None
        self._chores: set[asyncio.Task[None]] = set()
        self._is_stopping = False
        self._is_running = False
        self._is_quiet = asyncio.Event()  # no connection is left, while stopping
        self._keys = 0
        self._sent: dict[int, tuple[Session, AnyJob]] = {}

    async def __aenter__(self) -> Dispatcher:
        self._is_running = True
        self._intake.start(self)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _allowance(self, site: Site) -> Allowance:
        return Allowance(self._rates, site.limits, lambda: self._pump(site), self._monotonic)

    # Taking mail that was leased from birth

    def reserve(self, source: AnySource, route: str, recipients: int, size_bytes: int) -> Reservation | None:
        """Keep room for a mail that is about to be committed; None without room."""
        if not self._is_running or not self._intake.may_begin:
            return None
        if not self._in_flight.takes(source, recipients, size_bytes):
            return None
        now = self._monotonic()
        site: Site | None
        if is_its_own_site(route):
            site = self._sites.site(route)
        else:
            known = self._sites.known(route)
            if known is not None and known.closed_by(now):
                return None
            site = None if known is None or known.fresh_until <= now else known.site
        if site is not None:
            if site.closed_by(now) or not self._in_flight.takes_at(source, site, recipients):
                return None
            site.in_flight += recipients
        self._in_flight.hold(recipients, size_bytes)
        return Reservation(self._presence.owner, site, self._intake.recalls)

    def take(self, job: AnyJob, reservation: Reservation) -> None:
        """Deliver what was reserved; it is committed now."""
        job.site = reservation.site
        self._intake.take(job, is_certain=reservation.recalls == self._intake.recalls)

    def forget(self, reservation: Reservation, recipients: int, size_bytes: int) -> None:
        """What was reserved was not committed."""
        self._in_flight.let_go(recipients, size_bytes, reservation.site)

    # Orders

    def look(self) -> None:
        """Look into the sources now: something may be due."""
        self._intake.look()

    def pace(self, paces: Mapping[str, int]) -> None:
        """Keep to what was learned of receivers, by bucket (`paces.py`)."""
        for site in self._sites.pace(paces):
            self._pump(site)

    def reopen(self) -> None:
        """Somebody asks for a new attempt: knock again at doors that were found closed, and look."""
        self._sites.reopen()
        for site in list(self._sites):
            if site.waiting:
                self._pump(site)
        self.look()

    def recall(self) -> None:
        """Somebody wants mail back that may be in flight here."""
        self._intake.recall()

    @property
    def in_flight(self) -> int:
        """How many recipients this worker has leased at the moment."""
        return self._in_flight.recipients

    @property
    def open_connections(self) -> int:
        """How many connections are open or being opened."""
        return len(self._sessions) + len(self._openings)

    @property
    def state(self) -> DeliveryState:
        """What this worker has at the moment."""
        return DeliveryState(
            self._in_flight.recipients,
            self.open_connections,
            self._intake.oldest_wait_seconds,
            self._intake.waited_too_long,
        )

    # Leaving

    async def stop(self, seconds: float = 20.0) -> None:
        """Begin nothing new, give back what was not begun, finish what is on its way for up to `seconds`."""
        if not self._is_running:
            return
        self._is_stopping = True
        openings = [opening.task for opening in self._openings if opening.task is not None]
        for task in openings:
            task.cancel()  # nothing was sent there yet
        await asyncio.gather(*openings, return_exceptions=True)
        await self._intake.stop()
        for session in tuple(self._sessions):
            session.quit()
        self._is_quiet.clear()
        if self._sessions:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._is_quiet.wait(), seconds)
        for session in tuple(self._sessions):
            session.abort("this server is going down")
        if self._looks_around is not None:
            self._looks_around.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for source in self._sources:
                    await source.drain()
                await self._intake.leave()
        await self._end_chores(seconds)
        await self._sites.close()
        self._is_running = False

    async def _end_chores(self, seconds: float) -> None:
        """Wait for what was left to do aside; a slot that is not given back in time ends with this worker."""
        chores = tuple(self._chores)
        if chores:
            _, late = await asyncio.wait(chores, timeout=seconds)
            for chore in late:
                chore.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    # Jobs (`intake.Takes`)

    def ready(self, job: AnyJob) -> None:
        """Deliver this; it is loaded, and its site is known."""
        site = job.site
        assert site is not None
        failure = site.closed_by(self._monotonic())
        if failure is not None:
            self.fail([job], failure)
            return
        site.add(job)
        self._pump(site)

    def fail(self, jobs: Sequence[AnyJob], failure: Failure) -> None:
        """Put these off, or give them up."""
        for job in jobs:
            if job.stage is Stage.WAITING:
                self._settle(job, tuple((recipient, failure) for recipient in job.recipients))

    def withdraw(self, job: AnyJob) -> bool:
        """Take a job out of the line if it is not under way; False if it is."""
        if job.stage is not Stage.WAITING:
            return False
        if job.site is not None:
            job.site.remove(job)
        return True

    def end(self, job: AnyJob) -> None:
        """Forget a job that is another's now; what is under way ends with its connection."""
        if job.stage is Stage.SETTLING:
            return  # what became of it is known, and worth writing down
        self.withdraw(job)
        self._in_flight.done(job)
        for session in {session for session, sent in self._sent.values() if sent is job}:
            session.abort("another server delivers this mail")

    def go_on(self) -> None:
        """This worker is sure of its leases (again): what waited for that may go."""
        for site in list(self._sites):
            if site.waiting:
                self._pump(site)

    # Connections

    def _pump(self, site: Site) -> None:
        """Bring what is ready to connections: idle ones first, new ones as far as limits allow."""
        for session in tuple(site.idle):
            if not site.may_begin(self._monotonic()) or not self._intake.may_begin:
                break
            if self._unused.pop(session, None) is not None:
                site.idle.remove(session)
                self._feed(session, site)
        self._hungry.pop(site, None)
        while self._wants_connection(site):
            if not self._has_capacity():
                self._wait_for_capacity(site)
                return
            self._begin_opening(site)

    def _wants_connection(self, site: Site) -> bool:
        now = self._monotonic()
        return (
            site.waiting > site.opening
            and site.sessions < self._presence.share_of(site.limits.connections)
            and site.full_until <= now
            and site.may_begin(now)
            and not site.idle
            # One knock at a door that was closed, until it has answered.
            and not (site.failures and site.sessions)
            and self._intake.may_begin
            and not self._is_stopping
        )

    def _has_capacity(self) -> bool:
        return self.open_connections - min(self._slow, self._limits.connections) < self._limits.connections

    def _wait_for_capacity(self, site: Site) -> None:
        """All connections are taken: stand in line, and have those looked at that are of no use."""
        self._hungry[site] = None
        if self._unused:
            session = next(iter(self._unused))
            self._unused.pop(session).idle.remove(session)
            session.quit()
        if self._looks_around is None:
            self._looks_around = asyncio.get_running_loop().call_later(1.0, self._look_around)

    def _look_around(self) -> None:
        """Count the hosts that keep us waiting while others wait for a connection."""
        self._looks_around = None
        if not self._hungry or self._is_stopping:
            return
        now = self._monotonic()
        silent: dict[Session | _Opening, float] = {
            opening: now - opening.since for opening in self._openings if now - opening.since >= SLOW_SECONDS
        }
        silent |= {
            session: seconds
            for session in self._sessions
            if (seconds := session.silent_seconds) >= SLOW_SECONDS
        }
        self._slow = len(silent)
        too_many = self._slow - self._limits.connections
        for one in sorted(silent, key=silent.__getitem__, reverse=True)[: max(0, too_many)]:
            self._give_up(one, silent[one])
        self._serve_hungry()
        if self._hungry and self._looks_around is None:
            self._looks_around = asyncio.get_running_loop().call_later(1.0, self._look_around)

    def _most_urgent(self) -> Site:
        """Who of those in line opens the next connection.

        Those go first who have the heavier mail and are known to work: they are soon done. Every so often it
        is whoever has waited longest, so that nobody waits for ever.
        """
        self._turns += 1
        if self._turns % OLDEST_EVERY == 0:
            return next(iter(self._hungry))
        return max(self._hungry, key=lambda site: (site.weight, site.has_worked))

    def _give_up(self, silent: Session | _Opening, seconds: float) -> None:
        """End what keeps others waiting, unless a mail might arrive twice for it."""
        if isinstance(silent, _Opening):
            if silent.task is not None:
                silent.task.cancel()
        elif not silent.has_sent_content or seconds >= SILENT_SECONDS:
            silent.give_up(LET_US_WAIT)

    def _serve_hungry(self) -> None:
        """A connection came free: let those open one who wait for it, the most urgent first."""
        while self._hungry and self._has_capacity():
            site = self._most_urgent()
            del self._hungry[site]
            if self._wants_connection(site):
                self._begin_opening(site)
                if self._wants_connection(site):
                    self._hungry[site] = None  # one each, then the next

    def _begin_opening(self, site: Site) -> None:
        site.sessions += 1
        site.opening += 1
        opening = _Opening(site, self._monotonic())
        self._openings[opening] = None
        opening.task = asyncio.create_task(self._open(opening))

    async def _open(self, opening: _Opening) -> None:
        site = opening.site
        slot: int | None = None
        session: Session | None = None
        failure: Failure | None = None
        try:
            slot = await self._take_slot(site)
            if slot is None:
                self._full(site)
            elif site.waiting:  # any route that leads to the site will do: what waits there knows one
                session = await self._connector.open(site.first.route, site.limits.tls)
        except (Unreachable, CannotConnect) as error:
            failure = error.failure
        except asyncio.CancelledError:
            if not self._is_stopping:
                failure = Failure(451, "4.4.1", LET_US_WAIT)
        except Exception as error:
            log.exception("connecting_failed", site=site.name)
            failure = Failure(451, "4.3.0", f"internal error: {type(error).__name__}")
        finally:
            del self._openings[opening]
            site.opening -= 1
            if session is None:
                site.sessions -= 1
                if slot is not None:
                    self._chore(self._presence.give_slot(site.limits.bucket, slot))
        if session is None:
            if failure is not None:
                self._unreachable(site, failure)
            self._freed(site)
            return
        self._sessions[session] = site
        opened, taken = session, slot
        session.start(
            on_done=self._answered,
            on_room=lambda: self._feed(opened, site),
            on_closed=lambda failure: self._closed(opened, site, taken, failure),
        )

    async def _take_slot(self, site: Site) -> int | None:
        limits = site.limits
        taking = asyncio.ensure_future(self._presence.take_slot(limits.bucket, limits.connections))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            self._chore(self._give_slot_of(site, taking))
            raise

    async def _give_slot_of(self, site: Site, taking: asyncio.Future[int | None]) -> None:
        slot = await taking
        if slot is not None:
            await self._presence.give_slot(site.limits.bucket, slot)

    def _full(self, site: Site) -> None:
        """Other workers have all the connections this site may see: leave it to them for a moment."""
        site.full_until = self._monotonic() + FULL_SECONDS
        asyncio.get_running_loop().call_later(FULL_SECONDS + 0.01, self._try_again, site)
        if not site.sessions > site.opening:
            # Nothing here will come to it soon; whoever has the connections can take it.
            self._intake.give_back(site.clear())
            self._tell_others()

    def _try_again(self, site: Site) -> None:
        self._pump(site)
        self.look()  # it was passed by meanwhile

    def _chore(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

    def _freed(self, site: Site) -> None:
        """A connection of this site is no more: whoever can use what it leaves has it."""
        self._slow = min(self._slow, self.open_connections)
        self._pump(site)
        self._serve_hungry()

    def _unreachable(self, site: Site, failure: Failure) -> None:
        """Nothing can be delivered to this site now: put all of it off, without knocking for each."""
        log.info("site_unreachable", site=site.name, status=failure.status, text=failure.text)
        if site.sessions > site.opening:
            # It works with others of ours: so many connections it wants, and no more for a while.
            site.full_until = self._monotonic() + ENOUGH_SECONDS
            asyncio.get_running_loop().call_later(ENOUGH_SECONDS + 0.01, self._try_again, site)
            return
        if not failure.is_permanent:
            self._backoff.failed(site, failure)
        self.fail(site.clear(), failure)

    def _closed(self, session: Session, site: Site, slot: int | None, failure: Failure | None) -> None:
        self._sessions.pop(session, None)
        if not self._sessions:
            self._is_quiet.set()
        site.sessions -= 1
        if self._unused.pop(session, None) is not None:
            site.idle.remove(session)
        if slot is not None:
            self._chore(self._presence.give_slot(site.limits.bucket, slot))
        # One that had nothing to send yet says nothing about the host: servers end idle connections.
        is_their_doing = failure is not None and not session.is_given_up and not self._is_stopping
        if failure is not None and is_their_doing and session.submitted and not session.answered:
            self._unreachable(site, failure)
        self._freed(site)

    # Mails

    def _feed(self, session: Session, site: Site) -> None:
        """Give a connection mail for as long as it takes more."""
        while session.wants_more:
            if self._should_quit(session, site):
                session.quit()
                return
            job = site.next() if self._intake.may_begin else None
            if job is None:
                if not session.unfinished and session not in self._unused:
                    self._unused[session] = site
                    site.idle.append(session)
                return
            self._submit(session, site, job)

    def _should_quit(self, session: Session, site: Site) -> bool:
        if session.submitted >= site.limits.mails_per_connection or self._is_stopping:
            return True
        if not session.submitted:
            return False
        if site.sessions > self._presence.share_of(site.limits.connections):
            return True  # another worker came, and has a right to it
        if not self._hungry:
            return False
        heaviest = max(each.weight for each in self._hungry)
        return not site.waiting or session.submitted >= FAIR_MAILS or heaviest > site.weight

    def _submit(self, session: Session, site: Site, job: AnyJob) -> None:
        loaded = job.loaded
        assert loaded is not None
        most = min(MAX_RECIPIENTS, session.max_recipients or MAX_RECIPIENTS)
        if len(job.recipients) > most:
            site.add(self._split(job, most), is_first=True)
        job.stage = Stage.UNDER_WAY
        self._keys += 1
        self._sent[self._keys] = (session, job)
        session.submit(self._keys, loaded.envelope(job.recipients), b"".join(loaded.pieces))

    def _split(self, job: AnyJob, most: int) -> AnyJob:
        """Leave a job so many recipients, and return one for the rest; the bytes stay counted with the
        first.
        """
        rest: AnyJob = Job(job.source, job.mail, job.recipients[most:], job.route, 0, job.age, job.loaded)
        rest.site, rest.since, rest.claimed_at = job.site, job.since, job.claimed_at
        job.recipients = job.recipients[:most]
        self._in_flight.jobs.add(rest)  # counted in already
        return rest

    # Outcomes

    def _answered(self, key: int, outcomes: tuple[Outcome, ...]) -> None:
        session, job = self._sent.pop(key)
        site = job.site
        assert site is not None
        if job.stage is not Stage.UNDER_WAY:
            return  # it is another's by now
        if all(each.verdict is Verdict.DEFERRED and each.code == 0 for each in outcomes) and (
            (session.answered or session.is_given_up) and not self._is_stopping
        ):
            # It was in line behind another mail when the connection ended: nothing was said about it.
            job.stage, job.since = Stage.WAITING, self._monotonic()
            site.add(job, is_first=True)
            return
        session.answered += 1
        if any(each.code for each in outcomes):
            self._backoff.worked(site)
        results = tuple(_result(outcome, session) for outcome in outcomes)
        self._learn(site.limits, results)
        self._settle(job, tuple(zip(job.recipients, results, strict=True)))

    def _settle(self, job: AnyJob, results: tuple[tuple[Recipient, Result], ...]) -> None:
        job.stage = Stage.SETTLING
        age = job.age + timedelta(seconds=self._monotonic() - job.claimed_at)
        attempted = Attempted(job.mail, results, age, job.loaded)
        self._watch(attempted)
        job.source.settle(attempted, lambda: self._written(job))

    def _written(self, job: AnyJob) -> None:
        self._in_flight.done(job)


def _result(outcome: Outcome, session: Session) -> Result:
    if outcome.verdict is Verdict.DELIVERED:
        return Taken(outcome.code, outcome.status, outcome.text, session.remote, session.offers_dsn)
    code, status = outcome.code, outcome.status
    if outcome.verdict is Verdict.REFUSED:
        return Failure(
            max(code, 500), status if status.startswith("5") else "5.0.0", outcome.text, session.remote
        )
    if not 400 <= code < 500:
        code, status = 451, status if status.startswith("4") else "4.4.2"
    return Failure(code, status if status.startswith("4") else "4.0.0", outcome.text, session.remote)
