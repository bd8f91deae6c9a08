"""What nobody points at any more is removed: contents after their last entry and queue row, blobs without a
mail.

Runs in every worker, now and then; rows are taken with SKIP LOCKED. Removing waits a while after the release,
so a mail is not looked at while its references still move; what keeps it safe is locks, not the waiting.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from ..db.pool import Database
from .blobs import Blobs
from .errors import BlobsUnavailable

RELEASED_FOR = timedelta(minutes=1)  # before a content is looked at
# And seen to be one before: a clock that jumps ahead makes everything old at once, but only for one look.
SUSPECTED_FOR = timedelta(hours=1)
_FORGOTTEN = timedelta(days=30)  # suspects that were named after all
ORPHANED_FOR = timedelta(days=1)  # before a blob is: no transaction that would name it runs that long
EXPUNGED_KEPT = (
    10_000  # removals a folder remembers for clients that catch up (RFC 7162 3.2.5.1 allows to forget)
)
BATCH = 500
FOLDERS_AT_ONCE = 200  # looked at for removals to forget; about 50 ms
_JOURNAL_KEPT = timedelta(days=90)  # of an import that may be run again

# The next folders that have removals: a step of the recursion is one look into the key, so the rows between
# are never read.
_NEXT_REMEMBERING = """
WITH RECURSIVE remembering (id) AS (
    SELECT min(folder_id) FROM expunged WHERE folder_id > $1
    UNION ALL
    SELECT (SELECT min(x.folder_id) FROM expunged x WHERE x.folder_id > r.id)
    FROM remembering r WHERE r.id IS NOT NULL
)
SELECT r.id, (
    SELECT x.mod_sequence FROM expunged x WHERE x.folder_id = r.id
    ORDER BY x.mod_sequence DESC OFFSET $2 LIMIT 1
) AS floor
FROM (SELECT id FROM remembering WHERE id IS NOT NULL LIMIT $3) r ORDER BY r.id
"""

log = structlog.get_logger("postroad.mailstore.sweeper")


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep removed."""

    messages: int = 0
    blobs: int = 0
    expunged: int = 0


