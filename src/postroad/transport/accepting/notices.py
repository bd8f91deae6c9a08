"""Telling senders what became of their mail: which notice, in which language, to whom.

The notices themselves are written by `message/notices.py`; they are mails with a null sender, planned like
any other. Never in answer to a null sender (RFC 5321 4.5.5, RFC 3834 2). RFC 3461 6 (when), RFC 3464 (what).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal

import structlog

from postroad.db.pool import Database
from postroad.message.address import Address, BadAddress
from postroad.message.headers import Mailbox
from postroad.message.notices import (
    Occasion,
    RecipientReport,
    delay_notice,
    failure_notice,
    success_notice,
)
from postroad.protocols.smtp.envelope import Envelope, EnvelopeRecipient, Notify, Return
from postroad.transport.accepting.plan import Plan
from postroad.transport.accepting.planning import Planner, RoutedMail
from postroad.transport.accepting.routing import Refused, Router, Sending
from postroad.transport.accepting.trace import received_locally
from postroad.transport.queue.settlement import Telling, Told

SENDER_NAME = "Mail Delivery System"
SENDER_LOCAL_PART = "mailer-daemon"
TIME_EXPIRED = "4.4.7"  # RFC 3463 3.5

log = structlog.get_logger("postroad.transport.accepting.notices")

Write = Callable[[Occasion, Sequence[RecipientReport], datetime, str], bytes]


class Notices:
    """Adds notices to plans."""

    def __init__(
        self,
        database: Database,
        router: Router,
        planner: Planner,
        hostname: str,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._router = router
        self._planner = planner
        self._hostname = hostname
        self._clock = clock

    async def add_for_queued(
        self,
        plan: Plan,
        telling: Telling,
        original: bytes,
        *,
        returns_content: bool = True,
    ) -> None:
        """Add the notices about one queued mail. Raises `DatabaseUnavailable`, `MailStoreError`."""
        envelope = telling.attempted.mail
        if envelope.sender is None:
            return
        occasion = await self._occasion(
            envelope.sender,
            envelope.account_id,
            original,
            envelope.queued_at,
            envelope.envelope_id,
            envelope.return_content if returns_content else Return.HEADERS,
        )
        now = self._clock()
        if telling.failed:
            reports = [_report(told, now) for told in telling.failed]
            await self._add(plan, occasion, reports, _write_failure)
        if telling.delayed:
            retry_until = now + telling.retry_for

            def write_delay(
                occasion: Occasion, reports: Sequence[RecipientReport], now: datetime, message_id: str
            ) -> bytes:
                return delay_notice(
                    occasion, reports, now=now, message_id=message_id, retry_until=retry_until
                )

            await self._add(plan, occasion, [_report(told, now) for told in telling.delayed], write_delay)
        if telling.relayed:
            reports = [_report(told, now) for told in telling.relayed]
            await self._add(plan, occasion, reports, _write_success)

    async def add_refused(
        self,
        plan: Plan,
        envelope: Envelope,
        account_id: int | None,
        content: bytes,
        refused: Sequence[Refused],
    ) -> None:
        """Add the notice of recipients that were refused after others of the same mail were taken."""
        reports = [
            RecipientReport(
                str(each.recipient.address),
                # What is temporary for a client that could come back is final here: nobody comes back.
                f"5{each.reply.status[1:]}",
                diagnostic=str(each.reply),
                original_recipient=_original(each.recipient),
            )
            for each in refused
            if each.recipient.notify is None or Notify.FAILURE in each.recipient.notify
        ]
        if reports and envelope.mail_from is not None:
            await self._add(plan, await self._of(envelope, account_id, content), reports, _write_failure)

    async def add_successes(
        self,
        plan: Plan,
        envelope: Envelope,
        account_id: int | None,
        content: bytes,
        delivered: Sequence[EnvelopeRecipient],
        expanded: Sequence[EnvelopeRecipient],
    ) -> None:
        """Add the notices that NOTIFY=SUCCESS asked for, of what ends here (RFC 3461 5.2.3)."""
        reports = [
            RecipientReport(str(each.address), "2.1.5", original_recipient=_original(each))
            for each in (*delivered, *expanded)
        ]
        if reports and envelope.mail_from is not None:
            await self._add(plan, await self._of(envelope, account_id, content), reports, _write_success)

    async def _of(self, envelope: Envelope, account_id: int | None, content: bytes) -> Occasion:
        assert envelope.mail_from is not None
        return await self._occasion(
            envelope.mail_from, account_id, content, self._clock(), envelope.envelope_id, envelope.ret
        )

    async def _occasion(
        self,
        sender: Address,
        account_id: int | None,
        original: bytes,
        arrived_at: datetime,
        envelope_id: str | None,
        ret: Return | None,
    ) -> Occasion:
        return Occasion(
            reporting_mta=self._hostname,
            sender=Mailbox(SENDER_NAME, f"{SENDER_LOCAL_PART}@{self._hostname}"),
            recipient=str(sender),
            original=original,
            arrived_at=arrived_at,
            envelope_id=envelope_id,
            returns_content=ret is not Return.HEADERS,
            language=await self._language(account_id),
        )

    async def _language(self, account_id: int | None) -> Literal["zh", "en"] | None:
        if account_id is None:
            return None
        found = await self._database.fetchval("SELECT language FROM account WHERE id = $1", account_id)
        return "zh" if found == "zh" else "en" if found == "en" else None

    async def _add(
        self, plan: Plan, occasion: Occasion, reports: Sequence[RecipientReport], write: Write
    ) -> None:
        now = self._clock()
        try:
            body = write(occasion, reports, now, f"{secrets.token_hex(12)}@{self._hostname}")
            sender = Address.parse(occasion.recipient)
        except BadAddress as error:
            log.warning("notice_impossible", recipient=occasion.recipient, error=str(error))
            return
        routing = await self._router.route([EnvelopeRecipient(sender)], Sending(None, None, may_relay=True))
        if not (routing.locals or routing.remotes or routing.collected):
            # The sender cannot be reached either; whom else should it concern (RFC 5321 6.1)?
            log.info("notice_without_reader", recipient=str(sender))
            return
        await self._planner.add(
            plan,
            RoutedMail(
                body=body,
                sender=None,
                received=lambda mail_id: received_locally(self._hostname, "LOCAL", mail_id, now),
                locals=routing.locals,
                remotes=routing.remotes,
                collected=routing.collected,
                sign_as=self._hostname,
                is_smtputf8=not body.isascii() or not sender.is_ascii,
            ),
        )


def _write_failure(
    occasion: Occasion, reports: Sequence[RecipientReport], now: datetime, message_id: str
) -> bytes:
    return failure_notice(occasion, reports, now=now, message_id=message_id)


def _write_success(
    occasion: Occasion, reports: Sequence[RecipientReport], now: datetime, message_id: str
) -> bytes:
    return success_notice(occasion, reports, now=now, message_id=message_id)


def _report(told: Told, now: datetime) -> RecipientReport:
    asked = told.recipient.asked
    result = told.failure or told.relayed
    assert result is not None
    remote_mta = result.remote.partition(" ")[0] or None
    return RecipientReport(
        str(asked.address),
        TIME_EXPIRED if told.expired else result.status or "2.0.0",
        diagnostic=f"{result.code} {result.status} {result.text}" if remote_mta else result.text or None,
        remote_mta=remote_mta,
        original_recipient=_original(asked),
        last_attempt_at=now,
        is_relayed=told.relayed is not None,
    )


def _original(recipient: EnvelopeRecipient) -> str | None:
    original = recipient.original
    return None if original is None else f"{original.address_type};{original.address}"
