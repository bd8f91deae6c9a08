"""How fast receivers want to be sent to, learned from what they say: less when they ask for it, slowly more
when not.

A pace belongs to a bucket of the rules (`shaping.py`) and is all workers' together, as the rate is that it
lowers. It is halved when a reply asks for less, once a minute at most, since many mails get that reply at
once; and raised by a quarter every five minutes in which none did. RFC 5321 4.2.1: a 4yz reply asks to be
tried again, not to be tried faster.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

import structlog

from postroad.db.pool import Database, DatabaseUnavailable
from postroad.db.tasks import Kept, TaskSupervisor
from postroad.transport.delivery.classify import MAX_TEXT
from postroad.transport.delivery.shaping import SiteLimits
from postroad.transport.delivery.source import Failure, Result

LOOK_SECONDS = 10.0
LOWER_EVERY = timedelta(minutes=1)
RAISE_EVERY = timedelta(minutes=5)
RAISE_BY = 1.25
SLOWEST = 10  # mails a minute: often enough to learn when more may be sent
# Whoever was sent fewer in the last minutes does not speak of our rate, whatever the words are.
FEW = 20
# Past this many mails a minute nobody is limited by a learned pace any more: what large receivers take from
# one sender.
FASTEST = 6000
MAX_BUCKETS = 1000  # that this worker counts

_ASKS = re.compile(
    r"too (?:many|much|fast|frequent)|rate.?limit|throttl|unusual rate"
    r"|frequen\w+ (?:limit|exceed|control)|limit(?:ed)? frequency"
    r"|exceed\w* (?:\w+ ){0,4}(?:rate|limit|quota per)|slow(?:er)? down|mails? received too quickly"
    r"|try again (?:later )?(?:at a|with a) (?:lower|slower)|频率|过于频繁|发送过快|超过限制|连接数过多",
    re.IGNORECASE,
)

log = structlog.get_logger("postroad.transport.delivery.paces")


def asks_for_less(failure: Failure) -> bool:
    """Whether a server's reply asks to be sent less, or more slowly. A full mailbox does not."""
    if not failure.remote:
        return False
    if failure.status.startswith(("4.2.", "5.2.", "5.1.")):
        return False
    # RFC 3463 3.8: 4.7.x is a policy; greylisting is one too, and says so.
    text = failure.text[:MAX_TEXT]
    if failure.code == 421 or failure.status.startswith("4.7."):
        return "greylist" not in text.lower() and "graylist" not in text.lower()
    return _ASKS.search(text) is not None


class Paces:
    """What this worker has heard and counted, and what all have learned. `async with` keeps it up to date."""

    def __init__(
        self,
        database: Database,
        tasks: TaskSupervisor,
        on_change: Callable[[Mapping[str, int]], None],
        workers: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`on_change` gets all paces, by bucket, whenever they differ; `workers` says how many workers
        there are.
        """
        self._database = database
        self._tasks = tasks
        self._on_change = on_change
        self._workers = workers
        self._monotonic = monotonic
        self._known: dict[str, int] = {}
        self._heard: dict[str, tuple[int, str]] = {}
        self._counts: OrderedDict[str, list[float]] = OrderedDict()
        self._wake = asyncio.Event()
        self._kept: Kept | None = None

    async def __aenter__(self) -> Paces:
        self._kept = self._tasks.keep("paces", self._run)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._kept is not None:
            await self._kept.stop()

    def learn(self, limits: SiteLimits, results: Sequence[Result]) -> None:
        """This was said at a site to the recipients of a mail, or to us before any."""
        begun = self._counts.setdefault(limits.bucket, [self._monotonic(), 0.0])
        begun[1] += len(results)
        if len(self._counts) > MAX_BUCKETS:
            self._counts.popitem(last=False)
        if begun[1] < FEW or limits.bucket in self._heard:
            return
        for result in results:
            if isinstance(result, Failure) and asks_for_less(result):
                minutes = max(60.0, self._monotonic() - begun[0]) / 60
                now = int(begun[1] / minutes * self._workers())
                wanted = max(SLOWEST, min(limits.mails_per_minute or FASTEST, now) // 2)
                self._heard[limits.bucket] = (wanted, f"{result.code} {result.status} {result.text}"[:200])
                self._wake.set()
                return

    async def _run(self) -> None:
        while True:
            try:
                await self._look()
            except DatabaseUnavailable as error:
                log.debug("paces_not_read", reason=str(error))
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                self._forget_old_counts()
            self._wake.clear()

    async def _look(self) -> None:
        heard, self._heard = self._heard, {}
        for bucket, (mails_per_minute, reply) in heard.items():
            lowered = await self._database.fetchval(
                _LOWER, bucket, mails_per_minute, SLOWEST, LOWER_EVERY, _plain(reply)
            )
            if lowered is not None:
                log.warning("site_asks_for_less", bucket=bucket, mails_per_minute=lowered, reply=reply)
        if self._known:
            await self._database.execute(_RAISE, RAISE_EVERY, RAISE_BY)
            await self._database.execute(_FORGET, FASTEST)
        rows = await self._database.fetch("SELECT bucket, mails_per_minute FROM delivery_pace")
        known = {row["bucket"]: row["mails_per_minute"] for row in rows}
        if known != self._known:
            self._known = known
            self._on_change(known)

    def _forget_old_counts(self) -> None:
        """A count is of the last few minutes: older ones begin anew."""
        latest = self._monotonic() - 300.0
        for bucket in [bucket for bucket, (since, _) in self._counts.items() if since < latest]:
            del self._counts[bucket]


def _plain(text: str) -> str:
    return text.replace("\0", "").encode("utf-8", "replace").decode()


_LOWER = """
INSERT INTO delivery_pace AS pace (bucket, mails_per_minute, reply) VALUES ($1, $2, $5)
ON CONFLICT (bucket) DO UPDATE
SET mails_per_minute = greatest($3::int, pace.mails_per_minute / 2), lowered_at = now(), changed_at = now(),
    reply = EXCLUDED.reply
WHERE pace.lowered_at < now() - $4::interval
RETURNING mails_per_minute
"""
# Whoever looks first after the time is over raises it, for all.
_RAISE = """
UPDATE delivery_pace SET mails_per_minute = ceil(mails_per_minute * $2::float8), changed_at = now()
WHERE changed_at < now() - $1::interval
"""
_FORGET = "DELETE FROM delivery_pace WHERE mails_per_minute > $1"
