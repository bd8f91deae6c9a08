"""What one worker has in hand: leased mail by route, bounded in number and bytes.

Pure bookkeeping. Whoever holds something here has a lease in the database, or is about to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from postroad.transport.delivery.limits import Job, Route

MAX_IN_HAND = 2000  # recipients
MAX_BYTES_IN_HAND = 32 * 1024 * 1024
MAX_PER_ROUTE = 500  # recipients of one route: the others keep three quarters of the room
MAX_ROUTES_REMEMBERED = 10_000


class Hand:
    """Routes, jobs, and how much room is left. `has_room_again` is called when some came free."""

    def __init__(self, monotonic: Callable[[], float], has_room_again: Callable[[], None]) -> None:
        self._monotonic = monotonic
        self._has_room_again = has_room_again
        self._routes: dict[str, Route] = {}
        self.jobs: set[Job] = set()
        self.recipients = 0
        self.size_bytes = 0

    @property
    def routes(self) -> Iterable[Route]:
        """All routes that are remembered."""
        return self._routes.values()

    def route(self, name: str) -> Route:
        """The route of this name; those that are idle and open are forgotten when there are too many."""
        route = self._routes.get(name)
        if route is None:
            if len(self._routes) >= MAX_ROUTES_REMEMBERED:
                now = self._monotonic()
                for known in tuple(self._routes.values()):
                    if known.is_idle and known.closed_until < now:
                        del self._routes[known.name]
            route = self._routes[name] = Route(name)
        return route

    def takes(self, route: Route, recipients: int, size_bytes: int) -> bool:
        """Whether there is room for so much more, of this route."""
        return (
            self.recipients + recipients <= MAX_IN_HAND
            and (not self.size_bytes or self.size_bytes + size_bytes <= MAX_BYTES_IN_HAND)
            and (not route.in_hand or route.in_hand + recipients <= MAX_PER_ROUTE)
        )

    @property
    def room(self) -> int:
        """How many recipients more there is room for."""
        return 0 if self.size_bytes >= MAX_BYTES_IN_HAND else max(0, MAX_IN_HAND - self.recipients)

    def busy_routes(self) -> list[str]:
        """Routes that have enough to do, or must be left alone for a moment."""
        now = self._monotonic()
        return [
            route.name
            for route in self._routes.values()
            # A worker that has connections there goes on: more of them is all that it may not open.
            if (route.full_until > now and route.sessions <= route.opening)
            or route.in_hand >= MAX_PER_ROUTE // 2
        ]

    def hold(self, route: Route, recipients: int, size_bytes: int) -> None:
        """Count something in."""
        route.in_hand += recipients
        self.recipients += recipients
        self.size_bytes += size_bytes

    def let_go(self, route: Route, recipients: int, size_bytes: int) -> None:
        """Count something out."""
        was_full = self.recipients >= MAX_IN_HAND // 2 or route.in_hand >= MAX_PER_ROUTE // 2
        route.in_hand -= recipients
        self.recipients -= recipients
        self.size_bytes -= size_bytes
        if was_full and route.in_hand < MAX_PER_ROUTE // 2:
            self._has_room_again()

    def done(self, job: Job) -> None:
        """A job is finished, for better or worse."""
        self.jobs.discard(job)
        self.let_go(
            self.route(job.leased.route),
            len(job.leased.recipients),
            job.size_bytes if job.is_counted else 0,
        )
