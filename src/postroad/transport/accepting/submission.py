"""Mail that is written in this house and has no SMTP session: the webmail's, later the interfaces'.

Same rules, same transaction as a submission by SMTP (`acceptance.py`); besides, a copy goes to the sender's
Sent folder and the draft it was made from goes away, all or nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from postroad.mailstore.flags import Flag
from postroad.mailstore.folders import Role
from postroad.message.address import Address
from postroad.protocols.smtp.envelope import Envelope, EnvelopeRecipient, Principal
from postroad.protocols.smtp.replies import SmtpReply
from postroad.transport.accepting.acceptance import Acceptance, RecipientsRefused
from postroad.transport.accepting.plan import DraftEntry
from postroad.transport.accepting.planning import Filing
from postroad.transport.accepting.routing import Refused
from postroad.transport.queue.mail_ids import mail_id_text

MAX_RECIPIENTS = 1000  # as at the SMTP doors (`smtp.max_recipients`)


class NotSent(Exception):
    """Nothing was sent to anybody.

    `reply` says why, in the words of SMTP; `refused` are the recipients that are the reason, if any.
    """

    def __init__(self, reply: SmtpReply, refused: Sequence[Refused] = ()) -> None:
        super().__init__(str(reply))
        self.reply = reply
        self.refused = tuple(refused)


@dataclass(frozen=True, slots=True)
class Sent:
    """The mail is on its way; `id` is its id in the queue, `message_id` that of the store."""

    id: str
    message_id: int


class Submission:
    """Sends for accounts of ours."""

    def __init__(self, acceptance: Acceptance) -> None:
        self._acceptance = acceptance

    async def send(
        self,
        account: Principal,
        content: bytes,
        recipients: Sequence[Address],
        *,
        sender: Address | None = None,
        saves_to_sent: bool = True,
        draft: DraftEntry | None = None,
    ) -> Sent:
        """Send a mail (CRLF line ends) as `account`; `sender` is one of its addresses, by default its own.

        With `saves_to_sent` it lies in Sent as read; `draft` (an entry of a folder) is removed. Every
        recipient is checked before anything is sent. Raises `NotSent`.
        """
        if not recipients:
            raise NotSent(SmtpReply(554, "5.5.1", "the mail has no recipients"))
        if len(recipients) > MAX_RECIPIENTS:
            raise NotSent(SmtpReply(452, "4.5.3", f"a mail has at most {MAX_RECIPIENTS} recipients"))
        asked = tuple(
            EnvelopeRecipient(address) for address in {each.key: each for each in recipients}.values()
        )
        envelope = Envelope(
            sender or account.address,
            asked,
            smtputf8=not all(each.address.is_ascii for each in asked) or not content.isascii(),
        )
        filed = (Filing(account.account_id, Role.SENT, Flag.SEEN),) if saves_to_sent else ()
        try:
            mail_id = await self._acceptance.take_from_account(
                envelope, content, account, filed, () if draft is None else (draft,)
            )
        except RecipientsRefused as error:
            raise NotSent(error.refused[0].reply, error.refused) from error
        except SmtpReply as reply:
            raise NotSent(reply) from reply
        return Sent(mail_id_text(mail_id), mail_id)
