"""Limits on guessing passwords, counted by account and by client over all doors, workers and machines.

One upsert a failure, atomic; the SQL of `sign_in_failure`. IPv6 clients are counted by their /64, which is
what one customer gets (RFC 6177). The table stays bounded: whatever a flood of invented names writes is
swept away.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from postroad.config import SignInLimits
from postroad.db.pool import Database
from postroad.directory.errors import TooManyFailures
from postroad.directory.principals import Kind

MAX_ROWS = 100_000  # after a sweep; 15 MB
SWEEP_EVERY = 2_000  # failures seen by one worker; between sweeps the table grows by that much a worker
MAX_BLOCKS_KNOWN = 10_000


# $1 and $2: subjects, and how many failures each may have. $3: now. $4: what began before has passed. $5: the
# end of a block that begins now.
_IS_OVER = "(f.blocked_until <= $3 OR f.window_start <= $4::timestamptz)"  # the row counts from the beginning
# ON CONFLICT sees only the row and what was proposed, so its limit is looked up.
_MOST = "($2::int[])[array_position($1::text[], f.subject)]"
_RECORD = f"""
INSERT INTO sign_in_failure AS f (subject, failures, window_start, blocked_until)
SELECT subject, 1, $3::timestamptz, CASE WHEN most <= 1 THEN $5::timestamptz END
FROM unnest($1::text[], $2::int[]) AS t (subject, most)
ON CONFLICT (subject) DO UPDATE SET
    failures = CASE WHEN {_IS_OVER} THEN 1 ELSE f.failures + 1 END,
    window_start = CASE WHEN {_IS_OVER} THEN $3 ELSE f.window_start END,
    blocked_until = CASE
        WHEN f.blocked_until > $3 THEN f.blocked_until
        WHEN {_IS_OVER} THEN excluded.blocked_until
        WHEN f.failures + 1 >= {_MOST} THEN $5
    END
RETURNING subject, blocked_until
"""


@dataclass(frozen=True, slots=True)
class Attempt:
    """Who is asking: the account's subject, and the client's or None when it has no limit."""

    account: str
    client: str | None

    @property
    def subjects(self) -> list[str]:
        """The rows this attempt counts in, in the order in which every transaction locks them."""
        return [self.account] if self.client is None else [self.account, self.client]


class Attempts:
    """Counts failures. `clock` gives the time in UTC; loopback clients have no limit of their own.

    Behind a proxy on this machine every client looks like loopback until the proxy is named in the
    settings; the limits by account still hold.
    """

    def __init__(self, database: Database, limits: SignInLimits, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._limits = limits
        self._clock = clock
        self._blocks: dict[str, datetime] = {}
        self._seen = 0

    def attempt(self, kind: Kind, name: str, client: str) -> Attempt:
        """Name the subjects of an attempt to sign in as `name` of a kind from the address `client`."""
        return Attempt(f"{kind}:{name}", client_subject(client))

    async def check(self, attempt: Attempt) -> bool:
        """Raise `TooManyFailures` while a subject is blocked; say whether the account has failures."""
        now = self._clock()
        rows = await self._database.fetch(
            "SELECT subject, blocked_until FROM sign_in_failure WHERE subject = ANY($1::text[])",
            attempt.subjects,
        )
        found = {row["subject"]: row["blocked_until"] for row in rows}
        for subject in attempt.subjects:
            self._learn(subject, found.get(subject), now)
        until = max((moment for moment in found.values() if moment is not None), default=None)
        if until is not None and until > now:
            raise TooManyFailures(math.ceil((until - now).total_seconds()))
        return attempt.account in found

    def check_known(self, attempt: Attempt, *, is_known_client: bool) -> None:
        """Raise `TooManyFailures` for what this worker knows to be blocked, without asking the database.

        For answers from memory: there a guess would cost nothing, so a blocked guesser must not get one. A
        client that signed in rightly before is let in even while strangers have got the account blocked.
        """
        now = self._clock()
        for subject in attempt.subjects:
            until = self._blocks.get(subject)
            if until is None:
                continue
            if until <= now:
                del self._blocks[subject]
            elif not (is_known_client and subject == attempt.account):
                raise TooManyFailures(math.ceil((until - now).total_seconds()))

    async def record(self, attempt: Attempt) -> None:
        """Count one failure for the account and for the client."""
        limits = [self._limits.account_failures, self._limits.client_failures][: len(attempt.subjects)]
        now = self._clock()
        rows = await self._database.fetch(
            _RECORD,
            attempt.subjects,
            limits,
            now,
            now - timedelta(seconds=self._limits.window_seconds),
            now + timedelta(seconds=self._limits.block_seconds),
        )
        for row in rows:
            self._learn(row["subject"], row["blocked_until"], now)
        self._seen += 1
        if self._seen % SWEEP_EVERY == 0:
            await self.sweep()

    async def reset(self, attempt: Attempt) -> None:
        """Forget the account's failures after a right password. The client's stay: it may guess at others.

        A block stays too: who is let in from memory while strangers guess must not let them go on.
        """
        await self._database.execute(
            "DELETE FROM sign_in_failure "
            "WHERE subject = $1 AND (blocked_until IS NULL OR blocked_until <= $2::timestamptz)",
            attempt.account,
            self._clock(),
        )

    async def sweep(self, most_rows: int = MAX_ROWS) -> int:
        """Remove what no longer counts, and above `most_rows` the smallest counts. Returns how many went."""
        now = self._clock()
        window = timedelta(seconds=self._limits.window_seconds)
        expired = await self._database.fetchval(
            """
            WITH gone AS (
                DELETE FROM sign_in_failure
                WHERE coalesce(blocked_until, window_start + $2::interval) <= $1 RETURNING 1)
            SELECT count(*) FROM gone
            """,
            now,
            window,
        )
        surplus = await self._database.fetchval(
            """
            WITH gone AS (
                DELETE FROM sign_in_failure WHERE subject IN (
                    SELECT subject FROM sign_in_failure
                    ORDER BY blocked_until IS NULL, failures DESC, window_start DESC OFFSET $1)
                RETURNING 1)
            SELECT count(*) FROM gone
            """,
            most_rows,
        )
        return int(expired + surplus)

    def _learn(self, subject: str, until: datetime | None, now: datetime) -> None:
        if until is None or until <= now:
            self._blocks.pop(subject, None)
            return
        if len(self._blocks) >= MAX_BLOCKS_KNOWN:
            del self._blocks[next(iter(self._blocks))]
        self._blocks[subject] = until


def client_subject(client: str) -> str | None:
    """Return what a client's failures are counted under: its IPv4 address or its IPv6 /64; None for loopback.

    A text that is no address (a Unix socket's) is counted as one client.
    """
    try:
        address: IPv4Address | IPv6Address = ip_address(client.partition("%")[0])
    except ValueError:
        return "client:unknown"
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_loopback:
        return None
    if isinstance(address, IPv6Address):
        return f"client:{IPv6Network((address, 64), strict=False)}"
    return f"client:{address}"
