"""The inbox as POP3 takes it: listed in one order, locked for one session, removed at its end (RFC 1939).

The lock is an advisory one of the database, so it dies with the session's worker, and workers of all servers
see it. Webmail and IMAP are not kept out: UIDs make a removal safe beside them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from ..db.advisory_locks import AdvisoryLocks, HeldLock
from ..db.pool import Database
from .entries import Entries
from .errors import MailStoreError, NoSuchMessage
from .folders import Folders, Role
from .messages import Messages

LISTED_AT_ONCE = 10_000  # rows of one query; a row takes under 200 bytes on its way
FIRST_PIECE = 32 * 1024  # bytes of the body read for TOP: the header of nearly every mail, and some lines


class MaildropInUse(MailStoreError):
    """Another session has it."""


class OpenMaildrop:
    """An inbox in the hand of one session."""

    def __init__(
        self,
        lock: HeldLock,
        account_id: int,
        folder_id: int,
        uid_validity: int,
        database: Database,
        entries: Entries,
        messages: Messages,
    ) -> None:
        self._lock = lock
        self._account_id = account_id
        self._folder_id = folder_id
        self.uid_validity = uid_validity
        self._database = database
        self._entries = entries
        self._messages = messages

    @property
    def is_held(self) -> bool:
        """Whether the lock is still ours."""
        return self._lock.is_held

    async def mails(self) -> AsyncIterator[tuple[int, int]]:
        """Yield UID and size of every mail, oldest first."""
        last = 0
        while True:
            rows = await self._database.fetch(
                f"SELECT uid, size_bytes FROM entry WHERE folder_id = $1 AND uid > $2 ORDER BY uid "
                f"LIMIT {LISTED_AT_ONCE:d}",
                self._folder_id,
                last,
            )
            for uid, size_bytes in rows:
                yield uid, size_bytes
            if len(rows) < LISTED_AT_ONCE:
                return
            last = rows[-1]["uid"]

    async def content(self, uid: int) -> bytes:
        """Return a whole mail. Raises `NoSuchMessage`, `BlobMissing`, `BlobsUnavailable`."""
        content = await self._messages.content(await self._message_id(uid))
        return content.prefix + content.body

    async def beginning(self, uid: int, wanted_bytes: int) -> tuple[bytes, bool]:
        """Return the first bytes of a mail, and whether that is all of it. Raises what `content` does."""
        message_id = await self._message_id(uid)
        prefix = await self._messages.prefix(message_id)
        body = await self._messages.body_range(message_id, 0, wanted_bytes)
        return prefix + body, len(body) < wanted_bytes

    async def remove(self, uids: Sequence[int]) -> None:
        """Remove mails for good."""
        await self._entries.expunge(self._account_id, self._folder_id, uids)

    async def close(self) -> None:
        """Let others in."""
        await self._lock.release()

    async def _message_id(self, uid: int) -> int:
        found = await self._database.fetchval(
            "SELECT message_id FROM entry WHERE folder_id = $1 AND uid = $2", self._folder_id, uid
        )
        if found is None:
            raise NoSuchMessage("the mail is not there any more")
        return int(found)


class Maildrops:
    """Opens inboxes for POP3."""

    def __init__(
        self,
        database: Database,
        locks: AdvisoryLocks,
        folders: Folders,
        entries: Entries,
        messages: Messages,
    ) -> None:
        self._database = database
        self._locks = locks
        self._folders = folders
        self._entries = entries
        self._messages = messages

    async def open(self, account_id: int) -> OpenMaildrop:
        """Lock an account's inbox; close it in the end. Raises `MaildropInUse`, `NoSuchFolder`."""
        lock = await self._locks.try_lock(f"maildrop {account_id}")
        if lock is None:
            raise MaildropInUse("another session reads this mailbox by POP3 now")
        try:
            inbox = await self._folders.get_by_role(account_id, Role.INBOX)
        except BaseException:
            await lock.release()
            raise
        return OpenMaildrop(
            lock, account_id, inbox.id, inbox.uid_validity, self._database, self._entries, self._messages
        )
