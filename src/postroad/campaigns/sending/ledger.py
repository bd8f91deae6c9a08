"""The ledger as its workers see it: claiming chunks of due recipients, and ending those claims.

SQL beside its noun. A claim writes chunks alone: in hand are the recipients of an owned chunk that wait and
were due when it was claimed. Which claim it was is told by `claimed_at`, so that an old one never ends a
new one. Every time here is the database's. What became of recipients is written in `settling.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from asyncpg import Record

from postroad.campaigns.sending.hours import WITHIN_HOURS
from postroad.campaigns.sending.own_rates import WARM_UP_DAYS, OwnRates
from postroad.db.pool import Connection, Database
from postroad.message.address import Address
from postroad.protocols.smtp.envelope import EnvelopeRecipient
from postroad.transport.delivery.source import Room

MAX_RUNS = 50  # that one claim looks into; the next one goes on from there
MAX_DOMAINS = 200  # of each run, about 5 µs each
MAX_CHUNKS = 50  # of one domain of a run: with the last recipients of many chunks, a claim stays small
FREED_AT_ONCE = 200  # chunks of workers that died, in one transaction
FORGOTTEN_AFTER = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A claimed part of a run: one claim of it, told by its time."""

    customer_id: int
    run_id: int
    shelf: int
    first_number: int
    claimed_at: datetime


@dataclass(frozen=True, slots=True)
class InHand:
    """A recipient that this worker has in hand: to delivery, its mail and its recipient.

    `attempts` counts the one under way. `age` is how long ago it was first put off.
    """

    chunk: Chunk
    number: int
    contact_id: int
    address: Address
    attempts: int
    age: timedelta
    is_here: bool = False  # the domain is one of ours

    @property
    def asked(self) -> EnvelopeRecipient:
        """The recipient as it goes on the wire."""
        return EnvelopeRecipient(self.address)


