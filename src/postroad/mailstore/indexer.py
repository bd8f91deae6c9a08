"""Makes search documents of mails, after their 250: within a second or so, in every worker.

A GIN index updated in the accept transaction would cost more than everything else in it. Work is claimed with
SKIP LOCKED and done in one transaction, so a worker that dies leaves it to be claimed again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import structlog

from ..db.pool import Database, DatabaseUnavailable
from ..message.envelope import decode_envelope
from ..message.scan import decode_structure
from .blobs import Blobs
from .errors import BlobMissing, BlobsUnavailable
from .lexemes import document_lexemes, text_end

BATCH = 50  # mails a transaction: about 50 ms of work
IDLE_SECONDS = 0.5  # between looks when there is nothing to do
MAX_RETRY_SECONDS = 5.0
BUSY_SHARE = 0.1  # of the worker's time while it accepts mail at full speed
LATE_SHARE = 0.5  # of it when that has gone on for `LATE_SECONDS`
LATE_SECONDS = 60.0
IN_LOOP_BYTES = 8 * 1024  # read within the loop, about a millisecond; larger ones in a thread
_SEPARATOR = "\x1f"  # between lexemes on their way to the database; no token holds it

CLAIM = (
    "DELETE FROM search_pending WHERE message_id = ANY(ARRAY("
    "SELECT message_id FROM search_pending ORDER BY message_id LIMIT $1 FOR UPDATE SKIP LOCKED)) RETURNING "
    "message_id"
)
# Bodies that are blobs are read apart, and only as far as their text goes.
_READ = (
    "SELECT m.id, m.subject, m.envelope, m.structure, c.body, c.blob, "
    "ARRAY(SELECT DISTINCT e.account_id FROM entry e WHERE e.message_id = m.id) AS accounts "
    "FROM message m JOIN content c ON c.message_id = m.id WHERE m.id = ANY($1::bigint[])"
)
_WRITE = (
    "INSERT INTO search_document (message_id, document) "
    "SELECT id, array_to_tsvector(string_to_array(words, E'\\x1f')) FROM unnest($1::bigint[], $2::text[]) "
    "AS d(id, words) "
    "ON CONFLICT (message_id) DO UPDATE SET document = excluded.document"
)

log = structlog.get_logger("postroad.mailstore.indexer")


class Indexer:
    """The indexer of one worker."""

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        is_busy: Callable[[], bool] = lambda: False,
        batch: int = BATCH,
    ) -> None:
        """`is_busy` says whether this worker has mail to accept now: then indexing takes a small share."""
        self._database = database
        self._blobs = blobs
        self._is_busy = is_busy
        self._batch = batch

    async def run(self) -> None:
        """Index until cancelled. Outages of the database or the blobs are waited for."""
        time = asyncio.get_running_loop().time
        retry = IDLE_SECONDS
        behind_since: float | None = None
        while True:
            began = time()
            try:
                done = await self.index_batch()
                retry = IDLE_SECONDS
            except (DatabaseUnavailable, BlobsUnavailable) as error:
                log.info("indexing_waits", reason=str(error))
                await asyncio.sleep(retry)
                retry = min(retry * 2, MAX_RETRY_SECONDS)
                continue
            except Exception:  # whatever it is, the next batch must have its chance
                log.exception("indexing_failed")
                await asyncio.sleep(MAX_RETRY_SECONDS)
                continue
            if done < self._batch:
                behind_since = None
                await asyncio.sleep(IDLE_SECONDS)
            else:
                behind_since = began if behind_since is None else behind_since
                await asyncio.sleep(self._pause(time() - began, time() - behind_since))

    async def run_until_done(self) -> int:
        """Index everything that waits now; returns how many mails that were."""
        total = 0
        while done := await self.index_batch():
            total += done
        return total

    async def index_batch(self) -> int:
        """Claim up to a batch of mails and index them; returns how many were claimed.

        Raises `BlobsUnavailable`, and then nothing is claimed. A mail that cannot be read is indexed by its
        headers, or not at all; it never stands in the way of others.
        """
        async with self._database.transaction() as connection:
            claimed = [row["message_id"] for row in await connection.fetch(CLAIM, self._batch)]
            if not claimed:
                return 0
            ids: list[int] = []
            documents: list[str] = []
            for row in await connection.fetch(_READ, claimed):
                if row["accounts"]:
                    ids.append(row["id"])
                    documents.append(_SEPARATOR.join(await self._document(row)))
                    await asyncio.sleep(0)
            if ids:
                await connection.execute(_WRITE, ids, documents)
            return len(claimed)

    async def _document(self, row: Any) -> list[str]:
        try:
            envelope, structure = decode_envelope(row["envelope"]), decode_structure(row["structure"])
            body = row["body"]
            if row["blob"] is not None:
                body = await self._blobs.get(row["blob"], 0, text_end(structure))
            else:
                body = body[: text_end(structure)]
        except BlobMissing as error:
            log.warning("indexed_without_text", message=row["id"], reason=str(error))
            body = b""
        except ValueError as error:
            log.warning("not_indexed", message=row["id"], reason=str(error))
            return [f"a:{account_id}" for account_id in row["accounts"]]
        try:
            arguments = (row["subject"], envelope, structure, body, row["accounts"])
            if len(body) + len(row["envelope"]) + len(row["structure"]) <= IN_LOOP_BYTES:
                return document_lexemes(*arguments)
            return await asyncio.to_thread(document_lexemes, *arguments)
        except Exception:
            log.exception("not_indexed", message=row["id"])
            return [f"a:{account_id}" for account_id in row["accounts"]]

    def _pause(self, worked: float, behind: float) -> float:
        """How long to leave the worker to others after `worked` seconds of indexing."""
        if not self._is_busy():
            return 0.0
        share = LATE_SHARE if behind > LATE_SECONDS else BUSY_SHARE
        return worked * (1 - share) / share


async def enqueue_all(database: Database) -> int:
    """Have every mail indexed anew, after the cutting into words changed; returns how many."""
    done = await database.execute(
        "INSERT INTO search_pending (message_id) SELECT DISTINCT message_id FROM entry ON CONFLICT DO NOTHING"
    )
    return int(done.rpartition(" ")[2])
