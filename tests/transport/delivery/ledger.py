"""A toy ledger: a source that is not the queue. A row a recipient, its mail rendered at the last moment.

It keeps what `delivery/source.py` asks for in the fewest lines there are, and is what a campaign will look
like from below: own table, own states, envelope senders of their own, no notices, counts from states.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from postroad.db.pool import Database
from postroad.message.address import Address
from postroad.protocols.smtp.envelope import EnvelopeRecipient
from postroad.transport.delivery.judging import Later, Schedule
from postroad.transport.delivery.presence import Presence
from postroad.transport.delivery.source import (
    Attempted,
    Failure,
    Job,
    Loaded,
    Renewal,
    Room,
    Taken,
)

SCHEMA = """
CREATE TABLE toy_ledger (
    id bigint PRIMARY KEY, recipient text NOT NULL, state text NOT NULL DEFAULT 'waits',
    attempts integer NOT NULL DEFAULT 0, due_at timestamptz NOT NULL DEFAULT now(), lease_owner integer)
"""

_ROUTES = """
SELECT DISTINCT split_part(recipient, '@', 2) AS route FROM toy_ledger
WHERE state = 'waits' AND lease_owner IS NULL AND due_at <= now()
"""

_CLAIM = """
WITH picked AS MATERIALIZED (
    SELECT due.id FROM unnest($1::text[], $2::int[]) AS wanted(route, most) CROSS JOIN LATERAL (
        SELECT t.id FROM toy_ledger t
        WHERE split_part(t.recipient, '@', 2) = wanted.route AND t.state = 'waits' AND t.lease_owner IS NULL
        AND t.due_at <= now() ORDER BY t.due_at, t.id LIMIT wanted.most FOR UPDATE SKIP LOCKED) due
    LIMIT $4)
UPDATE toy_ledger t SET lease_owner = $3, attempts = t.attempts + 1 FROM picked WHERE t.id = picked.id
RETURNING t.id, t.recipient, t.attempts
"""


@dataclass(frozen=True)
class Row:
    """One recipient of the ledger; also the mail, since each gets its own."""

    id: int
    address: Address
    attempts: int

    @property
    def asked(self) -> EnvelopeRecipient:
        """The recipient as it goes on the wire."""
        return EnvelopeRecipient(self.address)


LedgerJob = Job[Row, Row]


class ToyLedger:
    """The source."""

    name = "ledger"
    weight = 1

    def __init__(
        self, database: Database, presence: Presence, render: Callable[[Row], bytes], schedule: Schedule
    ) -> None:
        self._database = database
        self._presence = presence
        self._render = render
        self._schedule = schedule
        self._writes: set[asyncio.Task[None]] = set()
        self.rendered: Counter[int] = Counter()

    async def claim(self, room: Room) -> list[LedgerJob]:
        """Lease what is due."""
        async with self._database.transaction() as connection:
            routes = [row["route"] for row in await connection.fetch(_ROUTES)]
            share = max(1, -(-room.recipients // max(1, len(routes))))
            limits = {route: limit for route in routes if (limit := room.take(route, share))}
            rows = await connection.fetch(
                _CLAIM, list(limits), list(limits.values()), self._presence.owner, room.recipients
            )
        found = [Row(row["id"], Address.parse(row["recipient"]), row["attempts"]) for row in rows]
        return [Job(self, row, (row,), row.address.domain, 500) for row in found]

    async def load(self, jobs: Sequence[LedgerJob]) -> list[Loaded | Failure]:
        """Render, in a thread; one that cannot be rendered is nobody else's matter."""
        return await asyncio.to_thread(lambda: [self._loaded(job.mail) for job in jobs])

    def _loaded(self, row: Row) -> Loaded | Failure:
        self.rendered[row.id] += 1
        try:
            content = self._render(row)
        except ValueError as error:
            return Failure(554, "5.6.0", f"cannot be rendered: {error}")
        sender = Address.parse(f"bounce+{row.id}@here.example")
        return Loaded(sender, (b"Subject: offer\r\n\r\n", content))

    async def renew(self, jobs: Sequence[LedgerJob]) -> Renewal[Row, Row]:
        """Say what is another's by now, or paused."""
        rows = await self._database.fetch(
            "SELECT id, lease_owner, state FROM toy_ledger WHERE id = ANY($1::bigint[])",
            [job.mail.id for job in jobs],
        )
        lost = {row["id"] for row in rows if row["lease_owner"] != self._presence.owner}
        paused = {row["id"] for row in rows if row["state"] == "paused"} - lost
        return Renewal(
            [job for job in jobs if job.mail.id in lost], [job for job in jobs if job.mail.id in paused]
        )

    async def give_back(self, jobs: Sequence[LedgerJob]) -> None:
        """End leases whose attempt was not begun."""
        await self._database.execute(
            "UPDATE toy_ledger SET lease_owner = NULL, attempts = attempts - 1 "
            "WHERE id = ANY($1::bigint[]) AND lease_owner = $2",
            [job.mail.id for job in jobs],
            self._presence.owner,
        )

    async def free(self) -> int:
        """End the leases of workers that are gone."""
        status = await self._database.execute(
            "UPDATE toy_ledger t SET lease_owner = NULL WHERE lease_owner IS NOT NULL "
            "AND NOT EXISTS (SELECT FROM queue_worker w WHERE w.owner = t.lease_owner)"
        )
        return int(status.rpartition(" ")[2])

    async def free_forgotten(self, held: Sequence[LedgerJob]) -> int:
        """A lost commit takes its lease with it here: each claim is one statement."""
        return 0

    async def leave(self) -> None:
        """End this worker's leases."""
        await self._database.execute(
            "UPDATE toy_ledger SET lease_owner = NULL WHERE lease_owner = $1", self._presence.owner
        )

    def settle(self, attempted: Attempted[Row, Row], then: Callable[[], None]) -> None:
        """Write the state down."""
        task = asyncio.create_task(self._write(attempted, then))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    async def _write(self, attempted: Attempted[Row, Row], then: Callable[[], None]) -> None:
        for row, result in attempted.results:
            state, after = "delivered", timedelta(0)
            if not isinstance(result, Taken):
                verdict = self._schedule.judge(result, attempted.age, row.attempts, 0.0)
                state = "waits" if isinstance(verdict, Later) else "failed"
                after = verdict.after if isinstance(verdict, Later) else after
            await self._database.execute(
                "UPDATE toy_ledger SET state = CASE WHEN state = 'paused' AND $2 = 'waits' THEN state "
                "ELSE $2 END, due_at = now() + $3::interval, lease_owner = NULL "
                "WHERE id = $1 AND lease_owner = $4",
                row.id,
                state,
                after,
                self._presence.owner,
            )
        then()

    async def drain(self) -> None:
        """Wait until everything is written."""
        while self._writes:
            await asyncio.wait(self._writes)


async def fill(database: Database, addresses: Sequence[str]) -> None:
    """Make the ledger, with a row a recipient."""
    await database.execute(SCHEMA)
    await database.executemany(
        "INSERT INTO toy_ledger (id, recipient) VALUES ($1, $2)", list(enumerate(addresses, 1))
    )


async def states(database: Database) -> dict[str, int]:
    """Count by state."""
    rows = await database.fetch("SELECT state, count(*) FROM toy_ledger GROUP BY state")
    return {row["state"]: row["count"] for row in rows}
