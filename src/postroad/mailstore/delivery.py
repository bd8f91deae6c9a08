"""Mails enter folders: many accounts, one statement.

The last statement of the accept transaction, because it holds the locks of folders that others want. It locks
them in the order of their ids, so two batches never wait for each other, and everything it writes follows
from the increments it made to the locked rows. What is missing is made before any folder is locked: who waits
for another to make the same folders must not hold one that the other wants.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from ..db.pool import Connection
from .errors import BadKeyword
from .flags import MAX_KEYWORDS, NO_FLAGS, Flag
from .folders import Role, ensure_defaults_in
from .messages import NewMail

# Measured with 20 mails to 20 accounts: about 1 ms of the batch's 2.3 ms; half of that are the index rows of
# `entry`. `resolved` is a UNION of two joins rather than one with OR, which no index serves.
_ROLE_FOLDERS = """
    SELECT d.ordinal, d.flags, d.size_bytes, f.id AS folder_id
    FROM delivery d JOIN folder f ON f.account_id = d.account_id AND f.role = d.role
    WHERE d.folder_id IS NULL AND f.role IS NOT NULL"""
_GIVEN_FOLDERS = """
    SELECT d.ordinal, d.flags, d.size_bytes, f.id
    FROM delivery d JOIN folder f ON f.id = d.folder_id AND f.account_id = d.account_id"""
# With this, nothing is locked or written unless there is a folder for every delivery.
_ALL_OR_NONE = "WHERE (SELECT count(*) FROM resolved) = cardinality($1::bigint[])"


def _placing(folders: str, only_if: str) -> str:
    """The clauses that place deliveries into `folders`; `placed` are those that were."""
    return f"""
delivery AS (
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::smallint[],
                         $7::timestamptz[], $8::bigint[], $9::boolean[], $10::text[]) WITH ORDINALITY
        AS d(account_id, role, folder_id, message_id, size_bytes, flags, received_at, thread, has_attachments,
             keywords, ordinal)
), resolved AS MATERIALIZED ({folders}
), locked AS MATERIALIZED (
    SELECT f.id, w.mails, w.unseen, w.size_bytes
    FROM folder f JOIN (
        SELECT folder_id, count(*) AS mails, count(*) FILTER (WHERE flags & 1 = 0) AS unseen,
               sum(size_bytes)::bigint AS size_bytes
        FROM resolved GROUP BY folder_id
    ) w ON f.id = w.folder_id
    {only_if}
    ORDER BY f.id FOR NO KEY UPDATE OF f
), counted AS (
    UPDATE folder f SET uid_next = f.uid_next + l.mails, mod_sequence = f.mod_sequence + 1,
        message_count = f.message_count + l.mails, unseen_count = f.unseen_count + l.unseen,
        size_bytes = f.size_bytes + l.size_bytes
    FROM locked l WHERE f.id = l.id
    RETURNING f.id, f.mod_sequence, f.uid_next - l.mails AS first_uid
), placed AS (
    SELECT d.*, c.id AS found_id, c.mod_sequence,
           c.first_uid + row_number() OVER (PARTITION BY c.id ORDER BY d.ordinal) - 1 AS uid
    FROM resolved r JOIN counted c ON c.id = r.folder_id JOIN delivery d ON d.ordinal = r.ordinal
), entered AS (
    INSERT INTO entry (folder_id, uid, account_id, message_id, mod_sequence, flags, received_at, size_bytes,
        thread,
                       has_attachments, keywords)
    SELECT found_id, uid, account_id, message_id, mod_sequence, flags, received_at, size_bytes, thread,
           has_attachments, string_to_array(keywords, ' ')
    FROM placed
), pending AS (
    INSERT INTO search_pending (message_id) SELECT DISTINCT message_id FROM placed ON CONFLICT DO NOTHING
)"""


_ANY_FOLDERS = f"{_ROLE_FOLDERS}\n    UNION ALL{_GIVEN_FOLDERS}"
_ANSWER = "\nSELECT ordinal, account_id, found_id, uid, mod_sequence FROM placed\n"
PLACING_BY_ROLE = _placing(_ROLE_FOLDERS, _ALL_OR_NONE)  # `arrival.py` goes on from here
DELIVER_BY_ROLE = f"WITH{PLACING_BY_ROLE}{_ANSWER}"
DELIVER = f"WITH{_placing(_ANY_FOLDERS, _ALL_OR_NONE)}{_ANSWER}"
DELIVER_WHAT_CAN_BE = f"WITH{_placing(_ANY_FOLDERS, '')}{_ANSWER}"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One mail for one account: into the folder `folder_id`, or else the one with `role`.

    `keywords` are in stored form (`flags.keywords`). `size_bytes` is what a reader downloads, prefix
    included.
    """

    account_id: int
    message_id: int
    size_bytes: int
    received_at: datetime
    role: Role = Role.INBOX
    folder_id: int | None = None
    flags: Flag = NO_FLAGS
    keywords: tuple[str, ...] = ()
    thread: int = 0
    has_attachments: bool = False

    @classmethod
    def of(
        cls,
        mail: NewMail,
        account_id: int,
        received_at: datetime,
        role: Role = Role.INBOX,
        folder_id: int | None = None,
        flags: Flag = NO_FLAGS,
        keywords: tuple[str, ...] = (),
    ) -> Delivery:
        """The delivery of a mail that is stored in the same transaction."""
        return cls(
            account_id,
            mail.id,
            mail.size_bytes,
            received_at,
            role,
            folder_id,
            flags,
            keywords,
            mail.thread,
            mail.summary.has_attachments,
        )


