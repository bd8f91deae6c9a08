"""A folder as a mail program reads it: an answer from one snapshot, in columns rather than rows.

UIDs and flags of a whole folder come as arrays: a hundred thousand rows would cost ten times as much on
their way. RFC 9051 6.3.2 (SELECT), RFC 7162 3.2.5 (what changed, and what vanished, since a mod-sequence).
"""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..db.pool import Database
from .blobs import Blobs
from .errors import NoSuchFolder

FLAGS_AT_ONCE = 10_000  # entries of one query
UNIT = " "  # between keywords, which hold none


@dataclass(frozen=True, slots=True)
class Opened:
    """A folder and its UIDs; `first_unseen` is one of them, None when all are read."""

    folder_id: int
    name: str
    uid_validity: int
    uid_next: int
    mod_sequence: int
    keywords: tuple[str, ...]
    first_unseen: int | None
    uids: array[int]


@dataclass(frozen=True, slots=True)
class EntryState:
    """What may change of a mail in a folder."""

    uid: int
    flags: int
    keywords: tuple[str, ...]
    mod_sequence: int


@dataclass(frozen=True, slots=True)
class News:
    """What happened in a folder since a mod-sequence. `vanished` None: removals that old are forgotten."""

    uid_validity: int
    mod_sequence: int
    uid_next: int
    changed: tuple[EntryState, ...]
    vanished: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Told:
    """What is kept of a mail beside its bytes. The last three are None unless they were asked for."""

    uid: int
    message_id: int
    flags: int
    keywords: tuple[str, ...]
    mod_sequence: int
    received_at: datetime
    saved_at: datetime
    size_bytes: int
    thread: int
    envelope: bytes | None
    structure: bytes | None
    preview: str | None


_ENTRY = (
    "e.uid, e.message_id, e.flags, e.keywords, e.mod_sequence, e.received_at, e.saved_at, e.size_bytes, "
    "e.thread"
)
_OPEN = """
SELECT f.id, f.name, f.uid_validity, f.uid_next, f.mod_sequence, f.keywords,
    (SELECT array_agg(uid ORDER BY uid) FROM entry e WHERE e.folder_id = f.id) AS uids,
    (SELECT min(uid) FROM entry e WHERE e.folder_id = f.id AND e.flags & 1 = 0) AS first_unseen
FROM folder f WHERE f.id = $2 AND f.account_id = $1
"""
_NEWS = """
SELECT f.uid_validity, f.mod_sequence, f.uid_next, f.expunged_floor, c.uids, c.flags, c.keywords,
    c.mod_sequences,
    (SELECT array_agg(DISTINCT x.uid ORDER BY x.uid) FROM expunged x
     WHERE x.folder_id = f.id AND x.mod_sequence > $3) AS vanished
FROM folder f LEFT JOIN LATERAL (
    SELECT array_agg(e.uid ORDER BY e.uid) AS uids, array_agg(e.flags ORDER BY e.uid) AS flags,
        array_agg(array_to_string(e.keywords, ' ') ORDER BY e.uid) AS keywords,
        array_agg(e.mod_sequence ORDER BY e.uid) AS mod_sequences
    FROM entry e WHERE e.folder_id = f.id AND e.mod_sequence > $3
) c ON true
WHERE f.id = $2 AND f.account_id = $1
"""
_STATES = """
SELECT array_agg(e.uid ORDER BY e.uid), array_agg(e.flags ORDER BY e.uid),
    array_agg(array_to_string(e.keywords, ' ') ORDER BY e.uid), array_agg(e.mod_sequence ORDER BY e.uid)
FROM entry e WHERE e.folder_id = $1 AND {which} AND e.mod_sequence > $3
"""
# Two texts: a span of UIDs reads the index in one go, chosen ones look each of theirs up.
_BY_SPAN = _STATES.format(which="e.uid BETWEEN $2[1] AND $2[2]").replace("$2[", "($2::bigint[])[")
_BY_CHOICE = _STATES.format(which="e.uid = ANY($2::bigint[])")


