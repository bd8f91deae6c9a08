"""Mails themselves: one `message` and one `content` row each, however many folders and queue rows point at
it.

Content is never rewritten. What comes in front of it on the way (Return-Path, Received) is the prefix, kept
apart so that one content serves every recipient. Offsets in a structure count from the beginning of the body.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from ..db.pool import Connection, Database
from ..message.envelope import Envelope, decode_envelope
from ..message.headers import Mailbox, shown_as
from ..message.scan import Part, decode_structure
from ..message.summary import MessageSummary
from .blobs import Blobs
from .errors import NoSuchMessage
from .ids import IdBlocks

INLINE_BYTES = 64 * 1024  # larger bodies become blobs; the default of `storage.inline_bytes`
MAX_SHOWN = 200  # characters of a sender or of the recipients in a list row
MAX_MESSAGE_ID = 998  # characters: a header line, RFC 5322 2.1.1

MESSAGE_COLUMNS = (
    "id", "size_bytes", "subject", "sender", "recipients", "sent_at", "message_id", "thread",
    "has_attachments", "priority", "preview", "envelope", "structure",
)  # fmt: skip
CONTENT_COLUMNS = ("message_id", "prefix", "trace_offset", "body", "blob")


@dataclass(frozen=True, slots=True)
class NewMail:
    """A mail about to be stored. `body` is None when it went to the blob store under `blob`.

    `prefix` is what stands in front of the body for whoever reads it; its part from `trace_offset` on (the
    Received lines) also travels when the mail is relayed, what stands before it (Return-Path) does not.
    """

    id: int
    summary: MessageSummary
    thread: int
    body: bytes | None
    blob: str | None = None
    prefix: bytes = b""
    trace_offset: int = 0

    @property
    def size_bytes(self) -> int:
        """What a reader downloads: prefix and body."""
        return len(self.prefix) + self.summary.size_bytes


@dataclass(frozen=True, slots=True)
class NewContent:
    """The bytes of a mail that only passes through: no folder will have it, so it gets no `message` row."""

    id: int
    body: bytes | None
    blob: str | None = None
    prefix: bytes = b""
    trace_offset: int = 0


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of a mail: `prefix` + `body` is what a reader gets, `prefix[trace_offset:]` + `body` what is
    relayed.
    """

    prefix: bytes
    trace_offset: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Description:
    """What was found out about a mail when it came: offsets in `structure` count from the beginning of the
    body.
    """

    size_bytes: int
    message_id: str | None
    envelope: Envelope
    structure: Part