@dataclass(frozen=True, slots=True)
class Delivered:
    """Where a mail came to lie; to be announced after the commit."""

    account_id: int
    folder_id: int
    uid: int
    mod_sequence: int


async def deliver_in(connection: Connection, deliveries: Sequence[Delivery]) -> list[Delivered | None]:
    """Enter mails into folders; answers in the order asked, None where the account does not exist (any more).

    A folder that has gone, or was never made, is no reason to lose mail: role folders are made, and what was
    addressed to a folder by id goes to the inbox. Raises `BadKeyword` when a folder would have too many.
    """
    if not deliveries:
        return []
    are_by_role = all(each.folder_id is None for each in deliveries)
    placed = await _enter(connection, DELIVER_BY_ROLE if are_by_role else DELIVER, deliveries)
    if not any(placed):  # somebody has no folder, and so nothing was done yet
        await ensure_defaults_in(connection, sorted({each.account_id for each in deliveries}))
        at_home = await _with_living_folders_in(connection, deliveries)
        placed = await _enter(connection, DELIVER_WHAT_CAN_BE, at_home)
    homeless = [place for place, found in enumerate(placed) if found is None]
    if homeless:  # no account, or a folder that went between the look and its lock
        to_inbox = [replace(deliveries[place], folder_id=None, role=Role.INBOX) for place in homeless]
        for place, found in zip(
            homeless, await _enter(connection, DELIVER_WHAT_CAN_BE, to_inbox), strict=True
        ):
            placed[place] = found
    if any(delivery.keywords for delivery in deliveries):
        added: dict[int, set[str]] = {}
        for delivery, found in zip(deliveries, placed, strict=True):
            if found is not None and delivery.keywords:
                added.setdefault(found.folder_id, set()).update(delivery.keywords)
        for folder_id, words in sorted(added.items()):
            await note_keywords_in(connection, folder_id, tuple(words))
    return placed


