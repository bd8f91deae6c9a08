"""Large bodies as files or objects: written whole before the transaction that names them, never changed.

A blob that no transaction came to name (the worker died in between) is found by age and removed by the
sweeper. Local directories are written by hand: `obstore` renames into place, but has no switch to flush file
and directory, and a 250 must survive a power cut. Everything else (`s3://…`) goes through `obstore`.
"""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Protocol, TypeVar

import obstore
from obstore.exceptions import BaseError as ObjectStoreError
from obstore.store import ObjectStore, from_url

from .errors import BlobMissing, BlobsFull, BlobsUnavailable

LISTED = 1000  # blobs told at once; S3 lists a thousand a call
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_HALF_WRITTEN = ".part"
_PROBES = "probes"  # objects of `check`; one that stays behind is an orphan, and swept like any

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """One blob as the store lists it."""

    key: str
    size_bytes: int
    written_at: datetime


class BlobStore(Protocol):
    """What a place for blobs can do. Keys are `ab/abcdef…`."""

    async def put(self, key: str, data: bytes) -> None:
        """Write all of it, durably, or raise."""

    async def get(self, key: str, start: int, end: int | None) -> bytes:
        """Return the bytes from `start` up to `end` (None: the blob's end)."""

    async def size(self, key: str) -> int | None:
        """Return the size in bytes, None when there is no such blob."""

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove blobs; those already gone are no error."""

    async def check(self) -> None:
        """Find out whether a blob could be written now. Raises `BlobsFull`, `BlobsUnavailable`."""

    def list(self) -> AsyncIterator[list[BlobInfo]]:
        """Tell all blobs in batches of about `LISTED`, in no order."""


class Blobs:
    """The blob store of this installation."""

    def __init__(self, location: str, store: BlobStore | None = None) -> None:
        """`location` is a directory (made when first written to) or an `s3://bucket/prefix` address."""
        self._store = store or open_store(location)

    async def put(self, data: bytes) -> str:
        """Write a blob durably and return its new key. Raises `BlobsFull`, `BlobsUnavailable`."""
        name = secrets.token_hex(16)
        key = f"{name[:2]}/{name}"  # 256 directories: a million blobs are 4,000 files in each
        await self._store.put(key, data)
        return key

    async def get(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        """Return a blob, or its bytes from `start` up to `end`. Raises `BlobMissing`, `BlobsUnavailable`."""
        return await self._store.get(key, start, end)

    async def size(self, key: str) -> int | None:
        """Return the size in bytes, None when there is no such blob. Raises `BlobsUnavailable`."""
        return await self._store.size(key)

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove blobs; those already gone are no error. Raises `BlobsUnavailable`."""
        await self._store.delete(keys)

    async def check(self) -> None:
        """Find out whether a blob could be written now. Raises `BlobsFull`, `BlobsUnavailable`."""
        await self._store.check()

    def list(self) -> AsyncIterator[list[BlobInfo]]:
        """Tell all blobs in batches. Raises `BlobsUnavailable`."""
        return self._store.list()


def open_store(location: str) -> BlobStore:
    """The store at `location`: a directory, or an `s3://bucket/prefix` address."""
    return ObjectBlobs(from_url(location)) if "://" in location else LocalBlobs(Path(location))


