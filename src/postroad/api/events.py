"""The live stream of an account: new mail, changes, counts, folders (HTML living standard 9.2).

What a reader has seen is one position: for each folder its mod-sequence, its next UID and its UIDVALIDITY,
without which these mean nothing after a restore (RFC 9051 2.3.1.1). It travels as the event's id and comes
back in `Last-Event-ID`, so any worker goes on where any other stopped, from the store itself. Nothing is
missed; what was told just before a break may be told again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import Protocol

import msgspec
import structlog

from postroad.api.mail_models import Folder as FolderModel
from postroad.api.mail_models import row_fields
from postroad.api.operations import Answer, Call, Operation
from postroad.api.problems import Problem
from postroad.config import Api as Limits
from postroad.db.pool import DatabaseUnavailable
from postroad.directory.identity.tokens import Scope, Tokens
from postroad.directory.principals import Kind
from postroad.mailstore.changes import FolderChanged
from postroad.mailstore.entries import Entries, Entry
from postroad.mailstore.errors import NoSuchFolder
from postroad.mailstore.folders import Folder, Folders

HEARTBEAT_SECONDS = 20.0  # proxies cut streams that are silent for 30 to 60 s
TOKEN_CHECK_SECONDS = 60.0  # how long a stream may outlive its token
GATHER_SECONDS = 0.05  # changes of several folders, as a move makes them, are looked at together
AWAY_SECONDS = 3.0  # between two looks while the database cannot be reached
PAGE = 200  # entries read at once while catching up
MAX_POSITION = 60_000  # characters; folders of an account are bounded, and so is a request's head

log = structlog.get_logger("postroad.api.events")

# folder id: (mod-sequence, next UID, UIDVALIDITY)
Seen = tuple[int, int, int]
Position = dict[int, Seen]


class ChangeFeed(Protocol):
    """What the stream needs to be woken by."""

    def subscribe(self, account_id: int) -> AbstractAsyncContextManager[AsyncIterator[FolderChanged]]:
        """Watch an account."""


class EventCalls:
    """The operation. `stop` ends all streams, so that the process can leave."""

    def __init__(
        self,
        folders: Folders,
        entries: Entries,
        changes: ChangeFeed,
        tokens: Tokens,
        limits: Limits,
        monotonic: Callable[[], float],
    ) -> None:
        self._folders = folders
        self._entries = entries
        self._changes = changes
        self._tokens = tokens
        self._limits = limits
        self._monotonic = monotonic
        self._open: Counter[int] = Counter()
        self._stopping = asyncio.Event()

    def operations(self) -> Sequence[Operation]:
        """What can be asked for."""
        return [
            Operation(
                method="GET",
                path="/events",
                name="streamEvents",
                summary="Server-Sent Events: new mail, changes, counts, folders; goes on after a break",
                tag="events",
                handler=self.stream,
                scope=Scope.MAIL_READ,
                media_type="text/event-stream",
            )
        ]

    def stop(self) -> None:
        """End every stream; clients come back to another process by themselves."""
        self._stopping.set()

    async def stream(self, call: Call) -> Answer:
        """Begin a stream, at the reader's position or now."""
        account_id = call.account.id
        if self._is_full(account_id):
            raise Problem("too-many-streams", headers={"retry-after": "30"})
        position = read_position(call.headers.get("last-event-id", ""))
        token = call.headers.get("authorization", "").partition(" ")[2]
        return Answer(
            stream=self._told(call, token.strip(), position),
            media_type="text/event-stream",
            headers={"x-accel-buffering": "no", "cache-control": "no-store"},
        )

    def _is_full(self, account_id: int) -> bool:
        return (
            self._open[account_id] >= self._limits.max_streams_per_account
            or self._open.total() >= self._limits.max_streams
        )

    async def _told(self, call: Call, token: str, position: Position | None) -> AsyncIterator[bytes]:
        account_id = call.account.id
        if self._is_full(account_id):  # several that asked at the same moment
            return
        self._open[account_id] += 1
        stopping = asyncio.ensure_future(self._stopping.wait())
        upcoming: asyncio.Task[FolderChanged] | None = None
        try:
            # Watching begins before the first look: what changes in between is looked at again.
            async with self._changes.subscribe(account_id) as feed:
                yield b"retry: 2000\n\n"
                upcoming = asyncio.ensure_future(_following(feed))
                checked_at = self._monotonic()
                must_look, patience = True, HEARTBEAT_SECONDS
                while not stopping.done():
                    if must_look:
                        try:
                            look = _Look(self._folders, self._entries, account_id, position)
                            async for piece in look.news():
                                yield piece
                            position, must_look, patience = look.position, False, HEARTBEAT_SECONDS
                        except DatabaseUnavailable as error:
                            log.warning("stream_waits", reason=str(error))
                            position, patience = look.position, AWAY_SECONDS
                    await asyncio.wait(
                        (upcoming, stopping), timeout=patience, return_when=asyncio.FIRST_COMPLETED
                    )
                    if upcoming.done():
                        upcoming.result()
                        upcoming = asyncio.ensure_future(_following(feed))
                        must_look = True
                        await asyncio.wait((stopping,), timeout=GATHER_SECONDS)
                    elif not must_look:
                        yield b": still here\n\n"
                    if self._monotonic() - checked_at >= TOKEN_CHECK_SECONDS:
                        checked_at = self._monotonic()
                        if not await self._is_in_force(call, token):
                            return
        finally:
            stopping.cancel()
            if upcoming is not None:
                upcoming.cancel()
                with suppress(asyncio.CancelledError, StopAsyncIteration):
                    await upcoming
            self._open[account_id] -= 1
            if not self._open[account_id]:
                del self._open[account_id]

    async def _is_in_force(self, call: Call, token: str) -> bool:
        try:
            bearer = await self._tokens.find(token)
            if bearer is None or Scope.MAIL_READ not in bearer.scopes:
                return False
            if bearer.principal.kind is Kind.INTEGRATION:
                acted_for = await self._tokens.account_for(bearer.principal, call.account.address)
                return acted_for.account_id == call.account.id
        except DatabaseUnavailable:
            return True  # not known: the next check says
        except Exception:  # whatever is refused now: not in force
            return False
        return True


