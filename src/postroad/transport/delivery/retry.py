"""When a deferred delivery is tried again.

Pure: given the attempts so far, says when the next one is due, or that the mail has expired.
RFC 5321 4.5.4.1 asks for 4 to 5 days of trying, the first tries closer together. Large receivers greylist
for 5 minutes, so the first retry comes then (Postfix: minimal_backoff_time 300 s, maximal 4000 s).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

FIRST_DELAY = timedelta(minutes=5)
LONGEST_DELAY = timedelta(hours=4)  # 5, 10, 20 … minutes, then six tries a day
LIFETIME = timedelta(days=5)
DELAY_NOTICE_AFTER = timedelta(hours=4)  # Sendmail's "warning: could not send message for past 4 hours"
JITTER = 0.2  # spreads what failed together, without moving the first retry below the greylisting window


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again: `at` is when, in UTC."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Expired:
    """The mail has been tried for its whole lifetime; the sender is told now."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how often a mail is tried, and when its sender first hears of the delay."""

    first_delay: timedelta = FIRST_DELAY
    longest_delay: timedelta = LONGEST_DELAY
    lifetime: timedelta = LIFETIME
    delay_notice_after: timedelta = DELAY_NOTICE_AFTER

    def next_attempt(
        self, queued_at: datetime, attempts: int, now: datetime, jitter: float
    ) -> Retry | Expired:
        """Say when attempt number `attempts` + 1 is due.

        `jitter` in [0, 1) spreads the retries of one destination. One last try is made at the end of the
        lifetime, so that a mail is not given up hours before its time. Raises nothing.
        """
        end = queued_at + self.lifetime
        if now >= end:
            return Expired()
        doublings = min(max(attempts - 1, 0), 32)
        delay = min(self.first_delay * 2**doublings, self.longest_delay)
        return Retry(min(now + delay * (1 + JITTER * jitter), end))

    def wants_delay_notice(self, queued_at: datetime, now: datetime) -> bool:
        """Whether the mail has waited so long that its sender should hear that it is late, not lost."""
        return now - queued_at >= self.delay_notice_after
