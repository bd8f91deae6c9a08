"""A cluster of another major version is refused in words, and carried over by dump and load."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from postroad.db.binaries import ClusterFailed, find_binaries, find_old_binaries, version_of
from postroad.db.cluster import Cluster
from postroad.db.migrate import migrate
from postroad.db.pool import Database
from postroad.db.sql_door import SqlDoor
from postroad.db.upgrade import upgrade


@pytest.fixture
def data_dir() -> Iterator[Path]:
    # Short, and where an account without rights may pass.
    place = Path(tempfile.mkdtemp(prefix="postroad-upgrade-"))
    place.chmod(0o711)
    yield place
    shutil.rmtree(place, ignore_errors=True)


async def fill(data_dir: Path) -> None:
    cluster = Cluster(data_dir, door=SqlDoor())
    dsn = await asyncio.to_thread(cluster.ensure_running)
    await migrate(dsn)
    async with Database(dsn) as database:
        await database.execute("INSERT INTO domain (name) VALUES ('驿路.example')")
        await database.execute("INSERT INTO content (message_id, body) VALUES (7, '\\x00ff'::bytea)")
        await database.execute("INSERT INTO event (kind) VALUES ('a')")
    assert await asyncio.to_thread(cluster.leave)


async def contents(data_dir: Path) -> tuple[list[str], bytes, int]:
    cluster = Cluster(data_dir, door=SqlDoor())
    dsn = await asyncio.to_thread(cluster.ensure_running)
    try:
        assert await migrate(dsn) == []
        async with Database(dsn) as database:
            names = [row["name"] for row in await database.fetch("SELECT name FROM domain")]
            body = await database.fetchval("SELECT body FROM content WHERE message_id = 7")
            event = await database.fetchval("INSERT INTO event (kind) VALUES ('b') RETURNING id")
            return names, body, event
    finally:
        await asyncio.to_thread(cluster.leave)


async def test_what_was_in_the_old_cluster_is_in_the_new_one_and_the_old_one_is_kept(data_dir: Path) -> None:
    """By one binary both ways, since there is one here: the road is the same for two."""
    await fill(data_dir)
    steps: list[str] = []
    done = await upgrade(data_dir, SqlDoor(), find_binaries(), steps.append)
    assert steps == ["dumping", "loading"]
    assert done.old_version == done.new_version == version_of(find_binaries())
    assert (done.kept / "PG_VERSION").is_file()
    assert done.kept.resolve() != (data_dir / "postgres").resolve()
    assert await contents(data_dir) == (["驿路.example"], b"\x00\xff", 2)
    assert not [name for name in os.listdir(data_dir) if name.startswith(".upgrade-")]


async def test_a_cluster_of_another_major_version_is_not_started_and_says_what_to_do(data_dir: Path) -> None:
    await fill(data_dir)
    (data_dir / "postgres" / "PG_VERSION").write_text("12\n")
    with pytest.raises(ClusterFailed, match=r"postroad database upgrade.*postgresql-12"):
        await asyncio.to_thread(Cluster(data_dir, door=SqlDoor()).ensure_running)
    with pytest.raises(ClusterFailed, match=r"postgresql-12.*--old-binaries"):
        await upgrade(data_dir, SqlDoor())
    with pytest.raises(ClusterFailed, match="was made by 12"):
        await upgrade(data_dir, SqlDoor(), find_binaries())


async def test_an_upgrade_that_fails_half_way_leaves_the_old_cluster_in_its_place(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(data_dir)

    async def fail(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("postroad.db.upgrade.load", fail)
    with pytest.raises(OSError, match="full"):
        await upgrade(data_dir, SqlDoor(), find_binaries())
    assert await contents(data_dir) == (["驿路.example"], b"\x00\xff", 2)
    assert [name for name in os.listdir(data_dir) if name.startswith("postgres")] == ["postgres"]


async def test_a_database_that_somebody_uses_is_left_alone(data_dir: Path) -> None:
    await fill(data_dir)
    user = Cluster(data_dir, door=SqlDoor())
    await asyncio.to_thread(user.ensure_running)
    try:
        with pytest.raises(ClusterFailed, match="another process"):
            await upgrade(data_dir, SqlDoor(), find_binaries())
    finally:
        await asyncio.to_thread(user.leave)
    assert await contents(data_dir) == (["驿路.example"], b"\x00\xff", 2)


def test_the_programs_of_a_version_that_is_not_here_are_not_made_up() -> None:
    major = (version_of(find_binaries()) or "").split(".")[0]
    assert version_of(find_old_binaries(major)) is not None
    with pytest.raises(ClusterFailed, match="postgresql-9"):
        find_old_binaries("9")
