"""Mails in folders: listed, delivered, flagged, moved, removed.

A list is paged by UID, newest first, never by offset. Every method takes the account, so nobody reaches
another's mail by guessing a folder. What changes entries is announced after its commit.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from functools import partial
from typing import Any

from ..db.pool import Connection, Database
from .changes import ChangeSink, FolderChanged
from .delivery import Delivered, Delivery, deliver_in
from .errors import NoSuchFolder, NoSuchMessage, QuotaExceeded
from .filing import EntryFlags, FlagsChanged, Transferred, copy_in, expunge_in, set_flags_in
from .flags import NO_FLAGS, Flag, FlagChange
from .quota import over_quota_in
from .together import Move, Moves

MAX_PAGE = 1000  # rows of one page; a screen shows 50
FETCHED_AT_ONCE = 10_000  # UIDs a query
MAX_THREAD = 500  # mails of one conversation shown
CHANGED_AT_ONCE = 5000  # entries a transaction: under half a second with the folder's lock held
_LAST_UID = 2**62

ENTRY_COLUMNS = (
    "e.folder_id, e.uid, e.message_id, e.mod_sequence, e.flags, e.keywords, e.received_at, e.size_bytes, "
    "e.thread, "
    "e.has_attachments, m.subject, m.sender, m.recipients, m.sent_at, m.priority, m.preview"
)


# The account is checked at the folder, not at each entry: given both columns, the planner takes them for
# independent facts, expects a single row and sorts the whole folder for a page (900 ms instead of 0.1 ms at
# 200,000 mails).
OWN_FOLDER = "(SELECT id FROM folder WHERE id = $1 AND account_id = $2)"


class Only(Enum):
    """A filter of a list; each has an index of its own."""

    UNSEEN = "e.flags & 1 = 0"
    FLAGGED = "e.flags & 4 <> 0"
    WITH_ATTACHMENTS = "e.has_attachments"


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of a list: the mail in its folder, and what a list shows of the mail."""

    folder_id: int
    uid: int
    message_id: int
    mod_sequence: int
    flags: Flag
    keywords: tuple[str, ...]
    received_at: datetime
    size_bytes: int
    thread: int
    has_attachments: bool
    subject: str
    sender: str
    recipients: str
    sent_at: datetime | None
    priority: int
    preview: str

    @property
    def is_seen(self) -> bool:
        """Whether it was read."""
        return Flag.SEEN in self.flags

    @property
    def is_flagged(self) -> bool:
        """Whether it bears a star."""
        return Flag.FLAGGED in self.flags


