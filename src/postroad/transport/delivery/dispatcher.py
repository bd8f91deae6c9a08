"""Delivery: brings what is in hand to connections, and their outcomes to the books.

Decides when to open and close connections; holds no SQL and speaks no SMTP. Everything in hand is bounded
(`hand.py`) and leased in the database (`leasing.py`): whatever happens to this worker, others go on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from postroad.mailstore.messages import Content, Messages
from postroad.protocols.smtp.outcomes import Outcome, Verdict
from postroad.transport.delivery.connections import CannotConnect, Session
from postroad.transport.delivery.connector import Connector
from postroad.transport.delivery.destinations import Unreachable
from postroad.transport.delivery.hand import Hand
from postroad.transport.delivery.leasing import Leasing
from postroad.transport.delivery.limits import Backoff, Failure, Job, Route
from postroad.transport.delivery.outcomes import Attempted, Delivered, Result
from postroad.transport.delivery.presence import Presence
from postroad.transport.queue.rows import Leased, Queue, QueuedRecipient

MAX_RECIPIENTS = 100  # of one transaction; RFC 5321 4.5.3.1.8: every server takes 100
POLL_SECONDS = 5.0
BURY_SECONDS = 10.0
FULL_SECONDS = 2.0  # how soon a route at its limit is looked at again

log = structlog.get_logger("postroad.transport.delivery.dispatcher")


class Books(Protocol):
    """Where outcomes are written down (`settlement.py`)."""

    def put(self, attempted: Attempted, then: Callable[[], None]) -> None:
        """Write this down soon, and call `then` when it is written."""
        ...

    async def drain(self) -> None:
        """Wait until everything is written."""
        ...


@dataclass(frozen=True, slots=True)
class DispatchLimits:
    """How much one worker does at once. `lease` is renewed while mail is in hand."""

    lease: timedelta
    connections: int
    connections_per_route: int
    mails_per_connection: int
    poll_seconds: float = POLL_SECONDS
    bury_seconds: float = BURY_SECONDS


class Dispatcher:
    """Delivers. `async with` starts it; leaving drains it."""

    def __init__(
        self,
        queue: Queue,
        messages: Messages,
        connector: Connector,
        books: Books,
        presence: Presence,
        limits: DispatchLimits,
        clock: Callable[[], datetime],
        backoff: Backoff | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        tell_others: Callable[[], None] = lambda: None,
    ) -> None:
        """`tell_others` makes the other workers look into the queue: there is work this one had to leave."""
        self._connector = connector
        self._books = books
        self._presence = presence
        self._limits = limits
        self._clock = clock
        self._monotonic = monotonic
        self._tell_others = tell_others
        self._backoff = backoff or Backoff(monotonic)
        self._hand = Hand(monotonic, self.look)
        self._leasing = Leasing(
            queue,
            messages,
            presence,
            self._hand,
            clock,
            monotonic,
            lease=limits.lease,
            poll_seconds=limits.poll_seconds,
            bury_seconds=limits.bury_seconds,
        )
        self._idle: dict[str, list[Session]] = {}
        self._sessions: dict[Session, Route] = {}
        self._opening = 0
        self._opens: set[asyncio.Task[None]] = set()
        self._chores: set[asyncio.Task[None]] = set()
        self._is_stopping = False
        self._is_running = False
        self._is_quiet = asyncio.Event()  # no connection is left, while stopping
        self._keys = 0
        self._sent: dict[int, tuple[Session, Job, Leased]] = {}

    async def __aenter__(self) -> Dispatcher:
        self._is_running = True
        self._leasing.start(self)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    # Taking mail (plan.Offers, planning.Reserve)

    def reserve(self, route: str, recipients: int, size_bytes: int) -> tuple[int, datetime] | None:
        """Keep room for a mail that is about to be committed; the lease it is to be born with, None without
        room.
        """
        if self._is_stopping or not self._is_running or not self._presence.is_held:
            return None
        known = self._hand.route(route)
        if known.closed_by(self._monotonic()) or not self._hand.takes(known, recipients, size_bytes):
            return None
        self._hand.hold(known, recipients, size_bytes)
        return self._leasing.new_lease()

    def take(self, leased: Leased, content: Content) -> None:
        """Deliver what was reserved; it is committed now."""
        self.ready(Job(leased, self._leasing.born(leased), content))

    def forget(self, leased: Leased) -> None:
        """What was reserved was not committed."""
        route = self._hand.route(leased.route)
        self._hand.let_go(route, len(leased.recipients), leased.envelope.size_bytes)

    def look(self) -> None:
        """Look into the queue now: something may be due."""
        self._leasing.look()

    def reopen(self) -> None:
        """Somebody asks for a new attempt: knock again at doors that were found closed, and look."""
        for route in self._hand.routes:
            route.closed_until = 0.0
        self.look()

    @property
    def in_hand(self) -> int:
        """How many recipients this worker has leased at the moment."""
        return self._hand.recipients

    @property
    def open_connections(self) -> int:
        """How many connections are open or being opened."""
        return len(self._sessions) + self._opening

    # Leaving

    async def stop(self, seconds: float = 20.0) -> None:
        """Begin nothing new, give back what was not begun, finish what is on its way for up to `seconds`."""
        self._is_stopping = True
        await self._leasing.stop()
        for task in tuple(self._opens):
            task.cancel()  # nothing was sent there yet
        await asyncio.gather(*self._opens, *self._chores, return_exceptions=True)
        waiting = [job for route in self._hand.routes for job in route.ready]
        for route in self._hand.routes:
            route.ready.clear()
        await self._leasing.give_back(waiting)
        for session in tuple(self._sessions):
            session.quit()
        self._is_quiet.clear()
        if self._sessions:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._is_quiet.wait(), seconds)
        for session in tuple(self._sessions):
            session.abort("this server is going down")
        with suppress(TimeoutError):
            await asyncio.wait_for(self._books.drain(), seconds)
        await asyncio.gather(*self._chores, return_exceptions=True)
        self._is_running = False

    # Routes and connections

    def ready(self, job: Job) -> None:
        """Deliver this (`leasing.Takes`)."""
        route = self._hand.route(job.leased.route)
        self._hand.jobs.add(job)
        if self._is_stopping and not self._sessions:
            self._hand.done(job)
            return
        failure = route.closed_by(self._monotonic())
        if failure is not None:
            self.fail([job], failure)
            return
        route.ready.append(job)
        self._pump(route)

    def _pump(self, route: Route) -> None:
        """Bring what is ready to connections: idle ones first, new ones as far as limits allow."""
        idle = self._idle.get(route.name)
        while route.ready and idle:
            self._feed(idle.pop(), route)
        now = self._monotonic()
        while (
            len(route.ready) > route.opening
            and route.sessions < self._presence.share_of(self._limits.connections_per_route)
            and self.open_connections < self._limits.connections
            and route.full_until <= now
            # One knock at a door that was closed, until it has answered.
            and not (route.failures and route.sessions)
            and not self._is_stopping
        ):
            route.sessions += 1
            route.opening += 1
            self._opening += 1
            task = asyncio.create_task(self._open(route))
            self._opens.add(task)
            task.add_done_callback(self._opens.discard)

    async def _open(self, route: Route) -> None:
        slot: int | None = None
        session: Session | None = None
        try:
            slot = await self._presence.take_slot(route.name, self._limits.connections_per_route)
            if slot is None:
                self._full(route)
                return
            session = await self._connector.open(route.name)
        except Unreachable as error:
            self._unreachable(route, Failure(error.code, error.status, error.text))
        except CannotConnect as error:
            self._unreachable(route, error.failure)
        except Exception as error:
            log.exception("connecting_failed", route=route.name)
            self._unreachable(route, Failure(451, "4.3.0", f"internal error: {type(error).__name__}"))
        finally:
            self._opening -= 1
            route.opening -= 1
            if session is None:
                route.sessions -= 1
                if slot is not None:
                    await self._presence.give_slot(route.name, slot)
        if session is None:
            self._pump(route)
            return
        self._sessions[session] = route
        opened, taken = session, slot
        session.start(
            on_done=self._answered,
            on_room=lambda: self._feed(opened, route),
            on_closed=lambda failure: self._closed(opened, route, taken, failure),
        )

    def _full(self, route: Route) -> None:
        """Other workers have all the connections this route may see: leave it to them for a moment."""
        route.full_until = self._monotonic() + FULL_SECONDS
        asyncio.get_running_loop().call_later(FULL_SECONDS + 0.01, self._try_again, route)
        if not route.sessions > route.opening:
            # Nothing here will come to it soon; whoever has the connections can take it.
            waiting = list(route.ready)
            route.ready.clear()
            self._chore(self._return(waiting))

    def _try_again(self, route: Route) -> None:
        self._pump(route)
        self.look()  # leasing passed the route by meanwhile

    async def _return(self, jobs: Sequence[Job]) -> None:
        await self._leasing.give_back(jobs)
        self._tell_others()

    def _chore(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

    def _unreachable(self, route: Route, failure: Failure) -> None:
        """Nothing of this route can be delivered now: put all of it off, without knocking for each."""
        log.info("route_unreachable", route=route.name, status=failure.status, text=failure.text)
        if not failure.is_permanent:
            self._backoff.failed(route, failure)
        waiting = list(route.ready)
        route.ready.clear()
        self.fail(waiting, failure)

    def _feed(self, session: Session, route: Route) -> None:
        """Give a connection mail for as long as it takes more."""
        while session.wants_more:
            if session.submitted >= self._limits.mails_per_connection or self._is_stopping:
                session.quit()
                return
            job = self._next(route)
            if job is None:
                if not session.unfinished:
                    idle = self._idle.setdefault(route.name, [])
                    if session not in idle:
                        idle.append(session)
                return
            self._submit(session, route, job)

    def _next(self, route: Route) -> Job | None:
        now = self._clock()
        while route.ready:
            job = route.ready.popleft()
            if job.lease_until > now:
                return job
            log.warning("lease_ran_out", id=job.leased.envelope.id)  # somebody else has it by now
            self._hand.done(job)
        return None

    def _submit(self, session: Session, route: Route, job: Job) -> None:
        leased, content = job.leased, job.content
        assert content is not None
        most = min(MAX_RECIPIENTS, session.max_recipients or MAX_RECIPIENTS)
        if len(leased.recipients) > most:
            rest = Job(Leased(leased.envelope, leased.recipients[most:]), job.lease_until, content)
            leased = Leased(leased.envelope, leased.recipients[:most])
            self._hand.jobs.discard(job)
            job = Job(leased, job.lease_until, content)
            self._hand.jobs.add(job)
            self._hand.jobs.add(rest)
            # The bytes stay counted with the first of them.
            rest.is_counted = False
            route.ready.appendleft(rest)
        envelope = leased.envelope
        self._keys += 1
        self._sent[self._keys] = (session, job, leased)
        data = b"".join((envelope.headers, content.prefix[content.trace_offset :], content.body))
        session.submit(self._keys, envelope.as_sent(tuple(each.asked for each in leased.recipients)), data)

    # Outcomes

    def _answered(self, key: int, outcomes: tuple[Outcome, ...]) -> None:
        session, job, leased = self._sent.pop(key)
        route = self._hand.route(leased.route)
        if all(each.verdict is Verdict.DEFERRED and each.code == 0 for each in outcomes) and (
            session.answered and not self._is_stopping
        ):
            # It was in line behind another mail when the connection ended: nothing was said about it.
            route.ready.appendleft(job)
            return
        session.answered += 1
        if any(each.code for each in outcomes):
            self._backoff.worked(route)
        self._settle(
            job,
            tuple(
                (recipient, _result(outcome, session))
                for recipient, outcome in zip(leased.recipients, outcomes, strict=True)
            ),
        )

    def _closed(self, session: Session, route: Route, slot: int | None, failure: Failure | None) -> None:
        self._sessions.pop(session, None)
        if not self._sessions:
            self._is_quiet.set()
        route.sessions -= 1
        idle = self._idle.get(route.name)
        if idle is not None:
            with suppress(ValueError):
                idle.remove(session)
            if not idle:
                del self._idle[route.name]
        if slot is not None:
            self._chore(self._presence.give_slot(route.name, slot))
        # One that had nothing to send yet says nothing about the host: servers end idle connections.
        if failure is not None and session.submitted and not session.answered and not self._is_stopping:
            self._unreachable(route, failure)
        self._pump(route)
        if self.open_connections >= self._limits.connections - 1:
            for other in [each for each in self._hand.routes if each.ready]:
                self._pump(other)

    def fail(self, jobs: Sequence[Job], failure: Failure) -> None:
        """Put these off, or give them up (`leasing.Takes`)."""
        for job in jobs:
            self._settle(job, tuple((recipient, failure) for recipient in job.leased.recipients))

    def _settle(self, job: Job, results: tuple[tuple[QueuedRecipient, Result], ...]) -> None:
        self._books.put(Attempted(job.leased.envelope, results, job.content), lambda: self._hand.done(job))


def _result(outcome: Outcome, session: Session) -> Result:
    if outcome.verdict is Verdict.DELIVERED:
        return Delivered(outcome.code, outcome.status, outcome.text, session.remote, session.offers_dsn)
    code, status = outcome.code, outcome.status
    if outcome.verdict is Verdict.REFUSED:
        return Failure(
            max(code, 500), status if status.startswith("5") else "5.0.0", outcome.text, session.remote
        )
    if not 400 <= code < 500:
        code, status = 451, status if status.startswith("4") else "4.4.2"
    return Failure(code, status if status.startswith("4") else "4.0.0", outcome.text, session.remote)
