"""What an attempt that failed means for a mail: is it over, or when is it tried again.

Pure, and the same for every source; writing it down is the source's own. What the words of a reply mean
stands in `classify.py`. RFC 5321 4.5.4.1 asks for 4 to 5 days of trying, the first tries closer together.
Large receivers greylist for 5 minutes, so the first retry comes then (Postfix: minimal_backoff_time 300 s,
maximal 4000 s). Spans of time only: what time it is, the database knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from postroad.transport.delivery.source import Failure

FIRST_DELAY = timedelta(minutes=5)
LONGEST_DELAY = timedelta(hours=4)  # 5, 10, 20 … minutes, then six tries a day
LIFETIME = timedelta(days=5)
DELAY_NOTICE_AFTER = timedelta(hours=4)  # Sendmail's "warning: could not send message for past 4 hours"
JITTER = 0.2  # spreads what failed together, without moving the first retry below the greylisting window


@dataclass(frozen=True, slots=True)
class Later:
    """Try again after this time."""

    after: timedelta


@dataclass(frozen=True, slots=True)
class Over:
    """Given up. `has_expired`: after being tried for its whole lifetime, not because of what was said."""

    has_expired: bool


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how often a mail is tried, and when its sender first hears of the delay."""

    first_delay: timedelta = FIRST_DELAY
    longest_delay: timedelta = LONGEST_DELAY
    lifetime: timedelta = LIFETIME
    delay_notice_after: timedelta = DELAY_NOTICE_AFTER

    def judge(self, failure: Failure, age: timedelta, attempts: int, jitter: float) -> Later | Over:
        """Say what becomes of a recipient after attempt number `attempts` failed at this age.

        `jitter` in [0, 1) spreads the retries of one destination. Raises nothing.
        """
        return Over(has_expired=False) if failure.is_permanent else self.next_attempt(age, attempts, jitter)

    def next_attempt(self, age: timedelta, attempts: int, jitter: float) -> Later | Over:
        """Say when attempt number `attempts` + 1 is due.

        One last try is made at the end of the lifetime, so that a mail is not given up hours before its time.
        """
        left = self.lifetime - age
        if left <= timedelta(0):
            return Over(has_expired=True)
        doublings = min(max(attempts - 1, 0), 32)
        delay = min(self.first_delay * 2**doublings, self.longest_delay)
        return Later(min(delay * (1 + JITTER * jitter), left))

    @property
    def longest_wait(self) -> timedelta:
        """No mail is ever put off for longer than this."""
        return self.longest_delay * (1 + JITTER)

    def wants_delay_notice(self, age: timedelta) -> bool:
        """Whether the mail has waited so long that its sender should hear that it is late, not lost."""
        return age >= self.delay_notice_after
