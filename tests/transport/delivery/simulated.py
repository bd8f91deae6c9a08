"""Delivery in simulated time: a loop whose clock jumps to whatever is next, hosts that behave as they are
told, a source in memory. Minutes cost milliseconds, and nothing depends on how busy the machine is.
"""

from __future__ import annotations

import asyncio
import random
import selectors
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

from postroad.config import ShapingRule
from postroad.db.tasks import TaskSupervisor
from postroad.message.address import Address
from postroad.protocols.smtp.envelope import Envelope, EnvelopeRecipient
from postroad.protocols.smtp.outcomes import Outcome, Stage, Verdict
from postroad.transport.delivery.connections import CannotConnect
from postroad.transport.delivery.destinations import SiteName, Unreachable
from postroad.transport.delivery.dispatcher import Dispatcher, DispatchLimits
from postroad.transport.delivery.shaping import Shaping
from postroad.transport.delivery.source import (
    Attempted,
    Failure,
    Job,
    Loaded,
    Renewal,
    Room,
    Taken,
)


class _Selector(selectors.SelectSelector):
    """Waits for nobody: the loop's clock moves instead."""

    loop: SimulatedLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if not found:
            assert timeout is not None, "nothing will ever happen again"
            self.loop.now += timeout
        return found


class SimulatedLoop(asyncio.SelectorEventLoop):
    """A loop with a clock of its own."""

    def __init__(self) -> None:
        self.now = 0.0
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        """Seconds since the beginning."""
        return self.now


