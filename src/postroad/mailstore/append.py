"""One mail put into a folder directly: drafts, copies of what was sent, imports, later IMAP's APPEND.

One transaction for content and entry, shared with others that come at the same time. A draft that is saved
again is a new mail in the place of the old one, because content never changes (RFC 9051 2.3.1.1: a UID names
one content for ever).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from ..db.pool import Database
from ..message.summary import MessageSummary
from .changes import ChangeSink
from .delivery import Delivered, Delivery
from .flags import NO_FLAGS, Flag
from .folders import Role
from .messages import Messages
from .summaries import summarised
from .together import Put, Puts


@dataclass(frozen=True, slots=True)
class Appended:
    """A mail somebody puts into a folder."""

    body: bytes = field(repr=False)
    flags: Flag = NO_FLAGS
    keywords: tuple[str, ...] = ()
    received_at: datetime | None = None


class Append:
    """Puts mails into folders."""

    def __init__(
        self, database: Database, messages: Messages, changes: ChangeSink, clock: Callable[[], datetime]
    ) -> None:
        self._messages = messages
        self._puts = Puts(database, messages, changes)
        self._clock = clock

    async def put(
        self,
        account_id: int,
        folder: int | Role,
        body: bytes,
        flags: Flag = NO_FLAGS,
        keywords: tuple[str, ...] = (),
        received_at: datetime | None = None,
        summary: MessageSummary | None = None,
    ) -> Delivered:
        """Store `body` in a folder, by its id or its role; `summary` saves reading it again.

        Raises `NoSuchFolder`, `QuotaExceeded`, `BadKeyword`, `BlobsFull`, `BlobsUnavailable`.
        """
        return await self._put(account_id, folder, None, body, flags, keywords, received_at, summary)

    async def replace(
        self,
        account_id: int,
        folder_id: int,
        old_uid: int,
        body: bytes,
        flags: Flag = NO_FLAGS,
        keywords: tuple[str, ...] = (),
        received_at: datetime | None = None,
        summary: MessageSummary | None = None,
    ) -> Delivered:
        """Store `body` and remove the entry `old_uid` of the same folder, both or neither (RFC 8508).

        An old entry that has gone already is no error. Raises what `put` does.
        """
        return await self._put(account_id, folder_id, old_uid, body, flags, keywords, received_at, summary)

    async def put_all(
        self, account_id: int, folder_id: int, mails: Sequence[Appended], replacing: int | None = None
    ) -> list[Delivered]:
        """Store several mails in one folder, all or none (RFC 3502); its entry `replacing` goes with it.

        Raises what `put` does.
        """
        prepared = [await self._messages.prepare(each.body, await summarised(each.body)) for each in mails]
        deliveries = [
            Delivery.of(
                mail,
                account_id,
                each.received_at if each.received_at is not None else self._clock(),
                Role.INBOX,
                folder_id,
                each.flags,
                each.keywords,
            )
            for mail, each in zip(prepared, mails, strict=True)
        ]
        replaced = None if replacing is None else (folder_id, replacing)
        return await self._puts.put(Put(account_id, prepared, deliveries, replaced))

    async def _put(
        self,
        account_id: int,
        folder: int | Role,
        old_uid: int | None,
        body: bytes,
        flags: Flag,
        keywords: tuple[str, ...],
        received_at: datetime | None,
        summary: MessageSummary | None,
    ) -> Delivered:
        mail = await self._messages.prepare(body, summary if summary is not None else await summarised(body))
        role, folder_id = (folder, None) if isinstance(folder, Role) else (Role.INBOX, folder)
        delivery = Delivery.of(
            mail,
            account_id,
            received_at if received_at is not None else self._clock(),
            role,
            folder_id,
            flags,
            keywords,
        )
        replaced = None if old_uid is None or folder_id is None else (folder_id, old_uid)
        [placed] = await self._puts.put(Put(account_id, [mail], [delivery], replaced))
        return placed
