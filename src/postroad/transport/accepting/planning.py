"""From a mail and where it goes to the rows that say so: content, entries, envelopes, recipients.

Asks for ids and blobs, which come before any transaction; writes nothing. Whether the mail may go there was
decided by who calls. Headers that differ between recipients are kept beside the content, so that content
stays shared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from postroad.events.outbox import Event
from postroad.mailstore.delivery import Delivery
from postroad.mailstore.flags import Flag
from postroad.mailstore.folders import Role
from postroad.mailstore.messages import Content, Messages
from postroad.mailstore.summaries import summarised
from postroad.message.address import Address
from postroad.message.summary import MessageSummary
from postroad.protocols.smtp.envelope import EnvelopeRecipient, Return
from postroad.transport.accepting.collecting import NewCollected
from postroad.transport.accepting.plan import DraftEntry, Plan
from postroad.transport.accepting.routing import Local, Remote
from postroad.transport.accepting.trace import delivered_to, return_path
from postroad.transport.delivery.destinations import route_of
from postroad.transport.queue.mail_ids import mail_id_text
from postroad.transport.queue.rows import Leased, QueuedEnvelope, QueuedRecipient, recipient_row
from postroad.transport.queue.shortcut import Offers

MAIL_ARRIVED = "mail.arrived"


class Signer(Protocol):
    """Makes DKIM signatures (`signing.py`)."""

    async def sign(self, domain: str, content: bytes) -> bytes:
        """Return the signature fields of a mail by the keys of `domain`, empty when it has none."""
        ...


@dataclass(frozen=True, slots=True)
class Filing:
    """A further entry of a mail: a copy in its sender's Sent folder."""

    account_id: int
    role: Role
    flags: Flag


@dataclass(frozen=True, slots=True)
class RoutedMail:
    """One mail about to be planned: its bytes, and where it goes.

    `received` makes the Received field from the mail's id. `sign_as` is the domain whose keys sign what
    leaves.
    """

    body: bytes
    sender: Address | None
    received: Callable[[str], bytes]
    locals: Sequence[Local] = ()
    local_role: Role = Role.INBOX  # the folder of those who get it here
    remotes: Sequence[Remote] = ()
    collected: Sequence[EnvelopeRecipient] = ()
    sign_as: str | None = None
    account_id: int | None = None
    return_content: Return | None = None
    envelope_id: str | None = None
    is_smtputf8: bool = False
    summary: MessageSummary | None = None
    filed: Sequence[Filing] = ()
    replaced: Sequence[DraftEntry] = ()


class Planner:
    """Fills plans."""

    def __init__(
        self,
        messages: Messages,
        signer: Signer,
        offers: Offers,
        relay: str,
        clock: Callable[[], datetime],
    ) -> None:
        """`relay` is the smart host `host:port`, empty for delivery by MX."""
        self._messages = messages
        self._signer = signer
        self._offers = offers
        self._relay = relay
        self._clock = clock

    async def add(self, plan: Plan, mail: RoutedMail) -> int:
        """Add a mail to a plan and return its id, which is also its id in the queue.

        Raises `BlobsFull`, `BlobsUnavailable`, `DatabaseUnavailable`.
        """
        now = self._clock()
        plan.drafts.extend(mail.replaced)
        signature = b""
        if mail.sign_as is not None and mail.remotes:
            signature = await self._signer.sign(mail.sign_as, mail.body)
        message_id = await self._messages.take_id()
        path = return_path(mail.sender)
        trace = mail.received(mail_id_text(message_id))
        if mail.locals or mail.filed:
            summary = mail.summary or await summarised(mail.body)
            stored = await self._messages.prepare(mail.body, summary, path + trace, len(path), message_id)
            plan.mails.append(stored)
            for local in mail.locals:
                plan.deliveries.append(Delivery.of(stored, local.account.account_id, now, mail.local_role))
                plan.events.append(Event(MAIL_ARRIVED, local.account.account_id, {"message_id": stored.id}))
            for filing in mail.filed:
                plan.deliveries.append(
                    Delivery.of(stored, filing.account_id, now, filing.role, flags=filing.flags)
                )
        else:
            # Nobody here reads it: no list row, no structure, and nothing to sweep when it has left.
            plan.contents.append(
                await self._messages.prepare_content(message_id, mail.body, path + trace, len(path))
            )
            if not mail.remotes:
                plan.passing.append(message_id)
        plan.collected.extend(NewCollected(each.address, mail.sender, mail.body) for each in mail.collected)
        plan.size_bytes += len(mail.body) + 1000
        if mail.remotes:
            await self._queue(plan, mail, message_id, signature, path, trace, now)
        return message_id

    async def _queue(
        self,
        plan: Plan,
        mail: RoutedMail,
        message_id: int,
        signature: bytes,
        path: bytes,
        trace: bytes,
        now: datetime,
    ) -> None:
        by_marks: dict[tuple[str, ...], list[Remote]] = {}
        for remote in mail.remotes:
            by_marks.setdefault(remote.passed, []).append(remote)
        envelope_id: int | None = message_id  # the first envelope has the mail's own id
        for passed, remotes in by_marks.items():
            if envelope_id is None:
                envelope_id = await self._messages.take_id()
            marks = b"".join(delivered_to(address) for address in passed)
            envelope = QueuedEnvelope(
                id=envelope_id,
                message_id=message_id,
                sender=mail.sender,
                account_id=mail.account_id,
                return_content=mail.return_content,
                envelope_id=mail.envelope_id,
                is_smtputf8=mail.is_smtputf8,
                owns_message=len(by_marks) == 1 and not mail.locals and not mail.filed,
                size_bytes=len(signature) + len(marks) + len(trace) + len(mail.body),
                recipient_count=len(remotes),
                headers=signature + marks,
                queued_at=now,
            )
            plan.envelopes.append(envelope)
            self._recipients(plan, envelope, remotes, Content(path + trace, len(path), mail.body))
            envelope_id = None

    def _recipients(
        self, plan: Plan, envelope: QueuedEnvelope, remotes: Sequence[Remote], content: Content
    ) -> None:
        by_route: dict[str, list[QueuedRecipient]] = {}
        for number, remote in enumerate(remotes):
            asked = remote.recipient
            route = route_of(asked.address.domain, self._relay)
            by_route.setdefault(route, []).append(QueuedRecipient(number, asked, route, 1))
        for route, recipients in by_route.items():
            reservation = self._offers.reserve(route, len(recipients), envelope.size_bytes)
            owner: int | None = None
            if reservation is None:
                recipients = [replace(each, attempts=0) for each in recipients]
            else:
                owner = reservation.owner
                plan.leased.append((Leased(envelope, tuple(recipients)), content, reservation))
            plan.recipients.extend(recipient_row(envelope.id, each, owner) for each in recipients)
