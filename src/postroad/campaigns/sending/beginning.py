"""A task that is due begins: its templates are pinned, its contacts become recipients, its chunks can be
claimed.

One transaction a run, one INSERT … SELECT for the recipients. The run's row is locked while that goes on,
the task's only at its end: whoever asks about the task, or pauses another, does not wait.
"""

from __future__ import annotations

from typing import Any

import asyncpg
import structlog

from postroad.campaigns.credits import Credits
from postroad.campaigns.sending.ledger import plan_anew_in
from postroad.campaigns.sending.recipes import PIN_RUN, SENDERS
from postroad.campaigns.tasks.selection import count_in, selection
from postroad.db.pool import Connection, Database

CHUNK = 100  # recipients; a worker claims two or three at once for a site
# Who claims plans by what is known of the tables, and autovacuum comes a minute too late: until then each
# claim of a run of 200,000 read all of it. A sample takes half a second.
WORTH_ANALYSING = 1000
EXPAND_SECONDS = 600.0  # for a million recipients some ten seconds; a disk may be slow

log = structlog.get_logger("postroad.campaigns.sending.beginning")

_PREPARE = "UPDATE task SET state = -5 WHERE state = 1 AND send_at <= now() AND deleted_at IS NULL"

_ANY_PREPARED = """
SELECT EXISTS (SELECT FROM task t JOIN run r ON r.customer_id = t.customer_id AND r.task_id = t.id
               WHERE t.state = -5 AND r.expanded_at IS NULL)
"""
_NEXT = """
SELECT t.id AS task_id, t.customer_id, r.id AS run_id, t.sender_kind, t.sender_domain, t.sender_address,
       t.range_start, t.range_end, t.selected,
       c.is_enabled AND c.begins_on <= (now() AT TIME ZONE $1)::date
           AND coalesce(c.ends_on >= (now() AT TIME ZONE $1)::date, true) AS is_served,
       ARRAY(SELECT l.list_id FROM task_list l
             WHERE l.customer_id = t.customer_id AND l.task_id = t.id ORDER BY l.position) AS lists
FROM task t JOIN run r ON r.customer_id = t.customer_id AND r.task_id = t.id
JOIN customer c ON c.id = t.customer_id
WHERE t.state = -5 AND r.expanded_at IS NULL ORDER BY t.send_at, t.id LIMIT 1 FOR UPDATE OF r SKIP LOCKED
"""

_UNPINNED = """
SELECT EXISTS (SELECT FROM task_template WHERE customer_id = $1 AND task_id = $2 AND version_id IS NULL)
"""

_DRAW = "UPDATE email_id SET next = next + $1 RETURNING next - $1"

# What is no address to anybody is a format error (type 9) from birth and in no chunk; the grammar itself is
# asked when the mail is rendered. Numbers go by domain, so that a chunk is of one.
_EXPAND = """
INSERT INTO recipient (customer_id, run_id, shelf, contact_id, number, address, state, failure, code, reply,
                       day, changed_at)
SELECT $1::bigint, $5::bigint, $6::bigint, chosen.id,
       row_number() OVER (ORDER BY chosen.is_bad, chosen.domain, chosen.id), chosen.address,
       CASE WHEN chosen.is_bad THEN 3 ELSE 0 END, CASE WHEN chosen.is_bad THEN 9 ELSE 0 END,
       CASE WHEN chosen.is_bad THEN 553 END, CASE WHEN chosen.is_bad THEN '5.1.3 not an address' END,
       CASE WHEN chosen.is_bad THEN (now() AT TIME ZONE $8::text)::date END,
       CASE WHEN chosen.is_bad THEN now() END
FROM (
    SELECT id, address, lower(substring(address FROM '[^@]*$')) AS domain,
           length(address) > 254
           OR address !~ '^[^@[:space:][:cntrl:]]+@[A-Za-z0-9_-]+(\\.[A-Za-z0-9_-]+)+$' AS is_bad
    FROM ({selection}) AS selected LIMIT $7::bigint
) AS chosen
"""

_CHUNKS = """
INSERT INTO ledger_chunk (customer_id, run_id, first_number, last_number, domain)
SELECT $1::bigint, $2::bigint, min(number), max(number), domain
FROM (
    SELECT number, domain, (row_number() OVER (PARTITION BY domain ORDER BY number) - 1) / $4::int AS part
    FROM (
        SELECT number, lower(substring(address FROM '[^@]*$')) AS domain
        FROM recipient WHERE customer_id = $1 AND run_id = $2 AND shelf = $3 AND state = 0
    ) AS written
) AS numbered
GROUP BY domain, part
"""

