"""What people do to mails in folders: flag, move, copy, remove. Each runs in its caller's transaction.

The rule that keeps counters true: whoever changes entries first locks their folders in the order of ids, in a
statement of its own. The next statement's snapshot then shows everything that earlier holders of the lock
did, so counts taken from it are exact. Ruled by RFC 7162 (every change raises the folder's mod-sequence) and
RFC 9051 6.4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import asyncpg

from ..db.pool import Connection
from .delivery import forget_keywords_in, note_keywords_in
from .errors import NoSuchFolder
from .flags import MAX_KEYWORDS, Flag, FlagChange


@dataclass(frozen=True, slots=True)
class EntryFlags:
    """The flags of an entry after a change."""

    uid: int
    flags: Flag
    keywords: tuple[str, ...]
    mod_sequence: int


@dataclass(frozen=True, slots=True)
class FlagsChanged:
    """What a flag change did.

    `refused` are the UIDs that had changed since the caller looked (RFC 7162 3.1.3).
    """

    mod_sequence: int
    changed: tuple[EntryFlags, ...]
    refused: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Transferred:
    """Where mails went: `uids` pairs old and new UIDs, in the order of the old (RFC 4315 3)."""

    source_mod_sequence: int
    target_mod_sequence: int
    target_uid_validity: int
    uids: tuple[tuple[int, int], ...]


async def lock_folders_in(connection: Connection, account_id: int, folder_ids: Sequence[int]) -> None:
    """Lock folders of an account in the order of ids. Raises `NoSuchFolder` if one is not there."""
    await lock_owned_folders_in(connection, [(account_id, folder_id) for folder_id in folder_ids])


async def lock_owned_folders_in(connection: Connection, owned: Iterable[tuple[int, int]]) -> None:
    """Lock folders in the order of ids, each with the account it must belong to. Raises `NoSuchFolder`."""
    wanted = set(owned)
    rows = await connection.fetch(
        "SELECT id, account_id FROM folder WHERE id = ANY($1::bigint[]) ORDER BY id FOR NO KEY UPDATE",
        [folder_id for _, folder_id in wanted],
    )
    if {(row["account_id"], row["id"]) for row in rows} != wanted:
        raise NoSuchFolder("there is no such folder")


@dataclass(frozen=True, slots=True)
class _Statement:
    """One statement in two texts: for chosen UIDs, and for all of a folder.

    Two, because `$2 IS NULL OR uid = ANY($2)` cannot use the index once its plan is kept. The second text
    names the parameter only so that both take the same ones.
    """

    chosen: str
    everything: str

    @classmethod
    def of(cls, write: Callable[[str], str], uids: str) -> _Statement:
        """Both texts of what `write` makes of a condition; `uids` is the parameter's name."""
        return cls(write(f"uid = ANY({uids}::bigint[])"), write(f"{uids}::bigint[] IS NULL"))

    def for_uids(self, uids: Sequence[int] | None) -> str:
        """The text for these UIDs, None: all."""
        return self.everything if uids is None else self.chosen


# Rows whose flags stay as they are keep their mod-sequence: clients would fetch them for nothing.
def _set_flags(which: str, new_keywords: str) -> str:
    return f"""
WITH old AS (
    SELECT uid, flags, keywords, (flags & ~$3::smallint) | $4::smallint AS new_flags,
        {new_keywords} AS new_keywords
    FROM entry WHERE folder_id = $1 AND {which}
        AND ($5::bigint IS NULL OR mod_sequence <= $5)
), differing AS (
    SELECT * FROM old WHERE flags <> new_flags OR keywords <> new_keywords
), counted AS (
    UPDATE folder SET mod_sequence = mod_sequence + 1,
        unseen_count = unseen_count + (SELECT sum((flags & 1) - (new_flags & 1)) FROM differing)
    WHERE id = $1 AND EXISTS (SELECT FROM differing) RETURNING mod_sequence
), changed AS (
    UPDATE entry e SET flags = d.new_flags, keywords = d.new_keywords, mod_sequence = c.mod_sequence
    FROM differing d CROSS JOIN counted c WHERE e.folder_id = $1 AND e.uid = d.uid
    RETURNING e.uid, e.flags, e.keywords, e.mod_sequence
)
SELECT uid, flags, keywords, mod_sequence FROM changed ORDER BY uid
"""


# $6 come, $7 go, $8: all others go too.
_CHANGED_KEYWORDS = """ARRAY(
            SELECT word FROM unnest(keywords) AS word WHERE NOT $8::boolean AND word <> ALL ($7::text[])
            UNION SELECT unnest($6::text[]) ORDER BY 1
        )"""
