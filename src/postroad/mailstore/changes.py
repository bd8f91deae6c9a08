"""The change feed: which folder of which account changed, told to whoever watches (the pages, IMAP IDLE).

Announced after the commit and coalesced, because NOTIFY takes a database-wide lock when it commits. Whoever
watches also looks for itself now and then, so an announcement that was lost only costs time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol, Self

from ..db.notify import Announcer, Listener
from ..db.pool import Database, DatabaseUnavailable

CHANNEL = "mailstore_changes"
COALESCED_SECONDS = 0.05  # people do not see it, and a server at full speed sends twenty a second
POLL_SECONDS = 30.0  # how often a watcher looks for itself
MAX_PENDING = 20_000  # changes waiting to be announced; more are left to the watchers' own looking
MAX_WATCHED = 5000  # folders of one account a watcher is behind on
_PAYLOAD = 7000  # bytes; NOTIFY takes under 8,000


@dataclass(frozen=True, slots=True)
class FolderChanged:
    """A folder has new, changed or removed entries, or was itself made, renamed or deleted.

    `mod_sequence` is the folder's at that change; what exactly happened is read from the store.
    """

    account_id: int
    folder_id: int
    mod_sequence: int


class ChangeSink(Protocol):
    """Takes what is to be announced."""

    def announce(self, changes: Iterable[FolderChanged]) -> None:
        """Tell who watches, soon; never waits and never fails."""


class Changes:
    """The feed of one process. Used as `async with Changes(database, announcer, listener) as changes`."""

    def __init__(
        self, database: Database, announcer: Announcer, listener: Listener, poll_seconds: float = POLL_SECONDS
    ) -> None:
        self._database = database
        self._announcer = announcer
        self._listener = listener
        self._poll_seconds = poll_seconds
        self._pending: dict[tuple[int, int], int] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._watchers: dict[int, set[_Watcher]] = {}

    async def __aenter__(self) -> Self:
        self._listener.add(CHANNEL, self._hear)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.remove(CHANNEL, self._hear)
        self.flush()

    def announce(self, changes: Iterable[FolderChanged]) -> None:
        """Tell who watches, in every process, within `COALESCED_SECONDS` or so.

        Never waits and never fails.
        """
        for change in changes:
            key = (change.account_id, change.folder_id)
            if key in self._pending or len(self._pending) < MAX_PENDING:
                self._pending[key] = max(self._pending.get(key, 0), change.mod_sequence)
        if self._pending and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(COALESCED_SECONDS, self.flush)

    def flush(self) -> None:
        """Hand everything announced so far to the announcer, now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        pending, self._pending = self._pending, {}
        words: list[str] = []
        length = 0
        for (account_id, folder_id), mod_sequence in pending.items():
            word = f"{account_id}:{folder_id}:{mod_sequence}"
            if length + len(word) >= _PAYLOAD:
                self._announcer.announce(CHANNEL, " ".join(words))
                words, length = [], 0
            words.append(word)
            length += len(word) + 1
        if words:
            self._announcer.announce(CHANNEL, " ".join(words))

    @asynccontextmanager
    async def subscribe(self, account_id: int) -> AsyncIterator[AsyncIterator[FolderChanged]]:
        """Watch an account: `async with changes.subscribe(1) as feed: async for change in feed: …`.

        What changed before the body begins is not told; changes of one folder that come fast are told as one.
        """
        watcher = _Watcher(account_id)
        self._watchers.setdefault(account_id, set()).add(watcher)
        try:
            watcher.known = await self._look(account_id) or {}
            yield self._feed(watcher)
        finally:
            watchers = self._watchers[account_id]
            watchers.discard(watcher)
            if not watchers:
                del self._watchers[account_id]

    async def _feed(self, watcher: _Watcher) -> AsyncIterator[FolderChanged]:
        while True:
            try:
                async with asyncio.timeout(self._poll_seconds):
                    await watcher.woken.wait()
            except TimeoutError:
                watcher.must_look = True
            watcher.woken.clear()
            if watcher.must_look:
                watcher.must_look = False
                found = await self._look(watcher.account_id)
                if found is not None:
                    gone = {folder_id: 0 for folder_id in watcher.known if folder_id not in found}
                    watcher.changed.update(gone)
                    watcher.changed.update(
                        {each: seen for each, seen in found.items() if watcher.known.get(each) != seen}
                    )
            while watcher.changed:
                folder_id, mod_sequence = watcher.changed.popitem()
                if mod_sequence == 0:
                    watcher.known.pop(folder_id, None)
                elif len(watcher.known) < MAX_WATCHED or folder_id in watcher.known:
                    watcher.known[folder_id] = max(mod_sequence, watcher.known.get(folder_id, 0))
                yield FolderChanged(watcher.account_id, folder_id, mod_sequence)

    async def _look(self, account_id: int) -> dict[int, int] | None:
        try:
            rows = await self._database.fetch(
                "SELECT id, mod_sequence FROM folder WHERE account_id = $1 LIMIT $2", account_id, MAX_WATCHED
            )
        except DatabaseUnavailable:
            return None
        return {row["id"]: row["mod_sequence"] for row in rows}

    def _hear(self, payload: str | None) -> None:
        if not self._watchers:
            return
        if payload is None:
            for watchers in self._watchers.values():
                for watcher in watchers:
                    watcher.must_look = True
                    watcher.woken.set()
            return
        for word in payload.split(" "):
            account, _, rest = word.partition(":")
            for watcher in self._watchers.get(int(account), ()):
                folder, _, mod_sequence = rest.partition(":")
                if len(watcher.changed) < MAX_WATCHED:
                    watcher.changed[int(folder)] = max(int(mod_sequence), watcher.changed.get(int(folder), 0))
                else:
                    watcher.must_look = True
                watcher.woken.set()


class _Watcher:
    """One subscription: what it knows of the account's folders, and what it has not told yet."""

    def __init__(self, account_id: int) -> None:
        self.account_id = account_id
        self.known: dict[int, int] = {}
        self.changed: dict[int, int] = {}
        self.must_look = False
        self.woken = asyncio.Event()
