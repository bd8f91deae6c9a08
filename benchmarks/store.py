"""Looking into Postroad's store from outside while it is measured: counts, and filling an account quickly.

Reads the database itself, so that what a benchmark calls "in the store" does not rest on the server's word.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import asyncpg

from benchmarks.peers import wait_until
from postroad.db.cluster import Cluster

Result = TypeVar("Result")


class MailLost(Exception):
    """The server acknowledged mails that are not in the store, or stored some twice."""


class Store:
    """The embedded database of a data directory, open as long as the context lasts."""

    def __init__(self, data_dir: Path) -> None:
        """Name the data directory; the cluster is started on entering when nothing else has."""
        self._cluster = Cluster(data_dir)
        self._loop = asyncio.new_event_loop()
        self.verified = 0

    def __enter__(self) -> Self:
        dsn = self._cluster.ensure_running()
        self._connection = self._run(asyncpg.connect(dsn))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._connection.close())
        self._loop.close()
        self._cluster.leave()

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return self._loop.run_until_complete(work)

    def value(self, query: str, *arguments: object) -> int:
        """The one number that `query` answers with."""
        found: int = self._run(self._connection.fetchval(query, *arguments))
        return found

    def count(self, addresses: Iterable[str]) -> int:
        """How many mails lie in the folders of these accounts."""
        return self.value(
            "SELECT count(*) FROM entry JOIN account ON account.id = entry.account_id"
            " WHERE account.address = ANY($1)",
            list(addresses),
        )

    def verify(self, addresses: Iterable[str], before: int, acknowledged: int) -> None:
        """Hold the store to its word. Raises `MailLost`."""
        found = self.count(addresses) - before
        if found != acknowledged:
            raise MailLost(f"{acknowledged} mails were acknowledged, {found} are in the store")
        self.verified += acknowledged

    def queued(self) -> int:
        """How many recipients wait in the queue."""
        return self.value("SELECT count(*) FROM queue_recipient")

    def wait_idle(self, seconds: float = 120.0) -> None:
        """Return when nothing waits for the indexer or in the queue. Raises `TimeoutError`."""
        wait_until(
            lambda: (
                self.value(
                    "SELECT (SELECT count(*) FROM search_pending) + (SELECT count(*) FROM queue_recipient)"
                )
                == 0
            ),
            seconds,
            "Postroad did not finish its work in the background",
        )


def describe_disk(directory: Path) -> str:
    """The kind of file system under `directory`; a memory one would make every flush free."""
    found, kind = "", "unknown"
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mount, this_kind, *_ = line.split()
        inside = directory.is_relative_to(mount)
        if inside and len(mount) >= len(found):
            found, kind = mount, this_kind
    warning = " (IN MEMORY: flushes are free here)" if kind in {"tmpfs", "ramfs"} else ""
    return f"{kind} file system{warning}"
