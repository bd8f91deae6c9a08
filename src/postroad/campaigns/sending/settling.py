"""What became of recipients is written down in batches: states, and the chunks of which nothing is in hand.

A batch is one transaction, repeated until it is committed: what a remote host has taken must not be sent
again. Everything here may be done twice without harm: only a recipient that waits is changed, and a put-off
only while its chunk is still the claim that it was tried under.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import structlog

from postroad.campaigns.reports.figures import DELIVERED, FAILED
from postroad.campaigns.results.classify import Classifier
from postroad.campaigns.sending.ledger import Chunk, InHand, Ledger, by_run, plan_anew_in, release_in
from postroad.campaigns.sending.verdicts import Classify, Verdict, judge
from postroad.db.group_commit import CommitFailed, commit_durably
from postroad.db.pool import Connection, Database, DatabaseUnavailable
from postroad.db.tasks import Kept, TaskSupervisor
from postroad.transport.delivery.judging import Schedule
from postroad.transport.delivery.presence import Presence
from postroad.transport.delivery.source import Attempted

MAX_BATCH = 1000  # recipients
# Outcomes are gathered for so long, as the queue's are; it is also the window in which a crash lets a mail be
# delivered twice.
GATHER_SECONDS = 0.02
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 10.0

LedgerAttempted = Attempted[InHand, InHand]

log = structlog.get_logger("postroad.campaigns.sending.settling")


class Rules(Protocol):
    """Who knows what replies mean (`results/rules.py`)."""

    async def classifier(self) -> Classifier:
        """What judges replies now."""
        ...


class Holdings:
    """Which recipients of which chunks this worker has in hand. What is empty is to be released."""

    def __init__(self) -> None:
        self._numbers: dict[Chunk, set[int]] = {}

    def add(self, found: Iterable[InHand]) -> None:
        """These were claimed."""
        for each in found:
            self._numbers.setdefault(each.chunk, set()).add(each.number)

    def chunks(self) -> list[Chunk]:
        """All chunks of which something is in hand."""
        return list(self._numbers)

    def emptied_by(self, done: Iterable[InHand]) -> list[Chunk]:
        """The chunks of which nothing would be left without these."""
        numbers: dict[Chunk, set[int]] = {}
        for each in done:
            numbers.setdefault(each.chunk, set()).add(each.number)
        return [chunk for chunk, these in numbers.items() if self._numbers.get(chunk, set()) <= these]

    def remove(self, done: Iterable[InHand]) -> list[Chunk]:
        """Forget these; returns the chunks of which nothing is left."""
        emptied = []
        for each in done:
            numbers = self._numbers.get(each.chunk)
            if numbers is None:
                continue
            numbers.discard(each.number)
            if not numbers:
                del self._numbers[each.chunk]
                emptied.append(each.chunk)
        return emptied


@dataclass(frozen=True, slots=True)
class _Outcome:
    recipient: InHand
    verdict: Verdict
    then: Callable[[], None]


class Settling:
    """Writes outcomes of one worker. `async with` runs it; leaving finishes what was put."""

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        holdings: Holdings,
        presence: Presence,
        tasks: TaskSupervisor,
        schedule: Schedule,
        rules: Rules,
        zone: str,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`rules` say what replies mean. `zone` names the platform's: a recipient is counted on the day of
        its final state there.
        """
        self._database = database
        self._ledger = ledger
        self._holdings = holdings
        self._presence = presence
        self._tasks = tasks
        self._schedule = schedule
        self._rules = rules
        self._zone = zone
        self._jitter = jitter
        self._pending: deque[tuple[LedgerAttempted, Callable[[], None]]] = deque()
        self._batch: list[_Outcome] = []  # being written
        self._left: list[Chunk] = []  # emptied by a batch and a giving-back together
        self._wake = asyncio.Event()
        self._is_empty = asyncio.Event()
        self._is_empty.set()
        self._kept: Kept | None = None

    def put(self, attempted: LedgerAttempted, then: Callable[[], None]) -> None:
        """Write this down soon, and call `then` when it is written. Bounded by what is in flight."""
        self._pending.append((attempted, then))
        self._is_empty.clear()
        self._wake.set()
        if self._kept is None:
            self._kept = self._tasks.keep("campaign settlement", self._run)

    async def drain(self) -> None:
        """Wait until everything put so far is written."""
        await self._is_empty.wait()

    async def stop(self) -> None:
        """End the task that writes; what was put after the last `drain` is not written."""
        if self._kept is not None:
            await self._kept.stop()
            self._kept = None

    async def _run(self) -> None:
        while True:
            if not self._batch and not self._pending:
                await self._wake.wait()
            self._wake.clear()
            while self._pending or self._batch:
                if len(self._pending) < MAX_BATCH // 4:
                    await asyncio.sleep(GATHER_SECONDS)
                classify = (await self._rules.classifier()).classify_reply
                while self._pending and len(self._batch) < MAX_BATCH:
                    self._batch.append(self._judged(*self._pending.popleft(), classify))
                await self._write(self._batch)
                batch, self._batch = self._batch, []
                for outcome in batch:
                    outcome.then()
            self._is_empty.set()

    def _judged(self, attempted: LedgerAttempted, then: Callable[[], None], classify: Classify) -> _Outcome:
        recipient, result = attempted.results[0]
        verdict = judge(result, classify, self._schedule, attempted.age, recipient.attempts, self._jitter())
        return _Outcome(recipient, verdict, then)

    async def _write(self, outcomes: Sequence[_Outcome]) -> None:
        """Write outcomes down, however long it takes."""
        done = [outcome.recipient for outcome in outcomes]
        pause = FIRST_PAUSE_SECONDS
        while True:
            left, emptied = list(self._left), self._holdings.emptied_by(done)
            try:
                await commit_durably(self._database, partial(self._write_in, outcomes, [*left, *emptied]))
                break
            except (CommitFailed, DatabaseUnavailable) as error:
                log.warning("settling_put_off", error=str(error), recipients=len(outcomes))
            except Exception:
                # Nothing of a recipient can make a statement fail; so it is the database, and it may get
                # better.
                log.exception("settling_failed", recipients=len(outcomes))
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
        del self._left[: len(left)]
        self._left += set(self._holdings.remove(done)) - set(emptied)
        if self._left and not self._pending:
            await self._release_left()

    async def _release_left(self) -> None:
        try:
            await self._ledger.release(self._presence.owner, self._left)
        except DatabaseUnavailable:
            return  # with the next batch; or with the worker's end
        self._left = []

    async def _write_in(
        self, outcomes: Sequence[_Outcome], emptied: Sequence[Chunk], connection: Connection
    ) -> Callable[[], None]:
        await plan_anew_in(connection)
        of_chunk: dict[Chunk, list[_Outcome]] = {}
        for outcome in outcomes:
            of_chunk.setdefault(outcome.recipient.chunk, []).append(outcome)
        for (customer_id, run_id, shelf), chunks in by_run(list(of_chunk)):
            of_run = [outcome for chunk in chunks for outcome in of_chunk[chunk]]
            if any(outcome.verdict.state in (DELIVERED, FAILED) for outcome in of_run):
                await connection.execute(_ADD_DAY, customer_id, run_id, self._zone)
            await connection.execute(
                _SETTLE,
                customer_id,
                run_id,
                shelf,
                self._zone,
                self._presence.owner,
                [outcome.recipient.number for outcome in of_run],
                [outcome.verdict.state for outcome in of_run],
                [outcome.verdict.failure for outcome in of_run],
                [outcome.verdict.code for outcome in of_run],
                [outcome.verdict.reply for outcome in of_run],
                [outcome.verdict.after for outcome in of_run],
                [outcome.recipient.chunk.first_number for outcome in of_run],
                [outcome.recipient.chunk.claimed_at for outcome in of_run],
            )
        await release_in(connection, self._presence.owner, emptied)
        return lambda: None


