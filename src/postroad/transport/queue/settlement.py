"""Outcomes of attempts are written down in batches, with the notices and events that follow from them.

Delivered and failed recipients leave the queue, deferred ones get their next time; all of a batch in one
transaction, which is repeated until it is committed: what a remote host has taken must not be sent again.
Each outcome is judged by itself, and none waits for a notice that cannot be made.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Generic, Protocol, TypeVar

import structlog

from postroad.db.group_commit import CommitFailed, commit_durably
from postroad.db.pool import Connection, Database, DatabaseUnavailable
from postroad.db.tasks import Kept, TaskSupervisor
from postroad.events.outbox import CHANNEL as EVENTS_CHANNEL
from postroad.events.outbox import Event, Outbox
from postroad.mailstore.messages import discard_in, release_in
from postroad.protocols.smtp.envelope import Notify
from postroad.transport.delivery.announcing import Announce
from postroad.transport.delivery.classify import MAX_TEXT, classify
from postroad.transport.delivery.judging import Later, Schedule
from postroad.transport.delivery.presence import Presence
from postroad.transport.delivery.source import Failure, Result, Taken
from postroad.transport.queue.mail_ids import mail_id_text
from postroad.transport.queue.rows import (
    Deferral,
    Key,
    QueuedEnvelope,
    QueuedRecipient,
    defer_in,
    plan_anew_in,
    remove_in,
)
from postroad.transport.queue.source import QueueAttempted

MAX_BATCH = 500  # mails; about 20 ms of the database's time
# Outcomes are gathered for so long: batches of 100 cost a third less a mail than those of 15. It is also the
# window in which a crash lets a mail be delivered twice.
GATHER_SECONDS = 0.02
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 10.0
UNWRITTEN_SECONDS = 60.0  # when an outcome that PostgreSQL would not have at all is offered again

DELIVERED = "delivery.delivered"
DEFERRED = "delivery.deferred"
FAILED = "delivery.failed"

log = structlog.get_logger("postroad.transport.queue.settlement")


@dataclass(frozen=True, slots=True)
class Told:
    """What a notice says about one recipient. `failure` None: it was delivered, or relayed."""

    recipient: QueuedRecipient
    failure: Failure | None
    relayed: Taken | None = None
    expired: bool = False


@dataclass(slots=True)
class Telling:
    """What the sender of one queued mail is to hear. `retry_for` is how much longer it will be tried."""

    attempted: QueueAttempted
    retry_for: timedelta
    failed: list[Told] = field(default_factory=list)
    delayed: list[Told] = field(default_factory=list)
    relayed: list[Told] = field(default_factory=list)

    def __bool__(self) -> bool:
        # RFC 5321 6.1: nothing is ever told to the null sender.
        return self.attempted.mail.sender is not None and bool(self.failed or self.delayed or self.relayed)


class Written(Protocol):
    """A notice that was composed and is to be written with the outcome."""

    @property
    def witness(self) -> int:
        """A message id that is in the store exactly when it was committed."""
        ...


N = TypeVar("N", bound=Written)


class Notices(Protocol[N]):
    """Composing notices, and writing them (`accepting/queued_notices.py`)."""

    async def compose(self, telling: Telling, *, with_content: bool) -> N | None:
        """Compose what is to be told; None when nobody would read it. Writes nothing.

        Without `with_content` the mail itself is not read, and not returned.
        """
        ...

    async def write_in(self, connection: Connection, notices: Sequence[N]) -> Callable[[], None]:
        """Write notices in the caller's transaction; returns what is to be done once it is committed."""
        ...

    def abandon(self, notice: N) -> None:
        """Give back what was kept for a notice that was not committed. Harmless after a commit."""
        ...


@dataclass(slots=True)
class _Batch(Generic[N]):
    """What one transaction writes."""

    gone: list[Key] = field(default_factory=list)
    shared: set[int] = field(default_factory=set)
    deferrals: list[Deferral] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    notices: list[N] = field(default_factory=list)


