"""Checking the templates that wait for it, shared out over all workers by leases."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import asyncpg

from postroad.campaigns.templates.checking import Material, Verdict, check_template
from postroad.db.pool import Database

LEASE_SECONDS = 60
LOOK_SECONDS = 2.0  # for templates that were uploaded at another worker

# A template that was changed while it was looked at is checked again: its version is another one.
# Materialized: as the inner side of a join the LIMIT would be asked once a row, and lease them all.
_CLAIM = """
WITH next AS MATERIALIZED (
    SELECT customer_id, id FROM template
    WHERE check_state = -1 AND deleted_at IS NULL AND coalesce(lease_until, '-infinity') < now()
    ORDER BY updated_at LIMIT 1 FOR UPDATE SKIP LOCKED)
UPDATE template t SET lease_until = now() + $1 * interval '1 second'
FROM next, template_version v
WHERE t.customer_id = next.customer_id AND t.id = next.id
  AND v.customer_id = t.customer_id AND v.id = t.version_id
RETURNING t.customer_id, t.id, v.id AS version_id, v.subjects, v.html, v.plain,
    (SELECT coalesce(array_agg((a.name, octet_length(a.content))), '{}') FROM template_attachment a
     WHERE a.customer_id = t.customer_id AND a.id = ANY(v.attachment_ids)) AS attachments
"""
_DECIDE = """
UPDATE template SET check_state = $4, colour = $5, findings = $6, size_bytes = $7, lease_until = NULL
WHERE customer_id = $1 AND id = $2 AND version_id = $3 AND check_state = -1
"""


class TemplateChecks:
    """Looks at one template after the other."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting = asyncio.Event()

    def wake(self) -> None:
        """Say that a template waits."""
        self._waiting.set()

    async def run(self) -> None:
        """Check whatever comes, here or elsewhere, until cancelled."""
        while True:
            self._waiting.clear()
            if not await self.run_once():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._waiting.wait(), LOOK_SECONDS)

    async def run_once(self) -> bool:
        """Check the template that waits longest; False when none does."""
        row = await self._database.fetchrow(_CLAIM, LEASE_SECONDS)
        if row is None:
            return False
        verdict = await asyncio.to_thread(check_template, _material(row))
        await self._decide(row, verdict)
        return True

    async def run_all(self) -> int:
        """Check all that wait; return how many."""
        count = 0
        while await self.run_once():
            count += 1
        return count

    async def _decide(self, row: asyncpg.Record, verdict: Verdict) -> None:
        await self._database.execute(
            _DECIDE,
            row["customer_id"],
            row["id"],
            row["version_id"],
            0 if verdict.colour == "red" else 1,
            verdict.colour,
            [finding.as_dict() for finding in verdict.findings],
            verdict.size_bytes,
        )


def _material(row: asyncpg.Record) -> Material:
    return Material(
        row["subjects"], row["html"], row["plain"], [(name, size) for name, size in row["attachments"]]
    )
