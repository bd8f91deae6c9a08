"""Mails of `websent` that wait for a manager: what the webmail's page of approvals shows and does.

Fills in the interface that `web/approvals.py` states. A manager is the account named in the row's `Manager`.
"""

from __future__ import annotations

from dataclasses import dataclass

from postroad.bridges.oa import websent
from postroad.bridges.oa.dates import write_date
from postroad.bridges.oa.outgoing import House, Outgoing
from postroad.bridges.oa.refusals import Refusal
from postroad.bridges.oa.websent import REFUSED, Outcome
from postroad.db.pool import Connection
from postroad.message.address import Address
from postroad.transport.accepting.plan import Plan

MAX_SHOWN = 200

_WAITING = """
SELECT mailid, account, mailto, mailcc, mailbcc, left(mailsubject, 1000) AS subject, sendtime, maildate,
       left(CASE WHEN mailbodytype = 1 THEN coalesce(nullif(mailbodyhtml, ''), mailbodytext)
            ELSE coalesce(nullif(mailbodytext, ''), mailbodyhtml) END, 20000) AS body,
       coalesce(mailbodytype, 0) = 1
           OR coalesce(mailbodytext, '') = ''
              AND left(mailbodyhtml, 20000) ~ '<[/!]?[a-zA-Z][^<>]*>' AS is_html,
       CASE WHEN attachmentflag <> 0
            THEN ARRAY(SELECT coalesce(a.attachname, '') FROM oa.websentattach a WHERE a.mailid = w.mailid
                       ORDER BY attachid LIMIT 50)
            ELSE '{}' END AS files
FROM oa.websent w
WHERE mailstatus = 2 AND checkupstatus <> 0 AND lower(manager) = $1 ORDER BY mailid LIMIT $2
"""
# The trigger makes it "to be sent" again, and wakes the workers.
_APPROVE = """
UPDATE oa.websent SET checkupstatus = 0
WHERE mailid = $2 AND mailstatus = 2 AND checkupstatus <> 0 AND lower(manager) = $1 RETURNING true
"""
_LOCK = """
SELECT mailid FROM oa.websent
WHERE mailid = $2 AND mailstatus = 2 AND checkupstatus <> 0 AND lower(manager) = $1 FOR UPDATE
"""


@dataclass(frozen=True, slots=True)
class WaitingMail:
    """A mail that waits. `body` is cut; `send_time` is as the OA wrote it, empty for at once."""

    mail_id: str
    account: str
    recipients: str
    subject: str
    body: str
    is_html: bool
    files: tuple[str, ...]
    send_time: str


class Approvals:
    """What waits for each manager."""

    def __init__(self, house: House, outgoing: Outgoing) -> None:
        self._house = house
        self._outgoing = outgoing

    async def waiting(self, manager: Address) -> list[WaitingMail]:
        """List what waits for an account, at most `MAX_SHOWN`, in the order of the ids."""
        rows = await self._house.database.fetch(_WAITING, manager.key, MAX_SHOWN)
        return [
            WaitingMail(
                row["mailid"],
                row["account"],
                ", ".join(part for part in (row["mailto"], row["mailcc"], row["mailbcc"]) if part),
                row["subject"] or "",
                row["body"] or "",
                row["is_html"],
                tuple(row["files"]),
                row["sendtime"] or "",
            )
            for row in rows
        ]

    async def approve(self, manager: Address, mail_id: str) -> bool:
        """Let a mail go; False when it does not wait for this account (any more)."""
        return bool(await self._house.database.fetchval(_APPROVE, manager.key, mail_id))

    async def reject(self, manager: Address, mail_id: str, reason: str) -> bool:
        """Refuse a mail, and tell its account; False when it does not wait for this account (any more).

        Raises `CommitFailed`, `DatabaseUnavailable`.
        """
        reason = reason.strip()[:500]
        refusal = Refusal(
            f"{manager} did not approve it" + (f": {reason}" if reason else ""),
            f"{manager} 未批准" + (f"：{reason}" if reason else ""),
        )
        found = False

        async def work(connection: Connection, plans: list[Plan]) -> None:
            nonlocal found
            found = await connection.fetchval(_LOCK, manager.key, mail_id) is not None
            if not found:
                return
            row = await websent.read_head_in(connection, mail_id)
            await self._outgoing.plan_refusal(row, refusal, plans)
            now = self._house.clock()
            outcome = Outcome(mail_id, REFUSED, refusal.english)
            await websent.settle_in(connection, [outcome], write_date(now, self._house.zone), now)

        await self._house.joining.commit(work)
        return found
