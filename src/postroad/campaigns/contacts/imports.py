"""Imports: a file on its way into a list; the SQL of `contact_import*`.

An upload is committed in pieces before it is answered for; a job then reads them, and everything that comes
of it is one transaction: contacts, refused lines, the state of the job. Killed anywhere, nothing is half
there; the lease runs out and another worker begins anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog

from postroad.campaigns.contacts.files.parsed import Refused
from postroad.campaigns.contacts.files.reading import Options, UnreadableFile
from postroad.campaigns.contacts.lists import hold_list_in
from postroad.campaigns.contacts.merging import Counts, Merge
from postroad.campaigns.contacts.values import clean
from postroad.campaigns.errors import BadInput, NotFound
from postroad.db.pool import Database, DatabaseUnavailable, connect

LEASE_SECONDS = 60
RENEW_SECONDS = 15.0
LOOK_SECONDS = 3.0  # for files that came in at another worker
MAX_ATTEMPTS = 3
REFUSALS_AT_ONCE = 2000
PIECE_BYTES = 1024 * 1024

log = structlog.get_logger("postroad.campaigns.imports")

_CLAIM = """
WITH next AS MATERIALIZED (
    SELECT customer_id, id FROM contact_import
    WHERE state IN ('waiting', 'reading') AND coalesce(lease_until, '-infinity') < now()
    ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
UPDATE contact_import i SET state = 'reading', attempts = attempts + 1, bytes_read = 0,
                            lease_until = now() + $1 * interval '1 second'
FROM next
WHERE i.customer_id = next.customer_id AND i.id = next.id
RETURNING i.customer_id, i.id, i.list_id, i.attempts, i.options
"""
_RENEW = """
UPDATE contact_import SET lease_until = now() + $4 * interval '1 second', bytes_read = $5
WHERE customer_id = $1 AND id = $2 AND attempts = $3 AND state = 'reading'
"""
_FINISH = """
UPDATE contact_import SET state = 'done', total = $4, added = $5, repeated = $6, refused = $7,
                          bytes_read = size_bytes, lease_until = NULL, finished_at = now()
WHERE customer_id = $1 AND id = $2 AND attempts = $3 AND state = 'reading' RETURNING id
"""
_FAIL = """
WITH failed AS (
    UPDATE contact_import SET state = 'failed', error = $4, lease_until = NULL, finished_at = now()
    WHERE customer_id = $1 AND id = $2 AND attempts = $3 AND state = 'reading' RETURNING customer_id, id)
DELETE FROM contact_import_piece p USING failed f WHERE p.customer_id = f.customer_id AND p.import_id = f.id
"""


@dataclass(frozen=True, slots=True)
class ImportJob:
    """How far an import is. `state`: waiting, reading, done, failed."""

    id: int
    list_id: int
    state: str
    file_name: str
    size_bytes: int
    bytes_read: int
    total: int
    added: int
    repeated: int
    refused: int
    error: str
    created_at: datetime
    finished_at: datetime | None


class LostLease(Exception):
    """Somebody else has the job by now."""


class Imports:
    """Takes files in and works on them."""

    def __init__(self, database: Database, spool: Path | None = None) -> None:
        """`spool` is where a workbook lies while it is read; None = the system's place."""
        self._database = database
        self._spool = spool
        self._added = asyncio.Event()

    async def receive(
        self,
        customer_id: int,
        list_id: int,
        file_name: str,
        pieces: Iterable[bytes],
        options: Options | None = None,
    ) -> int:
        """Keep a file, to be imported in the background, and return the job's id. Raises `NotFound`."""
        async with self._database.transaction() as connection:
            await hold_list_in(connection, customer_id, list_id)
            job_id: int = await connection.fetchval(
                "INSERT INTO contact_import (customer_id, list_id, file_name, options) "
                "VALUES ($1, $2, $3, $4) RETURNING id",
                customer_id,
                list_id,
                clean(file_name, 200),
                (options or Options()).as_dict(),
            )
            size = 0
            for number, piece in enumerate(pieces):
                size += len(piece)
                await connection.execute(
                    "INSERT INTO contact_import_piece VALUES ($1, $2, $3, $4)",
                    customer_id,
                    job_id,
                    number,
                    piece,
                )
            if not size:
                raise BadInput("file", "the file is empty")
            await connection.execute(
                "UPDATE contact_import SET size_bytes = $3 WHERE customer_id = $1 AND id = $2",
                customer_id,
                job_id,
                size,
            )
        self._added.set()
        return job_id

    async def get(self, customer_id: int, job_id: int) -> ImportJob:
        """How far a job is. Raises `NotFound`."""
        row = await self._database.fetchrow(
            "SELECT id, list_id, state, file_name, size_bytes, bytes_read, total, added, repeated, refused, "
            "error, created_at, finished_at FROM contact_import WHERE customer_id = $1 AND id = $2",
            customer_id,
            job_id,
        )
        if row is None:
            raise NotFound("import", job_id)
        return ImportJob(**row)

    async def refusals(self, customer_id: int, job_id: int) -> AsyncIterator[Refused]:
        """The lines that were refused, in their order. Raises `NotFound`."""
        await self.get(customer_id, job_id)
        last = -1
        while rows := await self._database.fetch(
            "SELECT line, reason, content FROM contact_import_refusal "
            "WHERE customer_id = $1 AND import_id = $2 AND line > $3 ORDER BY line LIMIT $4",
            customer_id,
            job_id,
            last,
            REFUSALS_AT_ONCE,
        ):
            for row in rows:
                yield Refused(row["line"], row["reason"], row["content"])
            last = rows[-1]["line"]

    async def import_file(
        self,
        customer_id: int,
        list_id: int,
        path: Path,
        options: Options,
        progress: Callable[[int], None] = lambda _: None,
    ) -> int:
        """Import a file of any size that lies here, and return the finished job's id.

        Raises `NotFound`, `UnreadableFile`.
        """
        size = (await asyncio.to_thread(path.stat)).st_size
        async with self._database.transaction() as connection:
            await hold_list_in(connection, customer_id, list_id)
            # Claimed from birth: what happens to it happens here, and nobody could read the file elsewhere.
            job_id: int = await connection.fetchval(
                "INSERT INTO contact_import (customer_id, list_id, file_name, size_bytes, options, state, "
                "attempts, lease_until) "
                "VALUES ($1, $2, $3, $4, $5, 'reading', $6, now() + interval '60 seconds') RETURNING id",
                customer_id,
                list_id,
                clean(path.name, 200),
                size,
                options.as_dict(),
                MAX_ATTEMPTS,
            )
        job = _Job(customer_id, job_id, list_id, MAX_ATTEMPTS)
        await self._work(job, lambda: _file_pieces(path), options, progress)
        return job_id

    async def run(self) -> None:
        """Work on whatever comes in, here or elsewhere, until cancelled."""
        while True:
            self._added.clear()
            if not await self.run_once():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._added.wait(), LOOK_SECONDS)

    async def run_once(self) -> bool:
        """Work on the job that waits longest; False when none does."""
        row = await self._database.fetchrow(_CLAIM, LEASE_SECONDS)
        if row is None:
            return False
        job = _Job(row["customer_id"], row["id"], row["list_id"], row["attempts"])
        if job.attempt > MAX_ATTEMPTS:
            await self._fail(job, "it was broken off too often")
            return True
        place = await asyncio.to_thread(_Spooled, self._spool)
        try:
            await self._fetch(job, place)
            await self._work(job, place.pieces, Options.from_dict(row["options"]))
        except UnreadableFile:
            pass  # told to the customer by the job's state
        except NotFound:
            await self._fail(job, "the list was removed")
        except (LostLease, DatabaseUnavailable) as error:
            log.info("import_postponed", job=job.id, reason=str(error))
        except Exception:
            # Whatever a file can do that nobody thought of must cost that file, not the worker.
            log.exception("import_failed", job=job.id)
            await self._fail(job, "internal error")
        finally:
            await asyncio.to_thread(place.close)
        return True

    async def _fetch(self, job: _Job, place: _Spooled) -> None:
        number = 0
        while (
            piece := await self._database.fetchval(
                "SELECT data FROM contact_import_piece "
                "WHERE customer_id = $1 AND import_id = $2 AND number = $3",
                job.customer_id,
                job.id,
                number,
            )
        ) is not None:
            await asyncio.to_thread(place.write, piece)
            number += 1

    async def _work(
        self,
        job: _Job,
        source: Callable[[], Iterator[bytes]],
        options: Options,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        connection = await connect(self._database.dsn)  # without the pool's bound on a statement's time
        merge = Merge(connection, job.customer_id, job.list_id, source, options, self._spool)
        renewing = asyncio.create_task(self._keep_lease(job, merge, progress))
        try:
            async with connection.transaction():
                counts = await merge.run()
                await self._finish(job, connection, merge, counts)
            progress(merge.bytes_read)
        except UnreadableFile as error:
            await self._fail(job, str(error))
            raise
        finally:
            renewing.cancel()
            with suppress(asyncio.CancelledError):
                await renewing
            await connection.close()

    async def _finish(self, job: _Job, connection: Any, merge: Merge, counts: Counts) -> None:
        await merge.write_refusals(job.id)
        done = await connection.fetchval(
            _FINISH,
            job.customer_id,
            job.id,
            job.attempt,
            counts.total,
            counts.added,
            counts.repeated,
            counts.refused,
        )
        if done is None:
            raise LostLease("another worker has the job")
        await connection.execute(
            "DELETE FROM contact_import_piece WHERE customer_id = $1 AND import_id = $2",
            job.customer_id,
            job.id,
        )

    async def _keep_lease(self, job: _Job, merge: Merge, progress: Callable[[int], None]) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS if job.attempt < MAX_ATTEMPTS else 1.0)
            progress(merge.bytes_read)
            with suppress(DatabaseUnavailable):
                await self._database.execute(
                    _RENEW, job.customer_id, job.id, job.attempt, LEASE_SECONDS, merge.bytes_read
                )

    async def _fail(self, job: _Job, reason: str) -> None:
        await self._database.execute(_FAIL, job.customer_id, job.id, job.attempt, clean(reason, 300))


@dataclass(frozen=True, slots=True)
class _Job:
    customer_id: int
    id: int
    list_id: int
    attempt: int


class _Spooled:
    """A file on the disk while its job is worked on."""

    def __init__(self, directory: Path | None) -> None:
        import tempfile

        self._file = tempfile.TemporaryFile(prefix="postroad-import-", dir=directory)  # noqa: SIM115

    def write(self, piece: bytes) -> None:
        self._file.write(piece)

    def pieces(self) -> Iterator[bytes]:
        self._file.seek(0)
        while piece := self._file.read(PIECE_BYTES):
            yield piece

    def close(self) -> None:
        self._file.close()


def _file_pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece
