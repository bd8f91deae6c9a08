"""Mails that only pass through: stored without a list row, read in batches, removed by who knows them."""

from __future__ import annotations

from pathlib import Path

from postroad.db.pool import Database
from postroad.mailstore.blobs import Blobs
from postroad.mailstore.messages import Content, Messages, discard_in


async def test_small_and_large_ones_come_back_whole_and_go(database: Database, tmp_path: Path) -> None:
    messages = Messages(database, Blobs(str(tmp_path)), inline_bytes=10)
    small = await messages.prepare_content(await messages.take_id(), b"small")
    large = await messages.prepare_content(await messages.take_id(), b"large" * 10)
    assert large.body is None and large.blob is not None
    async with database.transaction() as connection:
        await messages.store_contents_in(connection, [small, large])
    found = await messages.contents([small.id, large.id, 0])
    assert found == {
        small.id: Content(b"", 0, b"small"),
        large.id: Content(b"", 0, b"large" * 10),
    }
    async with database.transaction() as connection:
        await discard_in(connection, [small.id, large.id])
    assert await messages.contents([small.id, large.id]) == {}


async def test_ids_are_never_those_of_other_mails(database: Database, tmp_path: Path) -> None:
    messages = Messages(database, Blobs(str(tmp_path)))
    taken = {await messages.take_id() for _ in range(1500)}
    assert len(taken) == 1500
