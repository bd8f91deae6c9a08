"""Where mail really goes: routes lead to sites, and what is known of a site is kept here.

A *route* is what a source says: a recipient's domain, an address literal, the smart host. A *site* is the set
of MX hosts behind it (`destinations.py`): a thousand domains of one provider are one site, and its limits,
backoff, connections and rates are shared by all of them. Bookkeeping only; the clock counts seconds and is
passed in. How many connections a site may see from all workers together is kept by `presence.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from postroad.transport.delivery.allowance import Allowance
from postroad.transport.delivery.connections import Session
from postroad.transport.delivery.shaping import Shaping, SiteLimits
from postroad.transport.delivery.source import AnyJob, AnySource, Failure

# After a site could not be reached at all. One worker then knocks once in this time, however much is
# waiting: Postfix marks a destination dead for minimal_backoff_time (300 s), Exim retries a host after 15
# minutes.
FIRST_BACKOFF_SECONDS = 60.0
LONGEST_BACKOFF_SECONDS = 900.0
MAX_REMEMBERED = 10_000  # sites, and routes


class Line:
    """Jobs that wait, of several sources: each source's in their order, the sources by their weights.

    Whoever has weight 8 beside 1 goes eight times as often, and never waits for more than one of the other's.
    """

    __slots__ = ("_by_source", "_credit", "_jobs")

    def __init__(self) -> None:
        self._by_source: dict[AnySource, deque[AnyJob]] = {}
        self._credit: dict[AnySource, int] = {}
        self._jobs = 0

    def __len__(self) -> int:
        return self._jobs

    @property
    def weight(self) -> int:
        """The largest of those who wait."""
        return max((source.weight for source in self._by_source), default=0)

    @property
    def first(self) -> AnyJob:
        """One of those who wait; there must be one."""
        return next(iter(self._by_source.values()))[0]

    def append(self, job: AnyJob) -> None:
        """Add a job behind those of its source."""
        self._of(job.source).append(job)
        self._jobs += 1

    def append_first(self, job: AnyJob) -> None:
        """Add a job in front of those of its source."""
        self._of(job.source).appendleft(job)
        self._jobs += 1

    def pop(self) -> AnyJob:
        """Take the next job; there must be one."""
        source = next(iter(self._by_source)) if len(self._by_source) == 1 else self._turn()
        jobs = self._by_source[source]
        job = jobs.popleft()
        self._jobs -= 1
        if not jobs:
            self._forget(source)
        return job

    def remove(self, job: AnyJob) -> bool:
        """Take a job out, wherever it stands; False if it does not."""
        jobs = self._by_source.get(job.source)
        if jobs is None or job not in jobs:
            return False
        jobs.remove(job)
        self._jobs -= 1
        if not jobs:
            self._forget(job.source)
        return True

    def clear(self) -> list[AnyJob]:
        """Take all of them out."""
        taken = [job for jobs in self._by_source.values() for job in jobs]
        self._by_source.clear()
        self._credit.clear()
        self._jobs = 0
        return taken

    def _of(self, source: AnySource) -> deque[AnyJob]:
        jobs = self._by_source.get(source)
        if jobs is None:
            jobs = self._by_source[source] = deque()
            self._credit[source] = 0
        return jobs

    def _forget(self, source: AnySource) -> None:
        del self._by_source[source]
        del self._credit[source]

    def _turn(self) -> AnySource:
        # Smooth weighted round robin (as nginx shares out requests): each gains its weight, who has most
        # goes and pays the sum.
        for source in self._by_source:
            self._credit[source] += source.weight
        chosen = max(self._by_source, key=self._credit.__getitem__)
        self._credit[chosen] -= sum(source.weight for source in self._by_source)
        return chosen


@dataclass(slots=True, eq=False)
class Site:
    """One site of this worker, as the rules of the settings part it (`shaping.py`).

    `ready` are the jobs that can be sent, `exempt` those that no rate concerns: notices, with their null
    senders. `in_flight` counts recipients, `sessions` connections open or `opening`. `allowance` is what may
    be begun now, None where there is no rate.
    """

    limits: SiteLimits
    rule: SiteLimits | None = None  # what held before a pace was learned
    allowance: Allowance | None = None
    ready: Line = field(default_factory=Line)
    exempt: Line = field(default_factory=Line)
    idle: list[Session] = field(default_factory=list)
    in_flight: int = 0
    sessions: int = 0
    opening: int = 0
    failures: int = 0
    closed_until: float = 0.0
    full_until: float = 0.0
    failure: Failure | None = None
    has_worked: bool = False  # when it was last heard of

    @property
    def name(self) -> str:
        """The MX hosts' names, and the rule that holds; the smart host's route; an address literal."""
        return self.limits.site

    @property
    def waiting(self) -> int:
        """How many jobs wait for a connection."""
        return len(self.ready) + len(self.exempt)

    @property
    def weight(self) -> int:
        """The largest of those who wait."""
        return max(self.ready.weight, self.exempt.weight)

    @property
    def first(self) -> AnyJob:
        """One of those who wait; there must be one."""
        return self.exempt.first if self.exempt else self.ready.first

    def may_begin(self, now: float) -> bool:
        """Whether anything that waits may be begun, as far as rates are known."""
        if self.exempt or self.allowance is None:
            return bool(self.waiting)
        return bool(self.ready) and self.allowance.opens_at <= now

    def next(self) -> AnyJob | None:
        """Take the next job that may be begun now; the allowance says when there is more."""
        if self.exempt:
            return self.exempt.pop()
        if self.ready and (self.allowance is None or self.allowance.spend(len(self.ready))):
            return self.ready.pop()
        return None

    def add(self, job: AnyJob, *, is_first: bool = False) -> None:
        """Let a loaded job wait."""
        is_exempt = self.allowance is not None and job.loaded is not None and job.loaded.sender is None
        line = self.exempt if is_exempt else self.ready
        if is_first:
            line.append_first(job)
        else:
            line.append(job)

    def remove(self, job: AnyJob) -> None:
        """Take a job out of the line, if it stands there."""
        if not self.ready.remove(job):
            self.exempt.remove(job)

    def clear(self) -> list[AnyJob]:
        """Take out all that wait."""
        return self.exempt.clear() + self.ready.clear()

    @property
    def is_unused(self) -> bool:
        """Whether nothing would be lost by forgetting it, apart from what it has taught us."""
        return not (self.in_flight or self.sessions)

    def closed_by(self, now: float) -> Failure | None:
        """What keeps the site closed at the moment, None when it may be tried."""
        return self.failure if now < self.closed_until else None


@dataclass(slots=True, eq=False)
class Route:
    """Where a route leads, as far as is known: to `site`, which may be old news after `fresh_until`.

    `looking` are the jobs that wait for the answer. A route of which the DNS says that it leads nowhere is
    closed like a site that cannot be reached.
    """

    name: str
    site: Site | None = None
    fresh_until: float = 0.0
    looking: list[AnyJob] | None = None
    failures: int = 0
    closed_until: float = 0.0
    failure: Failure | None = None

    def closed_by(self, now: float) -> Failure | None:
        """What keeps the route closed at the moment, None when it may be asked about."""
        return self.failure if now < self.closed_until else None


class Backoff:
    """How long a site or a route is left alone after it failed."""

    def __init__(
        self,
        monotonic: Callable[[], float],
        first_seconds: float = FIRST_BACKOFF_SECONDS,
        longest_seconds: float = LONGEST_BACKOFF_SECONDS,
    ) -> None:
        self._monotonic = monotonic
        self._first = first_seconds
        self._longest = longest_seconds

    def failed(self, which: Site | Route, failure: Failure) -> None:
        """It could not be reached, or refused every word."""
        which.failures += 1
        which.failure = failure
        if isinstance(which, Site):
            which.has_worked = False
        which.closed_until = self._monotonic() + min(
            self._first * 2 ** min(which.failures - 1, 16), self._longest
        )

    def worked(self, which: Site | Route) -> None:
        """It took a mail, or at least answered about one."""
        which.failures = 0
        which.closed_until = 0.0
        which.failure = None
        if isinstance(which, Site):
            which.has_worked = True


class Sites:
    """All sites and routes that this worker remembers, bounded."""

    def __init__(
        self,
        shaping: Shaping,
        monotonic: Callable[[], float],
        allow: Callable[[Site], Allowance],
    ) -> None:
        """`allow` makes the allowance of a site that has a rate."""
        self._shaping = shaping
        self._monotonic = monotonic
        self._allow = allow
        self._sites: dict[str, Site] = {}
        self._routes: dict[str, Route] = {}
        self._paces: Mapping[str, int] = {}

    def __iter__(self) -> Iterator[Site]:
        return iter(self._sites.values())

    def site(self, name: str, domain: str = "") -> Site:
        """The site of this name, as the rules part it for mail to a domain.

        Those that are unused and open are forgotten when there are too many.
        """
        limits = self._shaping.limits(name, domain)
        site = self._sites.get(limits.site)
        if site is None:
            if len(self._sites) >= MAX_REMEMBERED:
                now = self._monotonic()
                gone = {
                    each
                    for each in self
                    if each.is_unused and each.closed_until < now and each.allowance is None
                }
                self._sites = {key: each for key, each in self._sites.items() if each not in gone}
                self._routes = {key: each for key, each in self._routes.items() if each.site not in gone}
            site = self._sites[limits.site] = Site(self._slowed(limits))
            if site.limits.mails_per_minute is not None:
                site.allowance = self._allow(site)
        return site

    def pace(self, paces: Mapping[str, int]) -> list[Site]:
        """Keep to what was learned (`paces.py`), by bucket; returns the sites for which that is something
        new.
        """
        self._paces = paces
        changed = []
        for site in self._sites.values():
            limits = self._slowed(site.rule or site.limits)
            if limits == site.limits:
                continue
            site.rule, site.limits = site.rule or site.limits, limits
            if site.allowance is None:
                site.allowance = self._allow(site)
            else:
                site.allowance.change(limits)
            changed.append(site)
        return changed

    def _slowed(self, limits: SiteLimits) -> SiteLimits:
        pace = self._paces.get(limits.bucket)
        if pace is None or pace >= (limits.mails_per_minute or pace + 1):
            return limits
        return replace(limits, mails_per_minute=pace)

    def known(self, name: str) -> Route | None:
        """The route of this name, if it was met before."""
        return self._routes.get(name)

    def route(self, name: str) -> Route:
        """The route of this name."""
        route = self._routes.get(name)
        if route is None:
            if len(self._routes) >= MAX_REMEMBERED:
                now = self._monotonic()
                self._routes = {
                    key: each
                    for key, each in self._routes.items()
                    if each.looking is not None or max(each.fresh_until, each.closed_until) > now
                }
            route = self._routes[name] = Route(name)
        return route

    def leads(self, route: Route, name: str, good_for_seconds: float) -> Site:
        """Remember which site a route leads to, for as long as the DNS says."""
        route.site = self.site(name, route.name)
        route.fresh_until = self._monotonic() + good_for_seconds
        return route.site

    async def close(self) -> None:
        """Give back what was granted and not used."""
        for site in self._sites.values():
            if site.allowance is not None:
                await site.allowance.close()

    def reopen(self) -> None:
        """Let everything be tried again that was found closed."""
        for site in self._sites.values():
            site.closed_until = 0.0
        for route in self._routes.values():
            route.closed_until = 0.0