class Entries:
    """The mails in the folders of all accounts."""

    def __init__(self, database: Database, changes: ChangeSink, at_once: int = CHANGED_AT_ONCE) -> None:
        """Changes to many entries are cut into transactions of `at_once`: deliveries to the folder wait for
        one.
        """
        self._database = database
        self._changes = changes
        self._at_once = at_once
        self._moves = Moves(database, changes)

    async def deliver_in(
        self, connection: Connection, deliveries: Sequence[Delivery]
    ) -> list[Delivered | None]:
        """Enter mails into folders as the last statement of the caller's transaction: see
        `delivery.deliver_in`.

        After the commit, hand what came back to `announce`.
        """
        return await deliver_in(connection, deliveries)

    def announce(self, delivered: Sequence[Delivered | None]) -> None:
        """Tell who listens, after the commit."""
        self._changes.announce(
            [FolderChanged(each.account_id, each.folder_id, each.mod_sequence) for each in delivered if each]
        )

    async def page(
        self,
        account_id: int,
        folder_id: int,
        before: int | None = None,
        limit: int = 50,
        only: Only | None = None,
    ) -> list[Entry]:
        """Return up to `limit` entries with UIDs below `before`, newest first; fewer means the end."""
        condition = f"AND {only.value} " if only is not None else ""
        # The limit stands in the text: as a parameter, the plan that is kept would expect a tenth of the
        # folder.
        rows = await self._database.fetch(
            f"SELECT {ENTRY_COLUMNS} FROM (SELECT * FROM entry e WHERE e.folder_id = {OWN_FOLDER} "
            f"AND e.uid < $3 {condition}ORDER BY e.uid DESC LIMIT {min(limit, MAX_PAGE):d}) e "
            "JOIN message m ON m.id = e.message_id ORDER BY e.uid DESC",
            folder_id,
            account_id,
            before if before is not None else _LAST_UID,
        )
        return [entry_of(row) for row in rows]

    async def get(self, account_id: int, folder_id: int, uid: int) -> Entry:
        """Return one entry. Raises `NoSuchMessage`."""
        found = await self.fetch(account_id, folder_id, [uid])
        if not found:
            raise NoSuchMessage("the mail is not in this folder any more")
        return found[0]

    async def fetch(self, account_id: int, folder_id: int, uids: Sequence[int]) -> list[Entry]:
        """Return the entries of these UIDs that exist, oldest first: as many as were asked for."""
        wanted = sorted(set(uids))
        found: list[Entry] = []
        for start in range(0, len(wanted), FETCHED_AT_ONCE):
            rows = await self._database.fetch(
                f"SELECT {ENTRY_COLUMNS} FROM entry e JOIN message m ON m.id = e.message_id "
                f"WHERE e.folder_id = {OWN_FOLDER} AND e.uid = ANY($3::bigint[]) ORDER BY e.uid",
                folder_id,
                account_id,
                wanted[start : start + FETCHED_AT_ONCE],
            )
            found.extend(map(entry_of, rows))
        return found

    async def neighbours(self, account_id: int, folder_id: int, uid: int) -> tuple[int | None, int | None]:
        """Return the UIDs of the next newer and the next older entry, None at the ends."""
        row = await self._database.fetchrow(
            f"SELECT (SELECT min(uid) FROM entry WHERE folder_id = {OWN_FOLDER} AND uid > $3) AS newer, "
            f"(SELECT max(uid) FROM entry WHERE folder_id = {OWN_FOLDER} AND uid < $3) AS older",
            folder_id,
            account_id,
            uid,
        )
        return (row["newer"], row["older"]) if row is not None else (None, None)

    async def thread(self, account_id: int, thread: int, limit: int = 100) -> list[Entry]:
        """Return the mails of a conversation in all folders, oldest first (the newest `limit` of them).

        A mail that lies in several folders is told once for each. Thread 0 is no conversation.
        """
        if thread == 0:
            return []
        rows = await self._database.fetch(
            f"SELECT {ENTRY_COLUMNS} FROM entry e JOIN message m ON m.id = e.message_id "
            "WHERE e.account_id = $1 AND e.thread = $2 ORDER BY e.received_at DESC, e.message_id DESC LIMIT "
            "$3",
            account_id,
            thread,
            min(limit, MAX_THREAD),
        )
        return [entry_of(row) for row in reversed(rows)]

    async def changed_since(
        self, account_id: int, folder_id: int, mod_sequence: int, limit: int = MAX_PAGE
    ) -> list[Entry]:
        """Return entries new or changed after a mod-sequence, in its order (RFC 7162 CHANGEDSINCE).

        All entries of the last mod-sequence told are told, so the answer may exceed `limit`; go on from it.
        """
        rows = await self._database.fetch(
            f"SELECT {ENTRY_COLUMNS} FROM (SELECT * FROM entry WHERE folder_id = {OWN_FOLDER} "
            "AND mod_sequence > $3 ORDER BY mod_sequence FETCH FIRST $4 ROWS WITH TIES) e "
            "JOIN message m ON m.id = e.message_id ORDER BY e.mod_sequence, e.uid",
            folder_id,
            account_id,
            mod_sequence,
            limit,
        )
        return [entry_of(row) for row in rows]

    async def expunged_since(self, account_id: int, folder_id: int, mod_sequence: int) -> list[int] | None:
        """Return the UIDs removed after a mod-sequence, ascending (RFC 7162 VANISHED).

        None when removals that old are forgotten: the caller must compare all UIDs. Raises `NoSuchFolder`.
        """
        # Floor and removals from one snapshot: between two statements a sweep may forget some, and what is
        # left would pass for all.
        row = await self._database.fetchrow(
            "SELECT CASE WHEN $3 >= f.expunged_floor THEN ARRAY(SELECT DISTINCT x.uid FROM expunged x "
            "WHERE x.folder_id = f.id AND x.mod_sequence > $3 ORDER BY x.uid) END AS uids "
            "FROM folder f WHERE f.id = $1 AND f.account_id = $2",
            folder_id,
            account_id,
            mod_sequence,
        )
        if row is None:
            raise NoSuchFolder("there is no such folder")
        uids: list[int] | None = row["uids"]
        return uids

    async def set_flags(
        self,
        account_id: int,
        folder_id: int,
        uids: Sequence[int] | None,
        change: FlagChange,
        unchanged_since: int | None = None,
    ) -> FlagsChanged:
        """Change flags of entries (`uids` None: all of the folder); each transaction has its mod-sequence.

        With `unchanged_since`, entries changed later than that are left and reported (RFC 7162 3.1.3).
        Raises `NoSuchFolder`, `BadKeyword`.
        """
        changed: list[EntryFlags] = []
        refused: list[int] = []
        async for some in self._pieces(account_id, folder_id, uids):
            done = await self._database.commit(
                partial(
                    set_flags_in,
                    account_id=account_id,
                    folder_id=folder_id,
                    uids=some,
                    change=change,
                    unchanged_since=unchanged_since,
                )
            )
            changed.extend(done.changed)
            refused.extend(done.refused)
            if done.changed:
                self._changes.announce([FolderChanged(account_id, folder_id, done.mod_sequence)])
        return FlagsChanged(done.mod_sequence, tuple(changed), tuple(refused))

    async def move(
        self, account_id: int, source_id: int, uids: Sequence[int] | None, target_id: int
    ) -> Transferred:
        """Move entries to another folder (`uids` None: all), flags included (RFC 6851).

        UIDs that are not there are passed over; into the folder they lie in, nothing moves. An outage may
        leave some moved and others not, none in both or neither. Raises `NoSuchFolder`.
        """
        moved: list[tuple[int, int]] = []
        async for some in self._pieces(account_id, source_id, [] if source_id == target_id else uids):
            done = await self._moves.move(Move(account_id, source_id, some, target_id))
            moved.extend(done.uids)
        return replace(done, uids=tuple(moved))

    async def copy(
        self, account_id: int, source_id: int, uids: Sequence[int] | None, target_id: int
    ) -> Transferred:
        """Copy entries to a folder, flags included (RFC 9051 6.4.7).

        Raises `NoSuchFolder`, `QuotaExceeded`.
        """

        async def work(connection: Connection) -> Transferred:
            done = await copy_in(connection, account_id, source_id, uids, target_id)
            if done.uids and await over_quota_in(connection, account_id):
                raise QuotaExceeded("the copies do not fit into the mailbox")
            return done

        done = await self._database.commit(work)
        self._announce_transfer(account_id, source_id, target_id, done)
        return done

    async def expunge(self, account_id: int, folder_id: int, uids: Sequence[int]) -> list[int]:
        """Remove entries for good, whatever their flags; returns the UIDs removed. Raises `NoSuchFolder`."""
        return await self._expunge(account_id, folder_id, uids, NO_FLAGS)

    async def expunge_deleted(
        self, account_id: int, folder_id: int, uids: Sequence[int] | None = None
    ) -> list[int]:
        """Remove entries flagged as deleted (RFC 9051 6.4.3; with `uids`, only among these: RFC 4315 2.1)."""
        return await self._expunge(account_id, folder_id, uids, Flag.DELETED)

    async def empty(self, account_id: int, folder_id: int) -> int:
        """Remove everything in a folder; returns how many. Raises `NoSuchFolder`."""
        return len(await self._expunge(account_id, folder_id, None, NO_FLAGS))

    async def _pieces(
        self, account_id: int, folder_id: int, uids: Sequence[int] | None
    ) -> AsyncIterator[Sequence[int]]:
        """Cut UIDs (None: those in the folder now) into pieces for a transaction each.

        At least one, maybe empty.
        """
        if uids is not None:
            wanted = sorted(set(uids))
            for start in range(0, max(len(wanted), 1), self._at_once):
                yield wanted[start : start + self._at_once]
            return
        last = 0
        while True:
            rows = await self._database.fetch(
                f"SELECT uid FROM entry WHERE folder_id = {OWN_FOLDER} AND uid > $3 ORDER BY uid "
                f"LIMIT {self._at_once:d}",
                folder_id,
                account_id,
                last,
            )
            if rows or not last:
                yield [row["uid"] for row in rows]
            if len(rows) < self._at_once:
                return
            last = rows[-1]["uid"]

    async def _expunge(
        self, account_id: int, folder_id: int, uids: Sequence[int] | None, only_with: Flag
    ) -> list[int]:
        removed: list[int] = []
        # In pieces: deliveries to the folder wait for its lock no longer than one of them takes.
        while True:
            mod_sequence, gone = await self._database.commit(
                partial(
                    expunge_in,
                    account_id=account_id,
                    folder_id=folder_id,
                    uids=uids,
                    only_with=only_with,
                    limit=self._at_once,
                )
            )
            removed.extend(gone)
            if gone:
                self._changes.announce([FolderChanged(account_id, folder_id, mod_sequence)])
            if len(gone) < self._at_once:
                return removed

    def _announce_transfer(self, account_id: int, source_id: int, target_id: int, done: Transferred) -> None:
        if done.uids:
            self._changes.announce(
                [
                    FolderChanged(account_id, source_id, done.source_mod_sequence),
                    FolderChanged(account_id, target_id, done.target_mod_sequence),
                ]
            )


def entry_of(row: Any) -> Entry:
    """An entry from a row of `ENTRY_COLUMNS`."""
    values = dict(row)
    values["flags"] = Flag(values["flags"])
    values["keywords"] = tuple(values["keywords"])
    return Entry(**values)
