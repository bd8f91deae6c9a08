"""The rows of a long answer, read at the database's pace and handed on at the client's.

A client that reads slowly would hold a connection of the pool, and ten of them all of it: so the rows go to a
temporary file first, in memory while they are few.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec

from postroad.db.pool import Database

READ_AT_ONCE = 2000
IN_MEMORY = 1024 * 1024
_LENGTH = 4  # bytes before each row


async def spooled(database: Database, query: str, *arguments: object) -> AsyncIterator[Mapping[str, Any]]:
    """Every row of `query` by column name. The first one comes when the last one was read."""
    encode, decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder().decode
    with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY, prefix="postroad-report-") as file:
        names: tuple[str, ...] = ()
        async with database.transaction() as connection:
            async for row in connection.cursor(query, *arguments, prefetch=READ_AT_ONCE):
                names = names or tuple(row.keys())
                packed = encode(tuple(row))
                file.write(len(packed).to_bytes(_LENGTH, "big") + packed)
        file.seek(0)
        while length := file.read(_LENGTH):
            yield dict(zip(names, decode(file.read(int.from_bytes(length, "big"))), strict=True))
