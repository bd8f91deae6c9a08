"""The queue as its workers see it: claiming what is due, and writing down what came of it.

SQL beside its noun; nothing here opens a connection to a mail server or decides when to try again.
A claim makes a worker the owner of rows and counts the attempt before any connection is opened (RFC 5321 6.1:
responsibility is given up only when the next host has taken it). Every time here is the database's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from asyncpg import Record

from postroad.db.compound import Clause
from postroad.db.pool import Connection, Database
from postroad.message.address import Address
from postroad.protocols.smtp.envelope import EnvelopeRecipient, Notify, OriginalRecipient, Return
from postroad.transport.delivery.destinations import RELAY
from postroad.transport.delivery.judging import LONGEST_DELAY
from postroad.transport.delivery.source import Room

Key = tuple[int, int]  # of a recipient: its envelope's id, and its number there

# Below this many due rows the routes are read off them; above, a million rows of one route could hide the
# others, so the routes are found by jumping along the index instead.
FEW_DUE = 500
MAX_ROUTES_VISITED = 2000  # jumps in one claim, about 3 µs each; the next claim goes on from there
MAX_ROUTES = 200  # due routes of one claim
MAX_TOGETHER = 100  # recipients of one job; what goes on the wire at once (`dispatcher.MAX_RECIPIENTS`)
FORGOTTEN = timedelta(minutes=2)  # far longer than it takes to learn what became of a commit
MOST_PUT_OFF = 6 * LONGEST_DELAY  # no schedule puts anything off for so long


@dataclass(frozen=True, slots=True)
class QueuedEnvelope:
    """A mail in the queue, as it is needed to deliver it and to tell its sender.

    `headers` go in front of trace and content. `owns_message`: neither a folder nor another envelope has
    the mail.
    """

    id: int
    message_id: int
    sender: Address | None
    account_id: int | None
    return_content: Return | None
    envelope_id: str | None
    is_smtputf8: bool
    owns_message: bool
    size_bytes: int
    recipient_count: int
    headers: bytes
    queued_at: datetime


@dataclass(frozen=True, slots=True)
class QueuedRecipient:
    """One recipient of it. `attempts` counts the one under way."""

    number: int
    asked: EnvelopeRecipient
    route: str
    attempts: int = 0
    delay_notified: bool = False


@dataclass(frozen=True, slots=True)
class Leased:
    """A mail and those of its recipients that one worker may try now; all have the same route.

    `age` is how long ago it was queued.
    """

    envelope: QueuedEnvelope
    recipients: tuple[QueuedRecipient, ...]
    age: timedelta = timedelta(0)

    @property
    def route(self) -> str:
        """Where all of them go."""
        return self.recipients[0].route


@dataclass(frozen=True, slots=True)
class Deferral:
    """What is kept of a failed attempt until the next one, which is due `after` so long."""

    envelope_id: int
    number: int
    after: timedelta
    delay_notified: bool
    code: int
    status: str
    text: str
    remote: str


ENVELOPE_COLUMNS = (
    "id", "message_id", "envelope_from", "account_id", "return_content", "envelope_id", "is_smtputf8",
    "owns_message", "size_bytes", "recipient_count", "headers",
)  # fmt: skip
RECIPIENT_COLUMNS = (
    "envelope_id", "number", "recipient", "route", "notify", "original_recipient", "attempts", "lease_owner",
)  # fmt: skip
# `queued_at` and `next_attempt_at` are the database's to set.


_ADD_ENVELOPES = f"""
queued AS (
    INSERT INTO queue_envelope ({", ".join(ENVELOPE_COLUMNS)})
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::text[], $6::text[],
        $7::boolean[], $8::boolean[], $9::bigint[], $10::integer[], $11::bytea[]))
"""
_ADD_RECIPIENTS = f"""
queued_recipients AS (
    INSERT INTO queue_recipient ({", ".join(RECIPIENT_COLUMNS)})
    SELECT * FROM unnest($1::bigint[], $2::integer[], $3::text[], $4::text[], $5::smallint[], $6::text[],
        $7::integer[], $8::integer[]))
