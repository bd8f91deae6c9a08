"""The SQL of `websent` and `websentattach`: claiming rows, reading them, saying what became of them.

A claim is a row lock of the transaction that also writes the mail, so it ends with its worker. Large
texts are weighed before they are read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from postroad.bridges.oa.writing import SentRow
from postroad.db.pool import Connection

CHANNEL = "postroad_oa_websent"  # the triggers of 0006_oa.sql

TO_BE_SENT = 1
IN_HAND = 2
DONE = 0
REFUSED = -1

# The size is that of all columns that may be long; octet_length reads a header, not the text.
_WEIGHT = "octet_length(concat(w.mailto, w.mailcc, w.mailbcc, w.mailsubject)) + " + " + ".join(
    f"coalesce(octet_length(w.{name}), 0)" for name in ("mailbodytext", "mailbodyhtml")
)
# One scan: a subquery with its own LIMIT would give all workers the same rows, and all but one nothing.
_CLAIM_NEW = f"""
SELECT w.mailid, {_WEIGHT} AS weight FROM oa.websent w
WHERE w.mailstatus = 1 ORDER BY w.mailid LIMIT $1 FOR UPDATE SKIP LOCKED
"""
_CLAIM_DUE = f"""
SELECT w.mailid, {_WEIGHT} AS weight FROM oa_websent_state s JOIN oa.websent w USING (mailid)
WHERE s.due_at <= $2 AND w.mailstatus = 2 AND coalesce(w.checkupstatus, 0) = 0
ORDER BY s.due_at LIMIT $1 FOR UPDATE OF w SKIP LOCKED
"""
_READ = "SELECT * FROM oa.websent WHERE mailid = ANY($1::text[]) ORDER BY mailid"
_HEADS = """
SELECT mailid, account, mailto, mailcc, mailbcc, left(mailsubject, 1000) AS mailsubject
FROM oa.websent WHERE mailid = $1
"""
_SETTLE = """
WITH o AS (
    SELECT * FROM unnest($1::text[], $2::integer[], $3::text[], $4::text[]) AS o(mailid, status, error, at)
)
UPDATE oa.websent w SET mailstatus = o.status, errorinfo = o.error, processedtime = o.at
FROM o WHERE w.mailid = o.mailid
"""
_NOTE = """
INSERT INTO oa_websent_state (mailid, due_at, done_at)
SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[])
ON CONFLICT (mailid) DO UPDATE SET due_at = excluded.due_at, done_at = excluded.done_at
"""
_ATTACHED = """
SELECT attachid, contenttype, attachsize, attachname, content IS NOT NULL AS has_content,
       coalesce(octet_length(content), 0) AS content_size
FROM oa.websentattach WHERE mailid = $1 ORDER BY attachid LIMIT $2
"""


_TAG = re.compile(r"<[/!]?[a-zA-Z][^<>]*>")


@dataclass(frozen=True, slots=True)
class Claimed:
    """A row locked by us, and about how many bytes it holds."""

    mail_id: str
    weight: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a row. One that is in hand is due at `due_at`, or waits for its approval."""

    mail_id: str
    status: int
    error: str = ""
    due_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Attached:
    """A row of `websentattach`; its bytes are in the row or in a file."""

    attach_id: str
    content_type: str
    size: int | None
    name: str
    has_content: bool
    content_size: int


async def claim_in(connection: Connection, limit: int, now: datetime) -> list[Claimed]:
    """Lock up to `limit` rows that nobody else has: scheduled ones that are due, then new ones."""
    rows = await connection.fetch(_CLAIM_DUE, limit, now)
    if len(rows) < limit:
        rows += await connection.fetch(_CLAIM_NEW, limit - len(rows))
    return [Claimed(row["mailid"], row["weight"]) for row in rows]


async def read_in(connection: Connection, mail_ids: Sequence[str]) -> list[SentRow]:
    """Read rows whole."""
    return [_sent_row(row) for row in await connection.fetch(_READ, list(mail_ids))]


async def read_head_in(connection: Connection, mail_id: str) -> SentRow:
    """Read a row without its bodies, which are too long."""
    row = await connection.fetchrow(_HEADS, mail_id)
    return _sent_row({"mailid": mail_id} if row is None else row)


async def settle_in(connection: Connection, outcomes: Sequence[Outcome], written: str, now: datetime) -> None:
    """Write what became of rows; `written` is `now` as the OA reads it."""
    ids = [outcome.mail_id for outcome in outcomes]
    await connection.execute(
        _SETTLE,
        ids,
        [outcome.status for outcome in outcomes],
        [outcome.error for outcome in outcomes],
        [written] * len(outcomes),
    )
    await connection.execute(
        _NOTE,
        ids,
        [outcome.due_at for outcome in outcomes],
        [None if outcome.status == IN_HAND else now for outcome in outcomes],
    )


async def attached_in(connection: Connection, mail_id: str, limit: int) -> list[Attached]:
    """List up to `limit` attachments of a mail, in order."""
    rows = await connection.fetch(_ATTACHED, mail_id, limit)
    return [
        Attached(
            row["attachid"],
            row["contenttype"] or "application/octet-stream",
            row["attachsize"],
            row["attachname"] or "",
            row["has_content"],
            row["content_size"],
        )
        for row in rows
    ]


async def attached_content_in(connection: Connection, mail_id: str, attach_id: str) -> bytes:
    """Read an attachment's bytes from its row."""
    content: bytes | None = await connection.fetchval(
        "SELECT content FROM oa.websentattach WHERE mailid = $1 AND attachid = $2", mail_id, attach_id
    )
    return content or b""


async def next_due_in(connection: Connection) -> datetime | None:
    """When the next scheduled row is due."""
    due: datetime | None = await connection.fetchval(
        "SELECT due_at FROM oa_websent_state WHERE due_at IS NOT NULL ORDER BY due_at LIMIT 1"
    )
    return due


def _sent_row(row: Any) -> SentRow:
    values = dict(row)

    def text(name: str) -> str:
        return str(values.get(name) or "")

    def number(name: str) -> int:
        return int(values.get(name) or 0)

    is_html = number("mailbodytype") == 1
    plain, marked = text("mailbodytext"), text("mailbodyhtml")
    # OAs fill one column whatever the type says: the one that is empty never makes the mail empty.
    body = (marked or plain) if is_html else (plain or marked)
    is_html = is_html or (not plain and _TAG.search(marked) is not None)
    return SentRow(
        mail_id=text("mailid"),
        account=text("account"),
        mail_from=text("mailfrom"),
        mail_to=text("mailto"),
        mail_cc=text("mailcc"),
        mail_bcc=text("mailbcc"),
        mail_date=text("maildate"),
        subject=text("mailsubject"),
        is_html=is_html,
        body=body,
        has_attachments=number("attachmentflag") != 0,
        needs_approval=number("checkupstatus") != 0,
        is_draft=number("savetodraft") != 0,
        saves_to_sent=number("savetosent") != 0,
        is_urgent=number("priority") == 1,
        reply_to=text("replyto"),
        wants_receipt=number("isneedreceipt") != 0,
        send_time=text("sendtime"),
    )
