"""The queue as a source of delivery: its rows become jobs, and what became of them goes to settlement."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import structlog

from postroad.db.pool import DatabaseUnavailable
from postroad.mailstore.errors import MailStoreError
from postroad.mailstore.messages import Content, Messages
from postroad.transport.delivery.presence import Presence
from postroad.transport.delivery.source import Attempted, Failure, Job, Loaded, Renewal, Room
from postroad.transport.queue.rows import Key, Leased, Queue, QueuedEnvelope, QueuedRecipient

WEIGHT = 8  # what somebody wrote, beside what goes to many

QueueJob = Job[QueuedEnvelope, QueuedRecipient]
QueueAttempted = Attempted[QueuedEnvelope, QueuedRecipient]

log = structlog.get_logger("postroad.transport.queue.source")


class Settles(Protocol):
    """Where outcomes are written down (`settlement.py`)."""

    def put(self, attempted: QueueAttempted, then: Callable[[], None]) -> None:
        """Write this down soon, and call `then` when it is written."""
        ...

    async def drain(self) -> None:
        """Wait until everything is written."""
        ...


class QueueSource:
    """The queue, for one worker."""

    name = "queue"
    weight = WEIGHT

    def __init__(self, queue: Queue, messages: Messages, settlement: Settles, presence: Presence) -> None:
        self._queue = queue
        self._messages = messages
        self._settlement = settlement
        self._presence = presence

    async def claim(self, room: Room) -> list[QueueJob]:
        """Lease what is due."""
        return [self.job(leased) for leased in await self._queue.claim(self._presence.owner, room)]

    def job(self, leased: Leased, content: Content | None = None) -> QueueJob:
        """A job of leased recipients; with `content` it need not be read."""
        envelope = leased.envelope
        return Job(
            self,
            envelope,
            leased.recipients,
            leased.route,
            envelope.size_bytes,
            leased.age,
            None if content is None else _loaded(envelope, content),
        )

    async def load(self, jobs: Sequence[QueueJob]) -> list[Loaded | Failure]:
        """Read the mails."""
        contents = await self._contents({job.mail.message_id for job in jobs})
        answers: list[Loaded | Failure] = []
        for job in jobs:
            content = contents.get(job.mail.message_id)
            if content is None:
                log.error("queued_mail_without_content", id=job.mail.id)
                content = Failure(554, "5.3.0", "the mail is damaged")
            answers.append(content if isinstance(content, Failure) else _loaded(job.mail, content))
        return answers

    async def _contents(self, ids: Iterable[int]) -> dict[int, Content | Failure]:
        """Read what can be read; a mail whose bytes are missing fails by itself."""
        wanted = list(ids)
        try:
            return dict(await self._messages.contents(wanted))
        except DatabaseUnavailable:
            raise
        except MailStoreError as error:
            if len(wanted) == 1:
                log.error("queued_mail_unreadable", message_id=wanted[0], error=str(error))
                return {wanted[0]: _unreadable(error)}
        # One of them, at least, cannot be read: halves find it in a few steps, and spare the others.
        middle = len(wanted) // 2
        return {**await self._contents(wanted[:middle]), **await self._contents(wanted[middle:])}

    async def renew(self, jobs: Sequence[QueueJob]) -> Renewal[QueuedEnvelope, QueuedRecipient]:
        """Say what is not to be begun. A mail of which one recipient is withdrawn is given back as a whole:
        the others come again at once.
        """
        lost, withdrawn = await self._queue.renew(self._presence.owner, keys_of(jobs))
        return Renewal(
            [job for job in jobs if not lost.isdisjoint(keys_of([job]))] if lost else (),
            [job for job in jobs if not withdrawn.isdisjoint(keys_of([job]))] if withdrawn else (),
        )

    async def give_back(self, jobs: Sequence[QueueJob]) -> None:
        """End leases whose attempt was not begun."""
        await self._queue.give_back(self._presence.owner, keys_of(jobs))

    async def free(self) -> int:
        """End the leases of workers that are gone."""
        return await self._queue.free()

    async def free_forgotten(self, held: Sequence[QueueJob]) -> int:
        """End this worker's leases of which it knows nothing."""
        return await self._queue.free_forgotten(self._presence.owner, keys_of(held))

    async def leave(self) -> None:
        """End this worker's leases."""
        await self._queue.leave(self._presence.owner)

    def settle(self, attempted: QueueAttempted, then: Callable[[], None]) -> None:
        """Write down what became of an attempt."""
        self._settlement.put(attempted, then)

    async def drain(self) -> None:
        """Wait until everything is written."""
        await self._settlement.drain()


def keys_of(jobs: Iterable[QueueJob]) -> list[Key]:
    """The keys of their recipients in the queue."""
    return [(job.mail.id, recipient.number) for job in jobs for recipient in job.recipients]


def _loaded(envelope: QueuedEnvelope, content: Content) -> Loaded:
    return Loaded(
        envelope.sender,
        (envelope.headers, content.prefix[content.trace_offset :], content.body),
        is_smtputf8=envelope.is_smtputf8,
        return_content=envelope.return_content,
        envelope_id=envelope.envelope_id,
    )


def _unreadable(error: MailStoreError) -> Failure:
    # Not for good: a disk or a bucket may come back, and the mail with it.
    return Failure(451, "4.3.0", f"the mail could not be read: {error}")