"""


def add_clauses(
    envelopes: Sequence[QueuedEnvelope], recipients: Sequence[tuple[object, ...]]
) -> list[Clause]:
    """What `add_in` writes, as clauses of one statement."""
    return [
        Clause(_ADD_ENVELOPES, tuple(zip(*map(_envelope_row, envelopes), strict=True))),
        Clause(_ADD_RECIPIENTS, tuple(zip(*recipients, strict=True))),
    ]


async def add_in(
    connection: Connection,
    envelopes: Sequence[QueuedEnvelope],
    recipients: Sequence[tuple[object, ...]],
) -> None:
    """Write envelopes and recipients (tuples of `RECIPIENT_COLUMNS`) by COPY, in the caller's transaction."""
    await connection.copy_records_to_table(
        "queue_envelope",
        columns=ENVELOPE_COLUMNS,
        records=[_envelope_row(each) for each in envelopes],
    )
    await connection.copy_records_to_table("queue_recipient", columns=RECIPIENT_COLUMNS, records=recipients)


def _envelope_row(envelope: QueuedEnvelope) -> tuple[object, ...]:
    return (
        envelope.id,
        envelope.message_id,
        "" if envelope.sender is None else str(envelope.sender),
        envelope.account_id,
        envelope.return_content,
        envelope.envelope_id,
        envelope.is_smtputf8,
        envelope.owns_message,
        envelope.size_bytes,
        envelope.recipient_count,
        envelope.headers,
    )


def recipient_row(envelope_id: int, recipient: QueuedRecipient, owner: int | None) -> tuple[object, ...]:
    """Return the row of a new recipient: due at once, or leased to `owner` from birth."""
    asked = recipient.asked
    return (
        envelope_id,
        recipient.number,
        str(asked.address),
        recipient.route,
        None if asked.notify is None else int(asked.notify),
        None if asked.original is None else f"{asked.original.address_type};{asked.original.address}",
        recipient.attempts,
        owner,
    )