class Messages:
    """Stores and reads mails."""

    def __init__(self, database: Database, blobs: Blobs, inline_bytes: int = INLINE_BYTES) -> None:
        """Bodies over `inline_bytes` are written to `blobs`."""
        self._database = database
        self._blobs = blobs
        self._inline_bytes = inline_bytes
        self._ids = IdBlocks(database, "message_id_seq")

    async def prepare(
        self,
        body: bytes,
        summary: MessageSummary,
        prefix: bytes = b"",
        trace_offset: int = 0,
        message_id: int | None = None,
    ) -> NewMail:
        """Give a mail its id, and its blob when it is large: all that must happen before the transaction.

        `summary` is that of `body`. `message_id` was taken before (`take_id`), for a prefix that names it.
        Raises `BlobsFull`, `BlobsUnavailable`.
        """
        if message_id is None:
            message_id = await self._ids.take()
        thread = thread_of(summary.thread_root)
        if len(body) <= self._inline_bytes:
            return NewMail(message_id, summary, thread, body, None, prefix, trace_offset)
        blob = await self._blobs.put(body)
        return NewMail(message_id, summary, thread, None, blob, prefix, trace_offset)

    async def take_id(self) -> int:
        """Return an id that no mail has or gets. Raises `DatabaseUnavailable`."""
        return await self._ids.take()

    async def prepare_content(
        self, message_id: int, body: bytes, prefix: bytes = b"", trace_offset: int = 0
    ) -> NewContent:
        """Give a mail that only passes through its blob when it is large; its id was taken before.

        Raises `BlobsFull`, `BlobsUnavailable`.
        """
        if len(body) <= self._inline_bytes:
            return NewContent(message_id, body, None, prefix, trace_offset)
        return NewContent(message_id, None, await self._blobs.put(body), prefix, trace_offset)

    async def store_contents_in(self, connection: Connection, contents: Sequence[NewContent]) -> None:
        """Write mails that only pass through by COPY, in the caller's transaction."""
        await connection.copy_records_to_table(
            "content",
            records=[(each.id, each.prefix, each.trace_offset, each.body, each.blob) for each in contents],
            columns=CONTENT_COLUMNS,
        )

    async def store_in(self, connection: Connection, mails: Sequence[NewMail]) -> None:
        """Write mails by COPY, in the caller's transaction, in two statements however many they are."""
        await connection.copy_records_to_table(
            "message", records=[message_row(mail) for mail in mails], columns=MESSAGE_COLUMNS
        )
        await connection.copy_records_to_table(
            "content",
            records=[content_row(mail) for mail in mails],
            columns=CONTENT_COLUMNS,
        )

    async def contents(self, message_ids: Sequence[int]) -> dict[int, Content]:
        """Return the bytes of several mails by id; those that do not exist are left out.

        Bounded by the caller, who knows their sizes. Raises `BlobMissing`, `BlobsUnavailable`.
        """
        rows = await self._database.fetch(
            "SELECT message_id, prefix, trace_offset, body, blob FROM content "
            "WHERE message_id = ANY($1::bigint[])",
            list(message_ids),
        )
        return {
            row["message_id"]: Content(
                row["prefix"],
                row["trace_offset"],
                row["body"] if row["blob"] is None else await self._blobs.get(row["blob"]),
            )
            for row in rows
        }

    async def content(self, message_id: int) -> Content:
        """Return the bytes of a mail. Raises `NoSuchMessage`, `BlobMissing`, `BlobsUnavailable`."""
        row = await self._database.fetchrow(
            "SELECT prefix, trace_offset, body, blob FROM content WHERE message_id = $1", message_id
        )
        if row is None:
            raise NoSuchMessage(f"there is no mail {message_id}")
        body = row["body"] if row["blob"] is None else await self._blobs.get(row["blob"])
        return Content(row["prefix"], row["trace_offset"], body)

    async def body_range(self, message_id: int, start: int, end: int) -> bytes:
        """Return the body's bytes from `start` up to `end`, as a part's offsets say, without reading the
        rest.

        Raises `NoSuchMessage`, `BlobMissing`, `BlobsUnavailable`.
        """
        length = max(0, end - start)
        # Bodies are stored without compression, so substring reads only the TOAST chunks it needs.
        row = await self._database.fetchrow(
            "SELECT substring(body FROM $2::int FOR $3::int) AS body, blob FROM content WHERE message_id = "
            "$1",
            message_id,
            start + 1,
            length,
        )
        if row is None:
            raise NoSuchMessage(f"there is no mail {message_id}")
        if row["blob"] is None:
            return cast(bytes, row["body"])
        return await self._blobs.get(row["blob"], start, start + length)

    async def prefix(self, message_id: int) -> bytes:
        """Return what stands in front of the body. Raises `NoSuchMessage`."""
        found = await self._database.fetchval("SELECT prefix FROM content WHERE message_id = $1", message_id)
        if found is None:
            raise NoSuchMessage(f"there is no mail {message_id}")
        return cast(bytes, found)

    async def describe(self, message_ids: Sequence[int]) -> dict[int, Description]:
        """Return envelope and structure of mails, by id; those that do not exist are left out."""
        rows = await self._database.fetch(
            "SELECT id, size_bytes, message_id, envelope, structure FROM message WHERE id = "
            "ANY($1::bigint[])",
            list(message_ids),
        )
        return {
            row["id"]: Description(
                row["size_bytes"],
                row["message_id"],
                decode_envelope(row["envelope"]),
                decode_structure(row["structure"]),
            )
            for row in rows
        }

    async def hold_in(self, connection: Connection, message_ids: Sequence[int]) -> set[int]:
        """Keep mails from being swept until the caller's transaction ends; return those that (still) exist.

        For whoever is about to point at a mail that is stored already.
        """
        rows = await connection.fetch(
            "SELECT message_id FROM content WHERE message_id = ANY($1::bigint[]) ORDER BY message_id "
            "FOR KEY SHARE",
            list(message_ids),
        )
        return {row["message_id"] for row in rows}


async def release_in(connection: Connection, message_ids: Sequence[int]) -> None:
    """Say that references to mails have gone, in the transaction that removes them; the sweeper looks later.

    To be called by whoever deletes queue envelopes. Entries do it for themselves.
    """
    # DO UPDATE, not DO NOTHING: it waits for a sweeper that has the row in hand, and then writes a new one.
    await connection.execute(
        "INSERT INTO message_release (message_id) SELECT DISTINCT unnest($1::bigint[]) ORDER BY 1 "
        "ON CONFLICT (message_id) DO UPDATE SET released_at = now()",
        list(message_ids),
    )


async def discard_in(connection: Connection, message_ids: Sequence[int]) -> None:
    """Remove mails that only passed through, in the transaction that ends their passage.

    Their caller knows that nothing else points at them. A blob that was theirs is swept by its age.
    """
    await connection.execute("DELETE FROM content WHERE message_id = ANY($1::bigint[])", list(message_ids))


def thread_of(thread_root: str | None) -> int:
    """Return the number of a conversation: a hash of its first message-id, positive, 0 for none."""
    if not thread_root:
        return 0
    digest = hashlib.blake2b(thread_root.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 1) or 1


def content_row(mail: NewMail | NewContent) -> tuple[object, ...]:
    """The row of `CONTENT_COLUMNS`."""
    return mail.id, mail.prefix, mail.trace_offset, mail.body, mail.blob


def message_row(mail: NewMail) -> tuple[object, ...]:
    """The row of `MESSAGE_COLUMNS`."""
    summary = mail.summary
    return (
        mail.id,
        summary.size_bytes,
        summary.subject,
        _shown(summary.header_from or summary.sender),
        _shown(summary.to or summary.cc or summary.bcc),
        _storable_time(summary.date),
        summary.message_id[:MAX_MESSAGE_ID] if summary.message_id else None,
        mail.thread,
        summary.has_attachments,
        summary.priority,
        summary.preview,
        summary.envelope_json,
        summary.structure_json,
    )


def _shown(mailboxes: Sequence[Mailbox]) -> str:
    """What a list shows of them: names, or else addresses."""
    return ", ".join(shown_as(each.name, each.address_text) for each in mailboxes[:10])[:MAX_SHOWN]


def _storable_time(when: datetime | None) -> datetime | None:
    """A Date field may say year 1 with a zone that leads out of the calendar."""
    if when is None or not 1 < when.year < 9999:
        return None
    return when
