"""Mails come in: summaries, contents, entries and events by one statement: one trip, one transaction.

Whoever takes mail adds what else belongs to it (the queue's rows). A transaction of several statements
costs a trip each. Measured at 20 sessions on a busy machine, in processor time a mail: workers 780 µs then,
about 600 now; PostgreSQL 330 µs then, about 240 now.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import asyncpg

from ..db.compound import Clause, compound
from ..db.pool import Connection
from ..events.outbox import Event, recording, recording_arguments
from .delivery import PLACING_BY_ROLE, Delivered, Delivery, placing_arguments
from .messages import CONTENT_COLUMNS, MESSAGE_COLUMNS, NewContent, NewMail, content_row, message_row

# Other clauses write too, so one delivery without its folder must undo the whole statement: `not_placed()`
# raises this.
_NOT_PLACED = "PR001"
_PLACE = f"""
{PLACING_BY_ROLE}, complete AS MATERIALIZED (
    SELECT CASE WHEN count(*) = cardinality($1::bigint[]) THEN true ELSE not_placed() END AS is_whole
    FROM placed
)
"""
_PLACED = """
SELECT p.ordinal, p.account_id, p.found_id, p.uid, p.mod_sequence
FROM complete LEFT JOIN placed p ON true WHERE complete.is_whole
"""
_STORE = f"""
stored AS (
    INSERT INTO message ({", ".join(MESSAGE_COLUMNS)})
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::timestamptz[],
                         $7::text[], $8::bigint[], $9::boolean[], $10::smallint[], $11::text[], $12::bytea[],
                         $13::bytea[])
)
"""
_KEEP = f"""
kept AS (
    INSERT INTO content ({", ".join(CONTENT_COLUMNS)})
    SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::integer[], $4::bytea[], $5::text[])
)
"""
_RECORD = f"recorded AS ({recording(1)})"

# Most mails come alone, for one inbox. Without arrays to take apart and join, PostgreSQL and the worker need
# about two thirds of the time. Nothing is written when the folder is not there, for all hangs on its row.
_ARRIVES_ALONE = f"""
counted AS (
    UPDATE folder SET uid_next = uid_next + 1, mod_sequence = mod_sequence + 1,
        message_count = message_count + 1, unseen_count = unseen_count + 1 - ($5::smallint & 1),
        size_bytes = size_bytes + $4::bigint
    WHERE account_id = $1::bigint AND role = $2::text
    RETURNING id, mod_sequence, uid_next - 1 AS uid
), entered AS (
    INSERT INTO entry (folder_id, uid, account_id, message_id, mod_sequence, flags, received_at, size_bytes,
                       thread, has_attachments, keywords)
    SELECT id, uid, $1::bigint, $3::bigint, mod_sequence, $5::smallint, $6::timestamptz, $4::bigint,
           $7::bigint, $8::boolean, '{{}}'::text[]
    FROM counted
), pending AS (
    INSERT INTO search_pending (message_id) SELECT $3::bigint FROM counted ON CONFLICT DO NOTHING
), stored AS (
    INSERT INTO message ({", ".join(MESSAGE_COLUMNS)})
    SELECT $9::bigint, $10::bigint, $11::text, $12::text, $13::text, $14::timestamptz, $15::text, $16::bigint,
           $17::boolean, $18::smallint, $19::text, $20::bytea, $21::bytea
    FROM counted
), kept AS (
    INSERT INTO content ({", ".join(CONTENT_COLUMNS)})
    SELECT $22::bigint, $23::bytea, $24::integer, $25::bytea, $26::text FROM counted
)"""
_TOLD_ALONE = """, recorded AS (
    INSERT INTO event (kind, account_id, payload) SELECT $27::text, $28::bigint, $29::text::jsonb FROM counted
)"""
_ANSWER_ALONE = "\nSELECT id, uid, mod_sequence FROM counted"
_ALONE = (f"WITH{_ARRIVES_ALONE}{_ANSWER_ALONE}", f"WITH{_ARRIVES_ALONE}{_TOLD_ALONE}{_ANSWER_ALONE}")


class NotPlaced(Exception):
    """A folder or an account was not there: nothing was written. `deliver_in` knows what to do then."""


def fits_one_statement(deliveries: Sequence[Delivery]) -> bool:
    """Whether `arrive` can take these: by role, and without keywords, which the folder has to learn."""
    return bool(deliveries) and not any(each.folder_id is not None or each.keywords for each in deliveries)


async def arrive(
    connection: Connection,
    mails: Sequence[NewMail],
    deliveries: Sequence[Delivery],
    events: Sequence[Event],
    contents: Sequence[NewContent] = (),
    further: Sequence[Clause] = (),
) -> list[Delivered]:
    """Store `mails` and `contents`, enter `deliveries`, record `events`: all or nothing; returning means
    committed.

    `further` is what the caller writes by the same statement. Answers in the order of `deliveries`, which
    `fits_one_statement` if there are any. Raises `NotPlaced`.
    """
    if len(mails) == len(deliveries) == 1 and len(events) < 2 and not contents and not further:
        return [await _arrive_alone(connection, mails[0], deliveries[0], events)]
    clauses = [] if not deliveries else [Clause(_PLACE, placing_arguments(deliveries))]
    if mails:
        clauses.append(Clause(_STORE, _columns(message_row(mail) for mail in mails)))
    rows = [*map(content_row, mails), *map(content_row, contents)]
    if rows:
        clauses.append(Clause(_KEEP, _columns(rows)))
    if events:
        clauses.append(Clause(_RECORD, recording_arguments(events)))
    statement, arguments = compound((*clauses, *further), _PLACED if deliveries else "SELECT")
    try:
        found = await connection.fetch(statement, *arguments)
    except asyncpg.PostgresError as error:
        if error.sqlstate != _NOT_PLACED:
            raise
        raise NotPlaced("a folder that a mail goes to is not there") from error
    if not deliveries:
        return []
    placed = {
        ordinal: Delivered(account_id, folder_id, uid, mod_sequence)
        for ordinal, account_id, folder_id, uid, mod_sequence in found
    }
    return [placed[place] for place in range(1, len(deliveries) + 1)]


async def _arrive_alone(
    connection: Connection, mail: NewMail, delivery: Delivery, events: Sequence[Event]
) -> Delivered:
    arguments: list[object] = [
        delivery.account_id,
        delivery.role.value,
        delivery.message_id,
        delivery.size_bytes,
        int(delivery.flags),
        delivery.received_at,
        delivery.thread,
        delivery.has_attachments,
        *message_row(mail),
        *content_row(mail),
    ]
    for column in recording_arguments(events) if events else ():
        arguments += column
    found = await connection.fetchrow(_ALONE[len(events)], *arguments)
    if found is None:
        raise NotPlaced("the folder that a mail goes to is not there")
    folder_id, uid, mod_sequence = found
    return Delivered(delivery.account_id, folder_id, uid, mod_sequence)


def _columns(rows: Iterable[tuple[object, ...]]) -> tuple[object, ...]:
    return tuple(map(list, zip(*rows, strict=True)))
