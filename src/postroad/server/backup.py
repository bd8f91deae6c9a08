"""Backup and restore of a whole installation: database, blobs, the certificate made here, the settings file.

A backup is consistent while the server runs: the dump and the list of blobs come from one snapshot, and no
blob of it is removed meanwhile. The manifest is written last; without it a backup is not whole.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from postroad.config import Settings
from postroad.db.dump import dump, is_empty, load, snapshot
from postroad.db.jobs import REMOVING_BLOBS, alone
from postroad.db.migrate import SchemaTooNew, migrate, read_migrations
from postroad.db.pool import Connection, Database
from postroad.mailstore.blobs import BlobStore, open_store
from postroad.mailstore.errors import BlobMissing
from postroad.server.archive import BadArchive, Reader, Writer, reading, writing

FORMAT = 1
BLOBS_AT_ONCE = 8
COPY_BYTES = 1024 * 1024
LOCK_RETRY_SECONDS = 0.5

Stage: TypeAlias = Literal["database", "blobs", "files"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is: bytes of the database's dump, or numbers of blobs and files. `total` None: not known."""

    stage: Stage
    done: int
    total: int | None


_KEY = re.compile(r"[0-9a-z]{2}/[0-9a-z]+")  # as the store makes them; nothing that could lead elsewhere