class Views:
    """Reads folders for clients that keep their own picture of them."""

    def __init__(self, database: Database, blobs: Blobs) -> None:
        self._database = database
        self._blobs = blobs

    async def open(self, account_id: int, folder_id: int) -> Opened:
        """Return a folder with all its UIDs. Raises `NoSuchFolder`."""
        row = await self._database.fetchrow(_OPEN, account_id, folder_id)
        if row is None:
            raise NoSuchFolder("there is no such folder")
        return Opened(
            row["id"],
            row["name"],
            row["uid_validity"],
            row["uid_next"],
            row["mod_sequence"],
            tuple(row["keywords"]),
            row["first_unseen"],
            array("q", row["uids"] or ()),
        )

    async def mod_sequence(self, account_id: int, folder_id: int) -> int | None:
        """Return a folder's highest mod-sequence, None when it is gone: the cheap look before `news`."""
        found: int | None = await self._database.fetchval(
            "SELECT mod_sequence FROM folder WHERE id = $2 AND account_id = $1", account_id, folder_id
        )
        return found

    async def news(self, account_id: int, folder_id: int, since: int) -> News:
        """Return what changed and vanished after the mod-sequence `since`. Raises `NoSuchFolder`."""
        row = await self._database.fetchrow(_NEWS, account_id, folder_id, since)
        if row is None:
            raise NoSuchFolder("there is no such folder")
        changed = _states(row["uids"], row["flags"], row["keywords"], row["mod_sequences"])
        vanished = None if since < row["expunged_floor"] else tuple(row["vanished"] or ())
        return News(row["uid_validity"], row["mod_sequence"], row["uid_next"], tuple(changed), vanished)

    async def states(
        self, folder_id: int, uids: Sequence[int], changed_since: int = 0
    ) -> AsyncIterator[list[EntryState]]:
        """Yield flags of the UIDs that are there (ascending), in pieces; `message` is not touched."""
        for start in range(0, len(uids), FLAGS_AT_ONCE):
            some = uids[start : start + FLAGS_AT_ONCE]
            low, high = some[0], some[-1]
            is_dense = high - low < 2 * len(some)
            row = await self._database.fetchrow(
                _BY_SPAN if is_dense else _BY_CHOICE,
                folder_id,
                [low, high] if is_dense else list(some),
                changed_since,
            )
            assert row is not None
            found = _states(*row)
            if is_dense and len(found) and high - low + 1 != len(some):
                wanted = set(some)
                found = [each for each in found if each.uid in wanted]
            yield found

    async def told(
        self, folder_id: int, uids: Sequence[int], *, with_message: bool, changed_since: int = 0
    ) -> list[Told]:
        """Return what is kept of mails, ascending; those that have gone are left out."""
        kept, join = "NULL::bytea AS envelope, NULL::bytea AS structure, NULL::text AS preview", ""
        if with_message:
            kept, join = "m.envelope, m.structure, m.preview", "JOIN message m ON m.id = e.message_id"
        rows = await self._database.fetch(
            f"SELECT {_ENTRY}, {kept} FROM entry e {join} "
            "WHERE e.folder_id = $1 AND e.uid = ANY($2::bigint[]) AND e.mod_sequence > $3 ORDER BY e.uid",
            folder_id,
            list(uids),
            changed_since,
        )
        return [Told(*row) for row in rows]

    async def deleted(self, folder_id: int) -> tuple[int, int]:
        """Return how many mails are flagged as deleted, and their bytes (RFC 9208 4.1.4)."""
        row = await self._database.fetchrow(
            "SELECT count(*), coalesce(sum(size_bytes), 0)::bigint FROM entry "
            "WHERE folder_id = $1 AND flags & 8 <> 0",
            folder_id,
        )
        return (row[0], row[1]) if row is not None else (0, 0)

    async def prefixes(self, message_ids: Sequence[int]) -> dict[int, bytes]:
        """Return what stands in front of the bodies of mails."""
        rows = await self._database.fetch(
            "SELECT message_id, prefix FROM content WHERE message_id = ANY($1::bigint[])", list(message_ids)
        )
        return dict(map(tuple, rows))

    async def ranges(self, wanted: Sequence[tuple[int, int, int]]) -> list[bytes]:
        """Return bytes of bodies: a message's id, where to begin and where to end, each.

        The caller bounds the sum. What is not there is empty. Raises `BlobMissing`, `BlobsUnavailable`.
        """
        rows = await self._database.fetch(
            "SELECT r.ordinal, substring(c.body FROM r.start + 1 FOR r.length) AS body, c.blob "
            "FROM unnest($1::bigint[], $2::int[], $3::int[]) WITH ORDINALITY "
            "AS r(id, start, length, ordinal) "
            "JOIN content c ON c.message_id = r.id",
            [message_id for message_id, _, _ in wanted],
            [start for _, start, _ in wanted],
            [max(0, end - start) for _, start, end in wanted],
        )
        found: list[bytes] = [b""] * len(wanted)
        for ordinal, body, blob in rows:
            if blob is not None:
                _, start, end = wanted[ordinal - 1]
                body = await self._blobs.get(blob, start, max(start, end))
            found[ordinal - 1] = body
        return found


def _states(uids: Any, flags: Any, keywords: Any, mod_sequences: Any) -> list[EntryState]:
    if not uids:
        return []
    return [
        EntryState(uid, bits, tuple(words.split(UNIT)) if words else (), mod_sequence)
        for uid, bits, words, mod_sequence in zip(uids, flags, keywords, mod_sequences, strict=True)
    ]
