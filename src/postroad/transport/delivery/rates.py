"""How many mails a minute a site gets from all workers of all servers together: exact, by one clock.

A row a bucket, a token bucket: a grant takes tokens, time puts them back. The row is locked for one
statement, and one statement serves all sites that a worker asks for at that moment. Whom the limit does not
concern (null senders, local delivery) is the caller's matter.

Never more than the rate in any minute, whenever that begins. A grant is good for `GRANT_SECONDS`, so what is
sent in a minute was granted in a minute and that much more; a full bucket may go at once on top of what flows
in. Hence for a rate of M and a bucket of B: (M - B + 1) tokens in (60 + GRANT_SECONDS) seconds. With B a
twentieth of M, about nine tenths of the rate are reached in the long run. What a dead worker was granted and
did not send is not counted anew: the bucket fills by time alone.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from postroad.db.pool import Database
from postroad.transport.delivery.shaping import SiteLimits

MINUTE = 60.0
GRANT_SECONDS = 3.0  # long enough to open a session; each second costs a sixtieth of the rate
BURST_SHARE = 20  # a bucket holds this part of a minute's mails, so a worker asks every few seconds
MAX_REMEMBERED = 10_000  # buckets of which this worker knows that they are empty
UNUSED_FOR = timedelta(minutes=10)  # any bucket is full again after little more than a minute

# EXCLUDED.granted carries what is asked for (negative: given back) into the row. One reading of the clock
# a row, after the row's lock was taken; a clock that was set back adds nothing. Rows are locked in the order
# of their names, so that two statements never wait for each other.
_TAKE = """
INSERT INTO delivery_rate AS rate (bucket, granted, depth, per_second, tokens, filled_at)
SELECT bucket, least(wanted, floor(depth)), depth, per_second,
       depth - greatest(0, least(wanted, floor(depth))), clock_timestamp()
FROM unnest($1::text[], $2::int[], $3::float8[], $4::float8[]) AS asked (bucket, wanted, depth, per_second)
ORDER BY bucket
ON CONFLICT (bucket) DO UPDATE SET
    depth = EXCLUDED.depth,
    per_second = EXCLUDED.per_second,
    (granted, tokens, filled_at) = (
        SELECT granted, available - greatest(0, granted), at
        FROM (
            SELECT at, available,
                   CASE WHEN EXCLUDED.granted < 0 THEN EXCLUDED.granted
                        ELSE least(EXCLUDED.granted, floor(available)) END AS granted
            FROM (
                SELECT at,
                       least(
                           EXCLUDED.depth,
                           rate.tokens + greatest(0, -EXCLUDED.granted) + EXCLUDED.per_second
                           * greatest(0, extract(epoch FROM at - rate.filled_at)::float8)
                       ) AS available
                FROM (SELECT clock_timestamp() AS at) AS clock
            ) AS filled
        ) AS decided
    )
