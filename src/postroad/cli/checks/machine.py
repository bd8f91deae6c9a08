"""The machine: room on the disks, the clock against the database's, and who may read secrets."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from postroad.cli.checks.finding import Finding, Status
from postroad.cli.output import size_text
from postroad.config import MEBIBYTE, Settings

# PostgreSQL stops when it cannot write its log; 16 MiB segments, and mails that wait, want some air before
# that.
FAIL_FREE_BYTES = 256 * MEBIBYTE
WARN_FREE_BYTES = 2048 * MEBIBYTE
WARN_FREE_SHARE = 0.05
FAIL_FREE_SHARE = 0.01
# Signatures, tokens and TLS bear a few seconds; DKIM's t= and x= and one-time codes bear less than a minute.
WARN_CLOCK = timedelta(seconds=2)
FAIL_CLOCK = timedelta(seconds=30)


def check_disks(settings: Settings) -> list[Finding]:
    """Look at the file systems of `data_dir` and of the blobs."""
    findings = [check_disk(settings.data_dir)]
    location = settings.blob_location
    if "://" in location:
        findings.append(Finding("disk", location, "ok", "blobs-elsewhere"))
    elif _existing(Path(location)).stat().st_dev != _existing(settings.data_dir).stat().st_dev:
        findings.append(check_disk(Path(location)))
    return findings


def check_disk(path: Path, statvfs: Callable[[Path], os.statvfs_result] = os.statvfs) -> Finding:
    """Look at room and inodes where `path` is, or will be."""
    place = _existing(path)
    if not os.access(place, os.W_OK):
        return Finding("disk", str(path), "fail", "disk-not-writable")
    found = statvfs(place)
    free, total = found.f_bavail * found.f_frsize, max(1, found.f_blocks * found.f_frsize)
    # Some file systems (btrfs, overlays) count no inodes.
    inodes = found.f_favail / found.f_files if found.f_files else 1.0
    facts = {"free": size_text(free), "share": f"{free / total:.0%}", "inodes": f"{inodes:.0%}"}
    status: Status = "ok"
    if free < WARN_FREE_BYTES or free / total < WARN_FREE_SHARE or inodes < WARN_FREE_SHARE:
        status = "warn"
    if free < FAIL_FREE_BYTES or inodes < FAIL_FREE_SHARE:
        status = "fail"
    return Finding("disk", str(path), status, "disk-room" if status == "ok" else "disk-low", facts)


def check_clock(here: datetime, database: datetime, round_trip: timedelta) -> Finding:
    """Compare this machine's clock with the database's, read while `round_trip` passed."""
    difference = max(abs(here - database) - round_trip, timedelta(0))
    status: Status = "fail" if difference > FAIL_CLOCK else "warn" if difference > WARN_CLOCK else "ok"
    facts = {"seconds": f"{difference.total_seconds():.1f}"}
    return Finding("clock", "database", status, "clock-agrees" if status == "ok" else "clock-differs", facts)


def check_secrets(settings: Settings, config: Path | None) -> list[Finding]:
    """Look whether others may read keys, the database's files, or settings that hold a password."""
    candidates: list[Path] = []
    key = settings.tls.private_key or settings.tls.certificate
    candidates.append(key if key is not None else settings.data_dir / "tls" / "self-signed.pem")
    if settings.database == "embedded":
        candidates.append(settings.data_dir / "postgres")
    passwords = (settings.delivery.relay_password, urlsplit(settings.database).password)
    file = config if config is not None else Path("postroad.toml")
    if any(passwords) or settings.oa.integrations:
        candidates.append(file)
    return list(_check_modes(candidates))


def _check_modes(paths: Iterable[Path]) -> Iterable[Finding]:
    for path in paths:
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
        except OSError:
            continue  # nothing there that could be read; other checks tell what is missing
        facts = {"mode": f"{mode:04o}"}
        if mode & 0o007 or mode & 0o020:
            yield Finding("secrets", str(path), "fail", "secret-open", facts)
        elif mode & 0o050 == 0o050 and path.is_dir():
            yield Finding("secrets", str(path), "warn", "secret-group", facts)
        else:  # a key that a group of its own may read is Debian's way (ssl-cert)
            yield Finding("secrets", str(path), "ok", "secret-closed", facts)


def _existing(path: Path) -> Path:
    place = path.absolute()
    while not place.exists():
        place = place.parent
    return place
