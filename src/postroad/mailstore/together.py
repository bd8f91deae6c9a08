"""Small writes of many sessions made together: one transaction and one flush for all that come at once.

What is put into folders, and what is moved between them. Each learns its own fate: one that cannot be done is
found by halves (`GroupCommit`) and spares the others. Folders are locked first, in the order of their ids.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ..db.group_commit import CommitFailed, GroupCommit
from ..db.pool import Connection, Database, DatabaseUnavailable
from .changes import ChangeSink, FolderChanged
from .delivery import Delivered, Delivery, deliver_in, lock_targets_in
from .errors import NoSuchFolder, QuotaExceeded
from .filing import Transferred, expunge_in, lock_owned_folders_in, move_locked_in
from .flags import NO_FLAGS
from .messages import Messages, NewMail
from .quota import over_quota_among_in

MOVED_TOGETHER = 5000  # entries a transaction: deliveries to their folders wait for it
MOVES_TOGETHER = 20


@dataclass(slots=True, eq=False)
class Put:
    """Mails for folders of one account, all or none; the entry `replaced` (folder, UID) goes with it."""

    account_id: int
    mails: Sequence[NewMail]
    deliveries: Sequence[Delivery]
    replaced: tuple[int, int] | None = None
    placed: list[Delivered] = field(default_factory=list)

    @property
    def size_bytes(self) -> int:
        """How much it adds to a batch."""
        return sum(each.size_bytes for each in self.deliveries)

    @property
    def witness(self) -> int:
        """The first mail is in the store exactly when all are."""
        return self.mails[0].id


@dataclass(slots=True, eq=False)
class Move:
    """Entries of a folder for another one of the same account."""

    account_id: int
    source_id: int
    uids: Sequence[int]
    target_id: int
    done: Transferred | None = None

    @property
    def size_bytes(self) -> int:
        """How much it adds to a batch, counted in entries."""
        return len(self.uids)

    @property
    def witness(self) -> None:
        """No mail tells, so the transaction's number does."""
        return


class Puts:
    """Mails put into folders, of one process."""

    def __init__(self, database: Database, messages: Messages, changes: ChangeSink) -> None:
        self._messages = messages
        self._changes = changes
        self._group: GroupCommit[Put] = GroupCommit(database, self._write_in)

    async def put(self, put: Put) -> list[Delivered]:
        """Write it durably, with whatever else is there to be written; says where its mails lie.

        Raises `NoSuchFolder`, `QuotaExceeded`, `BadKeyword`, `DatabaseUnavailable`.
        """
        try:
            await self._group.commit(put)
        except CommitFailed as error:
            raise DatabaseUnavailable(str(error)) from error
        return put.placed

    async def _write_in(self, connection: Connection, puts: Sequence[Put]) -> Callable[[], None]:
        await self._messages.store_in(connection, [mail for put in puts for mail in put.mails])
        deliveries = [delivery for put in puts for delivery in put.deliveries]
        replacing = [(put.account_id, *put.replaced) for put in puts if put.replaced is not None]
        if replacing:
            await lock_targets_in(connection, [folder_id for _, folder_id, _ in replacing], deliveries)
            for account_id, folder_id, uid in replacing:
                await expunge_in(connection, account_id, folder_id, [uid], NO_FLAGS, 1)
        placed = iter(await deliver_in(connection, deliveries))
        for put in puts:
            put.placed = [_where_asked(wanted, next(placed)) for wanted in put.deliveries]
        if await over_quota_among_in(connection, sorted({put.account_id for put in puts})):
            raise QuotaExceeded("the mail does not fit into the mailbox")
        return lambda: self._announce(puts)

    def _announce(self, puts: Sequence[Put]) -> None:
        self._changes.announce(
            [
                FolderChanged(each.account_id, each.folder_id, each.mod_sequence)
                for put in puts
                for each in put.placed
            ]
        )


class Moves:
    """Moves between folders, of one process."""

    def __init__(self, database: Database, changes: ChangeSink) -> None:
        self._changes = changes
        self._group: GroupCommit[Move] = GroupCommit(
            database, self._write_in, max_batch=MOVES_TOGETHER, max_batch_bytes=MOVED_TOGETHER
        )

    async def move(self, move: Move) -> Transferred:
        """Do it, with whatever other moves are there to be done. Raises `NoSuchFolder`,
        `DatabaseUnavailable`.
        """
        try:
            await self._group.commit(move)
        except CommitFailed as error:
            raise DatabaseUnavailable(str(error)) from error
        assert move.done is not None
        return move.done

    async def _write_in(self, connection: Connection, moves: Sequence[Move]) -> Callable[[], None]:
        await lock_owned_folders_in(
            connection,
            [(move.account_id, folder) for move in moves for folder in (move.source_id, move.target_id)],
        )
        for move in moves:
            move.done = await move_locked_in(connection, move.source_id, move.uids, move.target_id)
        return lambda: self._announce(moves)

    def _announce(self, moves: Sequence[Move]) -> None:
        self._changes.announce(
            [
                FolderChanged(move.account_id, folder_id, mod_sequence)
                for move in moves
                if move.done is not None and move.done.uids
                for folder_id, mod_sequence in (
                    (move.source_id, move.done.source_mod_sequence),
                    (move.target_id, move.done.target_mod_sequence),
                )
            ]
        )


def _where_asked(wanted: Delivery, found: Delivered | None) -> Delivered:
    # Unlike incoming mail, what people put somewhere does not go elsewhere instead.
    if found is None or wanted.folder_id not in (None, found.folder_id):
        raise NoSuchFolder("there is no such folder")
    return found
