"""A backup brings back what was there, refuses to overwrite, and never looks whole when it is not."""

from __future__ import annotations

import os
import tarfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from postroad.config import Settings
from postroad.db.migrate import SchemaTooNew, migrate
from postroad.db.pool import Database, DatabaseUnavailable
from postroad.mailstore.blobs import Blobs
from postroad.server.archive import BadArchive
from postroad.server.backup import NotEmpty, Progress, backup, read_manifest, restore

NOW = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An installation with a certificate."""
    (tmp_path / "data" / "tls").mkdir(parents=True)
    (tmp_path / "data" / "tls" / "self-signed.pem").write_text("a certificate")
    return Settings(data_dir=tmp_path / "data")


@pytest.fixture
def elsewhere(tmp_path: Path) -> Settings:
    """An empty installation."""
    return Settings(data_dir=tmp_path / "elsewhere")


@pytest.fixture
async def filled(database: Database, settings: Settings) -> str:
    """A database with a domain and a mail whose body is a blob; gives the blob's key."""
    key = await Blobs(settings.blob_location).put(b"a large body")
    await database.execute("INSERT INTO domain (name) VALUES ('example.com')")
    await database.execute("INSERT INTO content (message_id, blob) VALUES (1, $1)", key)
    return key


@pytest.fixture
async def empty(empty_database_dsn: str) -> AsyncIterator[Database]:
    """The database to restore into."""
    async with Database(empty_database_dsn) as database:
        yield database


@pytest.mark.parametrize("name", ["backup", "backup.tar"])
async def test_everything_comes_back(
    name: str,
    tmp_path: Path,
    database: Database,
    settings: Settings,
    filled: str,
    empty: Database,
    elsewhere: Settings,
) -> None:
    target = tmp_path / name
    seen: list[Progress] = []
    made = await backup(settings, database.dsn, target, NOW, seen.append)
    assert (made.blobs, made.blob_bytes, made.missing_blobs) == (1, 12, ())
    assert read_manifest(target) == made
    assert {progress.stage for progress in seen} == {"database", "blobs", "files"}
    assert target.stat().st_mode & 0o077 == 0
    assert await restore(elsewhere, empty.dsn, target, seen.append) == made
    assert await empty.fetchval("SELECT name FROM domain") == "example.com"
    assert await Blobs(elsewhere.blob_location).get(filled) == b"a large body"
    restored = elsewhere.data_dir / "tls" / "self-signed.pem"
    assert restored.read_text() == "a certificate"
    assert restored.stat().st_mode & 0o077 == 0
    await empty.execute("INSERT INTO domain (name) VALUES ('identity.goes.on')")


async def test_what_is_there_is_replaced_only_when_told_so(
    tmp_path: Path, database: Database, settings: Settings, filled: str
) -> None:
    await backup(settings, database.dsn, tmp_path / "backup", NOW)
    await database.execute("UPDATE domain SET name = 'changed.example'")
    with pytest.raises(NotEmpty):
        await restore(settings, database.dsn, tmp_path / "backup")
    await restore(settings, database.dsn, tmp_path / "backup", replaces=True)
    async with Database(database.dsn) as again:
        assert await again.fetchval("SELECT name FROM domain") == "example.com"
    with pytest.raises(FileExistsError):
        await backup(settings, database.dsn, tmp_path / "backup", NOW)


async def test_a_damaged_backup_leaves_the_database_as_it_was(
    tmp_path: Path, database: Database, settings: Settings, filled: str
) -> None:
    target = tmp_path / "backup"
    await backup(settings, database.dsn, target, NOW)
    dumped = target / "database.dump"
    data = bytearray(dumped.read_bytes())
    data[len(data) // 2] ^= 1
    dumped.write_bytes(data)
    with pytest.raises(BadArchive, match="checksum"):
        await restore(settings, database.dsn, target, replaces=True)
    (target / "manifest.json").unlink()
    with pytest.raises(BadArchive, match="lacks manifest"):
        await restore(settings, database.dsn, target, replaces=True)
    assert await database.fetchval("SELECT name FROM domain") == "example.com"


async def test_a_backup_of_a_newer_release_is_refused(
    tmp_path: Path, database: Database, settings: Settings, filled: str, empty: Database, elsewhere: Settings
) -> None:
    await database.execute("INSERT INTO schema_migration VALUES (9999, 'later', 'x')")
    await backup(settings, database.dsn, tmp_path / "backup", NOW)
    with pytest.raises(SchemaTooNew, match="schema 9999"):
        await restore(elsewhere, empty.dsn, tmp_path / "backup")


async def test_a_missing_blob_is_told_and_does_not_stop_it(
    tmp_path: Path, database: Database, settings: Settings, filled: str
) -> None:
    await database.execute("INSERT INTO content (message_id, blob) VALUES (2, 'aa/gone')")
    made = await backup(settings, database.dsn, tmp_path / "backup", NOW)
    assert (made.blobs, made.missing_blobs) == (1, ("aa/gone",))


async def test_names_in_an_archive_lead_nowhere_else(
    tmp_path: Path, database: Database, settings: Settings, filled: str, empty: Database, elsewhere: Settings
) -> None:
    await backup(settings, database.dsn, tmp_path / "good", NOW)
    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        for path in sorted((tmp_path / "good").rglob("*")):
            name = str(path.relative_to(tmp_path / "good"))
            if path.is_file():
                tar.add(path, "blobs/../../evil" if name.startswith("blobs/") else name)
    with pytest.raises(BadArchive, match="no name of a blob"):
        await restore(elsewhere, empty.dsn, tmp_path / "evil.tar")


async def test_a_failed_backup_leaves_nothing(tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(DatabaseUnavailable):
        await backup(settings, f"postgresql:///none?host={tmp_path}", tmp_path / "backup.tar", NOW)
    assert [name for name in os.listdir(tmp_path) if "backup" in name] == []


async def test_a_restored_database_is_brought_up_to_date(
    tmp_path: Path, database: Database, settings: Settings, filled: str, empty: Database, elsewhere: Settings
) -> None:
    await backup(settings, database.dsn, tmp_path / "backup", NOW)
    await restore(elsewhere, empty.dsn, tmp_path / "backup")
    assert await migrate(empty.dsn) == []
