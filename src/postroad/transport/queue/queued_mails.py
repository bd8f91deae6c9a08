"""The queue as its operator sees it: what is in it, and what shall become of it.

SQL beside its noun. Works whether workers run or not. Holding and dropping reach what workers have in flight:
an order is answered when none of it is begun any more, and says how many were on the wire already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from asyncpg import Record

from postroad.db.pool import Connection, Database
from postroad.events.outbox import Event, Outbox
from postroad.mailstore.messages import Messages, discard_in, release_in
from postroad.message.headers import header_section
from postroad.transport.delivery.announcing import QUEUE_CHANNEL, REOPEN, Announce
from postroad.transport.delivery.recall import recall
from postroad.transport.queue.mail_ids import mail_id_text
from postroad.transport.queue.rows import Key, remove_in

MAX_PAGE = 1000
BATCH = 1000  # recipients changed in one transaction
MAX_ROUTES = 1000  # of the statistics, the fullest first
MAX_HEADER = 20_000  # bytes of a header that are shown

DROPPED = "delivery.dropped"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which recipients are meant; what is None does not matter.

    `sender` and `recipient` are whole addresses, or `@domain` for all of one. `id` is a mail's.
    """

    id: int | None = None
    route: str | None = None
    sender: str | None = None
    recipient: str | None = None
    is_held: bool | None = None


@dataclass(frozen=True, slots=True)
class QueuedRow:
    """One recipient in the queue. `last_*` say what came of the last attempt, if there was one."""

    id: int
    number: int
    sender: str
    recipient: str
    route: str
    size_bytes: int
    queued_at: datetime
    attempts: int
    next_attempt_at: datetime
    is_held: bool
    is_being_tried: bool
    last_attempt_at: datetime | None
    last_code: int | None
    last_status: str | None
    last_text: str | None
    last_remote: str | None

    @property
    def name(self) -> str:
        """The id as people write it."""
        return mail_id_text(self.id)


@dataclass(frozen=True, slots=True)
class QueuedMail:
    """One mail with all recipients still in the queue, and its header as it will be sent, bounded."""

    rows: tuple[QueuedRow, ...]
    header: bytes


@dataclass(frozen=True, slots=True)
class RouteCount:
    """How much waits for one route."""

    route: str
    recipients: int
    due: int
    held: int
    oldest_queued_at: datetime


@dataclass(frozen=True, slots=True)
class QueueStats:
    """The whole queue: counts of recipients, and the fullest routes."""

    recipients: int
    due: int
    held: int
    being_tried: int
    mails: int
    size_bytes: int
    routes: tuple[RouteCount, ...]


@dataclass(frozen=True, slots=True)
class Stopped:
    """What came of holding or dropping: how many recipients, and how many of them were on the wire already:
    their attempt goes on, and may still deliver the mail.
    """

    recipients: int
    on_the_wire: int


class NoSuchQueuedMail(Exception):
    """The queue has no such mail (any more)."""


_COLUMNS = """
    q.envelope_id, q.number, e.envelope_from, q.recipient, q.route, e.size_bytes, e.queued_at, q.attempts,
    q.next_attempt_at, q.is_held, q.lease_owner IS NOT NULL AS is_being_tried, q.last_attempt_at, q.last_code,
    q.last_status, q.last_text, q.last_remote
"""

# Addresses are compared without case; `@domain` by what stands behind the last @.
_WHERE = """
    ($1::bigint IS NULL OR q.envelope_id = $1)
    AND ($2::text IS NULL OR q.route = $2)
    AND ($3::text IS NULL OR lower(e.envelope_from) = $3
         OR (starts_with($3, '@') AND right(lower(e.envelope_from), length($3)) = $3))
    AND ($4::text IS NULL OR lower(q.recipient) = $4
         OR (starts_with($4, '@') AND right(lower(q.recipient), length($4)) = $4))
    AND ($5::boolean IS NULL OR q.is_held = $5)
"""

_DROPPED = f"""
SELECT {_COLUMNS}, e.account_id, e.recipient_count FROM queue_recipient q
JOIN queue_envelope e ON e.id = q.envelope_id
"""

_HOLD = """
UPDATE queue_recipient q SET is_held = true FROM unnest($1::bigint[], $2::int[]) AS k(envelope_id, number)
WHERE q.envelope_id = k.envelope_id AND q.number = k.number
"""

_STILL_LEASED = """
SELECT count(*) FROM queue_recipient q JOIN unnest($1::bigint[], $2::int[]) AS k(envelope_id, number)
ON q.envelope_id = k.envelope_id AND q.number = k.number WHERE q.lease_owner IS NOT NULL
"""

_OWNERS = """
SELECT DISTINCT q.lease_owner FROM queue_recipient q
JOIN unnest($1::bigint[], $2::int[]) AS k(envelope_id, number)
ON q.envelope_id = k.envelope_id AND q.number = k.number WHERE q.lease_owner IS NOT NULL
"""

EVERYTHING = Selection()


