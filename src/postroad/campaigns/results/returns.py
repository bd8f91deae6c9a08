"""Mail that comes back from a run: bounces, complaints, readers who leave by mail. What it is says
`reading.py`.

It was taken for good before it comes here (`transport/accepting/collecting.py`). Each mail is judged by
itself, in one transaction with its removal: killed anywhere, it is done once, or not yet. A bounce changes
the recipient on the day that counted him already, and the figures of his run are counted anew.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

import asyncpg
import structlog

from postroad.campaigns.keys import SealingKeys
from postroad.campaigns.results.classify import Classifier
from postroad.campaigns.results.reading import Return, ReturnKind, read_return
from postroad.campaigns.results.rules import ReplyRules
from postroad.campaigns.results.suppressing import suppress_in
from postroad.campaigns.results.verp import PREFIX, Verp
from postroad.campaigns.tracking.leaving import Reader, leave_in
from postroad.db.pool import Connection, Database
from postroad.message.address import Address
from postroad.transport.accepting.collecting import (
    MAX_ATTEMPTS,
    Collected,
    claim_in,
    put_off_in,
    remove_in,
)

COMPLAINTS = "complaints"  # the local part that feedback loops of providers are registered with
AT_ONCE = 20
LOOK_SECONDS = 2.0
# A server may bounce a mail before we have written down that it took it.
UNSETTLED_PAUSE = timedelta(seconds=30)
_OURS = re.compile(rb"\bb-[a-z2-7]{16,62}(?=@)", re.IGNORECASE)
MAX_CANDIDATES = 20

# Blocks of email ids follow each other: the run with the nearest base below has it, if any.
_RECIPIENT = """
SELECT n.customer_id, n.id AS run_id, n.task_id, n.shelf, r.number, r.state, r.contact_id,
       lower(r.address) AS address,
       ARRAY(SELECT l.list_id FROM task_list l WHERE l.customer_id = n.customer_id AND l.task_id = n.task_id)
       AS list_ids