class Queue:
    """Claims and gives back for workers. `owner` is who it is (`presence.py`)."""

    def __init__(self, database: Database, relay: str = "") -> None:
        """`relay` is today's smart host `host:port`, empty for delivery by MX."""
        self._database = database
        self._relay = relay
        self._has_rerouted = False
        self._visited_up_to = ""
        # Claims whose COMMIT was not answered: the transaction's number, and what it would have leased.
        self._unanswered: list[tuple[str, list[Key]]] = []

    async def claim(self, owner: int, room: Room) -> list[Leased]:
        """Lease due recipients, as many as there is room for.

        Fair: every due route gets its share before any gets more. Returns them grouped by envelope and
        route, at most `MAX_TOGETHER` together. Raises `DatabaseUnavailable`.
        """
        if not self._has_rerouted:
            await self.reroute()
        await self._undo_unanswered(owner)
        claimed: list[Record] = []
        try:
            async with self._database.transaction() as connection:
                await plan_anew_in(connection)
                routes = await self._due_routes_in(connection, room)
                if not routes:
                    return []
                share = max(1, -(-room.recipients // len(routes)))
                limits = {route: limit for route in routes if (limit := room.take(route, share))}
                claimed = await connection.fetch(
                    _CLAIM, list(limits), list(limits.values()), owner, room.recipients
                )
        except BaseException:  # a cancelled COMMIT may have been done, too
            if claimed:
                keys = [(row["id"], row["number"]) for row in claimed]
                self._unanswered.append((claimed[0]["transaction"], keys))
            raise
        return _group(claimed)

    async def _undo_unanswered(self, owner: int) -> None:
        """Give back what claims have leased that were committed after all: nobody has it in flight."""
        while self._unanswered:
            transaction, keys = self._unanswered[0]
            status = await self._database.fetchval("SELECT pg_xact_status($1::text::xid8)", transaction)
            if status == "in progress":
                return
            if status == "committed":
                await self.give_back(owner, keys)
            del self._unanswered[0]

    async def reroute(self) -> int:
        """Send what was queued under another smart host, or none, today's way; returns how many recipients.

        Reads the whole queue, once before a worker's first claim. What is leased stays with its worker.
        """
        if self._relay:
            status = await self._database.execute(
                "UPDATE queue_recipient SET route = $1 WHERE route <> $1 AND lease_owner IS NULL",
                f"{RELAY}{self._relay}",
            )
        else:
            status = await self._database.execute(
                "UPDATE queue_recipient SET route = substring(recipient FROM '[^@]*$') "
                "WHERE starts_with(route, $1) AND lease_owner IS NULL",
                RELAY,
            )
        self._has_rerouted = True
        return int(status.rpartition(" ")[2])

    async def _due_routes_in(self, connection: Connection, room: Room) -> list[str]:
        oldest = await connection.fetch(_OLDEST_DUE, FEW_DUE)
        if len(oldest) < FEW_DUE:
            return [route for route in dict.fromkeys(row["route"] for row in oldest) if room.of(route)]
        visited = await connection.fetch(_ROUTES_AFTER, self._visited_up_to, MAX_ROUTES_VISITED)
        due = [row["route"] for row in visited if row["is_due"] and room.of(row["route"])]
        if len(due) > MAX_ROUTES:
            del due[MAX_ROUTES:]
            self._visited_up_to = due[-1]
        else:
            # At the end of the list the next claim begins again at its start.
            self._visited_up_to = visited[-1]["route"] if len(visited) >= MAX_ROUTES_VISITED else ""
        return due

    async def renew(self, owner: int, keys: Sequence[Key]) -> tuple[set[Key], set[Key]]:
        """Say which rows have another owner by now, and which are held or gone."""
        rows = await self._database.fetch(
            _NOT_OURS, [key[0] for key in keys], [key[1] for key in keys], owner
        )
        lost = {(row["envelope_id"], row["number"]) for row in rows if row["is_lost"]}
        return lost, {(row["envelope_id"], row["number"]) for row in rows} - lost

    async def give_back(self, owner: int, keys: Sequence[Key]) -> None:
        """End leases whose attempt was never begun: the rows are due at once, the attempt is not counted."""
        await self._database.execute(_GIVE_BACK, [key[0] for key in keys], [key[1] for key in keys], owner)

    async def leave(self, owner: int) -> None:
        """End all leases of a worker that has settled whatever it had begun."""
        await self._database.execute(_LEAVE, owner)

    async def free(self) -> int:
        """End the leases of workers that are gone, and return how many rows came free.

        Also mends what a clock that was far ahead has put off for longer than anything ever is.
        """
        await self._database.execute(_MEND, MOST_PUT_OFF)
        gone = [row["lease_owner"] for row in await self._database.fetch(_GONE)]
        if not gone:
            return 0
        freed = await self._database.execute(_FREE, gone)
        return int(freed.rpartition(" ")[2])

    async def free_forgotten(self, owner: int, held: Sequence[Key]) -> int:
        """End leases of a worker that does not hold what it leased `FORGOTTEN` ago, and return how many."""
        keys = [key[0] for key in held], [key[1] for key in held]
        freed = await self._database.execute(_FREE_FORGOTTEN, *keys, owner, FORGOTTEN)
        return int(freed.rpartition(" ")[2])


@dataclass(frozen=True, slots=True)
class Emptied:
    """A mail whose last recipient is done; `owns_message` when nothing else can point at it."""

    message_id: int
    owns_message: bool


async def remove_in(
    connection: Connection, envelopes: Sequence[tuple[int, int]], shared: Sequence[int]
) -> list[Emptied]:
    """Delete recipients, given as (envelope id, number), and the envelopes left without any.

    `shared` are the ids of those envelopes that were queued for more than one recipient: they are locked
    first, in order, so that two workers who finish the last two recipients at once cannot both leave it.
    """
    if shared:
        await connection.execute(
            "SELECT FROM queue_envelope WHERE id = ANY($1::bigint[]) ORDER BY id FOR UPDATE",
            sorted(set(shared)),
        )
    ids = [envelope_id for envelope_id, _ in envelopes]
    await connection.execute(_REMOVE_RECIPIENTS, ids, [number for _, number in envelopes])
    rows = await connection.fetch(_REMOVE_EMPTY, ids)
    return [Emptied(row["message_id"], row["owns_message"]) for row in rows]


async def defer_in(connection: Connection, owner: int, deferrals: Sequence[Deferral]) -> None:
    """Write down failed attempts. A row that somebody else has leased meanwhile is theirs to judge."""
    await connection.execute(
        _DEFER,
        owner,
        [each.envelope_id for each in deferrals],
        [each.number for each in deferrals],
        [each.after for each in deferrals],
        [each.delay_notified for each in deferrals],
        [each.code for each in deferrals],
        [each.status for each in deferrals],
        [each.text for each in deferrals],
        [each.remote for each in deferrals],
    )


async def plan_anew_in(connection: Connection) -> None:
    """Plan by the tables as they are now.

    A plan kept from when the queue was empty reads all of a full one.
    """
    await connection.execute("SET LOCAL plan_cache_mode = force_custom_plan")


_DEFER = """
UPDATE queue_recipient q
SET next_attempt_at = now() + k.after, last_attempt_at = now(), lease_owner = NULL,
    delay_notified = k.notified, last_code = k.code, last_status = k.status, last_text = k.text,
    last_remote = k.remote
FROM unnest($2::bigint[], $3::int[], $4::interval[], $5::bool[], $6::int[], $7::text[], $8::text[],
            $9::text[])
     AS k(envelope_id, number, after, notified, code, status, text, remote)
WHERE q.envelope_id = k.envelope_id AND q.number = k.number AND q.lease_owner = $1
"""

_NOT_OURS = """
SELECT k.envelope_id, k.number,
       q.envelope_id IS NOT NULL AND q.lease_owner IS DISTINCT FROM $3 AS is_lost
FROM unnest($1::bigint[], $2::int[]) AS k(envelope_id, number)
LEFT JOIN queue_recipient q ON q.envelope_id = k.envelope_id AND q.number = k.number
WHERE q.lease_owner IS DISTINCT FROM $3 OR q.is_held
"""

_GIVE_BACK = """
UPDATE queue_recipient q SET next_attempt_at = now(), lease_owner = NULL, attempts = attempts - 1
FROM unnest($1::bigint[], $2::int[]) AS k(envelope_id, number)
WHERE q.envelope_id = k.envelope_id AND q.number = k.number AND q.lease_owner = $3
"""

_LEAVE = """
UPDATE queue_recipient SET next_attempt_at = now(), lease_owner = NULL, attempts = greatest(attempts - 1, 0)
WHERE lease_owner = $1
"""

# From owner to owner along the index: a few descents, however much is leased. A worker has its row before its
# first lease, so one snapshot shows both.
_GONE = """
WITH RECURSIVE owners (lease_owner) AS (
    (SELECT lease_owner FROM queue_recipient WHERE lease_owner IS NOT NULL ORDER BY lease_owner LIMIT 1)
    UNION ALL
    SELECT (SELECT q.lease_owner FROM queue_recipient q WHERE q.lease_owner > owners.lease_owner
            ORDER BY q.lease_owner LIMIT 1)
    FROM owners WHERE owners.lease_owner IS NOT NULL
)
SELECT o.lease_owner FROM owners o
WHERE o.lease_owner IS NOT NULL AND NOT EXISTS (SELECT FROM queue_worker w WHERE w.owner = o.lease_owner)
"""

# It may have come back since it was looked for.
_FREE = """
UPDATE queue_recipient q SET next_attempt_at = now(), lease_owner = NULL
WHERE q.lease_owner = ANY($1::int[])
AND NOT EXISTS (SELECT FROM queue_worker w WHERE w.owner = q.lease_owner)
"""

# What is leased from birth is due from birth; in between lies no more than a commit and the search for its
# outcome.
_FREE_FORGOTTEN = """
UPDATE queue_recipient q SET next_attempt_at = now(), lease_owner = NULL
WHERE q.lease_owner = $3 AND q.next_attempt_at < now() - $4::interval
AND NOT EXISTS (SELECT FROM unnest($1::bigint[], $2::int[]) AS k(envelope_id, number)
                WHERE k.envelope_id = q.envelope_id AND k.number = q.number)
"""

_MEND = """
UPDATE queue_recipient q SET next_attempt_at = now()
FROM (SELECT envelope_id, number FROM queue_recipient
      WHERE NOT is_held AND lease_owner IS NULL AND next_attempt_at > now() + $1::interval
      ORDER BY next_attempt_at DESC LIMIT 1000) late
WHERE q.envelope_id = late.envelope_id AND q.number = late.number
"""

_REMOVE_RECIPIENTS = """
DELETE FROM queue_recipient q USING unnest($1::bigint[], $2::int[]) AS k(envelope_id, number)
WHERE q.envelope_id = k.envelope_id AND q.number = k.number
"""

_REMOVE_EMPTY = """
DELETE FROM queue_envelope e WHERE e.id = ANY($1::bigint[])
AND NOT EXISTS (SELECT FROM queue_recipient q WHERE q.envelope_id = e.id)
RETURNING e.message_id, e.owns_message
"""

_OLDEST_DUE = """
SELECT route FROM queue_recipient WHERE NOT is_held AND lease_owner IS NULL AND next_attempt_at <= now()
ORDER BY next_attempt_at LIMIT $1
"""

# A loose index scan: one descent of (route, next_attempt_at) finds the next route, and the row it finds is
# that route's oldest, so it also says whether the route is due. DISTINCT would read every row of every
# route.
_ROUTES_AFTER = """
WITH RECURSIVE visited (route, oldest, place) AS (
    (SELECT route, next_attempt_at, 1 FROM queue_recipient
     WHERE NOT is_held AND lease_owner IS NULL AND route > $1 ORDER BY route, next_attempt_at LIMIT 1)
    UNION ALL
    SELECT following.route, following.next_attempt_at, visited.place + 1
    FROM visited CROSS JOIN LATERAL (
        SELECT q.route, q.next_attempt_at FROM queue_recipient q
        WHERE NOT q.is_held AND q.lease_owner IS NULL AND q.route > visited.route
        ORDER BY q.route, q.next_attempt_at LIMIT 1
    ) following
    WHERE visited.place < $2
)
SELECT route, oldest <= now() AS is_due FROM visited
"""

# Each route's oldest rows by the same index; a route with a million rows costs what one with ten does.
_CLAIM = """
WITH picked AS MATERIALIZED (
    SELECT due.envelope_id, due.number
    FROM unnest($1::text[], $2::int[]) AS wanted(route, most)
    CROSS JOIN LATERAL (
        SELECT q.envelope_id, q.number FROM queue_recipient q
        WHERE q.route = wanted.route AND NOT q.is_held AND q.lease_owner IS NULL
        AND q.next_attempt_at <= now()
        ORDER BY q.next_attempt_at LIMIT wanted.most FOR UPDATE SKIP LOCKED
    ) due
    LIMIT $4
), leased AS (
    UPDATE queue_recipient q
    SET lease_owner = $3, attempts = q.attempts + 1
    FROM picked WHERE q.envelope_id = picked.envelope_id AND q.number = picked.number
    RETURNING q.envelope_id AS id, q.number, q.recipient, q.route, q.notify, q.original_recipient, q.attempts,
              q.delay_notified
)
SELECT leased.*, e.message_id, e.envelope_from, e.account_id, e.return_content, e.envelope_id,
       e.is_smtputf8, e.owns_message, e.size_bytes, e.recipient_count, e.headers, e.queued_at,
       now() - e.queued_at AS age, pg_current_xact_id()::text AS transaction
FROM leased JOIN queue_envelope e ON e.id = leased.id
ORDER BY leased.id, leased.route, leased.number
"""


def _group(rows: Sequence[Record]) -> list[Leased]:
    leased: list[Leased] = []
    for _, group in groupby(rows, key=lambda row: (row["id"], row["route"])):
        members = list(group)
        envelope, age = envelope_of(members[0]), members[0]["age"]
        recipients = tuple(_recipient_of(row) for row in members)
        leased.extend(
            Leased(envelope, recipients[first : first + MAX_TOGETHER], age)
            for first in range(0, len(recipients), MAX_TOGETHER)
        )
    return leased


def envelope_of(row: Record) -> QueuedEnvelope:
    """Read an envelope off a row that has its columns."""
    ret = row["return_content"]
    return QueuedEnvelope(
        id=row["id"],
        message_id=row["message_id"],
        sender=_address(row["envelope_from"]) if row["envelope_from"] else None,
        account_id=row["account_id"],
        return_content=None if ret is None else Return(ret),
        envelope_id=row["envelope_id"],
        is_smtputf8=row["is_smtputf8"],
        owns_message=row["owns_message"],
        size_bytes=row["size_bytes"],
        recipient_count=row["recipient_count"],
        headers=row["headers"],
        queued_at=row["queued_at"],
    )


def _recipient_of(row: Record) -> QueuedRecipient:
    notify, original = row["notify"], row["original_recipient"]
    asked = EnvelopeRecipient(
        _address(row["recipient"]),
        None if notify is None else Notify(notify),
        None if original is None else OriginalRecipient(*original.split(";", 1)),
    )
    return QueuedRecipient(row["number"], asked, row["route"], row["attempts"], row["delay_notified"])


def _address(text: str) -> Address:
    """Not parsed again: it was an address when it was queued, and must not become less by a new rule."""
    local_part, _, domain = text.rpartition("@")
    return Address(local_part, domain)