class _Look:
    """One look at what happened since a position. Its own position moves with what was told."""

    def __init__(
        self, folders: Folders, entries: Entries, account_id: int, position: Position | None
    ) -> None:
        self._folders = folders
        self._entries = entries
        self._account_id = account_id
        self.position = position

    async def news(self) -> AsyncIterator[bytes]:
        """What is to be told, as it goes over the wire."""
        found = await self._folders.list(self._account_id)
        now = {folder.id: folder for folder in found}
        if self.position is None:
            self.position = {one.id: _seen(one) for one in found}
            value = {"folders": [FolderModel.of(one).model_dump() for one in found]}
            yield self._event("hello", value)
            return
        for folder_id in [each for each in self.position if each not in now]:
            del self.position[folder_id]
            yield self._event("folder-removed", {"folder": folder_id})
        for folder in found:
            known = self.position.get(folder.id)
            if known == _seen(folder):
                continue
            if known is None:
                known = (0, 1, folder.uid_validity)
            is_other = known[2] != folder.uid_validity
            if is_other or known[0] > folder.mod_sequence or known[1] > folder.uid_next:
                # The store was restored: nothing the reader knows of the folder holds.
                self.position[folder.id] = _seen(folder)
                yield self._event("folder-reset", FolderModel.of(folder).model_dump())
                continue
            async for piece in self._of_folder(folder, known):
                yield piece

    async def _of_folder(self, folder: Folder, known: Seen) -> AsyncIterator[bytes]:
        assert self.position is not None
        since, next_uid, _ = known
        try:
            removed = await self._entries.expunged_since(self._account_id, folder.id, since)
        except NoSuchFolder:
            return  # the next look tells that it is gone
        seen = since
        while True:
            entries = await self._entries.changed_since(self._account_id, folder.id, seen, PAGE)
            for entry in entries:
                yield _told_entry(entry, is_new=entry.uid >= next_uid)
            if not entries:
                break
            seen = entries[-1].mod_sequence
            if len(entries) < PAGE:
                break
        if removed is None:
            yield _plain_event("folder-reset", FolderModel.of(folder).model_dump())
        elif removed:
            for start in range(0, len(removed), 1000):
                uids = removed[start : start + 1000]
                yield _plain_event("removed", {"folder": folder.id, "uids": uids})
        # The folder's own, read first: what came later than that row is told again rather than missed.
        self.position[folder.id] = _seen(folder)
        yield self._event("folder", FolderModel.of(folder).model_dump())

    def _event(self, kind: str, value: object) -> bytes:
        assert self.position is not None
        return b"id: %s\n%s" % (write_position(self.position).encode(), _plain_event(kind, value))


def _told_entry(entry: Entry, *, is_new: bool) -> bytes:
    return _plain_event("message" if is_new else "changed", row_fields(entry))


def _plain_event(kind: str, value: object) -> bytes:
    # JSON has no line ends in it, so one data line holds it.
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), msgspec.json.encode(value))


def _seen(folder: Folder) -> Seen:
    return folder.mod_sequence, folder.uid_next, folder.uid_validity


def write_position(position: Position) -> str:
    """A position as an event's id."""
    return ",".join(
        f"{folder}.{changed}.{uid}.{validity}" for folder, (changed, uid, validity) in position.items()
    )


def read_position(text: str) -> Position | None:
    """Read what `write_position` wrote; None for anything else, and for nothing."""
    if not text or len(text) > MAX_POSITION or not text.isascii():
        return None
    position: Position = {}
    for word in text.split(","):
        numbers = word.split(".")
        if len(numbers) != 4 or not all(each.isdigit() and len(each) < 19 for each in numbers):
            return None
        folder_id, changed, uid, validity = map(int, numbers)
        position[folder_id] = (changed, uid, validity)
    return position


async def _following(feed: AsyncIterator[FolderChanged]) -> FolderChanged:
    return await anext(feed)