FROM (SELECT * FROM run WHERE email_base < $1 ORDER BY email_base DESC, recipients DESC LIMIT 1) n
CROSS JOIN LATERAL (
    SELECT * FROM recipient r
    WHERE r.customer_id = n.customer_id AND r.run_id = n.id AND r.shelf = n.shelf
      AND r.number = $1 - n.email_base LIMIT 1
) r
"""
_FAIL = """
UPDATE recipient SET state = 3, failure = $5, code = $6, reply = $7, changed_at = now()
WHERE customer_id = $1 AND run_id = $2 AND shelf = $3 AND number = $4 AND state = 2
RETURNING number
"""

log = structlog.get_logger("postroad.campaigns.results.returns")


@dataclass(frozen=True, slots=True)
class _Recipient:
    customer_id: int
    run_id: int
    task_id: int | None
    shelf: int
    number: int
    state: int
    contact_id: int
    address: str
    list_ids: tuple[int, ...]

    @property
    def reader(self) -> Reader:
        return Reader(
            self.customer_id, "", self.run_id, self.number, self.contact_id, self.address, "", self.list_ids
        )


class Returns:
    """Says which addresses are ours (`transport`'s `Collects`), and reads what came to them."""

    def __init__(self, database: Database, keys: SealingKeys, rules: ReplyRules, domain: str) -> None:
        """`domain` is that of envelope senders, canonical."""
        self._database = database
        self._keys = keys
        self._rules = rules
        self._domain = domain

    async def collects(self, address: Address) -> bool:
        """Whether this is an envelope sender of ours, or where complaints go. Raises
        `DatabaseUnavailable`.
        """
        if address.domain != self._domain:
            return False
        local_part = address.local_part.lower()
        if local_part == COMPLAINTS:
            return True
        return local_part.startswith(PREFIX) and (await self._keys.get()).verp.read(local_part) is not None

    async def run(self) -> None:
        """Read what comes, until cancelled."""
        while True:
            if not await self.run_once():
                with suppress(TimeoutError):
                    await asyncio.sleep(LOOK_SECONDS)

    async def run_all(self) -> int:
        """Read all that is due; return how many."""
        total = 0
        while done := await self.run_once():
            total += done
        return total

    async def run_once(self) -> int:
        """Read some of what is due; return how many."""
        classifier = await self._rules.classifier()
        verp = (await self._keys.get()).verp

        async def work(connection: Connection) -> int:
            mails = await claim_in(connection, AT_ONCE)
            if not mails:
                return 0
            read = await asyncio.to_thread(_read_all, mails, classifier, verp)
            for mail, (found, email_id) in zip(mails, read, strict=True):
                try:
                    async with connection.transaction():
                        is_done = await self._apply_in(connection, found, email_id)
                except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, ValueError):
                    log.exception("return_not_read", id=mail.id)
                    is_done = True
                if not is_done and mail.attempts < MAX_ATTEMPTS:
                    await put_off_in(connection, [mail.id], UNSETTLED_PAUSE)
                else:
                    await remove_in(connection, [mail.id])
            return len(mails)

        return await self._database.commit(work)

    async def _apply_in(self, connection: Connection, found: Return, email_id: int | None) -> bool:
        """Do what a mail says; False when it is too early for that."""
        if email_id is None or found.kind not in _ACTING:
            log.debug("return_ignored", kind=found.kind)
            return True
        row = await connection.fetchrow(_RECIPIENT, email_id)
        if row is None:
            return True
        recipient = _Recipient(**{**row, "list_ids": tuple(row["list_ids"])})
        facts = {"customer": recipient.customer_id, "run": recipient.run_id, "number": recipient.number}
        if found.kind is ReturnKind.COMPLAINT:
            await leave_in(connection, recipient.reader, (0,), "complaint")
            log.info("return_complaint", **facts)
            return True
        if found.kind is ReturnKind.UNSUBSCRIBE:
            await leave_in(connection, recipient.reader, recipient.list_ids or (0,), "mail")
            log.info("return_unsubscribed", **facts)
            return True
        if recipient.state < 2:
            return False
        # The run first, as whoever counts it does: its figures and its recipients change together.
        await connection.execute(
            "SELECT id FROM run WHERE customer_id = $1 AND id = $2 FOR UPDATE",
            recipient.customer_id,
            recipient.run_id,
        )
        changed = await connection.fetchval(
            _FAIL,
            recipient.customer_id,
            recipient.run_id,
            recipient.shelf,
            recipient.number,
            found.failure,
            found.code,
            found.reply.replace("\0", "").encode("utf-8", "replace").decode(),
        )
        if changed is None:  # it failed already: a second notice, or a late one
            return True
        await connection.execute(
            "UPDATE run SET is_counted = false WHERE customer_id = $1 AND id = $2 AND is_counted",
            recipient.customer_id,
            recipient.run_id,
        )
        await connection.execute(
            "DELETE FROM run_count WHERE customer_id = $1 AND run_id = $2",
            recipient.customer_id,
            recipient.run_id,
        )
        await suppress_in(
            connection, recipient.customer_id, recipient.run_id, recipient.shelf, [recipient.number]
        )
        log.info("return_bounced", failure=found.failure, **facts)
        return True


_ACTING = (ReturnKind.BOUNCE, ReturnKind.COMPLAINT, ReturnKind.UNSUBSCRIBE)


def _read_all(mails: list[Collected], classifier: Classifier, verp: Verp) -> list[tuple[Return, int | None]]:
    return [_read(mail, classifier, verp) for mail in mails]


def _read(mail: Collected, classifier: Classifier, verp: Verp) -> tuple[Return, int | None]:
    """What the mail is, and whose. A complaint comes to one address for all: the original in it says
    whose.
    """
    try:
        found = read_return(mail.content, classifier)
    except Exception:  # a mail that breaks the reader must not hold up the others
        log.exception("return_not_read", id=mail.id)
        found = Return(ReturnKind.OTHER)
    email_id = verp.read(mail.recipient.partition("@")[0])
    if email_id is None and found.kind is ReturnKind.COMPLAINT:
        candidates = dict.fromkeys(match[0] for match in _OURS.finditer(mail.content))
        for local_part in list(candidates)[:MAX_CANDIDATES]:
            email_id = verp.read(local_part.decode("ascii"))
            if email_id is not None:
                break
    return found, email_id