SET_FLAGS = _Statement.of(lambda which: _set_flags(which, "keywords"), "$2")
_SET_KEYWORDS = _Statement.of(lambda which: _set_flags(which, _CHANGED_KEYWORDS), "$2")
_CHANGED_SINCE = _Statement.of(
    lambda which: (
        f"SELECT uid FROM entry WHERE folder_id = $1 AND {which} AND mod_sequence > $3 ORDER BY uid"
    ),
    "$2",
)


async def set_flags_in(
    connection: Connection,
    account_id: int,
    folder_id: int,
    uids: Sequence[int] | None,
    change: FlagChange,
    unchanged_since: int | None,
) -> FlagsChanged:
    """Change flags of entries (`uids` None: all of the folder). Raises `NoSuchFolder`, `BadKeyword`."""
    await lock_folders_in(connection, account_id, [folder_id])
    touches_keywords = change.added_keywords or change.removed_keywords or change.replaces_keywords
    words: tuple[object, ...] = ()
    if touches_keywords:
        words = (list(change.added_keywords), list(change.removed_keywords), change.replaces_keywords)
    wanted = None if uids is None else list(uids)
    refused: tuple[int, ...] = ()
    if unchanged_since is not None:
        late = await connection.fetch(
            _CHANGED_SINCE.for_uids(uids),
            folder_id,
            wanted,
            unchanged_since,
        )
        refused = tuple(row["uid"] for row in late)
    rows = await connection.fetch(
        (_SET_KEYWORDS if touches_keywords else SET_FLAGS).for_uids(uids),
        folder_id,
        wanted,
        int(change.removed),
        int(change.added),
        unchanged_since,
        *words,
    )
    changed = tuple(
        EntryFlags(row["uid"], Flag(row["flags"]), tuple(row["keywords"]), row["mod_sequence"])
        for row in rows
    )
    if changed:
        # Only now: the words that went made room for those that came.
        await note_keywords_in(connection, folder_id, change.added_keywords)
        return FlagsChanged(changed[0].mod_sequence, changed, refused)
    now = await connection.fetchval("SELECT mod_sequence FROM folder WHERE id = $1", folder_id)
    return FlagsChanged(now, (), refused)


# The steps of moving, copying and removing, each a clause of one statement. `taken` are the rows it is about.
_TOTAL = """total AS (
    SELECT count(*) AS mails, count(*) FILTER (WHERE flags & 1 = 0) AS unseen,
        coalesce(sum(size_bytes), 0)::bigint AS size_bytes FROM taken
)"""
# They have left folder $1: it is counted, and the removal is remembered.
_LEFT = """source AS (
    UPDATE folder SET mod_sequence = mod_sequence + 1, message_count = message_count - t.mails,
        unseen_count = unseen_count - t.unseen, size_bytes = folder.size_bytes - t.size_bytes
    FROM total t WHERE id = $1 AND t.mails > 0 RETURNING mod_sequence
), remembered AS (
    INSERT INTO expunged (folder_id, uid, mod_sequence)
    SELECT $1, t.uid, s.mod_sequence FROM taken t, source s
)"""
# They arrive in folder $2, which is counted and learns their keywords, under new UIDs.
_ARRIVED = """target AS (
    UPDATE folder SET mod_sequence = mod_sequence + 1, uid_next = uid_next + t.mails,
        message_count = message_count + t.mails, unseen_count = unseen_count + t.unseen,
        size_bytes = folder.size_bytes + t.size_bytes,
        keywords = ARRAY(
            SELECT unnest(keywords) UNION SELECT unnest(k.keywords) FROM taken k WHERE k.keywords <> '{}'
            ORDER BY 1
        )
    FROM total t WHERE id = $2 AND t.mails > 0
    RETURNING mod_sequence, uid_validity, uid_next - t.mails AS first_uid,
        cardinality(keywords) AS keyword_count
), arrived AS (
    INSERT INTO entry (folder_id, uid, account_id, message_id, mod_sequence, flags, keywords, received_at,
                       size_bytes, thread, has_attachments)
    SELECT $2, g.first_uid + row_number() OVER (ORDER BY t.uid) - 1, t.account_id, t.message_id,
           g.mod_sequence, t.flags, t.keywords, t.received_at, t.size_bytes, t.thread, t.has_attachments
    FROM taken t CROSS JOIN target g
)"""


