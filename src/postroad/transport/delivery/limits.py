"""What one worker knows about a route at the moment: what waits for it, and how it has behaved.

Pure bookkeeping, no I/O; the clock counts seconds and is passed in. How many connections a route may see
from all workers together is kept by `presence.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from postroad.mailstore.messages import Content
from postroad.transport.queue.rows import Leased

# After a route could not be reached at all. One worker then knocks once in this time, however much is
# waiting: Postfix marks a destination dead for minimal_backoff_time (300 s), Exim retries a host after 15
# minutes.
FIRST_BACKOFF_SECONDS = 60.0
LONGEST_BACKOFF_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class Failure:
    """What an attempt came to when it did not end in a delivery; `code` as SMTP has it."""

    code: int
    status: str
    text: str
    remote: str = ""

    @property
    def is_permanent(self) -> bool:
        """Whether trying again is pointless."""
        return self.code >= 500


@dataclass(slots=True, eq=False)
class Job:
    """A leased mail in this worker's hands. `content` is None until it is needed.

    `is_counted`: its bytes count; parts of a mail that is sent in several transactions share them.
    """

    leased: Leased
    lease_until: datetime
    content: Content | None = None
    is_counted: bool = True

    @property
    def size_bytes(self) -> int:
        """How much memory it takes, about."""
        return self.leased.envelope.size_bytes


@dataclass(slots=True)
class Route:
    """One route of this worker. `in_hand` counts recipients, `sessions` connections open or `opening`."""

    name: str
    ready: deque[Job] = field(default_factory=deque)
    in_hand: int = 0
    sessions: int = 0
    opening: int = 0
    failures: int = 0
    closed_until: float = 0.0
    full_until: float = 0.0
    failure: Failure | None = None

    @property
    def is_idle(self) -> bool:
        """Whether nothing would be lost by forgetting the route, apart from what it has taught us."""
        return not (self.in_hand or self.sessions)

    def closed_by(self, now: float) -> Failure | None:
        """What keeps the route closed at the moment, None when it may be tried."""
        return self.failure if now < self.closed_until else None


class Backoff:
    """How long a route is left alone after it could not be reached."""

    def __init__(
        self,
        monotonic: Callable[[], float],
        first_seconds: float = FIRST_BACKOFF_SECONDS,
        longest_seconds: float = LONGEST_BACKOFF_SECONDS,
    ) -> None:
        self._monotonic = monotonic
        self._first = first_seconds
        self._longest = longest_seconds

    def failed(self, route: Route, failure: Failure) -> None:
        """The route could not be reached, or refused every word."""
        route.failures += 1
        route.failure = failure
        route.closed_until = self._monotonic() + min(
            self._first * 2 ** min(route.failures - 1, 16), self._longest
        )

    def worked(self, route: Route) -> None:
        """The route took a mail, or at least answered about one."""
        route.failures = 0
        route.closed_until = 0.0
        route.failure = None