_EXPANDED = """
UPDATE run SET shelf = $3, email_base = $4, recipients = $5, expanded_at = now()
WHERE customer_id = $1 AND id = $2
"""
_ADD_DAY = """
INSERT INTO run_day (customer_id, run_id, day)
SELECT $1::bigint, $2::bigint, (now() AT TIME ZONE $4::text)::date
WHERE EXISTS (SELECT FROM recipient WHERE customer_id = $1 AND run_id = $2 AND shelf = $3 AND state = 3)
"""
_STARTED = """
UPDATE task SET state = 2, reason = '', started_at = coalesce(started_at, now())
WHERE customer_id = $1 AND id = $2 AND state = -5
"""
_CANNOT = """
UPDATE task SET state = -4, reason = $3, ended_at = now() WHERE customer_id = $1 AND id = $2 AND state = -5
"""
# One that was paused after it had begun, and was told to wait for another time.
_RESUMED = """
UPDATE task t SET state = 2, started_at = coalesce(t.started_at, now()) FROM run r
WHERE t.state IN (-5, 1) AND t.send_at <= now() AND r.customer_id = t.customer_id AND r.task_id = t.id
  AND r.expanded_at IS NOT NULL AND t.deleted_at IS NULL
"""


class CannotRun(Exception):
    """The task cannot begin; the message is its reason."""


class Beginning:
    """Begins tasks; every worker may."""

    def __init__(self, database: Database, credits: Credits, zone: str) -> None:
        self._database = database
        self._credits = credits
        self._zone = zone

    async def prepare_due(self) -> None:
        """What waited until now is being prepared. Raises `DatabaseUnavailable`."""
        await self._database.execute(_RESUMED)
        await self._database.execute(_PREPARE)

    async def begin_next(self) -> bool:
        """Begin one task that nobody else is at; False when there is none. Raises `DatabaseUnavailable`."""
        if not await self._database.fetchval(_ANY_PREPARED):
            return False
        async with self._database.transaction() as connection:
            await connection.execute(f"SET LOCAL statement_timeout = {int(EXPAND_SECONDS * 1000)}")
            await plan_anew_in(connection)
            task = await connection.fetchrow(_NEXT, self._zone)
            if task is None:
                return False
            customer_id, task_id = task["customer_id"], task["task_id"]
            try:
                count = await self._begin_in(connection, task)
            except CannotRun as error:
                await connection.execute(_CANNOT, customer_id, task_id, str(error))
                log.warning("task_cannot_run", customer=customer_id, task=task_id, reason=str(error))
                return True
        log.info("task_begun", customer=customer_id, task=task_id, recipients=count)
        return True

    async def _begin_in(self, connection: Connection, task: asyncpg.Record) -> int:
        customer_id, task_id, run_id = task["customer_id"], task["task_id"], task["run_id"]
        if not task["is_served"]:
            raise CannotRun("the service of this customer is disabled or over")
        await connection.execute(PIN_RUN, customer_id, run_id)
        if await connection.fetchval(_UNPINNED, customer_id, task_id):
            raise CannotRun("a template of the task is gone")
        sender = (task["sender_kind"], task["sender_domain"], task["sender_address"])
        if not await connection.fetch(SENDERS, customer_id, *sender, 1):
            raise CannotRun("there is no mailbox to send from any more, or its domain is not verified")
        lists, first, last = task["lists"], task["range_start"], task["range_end"]
        count = await count_in(connection, customer_id, lists, first, last)
        if not count:
            raise CannotRun("nobody is left to send to")
        volume = await self._credits.volume_in(connection, customer_id)
        if count > volume.left - (volume.bound - task["selected"]):
            raise CannotRun(f"not enough volume is left for {count} mails")
        # In a transaction of its own: whoever else begins does not wait for this one's end.
        base: int = await self._database.fetchval(_DRAW, count)
        shelf: int = await connection.fetchval("SELECT ledger_shelf($1, $2)", run_id, count)
        parameters: list[Any] = [customer_id, lists, first, last, run_id, shelf, count, self._zone]
        await connection.execute(
            _EXPAND.replace("{selection}", selection(lists)), *parameters, timeout=EXPAND_SECONDS
        )
        await connection.execute(_CHUNKS, customer_id, run_id, shelf, CHUNK, timeout=EXPAND_SECONDS)
        if count >= WORTH_ANALYSING:
            await connection.execute(f"ANALYZE recipient_{shelf}", timeout=EXPAND_SECONDS)
            await connection.execute("ANALYZE ledger_chunk", timeout=EXPAND_SECONDS)
        await connection.execute(_ADD_DAY, customer_id, run_id, shelf, self._zone)
        await connection.execute(_EXPANDED, customer_id, run_id, shelf, base, count)
        await connection.execute(_STARTED, customer_id, task_id)
        return count
