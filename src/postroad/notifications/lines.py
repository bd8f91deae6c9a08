"""What waits to be told: mails fanned out to receivers, claimed as lines, settled; their SQL.

A line is what one receiver is told of one account, in the order in which the mails came. Who has claimed a
line is alone with it until the claim ends. Time is the database's throughout.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from postroad.db.pool import Connection, Database
from postroad.events.reader import RecordedEvent

CLAIM = timedelta(seconds=40)
BATCH = 50  # told at a time of one line
MAX_ERROR = 500  # characters kept of what went wrong

MAIL_ARRIVED = "mail.arrived"  # as transport records it

# What is told is kept with it: the mail may be moved or removed before a receiver answers again. Locks go as
# for those who remove accounts and receivers: the account, the receiver, its lines.
_FAN_OUT = """
WITH arrived AS (
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::timestamptz[])
        AS a(event_id, account_id, message_id, arrived_at)
), told AS (
    SELECT r.id AS receiver_id, a.*,
           jsonb_build_object(
               'account', account.address, 'folder', place.name, 'size', place.size_bytes,
               'subject', m.subject, 'message_id', m.message_id, 'sent_at', m.sent_at,
               'priority', m.priority) AS facts,
           coalesce(m.envelope, '') AS envelope
    FROM arrived a
    JOIN account ON account.id = a.account_id
    JOIN receiver r ON (r.id = $5 OR ($5::bigint IS NULL AND r.created_at <= a.arrived_at)) AND (
        r.account_id = a.account_id OR r.domain_id = account.domain_id
        OR (r.account_id IS NULL AND r.domain_id IS NULL))
    LEFT JOIN message m ON m.id = a.message_id
    LEFT JOIN LATERAL (
        SELECT f.name, e.size_bytes FROM entry e JOIN folder f ON f.id = e.folder_id
        WHERE e.message_id = a.message_id AND e.account_id = a.account_id LIMIT 1) place ON true
    FOR KEY SHARE OF account, r
), lines AS (
    INSERT INTO notification_line AS line (receiver_id, account_id, due_at)
    SELECT DISTINCT receiver_id, account_id, now() FROM told ORDER BY receiver_id, account_id
    ON CONFLICT (receiver_id, account_id) DO UPDATE
        SET version = line.version + 1, due_at = coalesce(line.due_at, now())
)
INSERT INTO notification (receiver_id, account_id, event_id, message_id, facts, envelope, arrived_at)
SELECT receiver_id, account_id, event_id, message_id, facts, envelope, arrived_at FROM told
ON CONFLICT DO NOTHING
"""
_CLAIM = """
UPDATE notification_line l SET due_at = now() + $3::interval, claim = $4
FROM (
    SELECT receiver_id, account_id FROM notification_line
    WHERE receiver_id = $1 AND due_at <= now() ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED
) due
WHERE l.receiver_id = due.receiver_id AND l.account_id = due.account_id
RETURNING l.account_id, l.version, l.failures
"""
# A line rests only when nothing was added since it was claimed.
_SETTLE = """
UPDATE notification_line SET
    failures = $5, last_error = $6, claim = 0,
    due_at = CASE WHEN $5 > 0 THEN now() + $7::interval
                  WHEN $8 OR version <> $4 THEN now() END
WHERE receiver_id = $1 AND account_id = $2 AND claim = $3
RETURNING true
"""


@dataclass(frozen=True, slots=True)
class Line:
    """A claimed line."""

    receiver_id: int
    account_id: int
    version: int
    failures: int
    claim: int


@dataclass(frozen=True, slots=True)
class Notification:
    """One mail that one receiver is to be told of."""

    event_id: int
    account_id: int
    message_id: int
    facts: dict[str, Any]
    envelope: bytes
    arrived_at: datetime
    age: timedelta


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of one attempt."""

    event_id: int
    outcome: str  # 'delivered', 'failed', 'given up'
    detail: str