class Ledger:
    """Claims of one worker."""

    def __init__(
        self,
        database: Database,
        rates: OwnRates,
        zone: str,
        late: timedelta,
        on_more: Callable[[], None] = lambda: None,
    ) -> None:
        """`zone` is that of hours; nothing is claimed when nobody looked after the tasks for `late`.

        `on_more` is called when a rate that kept something back may let it go.
        """
        self._database = database
        self._rates = rates
        self._on_more = on_more
        self._more: asyncio.TimerHandle | None = None
        self._zone = zone
        self._late = late
        self._turn = 0
        self._visited: dict[int, str] = {}  # where the next claim goes on, by run
        # Claims whose COMMIT was not answered: the transaction's number, and what it would have claimed.
        self._unanswered: list[tuple[str, list[Chunk]]] = []

    async def claim(self, owner: int, room: Room) -> list[InHand]:
        """Lease due recipients, as many as there is room for, fairly over runs and their domains.

        Raises `DatabaseUnavailable`.
        """
        await self._undo_unanswered(owner)
        if not await self._database.fetchval(_ANY_OPEN):  # nearly always: one statement, no transaction
            self._visited.clear()
            return []
        claimed: list[Record] = []
        try:
            async with self._database.transaction() as connection:
                await plan_anew_in(connection)
                runs = await connection.fetch(_OPEN_RUNS, self._late, self._zone, WARM_UP_DAYS)
                if not runs:
                    return []
                wanted = _share_out(await self._due_domains_in(connection, runs), room)
                wanted, wait = await self._rates.keep(runs, wanted)
                if wait:
                    self._look_again(wait)
                if not wanted:
                    return []
                claimed = await connection.fetch(
                    _CLAIM,
                    [run_id for run_id, _, _ in wanted],
                    [domain for _, domain, _ in wanted],
                    [most for _, _, most in wanted],
                    owner,
                    MAX_CHUNKS,
                )
                chunks = {_chunk(row): row for row in claimed}
                found = [
                    each
                    for _, of_run in by_run(list(chunks))
                    for each in await _recipients_in(connection, {chunk: chunks[chunk] for chunk in of_run})
                ]
                with_some = {each.chunk for each in found}
                await release_in(connection, owner, [each for each in chunks if each not in with_some])
        except BaseException:  # a cancelled COMMIT may have been done, too
            if claimed:
                self._unanswered.append((claimed[0]["transaction"], [_chunk(row) for row in claimed]))
            raise
        return found

    def _look_again(self, seconds: float) -> None:
        if self._more is not None:
            self._more.cancel()
        self._more = asyncio.get_running_loop().call_later(seconds, self._on_more)

    async def _undo_unanswered(self, owner: int) -> None:
        """Release what claims have got that were committed after all: nobody has it in hand."""
        while self._unanswered:
            transaction, chunks = self._unanswered[0]
            status = await self._database.fetchval("SELECT pg_xact_status($1::text::xid8)", transaction)
            if status == "in progress":
                return
            if status == "committed":
                await self.release(owner, chunks)
            del self._unanswered[0]

    async def _due_domains_in(
        self, connection: Connection, runs: Sequence[Record]
    ) -> Mapping[int, list[str]]:
        """The domains of each run that have something due, those behind where the last claim ended."""
        ids = [row["id"] for row in runs]
        self._turn = (self._turn + 1) % len(ids)
        ids = (ids[self._turn :] + ids[: self._turn])[:MAX_RUNS]
        after = [self._visited.get(run_id, "") for run_id in ids]
        rows = await connection.fetch(_DOMAINS, ids, after, MAX_DOMAINS)
        due: dict[int, list[str]] = {run_id: [] for run_id in ids}
        visited = dict.fromkeys(ids, 0)
        for row in rows:
            visited[row["run_id"]] += 1
            if row["is_due"]:
                due[row["run_id"]].append(row["domain"])
            self._visited[row["run_id"]] = row["domain"]
        for run_id in ids:
            if visited[run_id] < MAX_DOMAINS:  # the end of the run's domains: the next claim begins anew
                self._visited.pop(run_id, None)
        return due

    async def withdrawn(self, owner: int, chunks: Iterable[Chunk]) -> tuple[set[Chunk], set[Chunk]]:
        """Say which claims are no longer ours, and which of ours are not to be begun now."""
        asked = list(chunks)
        rows = await self._database.fetch(
            _NOT_OURS,
            [each.customer_id for each in asked],
            [each.run_id for each in asked],
            [each.first_number for each in asked],
            [each.claimed_at for each in asked],
            owner,
            self._zone,
        )
        lost = {asked[row["place"] - 1] for row in rows if row["is_lost"]}
        return lost, {asked[row["place"] - 1] for row in rows} - lost

    async def release(self, owner: int, chunks: Sequence[Chunk]) -> None:
        """End claims of which nothing is in hand any more."""

        async def work(connection: Connection) -> None:
            await plan_anew_in(connection)
            await release_in(connection, owner, chunks)

        if chunks:
            await self._database.commit(work)

    async def leave(self, owner: int) -> None:
        """End all claims of a worker that has settled whatever it had begun."""
        if self._more is not None:
            self._more.cancel()
        while rows := await self._database.fetch(_OWNED, owner, timedelta(0), FREED_AT_ONCE):
            await self.release(owner, [Chunk(**row) for row in rows])

    async def free_forgotten(self, owner: int, held: Iterable[Chunk]) -> int:
        """End claims of this worker that it knows nothing of: their commit was not answered."""
        known = set(held)
        rows = await self._database.fetch(_OWNED, owner, FORGOTTEN_AFTER, 10 * FREED_AT_ONCE)
        forgotten = [chunk for row in rows if (chunk := Chunk(**row)) not in known]
        await self.release(owner, forgotten)
        return len(forgotten)

    async def free(self) -> int:
        """End the claims of workers that are gone, and return how many recipients they had in hand.

        Whether the mails of these were taken before their worker died, nobody can say: each is marked with a
        doubt, and tried again.
        """
        freed = 0
        while True:
            rows = await self._database.commit(_free_in)
            freed += sum(row for row in rows)
            if len(rows) < FREED_AT_ONCE:
                return freed


def by_run(chunks: Sequence[Chunk]) -> list[tuple[tuple[int, int, int], list[Chunk]]]:
    """Chunks by (customer, run, shelf): statements name the shelf, so that one partition is looked at."""

    def run(chunk: Chunk) -> tuple[int, int, int]:
        return (chunk.customer_id, chunk.run_id, chunk.shelf)

    ordered = sorted(chunks, key=lambda chunk: (run(chunk), chunk.first_number))
    return [(key, list(group)) for key, group in groupby(ordered, key=run)]


