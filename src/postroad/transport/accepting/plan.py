"""Everything that taking one mail writes, gathered before the transaction and written by it.

`write_in` writes many plans at once: a few statements, however many mails. Nothing is decided here any more.
Order matters: folders' locks are what others wait for, so entries come last (mailstore/delivery.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from postroad.db.group_commit import AtOnce
from postroad.db.pool import Connection
from postroad.events.outbox import CHANNEL as EVENTS_CHANNEL
from postroad.events.outbox import Event, Outbox
from postroad.mailstore.arrival import NotPlaced, arrive, fits_one_statement
from postroad.mailstore.changes import ChangeSink, FolderChanged
from postroad.mailstore.delivery import Delivery, deliver_in, lock_targets_in
from postroad.mailstore.errors import NoSuchFolder
from postroad.mailstore.filing import expunge_in
from postroad.mailstore.flags import NO_FLAGS
from postroad.mailstore.messages import Content, Messages, NewContent, NewMail, release_in
from postroad.transport.accepting.collecting import NewCollected, collect_in
from postroad.transport.delivery.announcing import QUEUE_CHANNEL, Announce
from postroad.transport.delivery.dispatcher import Reservation
from postroad.transport.queue.rows import Leased, QueuedEnvelope, add_clauses, add_in
from postroad.transport.queue.shortcut import Offers


class AccountGone(Exception):
    """An account was removed between the moment it was routed to and the commit."""


@dataclass(frozen=True, slots=True)
class DraftEntry:
    """The entry of a draft, to be removed when the mail it became is sent."""

    account_id: int
    folder_id: int
    uid: int


@dataclass(slots=True)
class Plan:
    """What is written for one mail, its list copies and its notices."""

    mails: list[NewMail] = field(default_factory=list)
    contents: list[NewContent] = field(default_factory=list)
    envelopes: list[QueuedEnvelope] = field(default_factory=list)
    recipients: list[tuple[object, ...]] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    leased: list[tuple[Leased, Content, Reservation]] = field(default_factory=list)
    drafts: list[DraftEntry] = field(default_factory=list)
    collected: list[NewCollected] = field(default_factory=list)
    passing: list[int] = field(default_factory=list)  # contents that nothing points at: the sweeper's
    size_bytes: int = 0

    @property
    def witness(self) -> int:
        """A message id that is in the store exactly when this plan was committed."""
        return self.mails[0].id if self.mails else self.contents[0].id

    @property
    def leaves_work(self) -> bool:
        """Whether recipients were queued that no worker has leased."""
        return len(self.recipients) > sum(len(leased.recipients) for leased, *_ in self.leased)


class PlanWriter:
    """Writes plans."""

    def __init__(
        self,
        messages: Messages,
        outbox: Outbox,
        changes: ChangeSink,
        offers: Offers,
        announcer: Announce,
    ) -> None:
        self._messages = messages
        self._outbox = outbox
        self._changes = changes
        self._offers = offers
        self._announcer = announcer

    async def write_in(self, connection: Connection, plans: Sequence[Plan]) -> Callable[[], None]:
        """Write plans in the caller's transaction; returns what is to be done once it is committed.

        Raises `AccountGone`.
        """
        mails = [mail for plan in plans for mail in plan.mails]
        if mails:
            await self._messages.store_in(connection, mails)
        contents = [content for plan in plans for content in plan.contents]
        if contents:
            await self._messages.store_contents_in(connection, contents)
        envelopes = [envelope for plan in plans for envelope in plan.envelopes]
        if envelopes:
            await add_in(connection, envelopes, [row for plan in plans for row in plan.recipients])
        collected = [mail for plan in plans for mail in plan.collected]
        if collected:
            await collect_in(connection, collected)
        passing = [message_id for plan in plans for message_id in plan.passing]
        if passing:
            await release_in(connection, passing)
        events = [event for plan in plans for event in plan.events]
        if events:
            await self._outbox.record_in(connection, events)
        changed: list[FolderChanged] = []
        drafts = [draft for plan in plans for draft in plan.drafts]
        deliveries = [delivery for plan in plans for delivery in plan.deliveries]
        if drafts:
            await lock_targets_in(connection, [draft.folder_id for draft in drafts], deliveries)
        for draft in drafts:
            with suppress(NoSuchFolder):
                mod_sequence, _ = await expunge_in(
                    connection, draft.account_id, draft.folder_id, [draft.uid], NO_FLAGS, 1
                )
                changed.append(FolderChanged(draft.account_id, draft.folder_id, mod_sequence))
        if deliveries:
            for placed in await deliver_in(connection, deliveries):
                if placed is None:
                    raise AccountGone("an account was removed while mail for it was being taken")
                changed.append(FolderChanged(placed.account_id, placed.folder_id, placed.mod_sequence))
        return lambda: self._committed(plans, changed, bool(events))

    def at_once(self, plans: Sequence[Plan]) -> AtOnce | None:
        """How to write plans by a single statement, None when that takes more: see `write_in`.

        Nothing is written when a folder is missing.
        """
        deliveries = [delivery for plan in plans for delivery in plan.deliveries]
        if any(plan.drafts or plan.collected or plan.passing for plan in plans) or (
            deliveries and not fits_one_statement(deliveries)
        ):
            return None
        mails = [mail for plan in plans for mail in plan.mails]
        events = [event for plan in plans for event in plan.events]
        contents = [content for plan in plans for content in plan.contents]
        envelopes = [envelope for plan in plans for envelope in plan.envelopes]
        recipients = [row for plan in plans for row in plan.recipients]

        async def write(connection: Connection) -> Callable[[], None] | None:
            try:
                further = add_clauses(envelopes, recipients) if envelopes else ()
                placed = await arrive(connection, mails, deliveries, events, contents, further)
            except NotPlaced:
                return None
            changed = [FolderChanged(each.account_id, each.folder_id, each.mod_sequence) for each in placed]
            return lambda: self._committed(plans, changed, bool(events))

        # Who watches a folder looks for itself now and then; the queue's rows are ours to deliver.
        return AtOnce(write, lambda: self._committed(plans, (), bool(events)))

    def _committed(self, plans: Iterable[Plan], changed: Sequence[FolderChanged], has_events: bool) -> None:
        if changed:
            self._changes.announce(changed)
        if has_events:
            self._announcer.announce(EVENTS_CHANNEL)
        leaves_work = False
        for plan in plans:
            leaves_work |= plan.leaves_work
            for leased, content, reservation in plan.leased:
                self._offers.take(leased, content, reservation)
            plan.leased = []
        if leaves_work:
            self._offers.look()
            self._announcer.announce(QUEUE_CHANNEL)

    def abandon(self, plan: Plan) -> None:
        """Give back what was reserved for a plan that was not committed. Harmless after a commit."""
        for leased, _, reservation in plan.leased:
            self._offers.forget(leased, reservation)
        plan.leased = []