OnProgress: TypeAlias = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds. `missing_blobs` were gone before it: mails that `verify` complains of."""

    made_at: datetime
    postroad: str
    schema: int
    database_sha256: str
    blobs: int
    blob_bytes: int
    missing_blobs: tuple[str, ...] = ()
    format: int = FORMAT


class NotEmpty(Exception):
    """Something is there already; it is replaced only when told so."""


class ServerRuns(Exception):
    """A server runs on the data directory; nothing may be replaced under it."""


async def backup(
    settings: Settings,
    dsn: str,
    target: Path,
    now: datetime,
    on_progress: OnProgress = lambda _: None,
    settings_file: Path | None = None,
) -> Manifest:
    """Write a backup to `target`: a new directory, or one file where the name ends in `.tar`.

    The server may run. Raises `FileExistsError`, `OSError`, `DumpFailed`, `DatabaseUnavailable` and what the
    blob store raises; then nothing stands at `target`.
    """
    async with (
        Database(dsn, max_size=len(REMOVING_BLOBS) + 1) as database,
        _no_removal(database),
        snapshot(dsn) as (connection, name),
    ):
        with writing(target) as (writer, work):
            dumped = work / "database.dump"
            dumped.touch(mode=0o600)
            await dump(dsn, name, dumped, lambda size: on_progress(Progress("database", size, None)))
            digest = await asyncio.to_thread(_sha256_of, dumped)
            await asyncio.to_thread(writer.add_file, "database.dump", dumped)
            copied = await _copy_blobs(connection, open_store(settings.blob_location), writer, on_progress)
            _copy_files(settings, settings_file, writer, on_progress)
            manifest = Manifest(
                made_at=now,
                postroad=_release(),
                schema=await connection.fetchval("SELECT max(version) FROM schema_migration"),
                database_sha256=digest,
                blobs=copied.count,
                blob_bytes=copied.size_bytes,
                missing_blobs=tuple(copied.missing),
            )
            writer.add("manifest.json", msgspec.json.encode(manifest))
    return manifest


def read_manifest(source: Path) -> Manifest:
    """What the backup `source` holds. Raises `BadArchive`."""
    with reading(source) as reader:
        return _manifest_of(reader)


async def restore(
    settings: Settings,
    dsn: str,
    source: Path,
    on_progress: OnProgress = lambda _: None,
    *,
    replaces: bool = False,
) -> Manifest:
    """Read the backup `source` back into database and blob store, and bring the schema up to date.

    Refuses (`NotEmpty`) a database with tables, unless `replaces`; the database is replaced as a whole or not
    at all. Raises `ServerRuns`, `BadArchive`, `SchemaTooNew`, `DumpFailed` and what the blob store raises.
    """
    with server_kept_out(settings.data_dir), reading(source) as reader:
        manifest = _manifest_of(reader)
        if manifest.schema > read_migrations()[-1].version:
            raise SchemaTooNew(
                f"the backup has schema {manifest.schema}, made by Postroad {manifest.postroad}: "
                "install that release or a newer one"
            )
        if not replaces and not await is_empty(dsn):
            raise NotEmpty("the database is not empty; restore into a new data directory, or say --force")
        with tempfile.TemporaryDirectory(prefix=".restore-", dir=settings.data_dir) as work:
            dumped = Path(work) / "database.dump"
            digest = await asyncio.to_thread(_extract, reader, "database.dump", dumped)
            if digest != manifest.database_sha256:
                raise BadArchive("the database's dump is damaged: its checksum is another one")
            # Blobs first: without their rows they are swept one day; rows without blobs are lost mail.
            store = open_store(settings.blob_location)
            await _restore_blobs(reader, store, manifest, on_progress)
            on_progress(Progress("database", 0, dumped.stat().st_size))
            await load(dsn, dumped)
            on_progress(Progress("database", dumped.stat().st_size, dumped.stat().st_size))
        _restore_files(settings, reader, on_progress)
        await migrate(dsn)
    return manifest


# -- the parts of a backup


@asynccontextmanager
async def _no_removal(database: Database) -> AsyncIterator[None]:
    """Keep the jobs that remove blobs from running, on any server, until the body ends."""
    while True:
        async with AsyncExitStack() as stack:
            held = [await stack.enter_async_context(alone(database, job)) for job in REMOVING_BLOBS]
            if all(held):
                yield
                return
        await asyncio.sleep(LOCK_RETRY_SECONDS)


@dataclass(slots=True)
class _Copied:
    count: int = 0
    size_bytes: int = 0
    missing: list[str] = field(default_factory=list)


async def _copy_blobs(
    connection: Connection, blobs: BlobStore, writer: Writer, on_progress: OnProgress
) -> _Copied:
    total = await connection.fetchval("SELECT count(*) FROM content WHERE blob IS NOT NULL")
    copied = _Copied()

    async def read(key: str) -> bytes | None:
        try:
            return await blobs.get(key, 0, None)
        except BlobMissing:
            return None

    cursor = await connection.cursor("SELECT blob FROM content WHERE blob IS NOT NULL")
    while rows := await cursor.fetch(BLOBS_AT_ONCE):
        keys = [row["blob"] for row in rows]
        for key, data in zip(keys, await asyncio.gather(*map(read, keys)), strict=True):
            if data is None:  # a mail that is broken already must not keep all others from being saved
                copied.missing.append(key)
                continue
            await asyncio.to_thread(writer.add, f"blobs/{key}", data)
            copied.count += 1
            copied.size_bytes += len(data)
        on_progress(Progress("blobs", copied.count, total))
    return copied


def _copy_files(
    settings: Settings, settings_file: Path | None, writer: Writer, on_progress: OnProgress
) -> None:
    files = {
        f"tls/{path.name}": path
        for path in sorted((settings.data_dir / "tls").glob("*.pem"))
        if path.is_file()
    }
    if settings_file is not None and settings_file.is_file():
        files["postroad.toml"] = settings_file
    for done, (name, path) in enumerate(files.items(), 1):
        writer.add(name, path.read_bytes())
        on_progress(Progress("files", done, len(files)))


# -- the parts of a restore


async def _restore_blobs(
    reader: Reader, blobs: BlobStore, manifest: Manifest, on_progress: OnProgress
) -> None:
    names = reader.names("blobs/")
    if len(names) != manifest.blobs:
        raise BadArchive(f"the backup has {len(names)} blobs, its manifest says {manifest.blobs}")
    for done, name in enumerate(names, 1):
        key = name.removeprefix("blobs/")
        if not _KEY.fullmatch(key):
            raise BadArchive(f"{key!r} is no name of a blob")
        with reader.open(name) as file:
            data = await asyncio.to_thread(file.read)
        await blobs.put(key, data)
        on_progress(Progress("blobs", done, len(names)))


def _restore_files(settings: Settings, reader: Reader, on_progress: OnProgress) -> None:
    directory = settings.data_dir / "tls"
    names = [name for name in reader.names("tls/") if Path(name).name == name.removeprefix("tls/")]
    for done, name in enumerate(names, 1):
        directory.mkdir(mode=0o700, exist_ok=True)
        target = directory / Path(name).name
        fresh = target.with_suffix(".new")
        fresh.touch(mode=0o600)
        with reader.open(name) as file, fresh.open("wb") as output:
            shutil.copyfileobj(file, output)
        fresh.replace(target)
        on_progress(Progress("files", done, len(names)))


def _release() -> str:
    try:
        return version("postroad")
    except PackageNotFoundError:  # run from its sources
        return "unreleased"


def _manifest_of(reader: Reader) -> Manifest:
    with reader.open("manifest.json") as file:
        data = file.read(COPY_BYTES)
    try:
        told: dict[str, Any] = msgspec.json.decode(data)
        if told.get("format") != FORMAT:
            raise BadArchive(f"the backup has format {told.get('format')}, this release reads {FORMAT}")
        return msgspec.convert(told, Manifest)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise BadArchive(f"the manifest cannot be read: {error}") from error


@contextmanager
def server_kept_out(data_dir: Path) -> Iterator[None]:
    """Keep a server from starting on `data_dir` until the body ends. Raises `ServerRuns`."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "server.lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ServerRuns(f"the server runs on {data_dir}; stop it first") from None
        yield


def _extract(reader: Reader, name: str, target: Path) -> str:
    digest = hashlib.sha256()
    target.touch(mode=0o600)
    with reader.open(name) as file, target.open("wb") as output:
        while block := file.read(COPY_BYTES):
            digest.update(block)
            output.write(block)
    return digest.hexdigest()


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