async def release_in(connection: Connection, owner: int, chunks: Sequence[Chunk]) -> None:
    """End claims, in the caller's transaction: due when their next recipient is, or gone with the last."""
    for (customer_id, run_id, shelf), of_run in by_run(chunks):
        await connection.execute(
            _RELEASE,
            customer_id,
            run_id,
            shelf,
            [each.first_number for each in of_run],
            [each.claimed_at for each in of_run],
            owner,
        )


async def plan_anew_in(connection: Connection) -> None:
    """Plan by the tables as they are now: a plan kept from an empty ledger reads all of a full one."""
    await connection.execute("SET LOCAL plan_cache_mode = force_custom_plan")


def _share_out(due: Mapping[int, list[str]], room: Room) -> list[tuple[int, str, int]]:
    """How many of each run and domain: every run gets its share, and in it every domain."""
    wanted = []
    left = room.recipients
    with_room = {
        run_id: found
        for run_id, domains in due.items()
        if (found := [domain for domain in domains if room.of(domain)])
    }
    for place, (run_id, domains) in enumerate(with_room.items()):
        of_run = -(-left // (len(with_room) - place))
        for at, domain in enumerate(domains):
            taken = room.take(domain, -(-of_run // (len(domains) - at)))
            if taken:
                wanted.append((run_id, domain, taken))
                of_run -= taken
                left -= taken
    return wanted


async def _recipients_in(connection: Connection, chunks: Mapping[Chunk, Record]) -> list[InHand]:
    """The due recipients of claimed chunks of one run.

    A statement of its own, after the chunks are ours: an older look might show what others have sent since.
    """
    of_number = {
        number: chunk
        for chunk, row in chunks.items()
        for number in range(chunk.first_number, row["last_number"] + 1)
    }
    first = next(iter(chunks))
    rows = await connection.fetch(_RECIPIENTS, first.customer_id, first.run_id, first.shelf, list(of_number))
    return [
        InHand(
            of_number[row["number"]],
            row["number"],
            row["contact_id"],
            _address(row["address"]),
            row["attempts"] + 1,
            row["age"],
            chunks[of_number[row["number"]]]["is_here"],
        )
        for row in rows
    ]


async def _free_in(connection: Connection) -> list[int]:
    await plan_anew_in(connection)
    rows = await connection.fetch(_GONE, FREED_AT_ONCE)
    counts = dict.fromkeys(range(len(rows)), 0)
    ordered = sorted(rows, key=lambda row: (row["customer_id"], row["run_id"], row["first_number"]))
    for place, row in enumerate(ordered):
        status = await connection.execute(
            _DOUBT,
            row["customer_id"],
            row["run_id"],
            row["shelf"],
            row["first_number"],
            row["last_number"],
            row["claimed_at"],
        )
        counts[place] = int(status.rpartition(" ")[2])
        await connection.execute(_FREE, row["customer_id"], row["run_id"], row["first_number"])
    return list(counts.values())


def _chunk(row: Record) -> Chunk:
    return Chunk(row["customer_id"], row["run_id"], row["shelf"], row["first_number"], row["claimed_at"])


def _address(text: str) -> Address:
    """Not parsed yet: one that is none is its own recipient's failure, when its mail is rendered."""
    local_part, _, domain = text.rpartition("@")
    return Address(local_part, domain.lower())


# A pause takes the run's lock for itself: whoever claims has it beside others until the commit, so after a
# pause has committed, every chunk that was claimed before shows its owner, and nobody claims more.
RUN_LOCK = "hashtextextended('postroad run', {0})"

_ANY_OPEN = "SELECT EXISTS (SELECT FROM task WHERE state = 2)"

_OPEN_RUNS = f"""
WITH open AS MATERIALIZED (
    SELECT r.id, r.customer_id, t.mails_per_minute, c.mails_per_minute AS of_customer,
           warm.name AS warm_domain, (now() AT TIME ZONE $2)::date - warm.warm_up_from AS warm_days
    FROM task t JOIN run r ON r.customer_id = t.customer_id AND r.task_id = t.id
    JOIN customer c ON c.id = t.customer_id
    LEFT JOIN LATERAL (
        SELECT d.name, d.warm_up_from FROM sender_domain d
        WHERE d.customer_id = t.customer_id AND d.is_verified
          AND d.warm_up_from > (now() AT TIME ZONE $2)::date - $3::int
          AND CASE t.sender_kind WHEN 'all' THEN true WHEN 'domain' THEN d.name = t.sender_domain
              ELSE d.name = split_part(t.sender_address, '@', 2) END
        ORDER BY d.warm_up_from DESC LIMIT 1
    ) warm ON true
    WHERE t.state = 2 AND r.expanded_at IS NOT NULL AND r.finished_at IS NULL AND {WITHIN_HOURS.format("$2")}
      AND EXISTS (SELECT FROM campaign_watch w WHERE w.seen_at > now() - $1::interval)
)
SELECT * FROM open WHERE pg_try_advisory_xact_lock_shared({RUN_LOCK.format("id")}) ORDER BY id
"""

# A loose index scan for each run: one descent of (run_id, domain, due_at) finds the next domain and its
# oldest chunk.
_DOMAINS = """
SELECT asked.run_id, found.domain, found.due_at <= now() AS is_due
FROM unnest($1::bigint[], $2::text[]) WITH ORDINALITY AS asked(run_id, after, place)
CROSS JOIN LATERAL (
    WITH RECURSIVE visited (domain, due_at, place) AS (
        (SELECT c.domain, c.due_at, 1 FROM ledger_chunk c
         WHERE c.owner IS NULL AND c.run_id = asked.run_id AND c.domain > asked.after
         ORDER BY c.domain, c.due_at LIMIT 1)
        UNION ALL
        SELECT following.domain, following.due_at, visited.place + 1
        FROM visited CROSS JOIN LATERAL (
            SELECT c.domain, c.due_at FROM ledger_chunk c
            WHERE c.owner IS NULL AND c.run_id = asked.run_id AND c.domain > visited.domain
            ORDER BY c.domain, c.due_at LIMIT 1
        ) following
        WHERE visited.place < $3::int
    )
    SELECT domain, due_at, place FROM visited
) found
ORDER BY asked.place, found.place
"""

# The task's state is read here, after the run's lock was taken. Of a chunk that is larger than the room,
# the rest becomes a chunk of its own.
_CLAIM = """
WITH picked AS MATERIALIZED (
    SELECT c.*, wanted.most
    FROM unnest($1::bigint[], $2::text[], $3::int[]) AS wanted(run_id, domain, most)
    CROSS JOIN LATERAL (
        SELECT c.customer_id, c.run_id, c.first_number, c.last_number, c.domain, c.due_at FROM ledger_chunk c
        WHERE c.run_id = wanted.run_id AND c.domain = wanted.domain AND c.owner IS NULL AND c.due_at <= now()
        ORDER BY c.due_at LIMIT least(wanted.most, $5::int) FOR UPDATE SKIP LOCKED
    ) c
), sized AS (
    SELECT p.*, r.shelf,
           sum(p.last_number - p.first_number + 1) OVER (
               PARTITION BY p.run_id, p.domain ORDER BY p.due_at, p.first_number) AS through
    FROM picked p
    JOIN run r ON r.customer_id = p.customer_id AND r.id = p.run_id
    JOIN task t ON t.customer_id = r.customer_id AND t.id = r.task_id AND t.state = 2
), taken AS (
    UPDATE ledger_chunk c
    SET owner = $4, claimed_at = now(), last_number = c.last_number - greatest(0, s.through - s.most)::int
    FROM sized s
    WHERE c.customer_id = s.customer_id AND c.run_id = s.run_id AND c.first_number = s.first_number
      AND s.through - (s.last_number - s.first_number + 1) < s.most
    RETURNING c.customer_id, c.run_id, s.shelf, c.first_number, c.claimed_at, c.last_number,
              s.last_number AS whole_last, c.domain, c.due_at
), rest AS (
    INSERT INTO ledger_chunk (customer_id, run_id, first_number, last_number, domain, due_at)
    SELECT customer_id, run_id, last_number + 1, whole_last, domain, due_at FROM taken
    WHERE last_number < whole_last
)
SELECT t.customer_id, t.run_id, t.shelf, t.first_number, t.claimed_at, t.last_number,
       d.name IS NOT NULL AS is_here, pg_current_xact_id()::text AS transaction
FROM taken t LEFT JOIN domain d ON d.name = t.domain
"""

# Nobody has analysed a run that was just written. So numbers are named, or looked up chunk by chunk, in
# every statement on recipients: a join by ranges would read the whole run for each chunk then (a minute for
# 200,000).
_RECIPIENTS = """
SELECT r.number, r.contact_id, r.address, r.attempts,
       coalesce(greatest(now() - r.changed_at, interval '0'), interval '0') AS age
FROM unnest($4::int[]) AS k(number) CROSS JOIN LATERAL (
    SELECT * FROM recipient r
    WHERE r.customer_id = $1 AND r.run_id = $2 AND r.shelf = $3 AND r.number = k.number OFFSET 0
) r
WHERE r.state = 0 AND (r.due_at IS NULL OR r.due_at <= now())
ORDER BY r.number
"""

_NOT_OURS = f"""
SELECT asked.place, c.owner IS DISTINCT FROM $5 OR c.claimed_at IS DISTINCT FROM asked.claimed_at AS is_lost
FROM unnest($1::bigint[], $2::bigint[], $3::int[], $4::timestamptz[])
     WITH ORDINALITY AS asked(customer_id, run_id, first_number, claimed_at, place)
LEFT JOIN ledger_chunk c ON c.customer_id = asked.customer_id AND c.run_id = asked.run_id
                        AND c.first_number = asked.first_number
LEFT JOIN run r ON r.customer_id = asked.customer_id AND r.id = asked.run_id
LEFT JOIN task t ON t.customer_id = r.customer_id AND t.id = r.task_id
WHERE c.owner IS DISTINCT FROM $5 OR c.claimed_at IS DISTINCT FROM asked.claimed_at
   OR t.state IS DISTINCT FROM 2 OR NOT {WITHIN_HOURS.format("$6")}
"""

_RELEASE = """
WITH ours AS MATERIALIZED (
    SELECT c.first_number, c.last_number
    FROM unnest($4::int[], $5::timestamptz[]) AS k(first_number, claimed_at)
    JOIN ledger_chunk c ON c.customer_id = $1 AND c.run_id = $2 AND c.first_number = k.first_number
    WHERE c.owner = $6 AND c.claimed_at = k.claimed_at
    ORDER BY c.first_number FOR UPDATE OF c
), waiting AS MATERIALIZED (
    SELECT o.first_number, found.due_at
    FROM ours o CROSS JOIN LATERAL (
        SELECT min(coalesce(r.due_at, now())) AS due_at FROM recipient r
        WHERE r.customer_id = $1 AND r.run_id = $2 AND r.shelf = $3
          AND r.number BETWEEN o.first_number AND o.last_number AND r.state = 0
    ) found
    WHERE found.due_at IS NOT NULL
), emptied AS (
    DELETE FROM ledger_chunk c USING ours o
    WHERE c.customer_id = $1 AND c.run_id = $2 AND c.first_number = o.first_number
      AND NOT EXISTS (SELECT FROM waiting w WHERE w.first_number = o.first_number)
)
UPDATE ledger_chunk c SET owner = NULL, claimed_at = NULL, due_at = w.due_at
FROM waiting w WHERE c.customer_id = $1 AND c.run_id = $2 AND c.first_number = w.first_number
"""

_OWNED = """
SELECT c.customer_id, c.run_id, r.shelf, c.first_number, c.claimed_at
FROM ledger_chunk c JOIN run r ON r.customer_id = c.customer_id AND r.id = c.run_id
WHERE c.owner = $1 AND c.claimed_at <= now() - $2::interval LIMIT $3
"""

# A worker has its row before its first claim, so one snapshot shows both.
_GONE = """
SELECT c.customer_id, c.run_id, r.shelf, c.first_number, c.last_number, c.claimed_at
FROM ledger_chunk c JOIN run r ON r.customer_id = c.customer_id AND r.id = c.run_id
WHERE c.owner IS NOT NULL AND NOT EXISTS (SELECT FROM queue_worker w WHERE w.owner = c.owner)
LIMIT $1 FOR UPDATE OF c SKIP LOCKED
"""

_DOUBT = """
UPDATE recipient SET attempts = attempts + 1, doubts = doubts + 1
WHERE customer_id = $1 AND run_id = $2 AND shelf = $3 AND number BETWEEN $4 AND $5
  AND state = 0 AND (due_at IS NULL OR due_at <= $6)
"""

_FREE = """
UPDATE ledger_chunk SET owner = NULL, claimed_at = NULL, due_at = now()
WHERE customer_id = $1 AND run_id = $2 AND first_number = $3
"""