# Looked for first: a conflict would take an id each time. Two workers may still both find none.
_ADD_DAY = """
INSERT INTO run_day (customer_id, run_id, day)
SELECT $1::bigint, $2::bigint, (now() AT TIME ZONE $3::text)::date
WHERE NOT EXISTS (SELECT FROM run_day WHERE customer_id = $1 AND run_id = $2
                  AND day = (now() AT TIME ZONE $3)::date)
ON CONFLICT (customer_id, run_id, day) DO NOTHING
"""

_SETTLE = """
UPDATE recipient r
SET state = k.state, failure = k.failure, code = k.code, reply = nullif(k.reply, ''),
    attempts = r.attempts + 1, due_at = now() + k.after,
    changed_at = CASE WHEN k.state = 0 THEN coalesce(r.changed_at, now()) ELSE now() END,
    day = CASE WHEN k.state <> 0 THEN (now() AT TIME ZONE $4)::date END
FROM unnest($6::int[], $7::smallint[], $8::smallint[], $9::smallint[], $10::text[], $11::interval[],
            $12::int[], $13::timestamptz[])
     AS k(number, state, failure, code, reply, after, first_number, claimed_at)
WHERE r.customer_id = $1 AND r.run_id = $2 AND r.shelf = $3 AND r.number = ANY($6::int[])
  AND r.number = k.number AND r.state = 0
  AND (k.state <> 0 OR EXISTS (
      SELECT FROM ledger_chunk c WHERE c.customer_id = $1 AND c.run_id = $2
        AND c.first_number = k.first_number AND c.owner = $5 AND c.claimed_at = k.claimed_at))
"""
