"""Looking into Postroad's store from outside while it is measured: counts, and filling an account quickly.

Reads the database itself, so that what a benchmark calls "in the store" does not rest on the server's word.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import asyncpg
from tests.running import wait_until

from benchmarks.load import make_mail
from postroad.db.cluster import Cluster
from postroad.db.pool import Database
from postroad.mailstore.blobs import Blobs
from postroad.mailstore.delivery import Delivery, deliver_in
from postroad.mailstore.messages import Messages
from postroad.message.summary import summarise

FILL_BATCH = 1000

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

    @property
    def dsn(self) -> str:
        """Where the database is, while the context lasts."""
        return self._cluster.dsn

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

    def newest(self, address: str) -> bytes:
        """The bytes, as its sender wrote them, of the mail that came last to an account."""
        content: bytes = self._run(
            self._connection.fetchval(
                "SELECT c.body FROM content c JOIN entry e ON e.message_id = c.message_id"
                " JOIN account a ON a.id = e.account_id WHERE a.address = $1 ORDER BY e.uid DESC LIMIT 1",
                address,
            )
        )
        return content

    def verify(self, addresses: Iterable[str], before: int, acknowledged: int) -> None:
        """Hold the store to its word. Raises `MailLost`."""
        found = self.count(addresses) - before
        if found != acknowledged:
            raise MailLost(f"{acknowledged} mails were acknowledged, {found} are in the store")
        self.verified += acknowledged

    def fill(self, address: str, count: int) -> None:
        """Put `count` small mails into the account's inbox through the mail store's own statements."""
        account_id = self.value("SELECT id FROM account WHERE address = $1", address)
        self._run(_fill(self._cluster.dsn, self._cluster.data_dir / "blobs", account_id, count))

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


async def _fill(dsn: str, blobs: Path, account_id: int, count: int) -> None:
    body = make_mail(0)[:1024].replace(b"\n", b"\r\n")
    summary = summarise(body)
    async with Database(dsn) as database:
        messages = Messages(database, Blobs(str(blobs)))
        for start in range(0, count, FILL_BATCH):
            size = min(FILL_BATCH, count - start)
            mails = [await messages.prepare(body, summary) for _ in range(size)]
            now = datetime.now(UTC)
            async with database.transaction() as connection:
                await messages.store_in(connection, mails)
                await deliver_in(connection, [Delivery.of(mail, account_id, now) for mail in mails])
        # Indexing them would go on through the rounds that follow; what is compared is accepting.
        await database.execute("TRUNCATE search_pending")
        await database.execute("VACUUM ANALYZE entry")


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
