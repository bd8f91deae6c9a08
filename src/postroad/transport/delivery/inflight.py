"""What one worker has in flight: leased jobs, bounded in number and bytes, as a whole, by source and by site.

Pure bookkeeping. Whoever holds something here has a lease in the database, or is about to.
"""

from __future__ import annotations

from collections.abc import Callable

from postroad.transport.delivery.sites import Site, Sites
from postroad.transport.delivery.source import AnyJob, AnySource, Stage

MAX_IN_FLIGHT = 2000  # recipients
MAX_BYTES_IN_FLIGHT = 32 * 1024 * 1024
MAX_PER_SITE = 500  # recipients of one site: the others keep three quarters of the room
MIN_PER_SITE = 4  # so that a slow rate is not asked for mail by mail
_MARKS = (MAX_PER_SITE // 2, MAX_PER_SITE * 3 // 4)  # where a site has room for another claim again
# A source with less weight than another leaves so much of the room to it, always.
KEPT_FOR_HEAVIER = 0.25


class InFlight:
    """Jobs, and how much room is left. `has_room_again` is called when some came free."""

    def __init__(
        self,
        sites: Sites,
        monotonic: Callable[[], float],
        share_of: Callable[[int], int],
        has_room_again: Callable[[], None],
    ) -> None:
        """`share_of` says what is this worker's part of something that all share."""
        self._sites = sites
        self._monotonic = monotonic
        self._share_of = share_of
        self._has_room_again = has_room_again
        self._heaviest = 0
        self.jobs: set[AnyJob] = set()
        self.recipients = 0
        self.size_bytes = 0

    def meet(self, source: AnySource) -> None:
        """Learn of a source."""
        self._heaviest = max(self._heaviest, source.weight)

    # Room

    def room(self, source: AnySource) -> int:
        """How many recipients more there is room for, of this source."""
        if self.size_bytes >= self._share(source, MAX_BYTES_IN_FLIGHT):
            return 0
        return max(0, self._share(source, MAX_IN_FLIGHT) - self.recipients)

    def takes(self, source: AnySource, recipients: int, size_bytes: int) -> bool:
        """Whether there is room for so much more."""
        return self.recipients + recipients <= self._share(source, MAX_IN_FLIGHT) and (
            not self.size_bytes or self.size_bytes + size_bytes <= self._share(source, MAX_BYTES_IN_FLIGHT)
        )

    def room_at(self, source: AnySource, site: Site) -> int:
        """How many recipients more of a site there is room for: none while it has enough to do."""
        most = self._most_at(source, site)
        room = most - site.in_flight
        return 0 if room < most // 4 or self.is_full(site) else room

    def takes_at(self, source: AnySource, site: Site, recipients: int) -> bool:
        """Whether a site has room for so many more; a mail larger than that goes alone."""
        return not site.in_flight or site.in_flight + recipients <= self._most_at(source, site)

    def is_full(self, site: Site) -> bool:
        """Whether other workers have the connections that the site may see.

        A worker that has connections there goes on: more of them is all that it may not open.
        """
        return site.full_until > self._monotonic() and site.sessions <= site.opening

    def _most_at(self, source: AnySource, site: Site) -> int:
        rate = site.limits.mails_per_minute
        most = MAX_PER_SITE
        if rate is not None:  # no more than goes out in half a minute: the rest can wait where it is
            most = min(most, max(MIN_PER_SITE, self._share_of(rate) // 2))
        return self._share(source, most)

    def _share(self, source: AnySource, whole: int) -> int:
        return whole if source.weight >= self._heaviest else int(whole * (1 - KEPT_FOR_HEAVIER))

    # Counting

    def hold(self, recipients: int, size_bytes: int) -> None:
        """Count something in that is no job yet."""
        self.recipients += recipients
        self.size_bytes += size_bytes

    def let_go(self, recipients: int, size_bytes: int, site: Site | None = None) -> None:
        """Count something out."""
        was_full = self.recipients >= MAX_IN_FLIGHT // 2 or self.size_bytes >= MAX_BYTES_IN_FLIGHT // 2
        self.recipients -= recipients
        self.size_bytes -= size_bytes
        if site is not None:
            before = site.in_flight
            site.in_flight -= recipients
            was_full |= any(site.in_flight < mark <= before for mark in _MARKS)
        if was_full:
            self._has_room_again()

    def add(self, job: AnyJob, *, is_held: bool = False) -> None:
        """Count a job in; with `is_held` its room was held before."""
        job.claimed_at = job.since = self._monotonic()
        self.jobs.add(job)
        if not is_held:
            self.hold(len(job.recipients), job.size_bytes)

    def lead(self, job: AnyJob, site: Site) -> None:
        """Count a job in at its site."""
        job.site = site
        site.in_flight += len(job.recipients)

    def done(self, job: AnyJob) -> bool:
        """A job is finished, for better or worse; False if it was before."""
        if job.stage is Stage.DONE:
            return False
        job.stage = Stage.DONE
        self.jobs.discard(job)
        self.let_go(len(job.recipients), job.size_bytes, job.site)
        return True


class ClaimRoom:
    """The room of one claim (`source.Room`)."""

    def __init__(self, source: AnySource, in_flight: InFlight, sites: Sites, recipients: int) -> None:
        self.recipients = recipients
        self._source = source
        self._in_flight = in_flight
        self._sites = sites
        self._taken: dict[Site, int] = {}

    def of(self, route: str) -> int:
        """How many of a route there is room for."""
        known = self._sites.known(route)
        if known is None or (known.looking is None and known.site is None):
            return MAX_PER_SITE // 2
        if known.site is None:
            return 0  # where it leads is being asked; those who wait are enough
        room = self._in_flight.room_at(self._source, known.site) - self._taken.get(known.site, 0)
        return max(0, min(room, MAX_PER_SITE // 2))

    def take(self, route: str, recipients: int) -> int:
        """Set room aside, and return how much."""
        taken = min(recipients, self.of(route))
        known = self._sites.known(route)
        if known is not None and known.site is not None:
            self._taken[known.site] = self._taken.get(known.site, 0) + taken
        return taken
