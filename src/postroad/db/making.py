"""Making a new cluster: where it is put, and how `initdb` is asked."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

import structlog

from postroad.db.binaries import ClusterDiskFull, ClusterFailed, RunAs
from postroad.db.cluster_settings import ROLE

log = structlog.get_logger("postroad.db.cluster")


def failure(message: str, cause: str) -> ClusterFailed:
    """The error that says `message`; `cause` tells whether a full disk is behind it."""
    if "No space left on device" in cause or "Disk quota exceeded" in cause:
        return ClusterDiskFull(
            f"the disk is full: {message}. Free some space; nothing that was acknowledged is lost"
        )
    return ClusterFailed(message)


def make(
    data_dir: Path, home: Path, binaries: Path, account: RunAs, shared_root: Path, *, durable: bool
) -> None:
    """Make an empty cluster that is reached as `home`, whole or not at all; the caller holds the lock.

    Raises `ClusterFailed`, `ClusterDiskFull`, `OSError`.
    """
    place = _choose_place(data_dir, home, account, shared_root)
    fresh = place.with_name(place.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    account.take(fresh)
    command = [
        str(binaries / "initdb"),
        f"--pgdata={fresh}",
        f"--username={ROLE}",
        "--auth=reject",  # our own pg_hba.conf replaces it
        "--encoding=UTF8",
        "--locale-provider=libc",
        # Sorted by bytes: fast, and no index breaks when the system's locale data change.
        "--lc-collate=C",
        "--data-checksums",
        "--no-instructions",
        *([] if durable else ["--no-sync"]),
    ]
    # C.UTF-8 knows upper and lower case beyond ASCII; not every libc carries it.
    for locale in ("C.UTF-8", "C"):
        result = account.run([*command, f"--locale={locale}"])
        if result.returncode == 0 or "locale" not in result.stderr:
            break
    if result.returncode != 0:
        shutil.rmtree(fresh, ignore_errors=True)
        raise failure(f"initdb failed: {result.stderr.strip()[-2000:]}", result.stderr)
    fresh.rename(place)
    if place != home:
        with suppress(FileNotFoundError):
            home.unlink()
        home.symlink_to(place)


def _choose_place(data_dir: Path, home: Path, account: RunAs, shared_root: Path) -> Path:
    """Where the cluster is made: in the data directory, or elsewhere if its account cannot get there."""
    if account.user_id is None or account.can("x", data_dir):
        return home
    for left in shared_root.glob("*/data_dir"):
        if left.read_text().strip() == str(data_dir):
            log.warning(
                "database_left_behind",
                place=str(left.parent),
                advice="made for a data directory of this path that is gone; remove it when not needed",
            )
    place = shared_root / f"{data_dir.name}-{os.urandom(6).hex()}"
    shared_root.mkdir(mode=0o755, parents=True, exist_ok=True)
    place.mkdir(mode=0o755)
    (place / "data_dir").write_text(f"{data_dir}\n")
    log.warning(
        "database_placed_elsewhere",
        data_dir=str(data_dir),
        place=str(place),
        reason=f"the account {account.name} cannot reach the data directory",
    )
    return place / "postgres"