class Settlement(Generic[N]):
    """Writes outcomes of one worker. `async with` runs it; leaving finishes what was put."""

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        notices: Notices[N],
        announcer: Announce,
        presence: Presence,
        tasks: TaskSupervisor,
        schedule: Schedule | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._notices = notices
        self._announcer = announcer
        self._presence = presence
        self._tasks = tasks
        self._schedule = schedule or Schedule()
        self._jitter = jitter
        self._pending: deque[tuple[QueueAttempted, Callable[[], None]]] = deque()
        self._wake = asyncio.Event()
        self._is_empty = asyncio.Event()
        self._is_empty.set()
        self._unwritten: set[int] = set()
        self._batch: list[tuple[QueueAttempted, Callable[[], None]]] = []  # being written
        self._kept: Kept | None = None

    async def __aenter__(self) -> Settlement[N]:
        self._kept = self._tasks.keep("settlement", self._run)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._kept is not None:
            await self._kept.stop()

    def put(self, attempted: QueueAttempted, then: Callable[[], None]) -> None:
        """Write this down soon, and call `then` when it is written. Bounded by what is in flight."""
        self._pending.append((attempted, then))
        self._is_empty.clear()
        self._wake.set()

    async def drain(self) -> None:
        """Wait until everything put so far is written."""
        await self._is_empty.wait()

    async def _run(self) -> None:
        while True:
            if not self._batch:
                await self._wake.wait()
            self._wake.clear()
            while self._pending or self._batch:
                if len(self._pending) < MAX_BATCH // 4:
                    await asyncio.sleep(GATHER_SECONDS)
                while self._pending and len(self._batch) < MAX_BATCH:
                    self._batch.append(self._pending.popleft())
                await self._write([attempted for attempted, _ in self._batch])
                batch, self._batch = self._batch, []
                for attempted, then in batch:
                    if id(attempted) in self._unwritten:
                        asyncio.get_running_loop().call_later(UNWRITTEN_SECONDS, self.put, attempted, then)
                    else:
                        then()
                self._unwritten.clear()
            self._is_empty.set()

    # Writing

    async def _write(self, attempts: Sequence[QueueAttempted], *, tells: bool = True) -> None:
        """Write outcomes down, however long it takes."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            batch: _Batch[N] = _Batch()
            try:
                for attempted in attempts:
                    await self._judge(batch, attempted, tells=tells)
                witness = batch.notices[0].witness if batch.notices else 0
                await commit_durably(self._database, partial(self._write_in, batch), witness)
            except (CommitFailed, DatabaseUnavailable) as error:
                # Everything here may be done twice without harm, except notices: their witness tells.
                log.warning("settling_put_off", error=str(error), mails=len(attempts))
            except Exception as error:
                await self._write_parts(attempts, error, tells=tells)
                return
            else:
                return
            finally:
                for notice in batch.notices:
                    self._notices.abandon(notice)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def _write_parts(
        self, attempts: Sequence[QueueAttempted], error: Exception, *, tells: bool
    ) -> None:
        """One of these cannot be written as it is: the others can, and it can without its notice."""
        if len(attempts) > 1:
            middle = len(attempts) // 2
            await self._write(attempts[:middle], tells=tells)
            await self._write(attempts[middle:], tells=tells)
        elif tells:
            log.error("settling_without_notice", id=mail_id_text(attempts[0].mail.id), exc_info=error)
            await self._write(attempts, tells=False)
        else:
            log.error("settling_failed", id=mail_id_text(attempts[0].mail.id), exc_info=error)
            self._unwritten.add(id(attempts[0]))

    async def _write_in(self, batch: _Batch[N], connection: Connection) -> Callable[[], None]:
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
        then = await self._notices.write_in(connection, batch.notices)

        def committed() -> None:
            then()
            self._announcer.announce(EVENTS_CHANNEL)

        return committed

    # Deciding

    async def _judge(self, batch: _Batch[N], attempted: QueueAttempted, *, tells: bool) -> None:
        """Decide about each recipient: gone, later, and what its sender hears."""
        envelope = attempted.mail
        telling = Telling(attempted, self._schedule.lifetime - attempted.age)
        gone_before = len(batch.gone)
        for recipient, result in attempted.results:
            if isinstance(result, Taken):
                batch.gone.append((envelope.id, recipient.number))
                if envelope.account_id is not None:  # else nobody of ours sent it, and nobody asks
                    batch.events.append(_event(DELIVERED, envelope, recipient, result))
                if not result.tells_sender and _wants(recipient, Notify.SUCCESS):
                    telling.relayed.append(Told(recipient, None, result))
            else:
                self._judge_failure(batch, telling, recipient, result)
        if len(batch.gone) > gone_before and envelope.recipient_count > 1:
            batch.shared.add(envelope.id)
        if tells and telling:
            notice = await self._compose(telling)
            if notice is not None:
                batch.notices.append(notice)

    def _judge_failure(
        self, batch: _Batch[N], telling: Telling, recipient: QueuedRecipient, failure: Failure
    ) -> None:
        envelope, age = telling.attempted.mail, telling.attempted.age
        verdict = self._schedule.judge(failure, age, recipient.attempts, self._jitter())
        if not isinstance(verdict, Later):
            batch.gone.append((envelope.id, recipient.number))
            batch.events.append(_event(FAILED, envelope, recipient, failure, has_expired=verdict.has_expired))
            if _wants(recipient, Notify.FAILURE):
                telling.failed.append(Told(recipient, failure, expired=verdict.has_expired))
            return
        is_late = not recipient.delay_notified and self._schedule.wants_delay_notice(age)
        if is_late and _wants(recipient, Notify.DELAY):
            telling.delayed.append(Told(recipient, failure))
        batch.deferrals.append(
            Deferral(
                envelope.id,
                recipient.number,
                verdict.after,
                recipient.delay_notified or is_late,
                failure.code,
                _storable(failure.status),
                _storable(failure.text),
                _storable(failure.remote),
            )
        )
        batch.events.append(_event(DEFERRED, envelope, recipient, failure))

    async def _compose(self, telling: Telling) -> N | None:
        """Compose a notice as well as it can be done now: with the mail, else without it, else not at all."""
        for with_content in (True, False):
            try:
                return await self._notices.compose(telling, with_content=with_content)
            except (DatabaseUnavailable, CommitFailed):
                raise
            except Exception:
                log.exception(
                    "notice_not_made", id=mail_id_text(telling.attempted.mail.id), with_content=with_content
                )
        return None


def _wants(recipient: QueuedRecipient, what: Notify) -> bool:
    """Whether the sender wants to hear this: as asked for, else failures and delays (RFC 3461 4.1)."""
    notify = recipient.asked.notify
    if notify is None:
        return what is not Notify.SUCCESS
    return what in notify


def _storable(text: str) -> str:
    """What a host said, as PostgreSQL takes it."""
    return text[:MAX_TEXT].replace("\0", "").encode("utf-8", "replace").decode()


def _event(
    kind: str,
    envelope: QueuedEnvelope,
    recipient: QueuedRecipient,
    result: Result,
    has_expired: bool = False,
) -> Event:
    payload: dict[str, object] = {
        "id": mail_id_text(envelope.id),
        "recipient": str(recipient.asked.address),
        "remote": _storable(result.remote),
        "code": result.code,
        "status": _storable(result.status),
        "text": _storable(result.text),
    }
    if isinstance(result, Failure):
        payload["sender"] = "" if envelope.sender is None else str(envelope.sender)
        payload["attempts"] = recipient.attempts
        payload["reason"] = classify(result.code, result.status, result.text).value
        payload["has_expired"] = has_expired
    return Event(kind, envelope.account_id, payload)