class QueuedMails:
    """All of the queue."""

    def __init__(
        self,
        database: Database,
        messages: Messages,
        outbox: Outbox,
        announcer: Announce,
    ) -> None:
        self._database = database
        self._messages = messages
        self._outbox = outbox
        self._announcer = announcer

    async def list(
        self, which: Selection = EVERYTHING, after: tuple[int, int] = (0, -1), limit: int = 100
    ) -> list[QueuedRow]:
        """Return recipients in the order of mails and numbers, those behind `after` (id, number)."""
        rows = await self._database.fetch(
            f"SELECT {_COLUMNS} FROM queue_recipient q JOIN queue_envelope e ON e.id = q.envelope_id "
            f"WHERE {_WHERE} AND (q.envelope_id, q.number) > ($6::bigint, $7::int) "
            "ORDER BY q.envelope_id, q.number LIMIT $8",
            *_parameters(which),
            *after,
            min(limit, MAX_PAGE),
        )
        return [_row(row) for row in rows]

    async def show(self, mail_id: int) -> QueuedMail:
        """Return one mail. Raises `NoSuchQueuedMail`, `BlobMissing`, `BlobsUnavailable`."""
        rows = await self.list(Selection(id=mail_id), limit=MAX_PAGE)
        found = await self._database.fetchrow(
            "SELECT message_id, headers FROM queue_envelope WHERE id = $1", mail_id
        )
        if not rows or found is None:
            raise NoSuchQueuedMail(f"there is no mail {mail_id_text(mail_id)} in the queue")
        content = (await self._messages.contents([found["message_id"]])).get(found["message_id"])
        header = found["headers"]
        if content is not None:
            header += content.prefix[content.trace_offset :] + header_section(content.body)
        return QueuedMail(tuple(rows), header[:MAX_HEADER])

    async def content(self, mail_id: int) -> bytes:
        """Return one mail as it is sent. Raises `NoSuchQueuedMail`, `BlobMissing`, `BlobsUnavailable`."""
        found = await self._database.fetchrow(
            "SELECT message_id, headers FROM queue_envelope WHERE id = $1", mail_id
        )
        content = None
        if found is not None:
            content = (await self._messages.contents([found["message_id"]])).get(found["message_id"])
        if found is None or content is None:
            raise NoSuchQueuedMail(f"there is no mail {mail_id_text(mail_id)} in the queue")
        return bytes(found["headers"]) + content.prefix[content.trace_offset :] + content.body

    async def retry(self, which: Selection) -> int:
        """Make recipients due now, held ones and those of unreachable hosts too; returns how many."""
        # What is being tried has its wish; but it may wait for a site that was found closed.
        changed, _ = await self._change("next_attempt_at = now(), is_held = false", which, "true")
        if changed:
            self._announcer.announce(QUEUE_CHANNEL, REOPEN)
        return changed

    async def hold(self, which: Selection) -> Stopped:
        """Keep recipients from being tried until they are released. Returning means that none is begun."""
        changed, leased = await self._change("is_held = true", which, "NOT q.is_held")
        if not leased:
            return Stopped(changed, 0)
        await self._recall(leased)
        on_the_wire = await self._database.fetchval(_STILL_LEASED, *zip(*leased, strict=True))
        return Stopped(changed, on_the_wire)

    async def release(self, which: Selection) -> int:
        """Let held recipients be tried again when they are due; returns how many."""
        changed, _ = await self._change("is_held = false", which, "q.is_held")
        if changed:
            self._announcer.announce(QUEUE_CHANNEL)
        return changed

    async def drop(self, which: Selection) -> Stopped:
        """Remove recipients without telling their senders. Returning means that none is begun any more.

        An event records each.
        """
        dropped = 0
        leased: list[Key] = []
        after: Key = (0, -1)
        while True:
            async with self._database.transaction() as connection:
                rows = await connection.fetch(
                    f"{_DROPPED} WHERE {_WHERE} AND (q.envelope_id, q.number) > ($6::bigint, $7::int) "
                    f"ORDER BY q.envelope_id, q.number LIMIT {BATCH} FOR UPDATE OF q",
                    *_parameters(which),
                    *after,
                )
                free = [row for row in rows if not row["is_being_tried"]]
                if free:
                    await self._drop_in(connection, free)
                in_flight = [_key(row) for row in rows if row["is_being_tried"]]
                if in_flight:
                    await connection.execute(_HOLD, *zip(*in_flight, strict=True))
            dropped += len(free)
            leased += in_flight
            if len(rows) < BATCH:
                break
            after = _key(rows[-1])
        stopped = await self._drop_leased(leased) if leased else Stopped(0, 0)
        return Stopped(dropped + stopped.recipients, stopped.on_the_wire)

    async def _drop_leased(self, leased: Sequence[Key]) -> Stopped:
        """Drop what workers had in flight, once they begin none of it any more."""
        await self._recall(leased)
        dropped = on_the_wire = 0
        for first in range(0, len(leased), BATCH):
            keys = leased[first : first + BATCH]
            async with self._database.transaction() as connection:
                rows = await connection.fetch(
                    f"{_DROPPED} JOIN unnest($1::bigint[], $2::int[]) AS k(envelope_id, number) "
                    "ON q.envelope_id = k.envelope_id AND q.number = k.number "
                    "ORDER BY q.envelope_id, q.number FOR UPDATE OF q",
                    *zip(*keys, strict=True),
                )
                if rows:
                    await self._drop_in(connection, rows)
            dropped += len(rows)
            # Their workers write down what came of it, and find nothing to try again.
            on_the_wire += sum(row["is_being_tried"] for row in rows)
        return Stopped(dropped, on_the_wire)

    async def _recall(self, leased: Sequence[Key]) -> None:
        """Have whoever has leased these look at its leases, and wait until all have."""
        rows = await self._database.fetch(_OWNERS, *zip(*leased, strict=True))
        await recall(self._database, self._announcer, [row["lease_owner"] for row in rows])

    async def stats(self) -> QueueStats:
        """Count. Reads the whole queue: half a second for a million recipients."""
        totals = await self._database.fetchrow(
            "SELECT count(*) AS recipients, "
            "count(*) FILTER (WHERE next_attempt_at <= now() AND NOT is_held) AS due, "
            "count(*) FILTER (WHERE is_held) AS held, count(lease_owner) AS being_tried FROM queue_recipient"
        )
        mails = await self._database.fetchrow(
            "SELECT count(*) AS mails, coalesce(sum(size_bytes), 0)::bigint AS size_bytes FROM queue_envelope"
        )
        routes = await self._database.fetch(
            "SELECT q.route, count(*) AS recipients, "
            "count(*) FILTER (WHERE q.next_attempt_at <= now() AND NOT q.is_held) AS due, "
            "count(*) FILTER (WHERE q.is_held) AS held, min(e.queued_at) AS oldest_queued_at "
            "FROM queue_recipient q JOIN queue_envelope e ON e.id = q.envelope_id "
            "GROUP BY q.route ORDER BY count(*) DESC, q.route LIMIT $1",
            MAX_ROUTES,
        )
        assert totals is not None and mails is not None
        return QueueStats(
            recipients=totals["recipients"],
            due=totals["due"],
            held=totals["held"],
            being_tried=totals["being_tried"],
            mails=mails["mails"],
            size_bytes=mails["size_bytes"],
            routes=tuple(RouteCount(**dict(row)) for row in routes),
        )

    async def _change(self, change: str, which: Selection, only: str) -> tuple[int, Sequence[Key]]:
        """Change all rows that are meant, in batches; returns how many, and which of them are leased."""
        changed = 0
        leased: list[Key] = []
        after: Key = (0, -1)
        while True:
            rows = await self._database.fetch(
                "WITH meant AS ("
                "SELECT q.envelope_id, q.number FROM queue_recipient q "
                f"JOIN queue_envelope e ON e.id = q.envelope_id WHERE {_WHERE} AND {only} "
                "AND (q.envelope_id, q.number) > ($6::bigint, $7::int) "
                f"ORDER BY q.envelope_id, q.number LIMIT {BATCH} FOR UPDATE OF q"
                f") UPDATE queue_recipient q SET {change} FROM meant "
                "WHERE q.envelope_id = meant.envelope_id AND q.number = meant.number "
                "RETURNING q.envelope_id, q.number, q.lease_owner",
                *_parameters(which),
                *after,
            )
            changed += len(rows)
            leased += [_key(row) for row in rows if row["lease_owner"] is not None]
            if len(rows) < BATCH:
                return changed, leased
            after = max(_key(row) for row in rows)

    async def _drop_in(self, connection: Connection, rows: Sequence[Record]) -> None:
        emptied = await remove_in(
            connection,
            [_key(row) for row in rows],
            [row["envelope_id"] for row in rows if row["recipient_count"] > 1],
        )
        owned = [each.message_id for each in emptied if each.owns_message]
        if owned:
            await discard_in(connection, owned)
        released = [each.message_id for each in emptied if not each.owns_message]
        if released:
            await release_in(connection, released)
        await self._outbox.record_in(
            connection,
            [
                Event(
                    DROPPED,
                    row["account_id"],
                    {
                        "id": mail_id_text(row["envelope_id"]),
                        "sender": row["envelope_from"],
                        "recipient": row["recipient"],
                    },
                )
                for row in rows
            ],
        )


def _key(row: Record) -> Key:
    return row["envelope_id"], row["number"]


def _parameters(which: Selection) -> tuple[object, ...]:
    return (
        which.id,
        which.route,
        None if which.sender is None else which.sender.lower(),
        None if which.recipient is None else which.recipient.lower(),
        which.is_held,
    )


def _row(row: Record) -> QueuedRow:
    return QueuedRow(
        id=row["envelope_id"],
        number=row["number"],
        sender=row["envelope_from"],
        recipient=row["recipient"],
        route=row["route"],
        size_bytes=row["size_bytes"],
        queued_at=row["queued_at"],
        attempts=row["attempts"],
        next_attempt_at=row["next_attempt_at"],
        is_held=row["is_held"],
        is_being_tried=row["is_being_tried"],
        last_attempt_at=row["last_attempt_at"],
        last_code=row["last_code"],
        last_status=row["last_status"],
        last_text=row["last_text"],
        last_remote=row["last_remote"],
    )
