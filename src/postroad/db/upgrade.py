"""Bringing the embedded cluster to another major version of PostgreSQL: dumped by one, loaded by the other.

A cluster's files belong to the major version that made them. The old programs serve them once more for the
dump; the old cluster is kept beside the new one until somebody removes it, so nothing is lost on the way.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from postroad.db.binaries import ClusterFailed, find_old_binaries, version_of
from postroad.db.cluster import Cluster
from postroad.db.dump import dump, load, snapshot
from postroad.db.migrate import migrate
from postroad.db.sql_door import SqlDoor

Step: TypeAlias = Literal["dumping", "loading"]


@dataclass(frozen=True, slots=True)
class Upgraded:
    """What was done: the versions, and where the old cluster is kept."""

    old_version: str
    new_version: str
    kept: Path


def major_of_cluster(home: Path) -> str | None:
    """Which major version made the cluster; None without one."""
    with suppress(OSError):
        return (home / "PG_VERSION").read_text().strip()
    return None


async def upgrade(
    data_dir: Path,
    door: SqlDoor,
    old_binaries: Path | None = None,
    on_step: Callable[[Step], None] = lambda _step: None,
) -> Upgraded:
    """Move the cluster in `data_dir` to the PostgreSQL that is here; no server may run on it.

    `old_binaries` is the directory with the old programs; None looks for them where the system keeps them.
    Raises `ClusterFailed`, `DumpFailed`, `DatabaseUnavailable`, `MigrationFailed` and its kind; then the
    cluster is what it was.
    """
    old = Cluster(data_dir, door=door)
    major = major_of_cluster(old.home)
    if major is None:
        raise ClusterFailed(f"there is no embedded database in {data_dir}")
    programs = old_binaries if old_binaries is not None else find_old_binaries(major)
    old_version = version_of(programs)
    if old_version is None or old_version.split(".")[0] != major:
        raise ClusterFailed(
            f"{programs} has PostgreSQL {old_version or 'of no version'}, the database was made by {major}"
        )
    old = Cluster(data_dir, door=door, binaries=programs)
    with tempfile.TemporaryDirectory(prefix=".upgrade-", dir=data_dir) as work:
        dumped = Path(work) / "database.dump"
        on_step("dumping")
        dsn = await asyncio.to_thread(old.ensure_running)
        try:
            async with snapshot(dsn) as (_, name):
                await dump(dsn, name, dumped, lambda _size: None)
        finally:
            is_stopped = await asyncio.to_thread(old.leave)
        if not is_stopped:
            raise ClusterFailed("another process uses the database; stop it first")
        on_step("loading")
        kept = await asyncio.to_thread(_set_aside, old.home, major)
        new = Cluster(data_dir, door=door)
        try:
            dsn = await asyncio.to_thread(new.ensure_running)
            await load(dsn, dumped)
            await migrate(dsn)
        except BaseException:
            await asyncio.to_thread(new.leave)
            await asyncio.to_thread(_put_back, kept, new.home)
            raise
        await asyncio.to_thread(new.leave)
    return Upgraded(old_version, version_of(new.binaries) or "unknown", kept)


def _set_aside(home: Path, major: str) -> Path:
    """Rename the cluster (or the link to where it is), and say what it is called now."""
    number = 0
    while os.path.lexists(kept := home.with_name(f"{home.name}-{major}{f'-{number}' if number else ''}")):
        number += 1
    home.rename(kept)
    return kept


def _put_back(kept: Path, home: Path) -> None:
    """Undo `_set_aside`, and remove what was made meanwhile."""
    if home.is_symlink():
        made = home.resolve()
        home.unlink()
        shutil.rmtree(made.parent, ignore_errors=True)
    else:
        shutil.rmtree(home, ignore_errors=True)
    kept.rename(home)