class Sweeper:
    """Removes what was released. `sweep` is called every minute or so, `sweep_blobs` every few hours."""

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        clock: Callable[[], datetime],
        released_for: timedelta = RELEASED_FOR,
        orphaned_for: timedelta = ORPHANED_FOR,
        expunged_kept: int = EXPUNGED_KEPT,
        suspected_for: timedelta = SUSPECTED_FOR,
    ) -> None:
        self._suspected_for = suspected_for
        self._database = database
        self._blobs = blobs
        self._clock = clock
        self._released_for = released_for
        self._orphaned_for = orphaned_for
        self._expunged_kept = expunged_kept

    async def sweep(self) -> Swept:
        """Remove all contents that were released long enough ago and that nothing points at."""
        messages = blobs = 0
        before = self._clock() - self._released_for
        while True:
            looked, removed, keys = await self._sweep_batch(before)
            messages += removed
            if keys:
                try:
                    await self._blobs.delete(keys)
                    blobs += len(keys)
                except BlobsUnavailable as error:  # they are orphans now, and found as such later
                    log.warning("blobs_not_removed", count=len(keys), reason=str(error))
            if looked < BATCH:
                break
        await self._database.execute(
            "DELETE FROM import_journal WHERE imported_at < $1", self._clock() - _JOURNAL_KEPT
        )
        return Swept(messages, blobs, await self._forget_expunged())

    async def sweep_blobs(self) -> Swept:
        """Remove blobs that no mail names, older than any transaction and seen so by an earlier sweep.

        Raises `BlobsUnavailable`.
        """
        before = self._clock() - self._orphaned_for
        removed = 0
        async for batch in self._blobs.list():
            old = [each.key for each in batch if each.written_at < before]
            if not old:
                continue
            rows = await self._database.fetch("SELECT blob FROM content WHERE blob = ANY($1::text[])", old)
            orphans = sorted(set(old) - {row["blob"] for row in rows})
            doomed = await self._suspected_before(orphans)
            await self._blobs.delete(doomed)
            await self._database.execute("DELETE FROM blob_suspect WHERE key = ANY($1::text[])", doomed)
            removed += len(doomed)
        await self._database.execute(
            "DELETE FROM blob_suspect WHERE seen_at < now() - $1::interval", _FORGOTTEN
        )
        return Swept(blobs=removed)

    async def _suspected_before(self, keys: list[str]) -> list[str]:
        """Note these as suspects; return those that have been for long enough, by the database's clock."""
        rows = await self._database.fetch(
            "INSERT INTO blob_suspect AS s (key) SELECT unnest($1::text[]) "
            "ON CONFLICT (key) DO UPDATE SET key = s.key "
            "RETURNING key, seen_at < now() - $2::interval AS is_sure",
            keys,
            self._suspected_for,
        )
        return [row["key"] for row in rows if row["is_sure"]]

    async def _sweep_batch(self, before: datetime) -> tuple[int, int, list[str]]:
        """Look at up to `BATCH` released mails; returns how many, how many were removed, and their blobs.

        Three statements, because each must see what was committed before the locks of the one before it were
        granted: whoever adds a reference holds the content (`Messages.hold_in`) or its folder, whoever
        removes one writes the release row again and waits for ours.
        """
        async with self._database.transaction() as connection:
            rows = await connection.fetch(
                "SELECT message_id FROM message_release WHERE released_at < $1 ORDER BY message_id LIMIT $2 "
                "FOR UPDATE SKIP LOCKED",
                before,
                BATCH,
            )
            if not rows:
                return 0, 0, []
            released = [row["message_id"] for row in rows]
            # Contents that somebody holds (FOR KEY SHARE) are skipped and looked at next time.
            locked = await connection.fetch(
                "SELECT message_id FROM content WHERE message_id = ANY($1::bigint[]) ORDER BY message_id "
                "FOR UPDATE SKIP LOCKED",
                released,
            )
            doomed = [row["message_id"] for row in locked]
            gone = await connection.fetch(
                "WITH unused AS (SELECT id FROM unnest($1::bigint[]) AS d(id) "
                "WHERE NOT EXISTS (SELECT FROM entry e WHERE e.message_id = d.id) "
                "AND NOT EXISTS (SELECT FROM queue_envelope q WHERE q.message_id = d.id)), "
                "m AS (DELETE FROM message USING unused WHERE message.id = unused.id), "
                "s AS (DELETE FROM search_document USING unused WHERE message_id = unused.id), "
                "p AS (DELETE FROM search_pending USING unused WHERE message_id = unused.id) "
                "DELETE FROM content USING unused WHERE message_id = unused.id RETURNING blob",
                doomed,
            )
            # Those that are held stay; those whose row is gone already (a crash between two sweeps) go.
            await connection.execute(
                "DELETE FROM message_release WHERE message_id = ANY($1::bigint[]) AND (message_id = "
                "ANY($2::bigint[]) "
                "OR NOT EXISTS (SELECT FROM content c WHERE c.message_id = message_release.message_id))",
                released,
                doomed,
            )
            return len(doomed), len(gone), [row["blob"] for row in gone if row["blob"] is not None]

    async def _forget_expunged(self) -> int:
        """Keep a bounded number of removals a folder, and note how far back they reach.

        Looks at the next few folders that remember any: counting everything each time would cost more with
        every folder. The place is kept in the database, since whoever runs next may be another worker.
        """
        place = await self._database.fetchval("SELECT place FROM sweep_place WHERE sweep = 'expunged'") or 0
        rows = await self._database.fetch(_NEXT_REMEMBERING, place, self._expunged_kept, FOLDERS_AT_ONCE)
        await self._database.execute(
            "INSERT INTO sweep_place VALUES ('expunged', $1) ON CONFLICT (sweep) DO UPDATE SET place = $1",
            rows[-1]["id"] if len(rows) == FOLDERS_AT_ONCE else 0,
        )
        forgotten = 0
        for row in rows:
            if row["floor"] is None:
                continue
            async with self._database.transaction() as connection:
                await connection.execute(
                    "UPDATE folder SET expunged_floor = GREATEST(expunged_floor, $2) WHERE id = $1",
                    row["id"],
                    row["floor"],
                )
                done = await connection.execute(
                    "DELETE FROM expunged WHERE folder_id = $1 AND mod_sequence <= $2",
                    row["id"],
                    row["floor"],
                )
                forgotten += int(done.rpartition(" ")[2])
        return forgotten