class Lines:
    """All lines."""

    def __init__(self, database: Database, claim: timedelta = CLAIM) -> None:
        self._database = database
        self._claim = claim

    @property
    def claim_seconds(self) -> float:
        """How long a claimed line is nobody else's."""
        return self._claim.total_seconds()

    async def fan_out_in(
        self, connection: Connection, events: Sequence[RecordedEvent], only: int | None = None
    ) -> None:
        """Have every receiver (or `only` one) told of the mails that `events` say came."""
        arrived = [event for event in events if event.kind == MAIL_ARRIVED and event.account_id is not None]
        if not arrived:
            return
        await connection.execute(
            _FAN_OUT,
            [event.position for event in arrived],
            [event.account_id for event in arrived],
            [int(event.payload["message_id"]) for event in arrived],
            [event.created_at for event in arrived],
            only,
        )

    async def has_receivers(self) -> bool:
        """Whether anybody is to be told of anything."""
        return bool(await self._database.fetchval("SELECT EXISTS (SELECT FROM receiver)"))

    async def pass_over(self, reader: str) -> None:
        """Let the reader of events go on to the newest one: there is nobody to tell of those before."""
        await self._database.execute(
            """
            INSERT INTO event_consumer AS c (name, position) SELECT $1, coalesce(max(id), 0) FROM event
            ON CONFLICT (name) DO UPDATE SET position = excluded.position, updated_at = now()
            WHERE c.position < excluded.position
            """,
            reader,
        )

    async def replay(self, receiver_id: int, age: timedelta) -> int:
        """Tell a receiver again of the mails that are not older; gives how many wait for it now.

        As far back as events are kept, some days.
        """
        async with self._database.transaction() as connection:
            rows = await connection.fetch(
                "SELECT id, kind, account_id, payload, created_at FROM event "
                "WHERE kind = $1 AND created_at >= now() - $2::interval ORDER BY id",
                MAIL_ARRIVED,
                age,
            )
            await self.fan_out_in(connection, [RecordedEvent(*row) for row in rows], receiver_id)
            waiting: int = await connection.fetchval(
                "SELECT count(*) FROM notification WHERE receiver_id = $1", receiver_id
            )
        return waiting

    async def receivers_due(self) -> list[int]:
        """Return the receivers that something is due for."""
        rows = await self._database.fetch(
            """
            SELECT id FROM receiver r WHERE NOT is_paused AND EXISTS (
                SELECT FROM notification_line l WHERE l.receiver_id = r.id AND l.due_at <= now())
            """
        )
        return [row["id"] for row in rows]

    async def claim(self, receiver_id: int, most: int) -> list[Line]:
        """Claim up to `most` lines of a receiver that are due."""
        claim = secrets.randbits(62) + 1
        rows = await self._database.fetch(_CLAIM, receiver_id, most, self._claim, claim)
        return [Line(receiver_id, row["account_id"], row["version"], row["failures"], claim) for row in rows]

    async def read(self, line: Line, most: int = BATCH) -> list[Notification]:
        """Return what waits in a line, the oldest first."""
        rows = await self._database.fetch(
            """
            SELECT event_id, account_id, message_id, facts, envelope, arrived_at, now() - arrived_at AS age
            FROM notification WHERE receiver_id = $1 AND account_id = $2 ORDER BY event_id LIMIT $3
            """,
            line.receiver_id,
            line.account_id,
            most,
        )
        return [
            Notification(
                row["event_id"],
                row["account_id"],
                row["message_id"],
                row["facts"] if isinstance(row["facts"], dict) else json.loads(row["facts"]),
                bytes(row["envelope"]),
                row["arrived_at"],
                row["age"],
            )
            for row in rows
        ]

    async def settle(
        self, line: Line, tried: Sequence[Tried], *, has_more: bool, again_in: timedelta
    ) -> bool:
        """Write down what came of a line; False, and nothing written, when the claim was lost meanwhile.

        After a failure the line waits for `again_in`.
        """
        failed = tried[-1] if tried and tried[-1].outcome == "failed" else None
        done = [each.event_id for each in tried if each.outcome != "failed"]
        failures = 0 if failed is None else 1 if done else line.failures + 1
        async with self._database.transaction() as connection:
            is_ours = await connection.fetchval(
                _SETTLE,
                line.receiver_id,
                line.account_id,
                line.claim,
                line.version,
                failures,
                None if failed is None else _bounded(failed.detail),
                again_in,
                has_more,
            )
            if not is_ours:
                return False
            await connection.execute(
                "DELETE FROM notification "
                "WHERE receiver_id = $1 AND account_id = $2 AND event_id = ANY($3::bigint[])",
                line.receiver_id,
                line.account_id,
                done,
            )
            await connection.execute(
                """
                INSERT INTO notification_attempt (receiver_id, account_id, event_id, outcome, detail)
                SELECT $1, $2, * FROM unnest($3::bigint[], $4::text[], $5::text[])
                """,
                line.receiver_id,
                line.account_id,
                [each.event_id for each in tried],
                [each.outcome for each in tried],
                [_bounded(each.detail) for each in tried],
            )
        return True


def _bounded(text: str) -> str:
    return text.replace("\0", "")[:MAX_ERROR].encode("utf-8", "replace").decode()
