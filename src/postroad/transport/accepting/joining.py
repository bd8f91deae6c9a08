"""Mail sent in the transaction of what asked for it: where a row "to be sent" becomes a row "sent".

Same rules as `submission.py`; but mails are planned one by one, and written together with whatever else the
caller writes. Killed at any moment, the order is still there or the mail is, never both, never neither.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from postroad.db.group_commit import commit_durably
from postroad.db.pool import Connection, Database
from postroad.directory.addresses.resolver import LocalAccount
from postroad.mailstore.delivery import Delivery
from postroad.mailstore.flags import Flag
from postroad.mailstore.folders import Role
from postroad.mailstore.messages import Messages
from postroad.mailstore.summaries import summarised
from postroad.message.address import Address
from postroad.protocols.smtp.envelope import Envelope, EnvelopeRecipient, Principal
from postroad.protocols.smtp.replies import SmtpReply
from postroad.transport.accepting.acceptance import Acceptance, RecipientsRefused
from postroad.transport.accepting.plan import Plan, PlanWriter
from postroad.transport.accepting.planning import Filing, Planner, RoutedMail
from postroad.transport.accepting.routing import Local
from postroad.transport.accepting.submission import MAX_RECIPIENTS, NotSent
from postroad.transport.accepting.trace import received_locally

# Reads and writes by the connection, and puts everything that it plans into the list.
Work = Callable[[Connection, list[Plan]], Awaitable[None]]


class Joining:
    """Plans mails, and commits them with what a caller writes."""

    def __init__(
        self,
        database: Database,
        acceptance: Acceptance,
        planner: Planner,
        messages: Messages,
        writer: PlanWriter,
        hostname: str,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._acceptance = acceptance
        self._planner = planner
        self._messages = messages
        self._writer = writer
        self._hostname = hostname
        self._clock = clock

    async def plan_mail(
        self,
        plan: Plan,
        account: Principal,
        content: bytes,
        recipients: Sequence[Address],
        *,
        saves_to_sent: bool,
        protocol: str,
    ) -> None:
        """Add a mail of `account` to a plan. `protocol` names in Received how it came.

        Recipients that cannot have it are told to the account by a notice, in the same plan. Raises `NotSent`
        when nobody can, or for another reason of the mail's; its reply is a 4xx when it is only for now.
        """
        if not recipients:
            raise NotSent(SmtpReply(554, "5.5.1", "the mail has no recipients"))
        if len(recipients) > MAX_RECIPIENTS:
            raise NotSent(SmtpReply(552, "5.5.3", f"a mail has at most {MAX_RECIPIENTS} recipients"))
        asked = tuple(
            EnvelopeRecipient(address) for address in {each.key: each for each in recipients}.values()
        )
        envelope = Envelope(
            account.address,
            asked,
            smtputf8=not all(each.address.is_ascii for each in asked) or not content.isascii(),
        )
        filed = (Filing(account.account_id, Role.SENT, Flag.SEEN),) if saves_to_sent else ()
        try:
            await self._acceptance.plan_from_account(
                plan, envelope, content, account, filed, bounces=True, protocol=protocol
            )
        except RecipientsRefused as error:
            raise NotSent(error.refused[0].reply, error.refused) from error
        except SmtpReply as reply:
            raise NotSent(reply) from reply

    async def plan_draft(self, plan: Plan, account_id: int, content: bytes) -> None:
        """Add a mail that an account finds among its drafts."""
        mail = await self._messages.prepare(content, await summarised(content))
        plan.mails.append(mail)
        plan.deliveries.append(
            Delivery.of(mail, account_id, self._clock(), Role.DRAFTS, flags=Flag.DRAFT | Flag.SEEN)
        )
        plan.size_bytes += len(content)

    async def plan_notice(self, plan: Plan, account: LocalAccount, content: bytes) -> None:
        """Add a notice of the house's to an account's inbox, which gets it full or closed."""
        now = self._clock()
        await self._planner.add(
            plan,
            RoutedMail(
                body=content,
                sender=None,
                received=lambda mail_id: received_locally(self._hostname, "LOCAL", mail_id, now),
                locals=[Local(account, EnvelopeRecipient(account.address))],
            ),
        )

    def abandon(self, plan: Plan) -> None:
        """Give back what was reserved for a plan that will not be committed."""
        self._writer.abandon(plan)

    async def commit(self, work: Work) -> None:
        """Run `work` in a transaction, write what it planned, and commit both. Returning means committed.

        Locks of folders are taken last, after all of `work`. Raises `CommitFailed` when nothing was written
        or nobody can say; then what `work` reads next time tells. Errors of `work` pass through.
        """
        plans: list[Plan] = []

        async def write_in(connection: Connection) -> Callable[[], None]:
            for plan in plans:  # of an attempt that met a deadlock
                self._writer.abandon(plan)
            plans.clear()
            await work(connection, plans)
            written = [plan for plan in plans if plan.mails or plan.contents]
            return await self._writer.write_in(connection, written) if written else _nothing

        def witness() -> int | None:
            return next((plan.witness for plan in plans if plan.mails or plan.contents), None)

        try:
            await commit_durably(self._database, write_in, witness)
        finally:
            for plan in plans:
                self._writer.abandon(plan)


def _nothing() -> None:
    """What is done after a commit that sent nothing."""
