"""Blobs: whole, ranged, missing, full."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from postroad.mailstore.blobs import Blobs, LocalBlobs, ObjectBlobs
from postroad.mailstore.errors import BlobMissing, BlobsFull, BlobsUnavailable


@pytest.fixture(params=["directory", "objects"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    if request.param == "directory":
        return Blobs(str(tmp_path / "made" / "when needed"))
    return Blobs("memory://", ObjectBlobs(MemoryStore()))


async def test_what_is_put_can_be_got_whole_and_in_part(blobs: Blobs) -> None:
    data = bytes(range(256)) * 100
    key = await blobs.put(data)
    assert await blobs.get(key) == data
    assert await blobs.get(key, 10, 20) == data[10:20]
    assert await blobs.get(key, 25_000) == data[25_000:]
    assert await blobs.get(key, 25_590, 99_999) == data[25_590:]
    assert await blobs.get(key, 5, 5) == b""
    assert await blobs.size(key) == len(data)


async def test_keys_differ_for_equal_data(blobs: Blobs) -> None:
    assert await blobs.put(b"same") != await blobs.put(b"same")


async def test_listing_tells_all(blobs: Blobs) -> None:
    keys = {await blobs.put(bytes(10 + number)) for number in range(5)}
    told = {each.key: each.size_bytes async for batch in blobs.list() for each in batch}
    assert set(told) == keys and sorted(told.values()) == [10, 11, 12, 13, 14]


async def test_deleting_twice_is_no_error(blobs: Blobs) -> None:
    key = await blobs.put(b"x")
    await blobs.delete([key])
    await blobs.delete([key])
    assert await blobs.size(key) is None
    with pytest.raises(BlobMissing):
        await blobs.get(key)


async def test_an_empty_store_lists_nothing(blobs: Blobs) -> None:
    assert [batch async for batch in blobs.list()] == []
    await blobs.delete([])


def files_in(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


class OnFullDisk(LocalBlobs):
    """A directory whose disk is full when a file is flushed."""

    def _put(self, key: str, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


async def test_a_full_disk_has_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(BlobsFull):
        await Blobs("", OnFullDisk(tmp_path)).put(b"x")


async def test_a_place_that_is_no_directory_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(BlobsUnavailable):
        await Blobs(str(tmp_path / "file" / "below")).put(b"x")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
async def test_nothing_half_written_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = Blobs(str(tmp_path))

    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(BlobsFull):
        await blobs.put(b"data")
    assert files_in(tmp_path) == []


async def test_an_unreachable_bucket_is_unavailable() -> None:
    from obstore.store import S3Store

    store = S3Store(
        "bucket",
        endpoint="http://127.0.0.1:9",
        region="none",
        access_key_id="a",
        secret_access_key="b",
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
    )
    with pytest.raises(BlobsUnavailable):
        await Blobs("s3://bucket", ObjectBlobs(store)).put(b"x")


async def test_a_directory_that_was_taken_away_is_made_again(tmp_path: Path) -> None:
    blobs = Blobs(str(tmp_path / "blobs"), LocalBlobs(tmp_path / "blobs"))
    for _ in range(20):
        await blobs.put(b"before")
    (tmp_path / "blobs").rename(tmp_path / "taken")
    keys = [await blobs.put(b"after") for _ in range(300)]
    assert {await blobs.get(key) for key in keys} == {b"after"}
