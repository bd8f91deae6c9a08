"""Mails come in: summaries, contents, entries and events by one statement: one trip, one transaction.

For batches that are nothing but mail for accounts here, which most are. A transaction of several statements
costs a trip each. Measured at 20 sessions, in processor time a mail: workers 780 µs then, 590 now; PostgreSQL
330 µs then, 220 now.
"""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from ..db.pool import Connection
from ..events.outbox import Event, recording, recording_arguments
from .delivery import PLACING_BY_ROLE, Delivered, Delivery, placing_arguments
from .messages import CONTENT_COLUMNS, MESSAGE_COLUMNS, NewMail, content_row, message_row

# `complete` divides by zero unless every delivery found its folder: then nothing at all has been written.
_ARRIVE = f"""
{PLACING_BY_ROLE}, stored AS (
    INSERT INTO message ({", ".join(MESSAGE_COLUMNS)})
    SELECT * FROM unnest($11::bigint[], $12::bigint[], $13::text[], $14::text[], $15::text[],
                         $16::timestamptz[], $17::text[], $18::bigint[], $19::boolean[], $20::smallint[],
                         $21::text[], $22::bytea[], $23::bytea[])
), kept AS (
    INSERT INTO content ({", ".join(CONTENT_COLUMNS)})
    SELECT * FROM unnest($24::bigint[], $25::bytea[], $26::integer[], $27::bytea[], $28::text[])
), recorded AS (
    {recording(29)}
), complete AS MATERIALIZED (
    SELECT 1 / (count(*) = cardinality($1::bigint[]))::int AS checked FROM placed
)
SELECT p.ordinal, p.account_id, p.found_id, p.uid, p.mod_sequence
FROM complete LEFT JOIN placed p ON true WHERE complete.checked = 1
"""


class NotPlaced(Exception):
    """A folder or an account was not there: nothing was written. `deliver_in` knows what to do then."""


def fits_one_statement(deliveries: Sequence[Delivery]) -> bool:
    """Whether `arrive` can take these: by role, and without keywords, which the folder has to learn."""
    return bool(deliveries) and not any(each.folder_id is not None or each.keywords for each in deliveries)


async def arrive(
    connection: Connection, mails: Sequence[NewMail], deliveries: Sequence[Delivery], events: Sequence[Event]
) -> list[Delivered]:
    """Store `mails`, enter `deliveries`, record `events`: all or nothing; returning means committed.

    Answers in the order of `deliveries`, which `fits_one_statement`. Raises `NotPlaced`.
    """
    messages = zip(*[message_row(mail) for mail in mails], strict=True)
    contents = zip(*[content_row(mail) for mail in mails], strict=True)
    try:
        rows = await connection.fetch(
            _ARRIVE,
            *placing_arguments(deliveries),
            *map(list, messages),
            *map(list, contents),
            *recording_arguments(events),
        )
    except asyncpg.DivisionByZeroError as error:
        raise NotPlaced("a folder that a mail goes to is not there") from error
    placed = {
        ordinal: Delivered(account_id, folder_id, uid, mod_sequence)
        for ordinal, account_id, folder_id, uid, mod_sequence in rows
    }
    return [placed[place] for place in range(1, len(deliveries) + 1)]