def simulate(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test in simulated time."""
    loop = SimulatedLoop()
    try:
        loop.run_until_complete(work())
    finally:
        loop.close()


def now() -> float:
    """The simulated time."""
    return asyncio.get_running_loop().time()


@dataclass(frozen=True)
class Behaviour:
    """What a host does. Seconds; None is never."""

    resolves: float = 0.02
    is_known: bool = True  # to the DNS
    connects: float | None = 0.05  # None: the attempt times out after 30 s
    refuses: bool = False
    answers: float | None = 0.05  # each mail
    hangs_up: bool = False  # instead of answering


HEALTHY = Behaviour()
UNRESOLVED = Behaviour(resolves=15.0, is_known=False)
BLACK_HOLE = Behaviour(connects=None)
REFUSING = Behaviour(refuses=True)
TARPIT = Behaviour(answers=None)
SLOW = Behaviour(connects=20.0, answers=20.0)
HANGING_UP = Behaviour(hangs_up=True)
BAD = (UNRESOLVED, BLACK_HOLE, REFUSING, TARPIT, SLOW, HANGING_UP)


class FakeSession:
    """A connection to a host that behaves as it was told."""

    max_recipients: int | None = None
    offers_dsn = False

    def __init__(self, hosts: Hosts, route: str, behaviour: Behaviour) -> None:
        self._hosts = hosts
        self._route = route
        self._behaviour = behaviour
        self._under_way: deque[tuple[int, Envelope]] = deque()
        self._since = now()
        self._is_quitting = False
        self._is_closed = False
        self.is_given_up = False
        self.submitted = 0
        self.answered = 0
        self.remote = route

    @property
    def wants_more(self) -> bool:
        return len(self._under_way) < 2 and not self._is_quitting and not self._is_closed

    @property
    def unfinished(self) -> int:
        return len(self._under_way)

    @property
    def silent_seconds(self) -> float:
        return now() - self._since if self._under_way else 0.0

    def start(
        self,
        on_done: Callable[[int, tuple[Outcome, ...]], None],
        on_room: Callable[[], None],
        on_closed: Callable[[Failure | None], None],
    ) -> None:
        self._on_done, self._on_room, self._on_closed = on_done, on_room, on_closed
        on_room()

    def submit(self, key: int, envelope: Envelope, content: bytes) -> None:
        self.submitted += 1
        self._under_way.append((key, envelope))
        self._hosts.begun(self._route)
        if len(self._under_way) == 1:
            self._answer_later()

    def _answer_later(self) -> None:
        self._since = now()
        loop, behaviour = asyncio.get_running_loop(), self._behaviour
        if behaviour.hangs_up:
            loop.call_later(0.1, self._lose, "the connection was lost")
        elif behaviour.answers is None:
            loop.call_later(300.0, self._lose, "no answer in time")
        else:
            loop.call_later(behaviour.answers, self._answer)

    def _answer(self) -> None:
        if self._is_closed:
            return
        key, envelope = self._under_way.popleft()
        if self._under_way:
            self._answer_later()
        self._on_done(key, _outcomes(envelope, Verdict.DELIVERED, 250, "ok"))
        if self._is_quitting and not self._under_way:
            self._end(None)
        elif not self._is_closed:
            self._on_room()
            if not self._under_way:
                asyncio.get_running_loop().call_later(5.0, self._idle_out, self.submitted)

    def _idle_out(self, submitted: int) -> None:
        if self.submitted == submitted and not self._under_way:
            self.quit()

    def quit(self) -> None:
        self._is_quitting = True
        if not self._under_way and not self._is_closed:
            asyncio.get_running_loop().call_soon(self._end, None)

    has_sent_content = False

    def give_up(self, text: str) -> None:
        self._lose(text)

    def abort(self, text: str = "given up") -> None:
        self.is_given_up = True
        self._lose(text)

    def _lose(self, text: str) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        under_way, self._under_way = list(self._under_way), deque()
        for key, envelope in under_way:
            self._on_done(key, _outcomes(envelope, Verdict.DEFERRED, 0, text))
        self._finish(Failure(421, "4.4.2", text, self.remote))

    def _end(self, failure: Failure | None) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._finish(failure)

    def _finish(self, failure: Failure | None) -> None:
        self._hosts.open -= 1
        self._on_closed(failure)


def _outcomes(envelope: Envelope, verdict: Verdict, code: int, text: str) -> tuple[Outcome, ...]:
    return tuple(
        Outcome(each, verdict, Stage.CONTENT, code, "2.0.0" if code else "", text)
        for each in envelope.recipients
    )


class Hosts:
    """The connector: all hosts there are. A route is a host's name, or `name.site` for one of several routes
    to a site.
    """

    def __init__(self, behaviours: dict[str, Behaviour]) -> None:
        self._behaviours = behaviours
        self.open = 0
        self.most_open = 0
        self.begun_at: dict[str, list[float]] = {}

    def of(self, route: str) -> Behaviour:
        return self._behaviours[route.rpartition(".")[2]]

    async def site(self, route: str) -> SiteName:
        behaviour = self.of(route)
        await asyncio.sleep(behaviour.resolves)
        if not behaviour.is_known:
            raise Unreachable(451, "4.4.3", "no answer")
        return SiteName(route.rpartition(".")[2], 60.0)

    async def open_session(self, route: str, tls: object) -> FakeSession:
        behaviour = self.of(route)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            await asyncio.sleep(30.0 if behaviour.connects is None else behaviour.connects)
            if behaviour.connects is None or behaviour.refuses:
                raise CannotConnect(Failure(451, "4.4.1", "cannot connect", route))
        except BaseException:
            self.open -= 1
            raise
        return FakeSession(self, route, behaviour)

    def begun(self, route: str) -> None:
        self.begun_at.setdefault(route, []).append(now())


class FakePresence:
    """A worker that always lives, alone."""

    owner = 1
    epoch = 1
    is_held = True
    is_recalled = False
    on_change: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self) -> None:
        self._slots: dict[str, set[int]] = {}

    def share_of(self, limit: int) -> int:
        return limit

    async def take_slot(self, bucket: str, limit: int) -> int | None:
        await asyncio.sleep(0.001)
        taken = self._slots.setdefault(bucket, set())
        free = next((slot for slot in range(limit) if slot not in taken), None)
        if free is not None:
            taken.add(free)
        return free

    async def give_slot(self, bucket: str, slot: int) -> None:
        await asyncio.sleep(0.001)
        self._slots[bucket].remove(slot)

    async def reap(self) -> bool:
        return False

    async def recalled(self) -> int:
        return 0

    async def answer(self, recall: int) -> None:
        return None


@dataclass(frozen=True)
class To:
    """A recipient, which is also its mail."""

    number: int
    route: str
    put_at: float

    @property
    def asked(self) -> EnvelopeRecipient:
        return EnvelopeRecipient(Address(f"to{self.number}", "example"))


@dataclass
class Heap:
    """A source in memory. What is deferred comes again after five minutes."""

    name: str = "heap"
    weight: int = 8
    waiting: dict[str, deque[tuple[float, To]]] = field(default_factory=dict)
    delivered_at: dict[To, float] = field(default_factory=dict)
    leased: set[To] = field(default_factory=set)
    put_count: int = 0

    def __hash__(self) -> int:
        return id(self)

    def put(self, route: str) -> To:
        self.put_count += 1
        to = To(self.put_count, route, now())
        self.waiting.setdefault(route, deque()).append((now(), to))
        return to

    async def claim(self, room: Room) -> list[Job[To, To]]:
        await asyncio.sleep(0.002)
        due = [route for route, line in self.waiting.items() if line and line[0][0] <= now()]
        due = [route for route in due if room.of(route)]
        random.Random(len(due)).shuffle(due)
        share = max(1, -(-room.recipients // max(1, len(due))))
        jobs: list[Job[To, To]] = []
        for route in due:
            line = self.waiting[route]
            for _ in range(room.take(route, min(share, room.recipients - len(jobs)))):
                if not line or line[0][0] > now():
                    break
                to = line.popleft()[1]
                self.leased.add(to)
                jobs.append(Job(self, to, (to,), route, 1000))
        return jobs

    async def load(self, jobs: Sequence[Job[To, To]]) -> list[Loaded | Failure]:
        await asyncio.sleep(0.002)
        return [Loaded(Address("a", "here.example"), (b"x",)) for _ in jobs]

    async def renew(self, jobs: Sequence[Job[To, To]]) -> Renewal[To, To]:
        return Renewal()

    async def give_back(self, jobs: Sequence[Job[To, To]]) -> None:
        await asyncio.sleep(0.002)
        for job in jobs:
            self.leased.discard(job.mail)
            self.waiting[job.route].append((now(), job.mail))

    async def free(self) -> int:
        return 0

    async def free_forgotten(self, held: Sequence[Job[To, To]]) -> int:
        return 0

    async def leave(self) -> None:
        return None

    def settle(self, attempted: Attempted[To, To], then: Callable[[], None]) -> None:
        for to, result in attempted.results:
            self.leased.discard(to)
            if isinstance(result, Taken):
                self.delivered_at[to] = now()
            else:
                self.waiting[to.route].append((now() + 300.0, to))
        asyncio.get_running_loop().call_later(0.02, then)

    async def drain(self) -> None:
        return None


class _Opens:
    """The hosts as a connector."""

    def __init__(self, hosts: Hosts) -> None:
        self.site = hosts.site
        self.open = hosts.open_session


def dispatcher(
    hosts: Hosts,
    *sources: Heap,
    connections: int = 50,
    per_site: int = 5,
    rules: Sequence[ShapingRule] = (),
    rates: Any = None,
) -> Dispatcher:
    """A worker's dispatcher among fakes."""
    loop = asyncio.get_running_loop()
    return Dispatcher(
        sources,
        cast(Any, _Opens(hosts)),
        cast(Any, FakePresence()),
        DispatchLimits(lease=timedelta(minutes=10), connections=connections),
        Shaping(tuple(rules), connections=per_site, mails_per_connection=100),
        rates,
        TaskSupervisor(monotonic=loop.time),
        monotonic=loop.time,
    )