RETURNING bucket, granted, tokens
"""

_SWEEP = "DELETE FROM delivery_rate WHERE filled_at < clock_timestamp() - $1::interval"


@dataclass(frozen=True, slots=True)
class Grant:
    """`count` mails may be begun before `good_until` (this process's monotonic clock).

    When there were fewer than wanted, asking again makes sense after `wait_seconds`.
    """

    count: int
    wait_seconds: float
    good_until: float


@dataclass(frozen=True, slots=True)
class Flow:
    """A rate as a bucket: how many tokens it holds, and how many come in a second."""

    depth: int
    per_second: float

    @classmethod
    def of(cls, mails_per_minute: int, minute: float = MINUTE, grant_seconds: float = GRANT_SECONDS) -> Flow:
        """The largest flow that never lets more than the rate through in a minute."""
        depth = max(1, mails_per_minute // BURST_SHARE)
        return cls(depth, (mails_per_minute - depth + 1) / (minute + grant_seconds))


@dataclass(slots=True)
class _Asked:
    wanted: int
    answer: asyncio.Future[Grant]


@dataclass(slots=True)
class _Bucket:
    flow: Flow
    asked: list[_Asked] = field(default_factory=list)
    returned: int = 0


class Rates:
    """The rates of one worker. Whoever asks while a statement runs shares the next one."""

    def __init__(
        self,
        database: Database,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        minute_seconds: float = MINUTE,
        grant_seconds: float = GRANT_SECONDS,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`minute_seconds` and `grant_seconds` are shorter in tests; all workers must agree on them."""
        self._database = database
        self._monotonic = monotonic
        self._minute = minute_seconds
        self._grant_seconds = grant_seconds
        self._jitter = jitter
        self._empty_until: OrderedDict[str, float] = OrderedDict()
        self._pending: dict[str, _Bucket] = {}
        self._flushing: asyncio.Task[None] | None = None

    async def take(self, site: SiteLimits, wanted: int) -> Grant:
        """Ask for the right to begin `wanted` mails. Raises `DatabaseUnavailable`: then nothing is granted.

        Whoever does not begin them while the grant is good gives them back.
        """
        now = self._monotonic()
        if site.mails_per_minute is None:
            return Grant(wanted, 0.0, float("inf"))
        empty_until = self._empty_until.get(site.bucket, 0.0)
        if wanted <= 0 or empty_until > now:
            return Grant(0, max(0.0, empty_until - now), now)
        asked = _Asked(wanted, asyncio.get_running_loop().create_future())
        self._of(site.bucket, site.mails_per_minute).asked.append(asked)
        self._flush_soon()
        return await asked.answer

    async def give_back(self, site: SiteLimits, count: int) -> None:
        """Return what was granted and will not be sent. Is the database away, time makes it good."""
        if site.mails_per_minute is None or count <= 0:
            return
        self._of(site.bucket, site.mails_per_minute).returned += count
        self._empty_until.pop(site.bucket, None)
        self._flush_soon()
        flushing = self._flushing
        if flushing is not None:
            await asyncio.shield(flushing)

    async def close(self) -> None:
        """Wait for the statement under way."""
        if self._flushing is not None:
            await asyncio.gather(self._flushing, return_exceptions=True)

    def _of(self, bucket: str, mails_per_minute: int) -> _Bucket:
        pending = self._pending.get(bucket)
        if pending is None:
            flow = Flow.of(mails_per_minute, self._minute, self._grant_seconds)
            pending = self._pending[bucket] = _Bucket(flow)
        return pending

    def _flush_soon(self) -> None:
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush(), name="rates")

    async def _flush(self) -> None:
        try:
            while self._pending:
                batch, self._pending = self._pending, {}
                await self._serve(batch)
        finally:
            self._flushing = None

    async def _serve(self, batch: dict[str, _Bucket]) -> None:
        askers = [asked.answer for bucket in batch.values() for asked in bucket.asked]
        try:
            # First what comes back, capped by each bucket's depth, then what is wanted.
            await self._run({name: -bucket.returned for name, bucket in batch.items()}, batch)
            begun_at = self._monotonic()
            rows = await self._run(
                {name: sum(asked.wanted for asked in bucket.asked) for name, bucket in batch.items()}, batch
            )
        except asyncio.CancelledError:
            for answer in askers:
                answer.cancel()
            raise
        except Exception as error:  # the askers' to handle: nothing was granted
            for answer in askers:
                if not answer.done():
                    answer.set_exception(error)
            return
        for name, (granted, tokens) in rows.items():
            self._share_out(name, batch[name], granted, tokens, begun_at)

    async def _run(self, wanted: dict[str, int], batch: dict[str, _Bucket]) -> dict[str, tuple[int, float]]:
        """Take, or give back where negative; return what was granted and what is left."""
        names = [name for name, count in wanted.items() if count]
        if not names:
            return {}
        rows = await self._database.fetch(
            _TAKE,
            names,
            [wanted[name] for name in names],
            [float(batch[name].flow.depth) for name in names],
            [batch[name].flow.per_second for name in names],
        )
        return {row["bucket"]: (row["granted"], row["tokens"]) for row in rows}

    def _share_out(self, name: str, bucket: _Bucket, granted: int, tokens: float, begun_at: float) -> None:
        """Tell each asker its part, in the order they came."""
        now = self._monotonic()
        good_until = begun_at + self._grant_seconds
        left = granted if now < good_until else 0  # too late to be used
        missing = sum(asked.wanted for asked in bucket.asked) - left
        wait = self._wait(bucket.flow, missing, tokens) if missing > 0 else 0.0
        if wait:
            self._remember_empty(name, now + wait)
        for asked in bucket.asked:
            if asked.answer.done():  # cancelled
                continue
            count = min(asked.wanted, left)
            left -= count
            granted -= count
            asked.answer.set_result(Grant(count, wait if count < asked.wanted else 0.0, good_until))
        if granted:
            again = self._pending.setdefault(name, _Bucket(bucket.flow))
            again.returned += granted

    def _wait(self, flow: Flow, missing: int, tokens: float) -> float:
        """When asking again is worth a statement: half a bucket, or all that is missing. Uneven, so that no
        worker always comes first.
        """
        worth = min(missing, max(1, flow.depth // 2))
        return max(0.0, worth - tokens) / flow.per_second * (1 + self._jitter() / 2)

    def _remember_empty(self, name: str, until: float) -> None:
        self._empty_until[name] = until
        self._empty_until.move_to_end(name)
        if len(self._empty_until) > MAX_REMEMBERED:
            self._empty_until.popitem(last=False)


async def sweep_rates(database: Database) -> int:
    """Forget buckets that nobody has asked for in a while: they are full, as a new one is."""
    status = await database.execute(_SWEEP, UNUSED_FOR)
    return int(status.rpartition(" ")[2])
