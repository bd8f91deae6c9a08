"""The books: outcomes of attempts are written down in batches, with the notices and events that follow from
them.

Delivered and failed recipients leave the queue, deferred ones get their next time; all of a batch in one
transaction, which is repeated until it is committed: what a remote host has taken must not be sent again.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Protocol

import structlog

from postroad.db.group_commit import CommitFailed, commit_durably
from postroad.db.pool import Connection, Database
from postroad.events.outbox import CHANNEL as EVENTS_CHANNEL
from postroad.events.outbox import Event, Outbox
from postroad.mailstore.messages import discard_in, release_in
from postroad.protocols.smtp.envelope import Notify
from postroad.transport.accepting.plan import Announce, Plan, PlanWriter
from postroad.transport.accepting.planning import mail_id_text
from postroad.transport.delivery.classify import MAX_TEXT, classify
from postroad.transport.delivery.limits import Failure
from postroad.transport.delivery.outcomes import Attempted, Delivered
from postroad.transport.delivery.presence import Presence
from postroad.transport.delivery.retry import Expired, Schedule
from postroad.transport.queue.rows import (
    Deferral,
    QueuedEnvelope,
    QueuedRecipient,
    defer_in,
    plan_anew_in,
    remove_in,
)

MAX_BATCH = 500  # mails; about 20 ms of the database's time
# Outcomes are gathered for so long: batches of 100 cost a third less a mail than those of 15. It is also the
# window in which a crash lets a mail be delivered twice.
GATHER_SECONDS = 0.02
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 10.0

DELIVERED = "delivery.delivered"
DEFERRED = "delivery.deferred"
FAILED = "delivery.failed"

log = structlog.get_logger("postroad.transport.queue.settlement")


@dataclass(frozen=True, slots=True)
class Told:
    """What a notice says about one recipient. `failure` None: it was delivered, or relayed."""

    recipient: QueuedRecipient
    failure: Failure | None
    relayed: Delivered | None = None
    expired: bool = False


class NoticePlans(Protocol):
    """Composing notices (`notices.py`)."""

    async def add_for_queued(
        self,
        plan: Plan,
        attempted: Attempted,
        *,
        failed: Sequence[Told],
        delayed: Sequence[Told],
        relayed: Sequence[Told],
        retry_until: datetime,
    ) -> None:
        """Add the notices about one queued mail to a plan."""
        ...


@dataclass(slots=True)
class _Batch:
    """What one transaction writes."""

    gone: list[tuple[int, int]] = field(default_factory=list)
    shared: set[int] = field(default_factory=set)
    deferrals: list[Deferral] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    plans: list[Plan] = field(default_factory=list)


class Settlement:
    """Writes outcomes of one worker. `async with` runs it; leaving finishes what was put."""

    def __init__(
        self,
        database: Database,
        writer: PlanWriter,
        outbox: Outbox,
        notices: NoticePlans,
        announcer: Announce,
        presence: Presence,
        clock: Callable[[], datetime],
        schedule: Schedule | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._database = database
        self._writer = writer
        self._outbox = outbox
        self._notices = notices
        self._announcer = announcer
        self._presence = presence
        self._clock = clock
        self._schedule = schedule or Schedule()
        self._jitter = jitter
        self._pending: deque[tuple[Attempted, Callable[[], None]]] = deque()
        self._wake = asyncio.Event()
        self._is_empty = asyncio.Event()
        self._is_empty.set()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Settlement:
        self._task = asyncio.create_task(self._run(), name="settlement")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def put(self, attempted: Attempted, then: Callable[[], None]) -> None:
        """Write this down soon, and call `then` when it is written. Bounded by what is in hand."""
        self._pending.append((attempted, then))
        self._is_empty.clear()
        self._wake.set()

    async def drain(self) -> None:
        """Wait until everything put so far is written."""
        await self._is_empty.wait()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._pending:
                if len(self._pending) < MAX_BATCH // 4:
                    await asyncio.sleep(GATHER_SECONDS)
                batch = [self._pending.popleft() for _ in range(min(MAX_BATCH, len(self._pending)))]
                await self._write([attempted for attempted, _ in batch])
                for _, then in batch:
                    then()
            self._is_empty.set()

    async def _write(self, attempts: Sequence[Attempted]) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            batch = _Batch()
            try:
                for attempted in attempts:
                    await self._judge(batch, attempted)
                witness = batch.plans[0].witness if batch.plans else 0
                await commit_durably(self._database, partial(self._write_in, batch), witness)
            except CommitFailed as error:
                # Everything here may be done twice without harm, except notices: their witness tells.
                log.warning("settling_put_off", error=str(error), mails=len(attempts))
            except Exception:
                if len(attempts) > 1:  # one of them cannot be written: the others can
                    middle = len(attempts) // 2
                    await self._write(attempts[:middle])
                    await self._write(attempts[middle:])
                    return
                log.exception("settling_failed", id=attempts[0].envelope.id)
                return  # its lease runs out, and it is tried again
            else:
                return
            finally:
                for plan in batch.plans:
                    self._writer.abandon(plan)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def _write_in(self, batch: _Batch, connection: Connection) -> Callable[[], None]:
        await plan_anew_in(connection)
        if batch.deferrals:
            await defer_in(connection, self._presence.owner, batch.deferrals)
        if batch.gone:
            emptied = await remove_in(connection, batch.gone, sorted(batch.shared))
            owned = [each.message_id for each in emptied if each.owns_message]
            if owned:
                await discard_in(connection, owned)
            released = [each.message_id for each in emptied if not each.owns_message]
            if released:
                await release_in(connection, released)
        await self._outbox.record_in(connection, batch.events)
        then = await self._writer.write_in(connection, batch.plans)

        def committed() -> None:
            then()
            self._announcer.announce(EVENTS_CHANNEL)

        return committed

    async def _judge(self, batch: _Batch, attempted: Attempted) -> None:
        """Decide about each recipient: gone, later, and what its sender hears."""
        envelope = attempted.envelope
        now = self._clock()
        failed: list[Told] = []
        delayed: list[Told] = []
        relayed: list[Told] = []
        gone = 0
        for recipient, result in attempted.results:
            key = (envelope.id, recipient.number)
            if isinstance(result, Delivered):
                batch.gone.append(key)
                gone += 1
                if envelope.account_id is not None:  # else nobody of ours sent it, and nobody asks
                    batch.events.append(_event(DELIVERED, envelope, recipient, result))
                if not result.tells_sender and _wants(recipient, Notify.SUCCESS):
                    relayed.append(Told(recipient, None, result))
                continue
            retry = None
            if not result.is_permanent:
                retry = self._schedule.next_attempt(
                    envelope.queued_at, recipient.attempts, now, self._jitter()
                )
            if retry is None or isinstance(retry, Expired):
                batch.gone.append(key)
                gone += 1
                expired = retry is not None
                batch.events.append(_event(FAILED, envelope, recipient, result, has_expired=expired))
                if _wants(recipient, Notify.FAILURE):
                    failed.append(Told(recipient, result, expired=expired))
                continue
            is_late = not recipient.delay_notified and self._schedule.wants_delay_notice(
                envelope.queued_at, now
            )
            if is_late and _wants(recipient, Notify.DELAY):
                delayed.append(Told(recipient, result))
            batch.deferrals.append(
                Deferral(
                    envelope.id,
                    recipient.number,
                    retry.at,
                    recipient.delay_notified or is_late,
                    result.code,
                    result.status,
                    result.text[:MAX_TEXT].replace("\0", ""),
                    result.remote,
                )
            )
            batch.events.append(_event(DEFERRED, envelope, recipient, result))
        if gone and envelope.recipient_count > 1:
            batch.shared.add(envelope.id)
        # RFC 5321 6.1: nothing is ever told to the null sender.
        if envelope.sender is not None and (failed or delayed or relayed):
            plan = Plan()
            await self._notices.add_for_queued(
                plan,
                attempted,
                failed=failed,
                delayed=delayed,
                relayed=relayed,
                retry_until=envelope.queued_at + self._schedule.lifetime,
            )
            if plan.mails or plan.contents:
                batch.plans.append(plan)


def _wants(recipient: QueuedRecipient, what: Notify) -> bool:
    """Whether the sender wants to hear this: as asked for, else failures and delays (RFC 3461 4.1)."""
    notify = recipient.asked.notify
    if notify is None:
        return what is not Notify.SUCCESS
    return what in notify


def _event(
    kind: str,
    envelope: QueuedEnvelope,
    recipient: QueuedRecipient,
    result: Delivered | Failure,
    has_expired: bool = False,
) -> Event:
    payload: dict[str, object] = {
        "id": mail_id_text(envelope.id),
        "recipient": str(recipient.asked.address),
        "remote": result.remote,
        "code": result.code,
        "status": result.status,
        "text": result.text[:MAX_TEXT].replace("\0", ""),
    }
    if isinstance(result, Failure):
        payload["sender"] = "" if envelope.sender is None else str(envelope.sender)
        payload["attempts"] = recipient.attempts
        payload["reason"] = classify(result.code, result.status, result.text).value
        payload["has_expired"] = has_expired
    return Event(kind, envelope.account_id, payload)