def _transfer(taken: str, source_steps: str, source_mod_sequence: str) -> str:
    return f"""
WITH taken AS (
    {taken}
), {_TOTAL}, {source_steps}{_ARRIVED}
SELECT t.uid, g.first_uid + row_number() OVER (ORDER BY t.uid) - 1 AS new_uid, g.uid_validity,
       g.keyword_count, g.mod_sequence AS target_mod_sequence, {source_mod_sequence} AS source_mod_sequence
FROM taken t CROSS JOIN target g ORDER BY t.uid
"""


MOVE = _Statement.of(
    lambda which: _transfer(
        f"DELETE FROM entry WHERE folder_id = $1 AND {which} RETURNING *",
        f"{_LEFT}, ",
        "(SELECT mod_sequence FROM source)",
    ),
    "$3",
)
COPY = _Statement.of(
    lambda which: _transfer(
        f"SELECT * FROM entry WHERE folder_id = $1 AND {which}",
        "",
        "(SELECT mod_sequence FROM folder WHERE id = $1)",
    ),
    "$3",
)
# Entries that bear all flags of $3, at most $4 of them.
EXPUNGE = _Statement.of(
    lambda which: (
        f"""
WITH taken AS (
    DELETE FROM entry WHERE folder_id = $1 AND {which} AND flags & $3 = $3 AND uid IN (
        SELECT uid FROM entry WHERE folder_id = $1 AND {which} AND flags & $3 = $3 ORDER BY uid LIMIT $4
    )
    RETURNING *
), {_TOTAL}, {_LEFT}, released AS (
    INSERT INTO message_release (message_id) SELECT DISTINCT message_id FROM taken ORDER BY message_id
    ON CONFLICT (message_id) DO UPDATE SET released_at = now()
)
SELECT t.uid, s.mod_sequence FROM taken t CROSS JOIN source s ORDER BY t.uid
"""
    ),
    "$2",
)


async def move_in(
    connection: Connection, account_id: int, source_id: int, uids: Sequence[int] | None, target_id: int
) -> Transferred:
    """Move entries to another folder of the account (`uids` None: all). Raises `NoSuchFolder`."""
    await lock_folders_in(connection, account_id, [source_id, target_id])
    return await move_locked_in(connection, source_id, uids, target_id)


async def move_locked_in(
    connection: Connection, source_id: int, uids: Sequence[int] | None, target_id: int
) -> Transferred:
    """The same between folders that the caller has locked."""
    rows = await connection.fetch(
        MOVE.for_uids(uids), source_id, target_id, None if uids is None else list(uids)
    )
    return await _transferred(connection, source_id, target_id, rows)


async def copy_in(
    connection: Connection, account_id: int, source_id: int, uids: Sequence[int] | None, target_id: int
) -> Transferred:
    """Copy entries to a folder of the account, flags included (RFC 9051 6.4.7). Raises `NoSuchFolder`.

    The source's lock keeps the originals from going, and so their content from being swept.
    """
    await lock_folders_in(connection, account_id, [source_id, target_id])
    rows = await connection.fetch(
        COPY.for_uids(uids), source_id, target_id, None if uids is None else list(uids)
    )
    return await _transferred(connection, source_id, target_id, rows)


async def expunge_in(
    connection: Connection,
    account_id: int,
    folder_id: int,
    uids: Sequence[int] | None,
    only_with: Flag,
    limit: int,
) -> tuple[int, list[int]]:
    """Remove up to `limit` entries for good, lowest UIDs first; only those that bear all flags of
    `only_with`.

    Returns the mod-sequence of the removal (0: nothing removed) and the UIDs. Raises `NoSuchFolder`.
    """
    await lock_folders_in(connection, account_id, [folder_id])
    rows = await connection.fetch(
        EXPUNGE.for_uids(uids), folder_id, None if uids is None else list(uids), int(only_with), limit
    )
    return (rows[0]["mod_sequence"] if rows else 0), [row["uid"] for row in rows]


async def _transferred(
    connection: Connection, source_id: int, target_id: int, rows: Sequence[asyncpg.Record]
) -> Transferred:
    if rows:
        first = rows[0]
        if first["keyword_count"] > MAX_KEYWORDS:
            # Nothing is refused here: a mail can always go to the trash, whatever words it bears.
            await forget_keywords_in(connection, target_id)
        pairs = tuple((row["uid"], row["new_uid"]) for row in rows)
        return Transferred(
            first["source_mod_sequence"], first["target_mod_sequence"], first["uid_validity"], pairs
        )
    known = await connection.fetch(
        "SELECT id, mod_sequence, uid_validity FROM folder WHERE id = ANY($1::bigint[])",
        [source_id, target_id],
    )
    now = {row["id"]: row for row in known}
    return Transferred(
        now[source_id]["mod_sequence"], now[target_id]["mod_sequence"], now[target_id]["uid_validity"], ()
    )