async def note_keywords_in(connection: Connection, folder_id: int, words: tuple[str, ...]) -> None:
    """Add to what a folder (locked by the caller) knows as keywords.

    Raises `BadKeyword` when they get too many.
    """
    if not words:
        return
    known = await connection.fetchval(
        "UPDATE folder SET keywords = ARRAY("
        "SELECT unnest(keywords) UNION SELECT unnest($2::text[]) ORDER BY 1) "
        "WHERE id = $1 AND NOT keywords @> $2::text[] RETURNING cardinality(keywords)",
        folder_id,
        list(words),
    )
    if known is not None and known > MAX_KEYWORDS:
        known = await forget_keywords_in(connection, folder_id, words)
        if known > MAX_KEYWORDS:
            raise BadKeyword(f"a folder has at most {MAX_KEYWORDS} different keywords")


async def forget_keywords_in(connection: Connection, folder_id: int, words: tuple[str, ...] = ()) -> int:
    """Leave a folder (locked by the caller) with the keywords that its mails bear, and `words`.

    Returns how many these are. Reads all entries with keywords, so only when there seem to be too many.
    """
    return int(
        await connection.fetchval(
            "UPDATE folder SET keywords = ARRAY("
            "SELECT unnest(e.keywords) FROM entry e WHERE e.folder_id = $1 AND e.keywords <> '{}' "
            "UNION SELECT unnest($2::text[]) ORDER BY 1) WHERE id = $1 RETURNING cardinality(keywords)",
            folder_id,
            list(words),
        )
    )


async def lock_targets_in(
    connection: Connection, folder_ids: Sequence[int], deliveries: Sequence[Delivery]
) -> None:
    """Lock folders, and those that deliveries go to, all in the order of ids.

    For a transaction that changes folders before it delivers; what is not there is passed over.
    """
    await connection.execute(
        "SELECT FROM folder WHERE id IN ("
        "SELECT unnest($1::bigint[]) UNION SELECT f.id FROM folder f "
        "JOIN unnest($2::bigint[], $3::text[]) AS d (account_id, role) "
        "ON f.account_id = d.account_id AND f.role = d.role) ORDER BY id FOR NO KEY UPDATE",
        [*folder_ids, *(each.folder_id for each in deliveries if each.folder_id is not None)],
        [each.account_id for each in deliveries if each.folder_id is None],
        [each.role.value for each in deliveries if each.folder_id is None],
    )


def placing_arguments(deliveries: Sequence[Delivery]) -> tuple[list[object], ...]:
    """The parameters 1 to 10 of the statements that place mails: a column each."""
    return (
        [each.account_id for each in deliveries],
        [each.role.value for each in deliveries],
        [each.folder_id for each in deliveries],
        [each.message_id for each in deliveries],
        [each.size_bytes for each in deliveries],
        [int(each.flags) for each in deliveries],
        [each.received_at for each in deliveries],
        [each.thread for each in deliveries],
        [each.has_attachments for each in deliveries],
        [" ".join(each.keywords) for each in deliveries],
    )


async def _with_living_folders_in(
    connection: Connection, deliveries: Sequence[Delivery]
) -> Sequence[Delivery]:
    """The same deliveries, those to a folder that has gone to the inbox."""
    rows = await connection.fetch(
        "SELECT f.id, f.account_id FROM folder f "
        "JOIN unnest($1::bigint[], $2::bigint[]) AS d (id, account_id) "
        "ON f.id = d.id AND f.account_id = d.account_id",
        [each.folder_id for each in deliveries],
        [each.account_id for each in deliveries],
    )
    living = {(row["id"], row["account_id"]) for row in rows}
    return [
        each
        if each.folder_id is None or (each.folder_id, each.account_id) in living
        else replace(each, folder_id=None, role=Role.INBOX)
        for each in deliveries
    ]


async def _enter(
    connection: Connection, statement: str, deliveries: Sequence[Delivery]
) -> list[Delivered | None]:
    placed: list[Delivered | None] = [None] * len(deliveries)
    for ordinal, account_id, folder_id, uid, mod_sequence in await connection.fetch(
        statement, *placing_arguments(deliveries)
    ):
        placed[ordinal - 1] = Delivered(account_id, folder_id, uid, mod_sequence)
    return placed
