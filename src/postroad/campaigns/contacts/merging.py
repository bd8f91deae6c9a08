"""A parsed file into a list: COPY into a table of this transaction, then one INSERT … SELECT.

The file is parsed in a thread while PostgreSQL takes in what was parsed before. Nothing in here knows jobs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from postroad.campaigns.contacts.files.parsed import COLUMNS, Parsed, Refused
from postroad.campaigns.contacts.files.reading import Options, parse
from postroad.campaigns.contacts.lists import hold_list_in

MAX_REFUSALS = 50_000  # that are kept with their lines; all are counted

_STAGE = """
CREATE TEMPORARY TABLE staged_contact (
    line bigint, address text, fullname text, sex text, birthday date, phone text, area text, vars text[]
) ON COMMIT DROP
"""
# In the order of the file without a sort: a temporary table is scanned from its beginning. What the list has
# already, or the file had before, is skipped by the index: no sort of a million addresses for that either.
_MERGE = """
INSERT INTO contact (customer_id, list_id, address, fullname, sex, birthday, phone, area, vars)
SELECT $1, $2, address, fullname, sex, birthday, phone, area, vars FROM staged_contact
ON CONFLICT (customer_id, list_id, lower(address)) WHERE removed_at IS NULL DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the lines of a file; of one line several contacts may come."""

    total: int
    added: int
    repeated: int
    refused: int


class Merge:
    """One file and one list, in the transaction of `connection`."""

    def __init__(
        self,
        connection: Any,
        customer_id: int,
        list_id: int,
        source: Callable[[], Iterator[bytes]],
        options: Options,
        spool: Path | None,
    ) -> None:
        self._connection = connection
        self._customer_id = customer_id
        self._list_id = list_id
        self._parsed = parse(source, options, spool)
        self._refused: list[Refused] = []
        self._refused_count = 0
        self._total = 0
        self._staged = 0
        self.bytes_read = 0

    async def run(self) -> Counts:
        """Read everything and merge it. Raises `UnreadableFile`, `NotFound`."""
        await self._connection.execute("SET LOCAL statement_timeout = 0")
        # Sorting and scanning a large file's rows in memory costs less than in the file system.
        await self._connection.execute(_STAGE)
        await self._connection.copy_to_table(
            "staged_contact", source=self._copy(), columns=list(COLUMNS), format="text", encoding="utf-8"
        )
        await hold_list_in(self._connection, self._customer_id, self._list_id)
        done: str = await self._connection.execute(_MERGE, self._customer_id, self._list_id)
        added = int(done.split()[2])
        return Counts(self._total, added, self._staged - added, self._refused_count)

    async def write_refusals(self, job_id: int) -> None:
        """Keep the lines that were refused."""
        await self._connection.copy_records_to_table(
            "contact_import_refusal",
            records=(
                (self._customer_id, job_id, each.line, each.reason, each.content) for each in self._refused
            ),
        )

    async def _copy(self) -> AsyncIterator[bytes]:
        pending = asyncio.create_task(asyncio.to_thread(self._next))
        try:
            while (parsed := await pending) is not None:
                # The next piece is parsed while this one travels.
                pending = asyncio.create_task(asyncio.to_thread(self._next))
                self._count(parsed)
                if parsed.rows:
                    yield "".join(parsed.rows).encode("utf-8", "replace")
        finally:
            if not pending.done():
                pending.cancel()

    def _next(self) -> Parsed | None:
        return next(self._parsed, None)

    def _count(self, parsed: Parsed) -> None:
        self.bytes_read = parsed.bytes_read
        self._total += parsed.total
        self._staged += len(parsed.rows)
        self._refused_count += len(parsed.refused)
        self._refused += parsed.refused[: MAX_REFUSALS - len(self._refused)]
