"""Looking at the processes and the memory of this machine (proc(5)), for the embedded cluster."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from postroad.db.cluster_settings import MEBIBYTE

POLL_SECONDS = 0.02


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait for `condition`, at most `seconds`; gives what it came to."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def processes_of(home: Path, only: int | None = None) -> list[int]:
    """The living PostgreSQL processes whose working directory is `home` (as all of it), or just `only`."""
    found = []
    for entry in (Path(f"/proc/{only}"),) if only is not None else Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if (
                (entry / "cwd").readlink() == home
                and (entry / "comm").read_text().startswith("postgres")
                and (entry / "stat").read_text().rsplit(") ", 1)[1][0] != "Z"
            ):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def memory_bytes() -> int:
    """The memory we may use: the machine's, or the container's limit."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):
        memory = min(memory, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return max(memory, 256 * MEBIBYTE)