class LocalBlobs:
    """A directory. File and directories are flushed before `put` returns."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._flushed: set[Path] = set()  # directories whose own entry this process has seen safe

    async def put(self, key: str, data: bytes) -> None:
        """Write to a name of its own beside the target, flush, rename, flush the directory."""
        await _in_thread(lambda: self._put(key, data))

    async def get(self, key: str, start: int, end: int | None) -> bytes:
        """Read the range; less is returned where the file is shorter."""
        return await _in_thread(lambda: self._get(key, start, end))

    async def size(self, key: str) -> int | None:
        """Ask the file system."""
        return await _in_thread(lambda: self._size(key))

    async def delete(self, keys: Sequence[str]) -> None:
        """Unlink. Not flushed: a blob that comes back after a power cut is an orphan, and swept again."""
        await _in_thread(lambda: self._delete(keys))

    async def check(self) -> None:
        """Write a byte and take it away again; look whether each directory inside is ours to write in."""
        await _in_thread(self._check)

    async def list(self) -> AsyncIterator[list[BlobInfo]]:
        """Walk the directory, half-written files included: they are orphans as well."""
        walk = self._walk()
        while batch := await _in_thread(lambda: list(islice(walk, LISTED))):
            yield batch

    def _put(self, key: str, data: bytes) -> None:
        target = self._directory / key
        if target.parent not in self._flushed or not target.parent.is_dir():
            self._make_directory(target.parent)
        partial = target.with_name(target.name + _HALF_WRITTEN)
        try:
            with partial.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            partial.rename(target)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        _flush_directory(target.parent)

    def _make_directory(self, directory: Path) -> None:
        # Flushed even where it exists already: another worker may have made it a moment ago and not flushed
        # yet.
        missing = [each for each in (directory, *directory.parents) if not each.is_dir()]
        for each in dict.fromkeys([*reversed(missing), self._directory, directory]):
            each.mkdir(mode=0o700, exist_ok=True)
            _flush_directory(each.parent)
        self._flushed.add(directory)

    def _get(self, key: str, start: int, end: int | None) -> bytes:
        try:
            with (self._directory / key).open("rb") as file:
                if start:
                    file.seek(start)
                return file.read() if end is None else file.read(max(0, end - start))
        except FileNotFoundError as error:
            raise BlobMissing(f"the blob {key} is missing") from error

    def _size(self, key: str) -> int | None:
        try:
            return (self._directory / key).stat().st_size
        except FileNotFoundError:
            return None

    def _delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            (self._directory / key).unlink(missing_ok=True)

    def _check(self) -> None:
        place = self._directory.absolute()
        while not place.exists():
            place = place.parent  # made when the first large mail comes
        inside = place.iterdir() if place == self._directory.absolute() and os.access(place, os.R_OK) else ()
        # `access` asks for the account that we really are: root's command that acts for the owner may more.
        for each in (place, *(directory for directory in inside if directory.is_dir())):
            if not os.access(each, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, f"nothing can be written in {each}")
        if place == self._directory.absolute():
            probe = place / f"{secrets.token_hex(8)}{_HALF_WRITTEN}"
            try:
                probe.write_bytes(b"x")
            finally:
                probe.unlink(missing_ok=True)

    def _walk(self) -> Iterator[BlobInfo]:
        if not self._directory.is_dir():
            return
        with os.scandir(self._directory) as shards:
            names = sorted(shard.name for shard in shards if shard.is_dir(follow_symlinks=False))
        for name in names:
            with os.scandir(self._directory / name) as files:
                for file in files:
                    try:
                        known = file.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    written_at = datetime.fromtimestamp(known.st_mtime, UTC)
                    yield BlobInfo(f"{name}/{file.name}", known.st_size, written_at)


class ObjectBlobs:
    """A bucket through `obstore`, which writes whole objects and answers once they are safe."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def put(self, key: str, data: bytes) -> None:
        """Upload."""
        with _object_errors(key):
            await obstore.put_async(self._store, key, data)

    async def get(self, key: str, start: int, end: int | None) -> bytes:
        """Download the range; less is returned where the object is shorter."""
        if end is not None and end <= start:
            return b""
        with _object_errors(key):
            if end is None:
                options: obstore.GetOptions = {"range": {"offset": start}} if start else {}
                result = await obstore.get_async(self._store, key, options=options)
                return bytes(await result.bytes_async())
            return bytes(await obstore.get_range_async(self._store, key, start=start, end=end))

    async def size(self, key: str) -> int | None:
        """Ask for the object's description."""
        try:
            with _object_errors(key):
                return int((await obstore.head_async(self._store, key))["size"])
        except BlobMissing:
            return None

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove many in one call."""
        with _object_errors("…"):
            if keys:
                await obstore.delete_async(self._store, list(keys))

    async def check(self) -> None:
        """Upload a byte under a name of its own and remove it."""
        key = f"{_PROBES}/{secrets.token_hex(16)}"
        await self.put(key, b"x")
        await self.delete([key])

    async def list(self) -> AsyncIterator[list[BlobInfo]]:
        """List the bucket under its prefix."""
        with _object_errors("…"):
            async for batch in obstore.list(self._store, chunk_size=LISTED):
                yield [BlobInfo(each["path"], each["size"], each["last_modified"]) for each in batch]


def _flush_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


async def _in_thread(work: Callable[[], Result]) -> Result:
    try:
        return await asyncio.to_thread(work)
    except OSError as error:
        if error.errno in _FULL:
            raise BlobsFull("the disk of the blob store is full") from error
        raise BlobsUnavailable(f"the blob store cannot be used: {error}") from error


@contextmanager
def _object_errors(key: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise BlobMissing(f"the blob {key} is missing") from error
    except (ObjectStoreError, OSError) as error:
        raise BlobsUnavailable(f"the blob store cannot be used: {error}") from error
