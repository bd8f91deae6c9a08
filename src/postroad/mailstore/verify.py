"""The store's own consistency check: what it promises, looked up.

Reads in pieces by key, so that a check of any size runs beside the server; each piece is one statement and so
sees one moment. Problems come as they are found. `repair_counters` puts right what can be computed anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from ..db.pool import Database
from ..message.envelope import decode_envelope
from ..message.scan import Part, decode_structure
from .blobs import Blobs

FOLDERS_AT_ONCE = 200
ENTRIES_AT_ONCE = 20_000
MESSAGES_AT_ONCE = 1000
BLOBS_AT_ONCE = 20  # asked for at the same time; a bucket answers each in some 20 ms
_MAX_DEPTH = 200  # of a structure; the scanner stops far earlier


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as it must be. `kind` is for programs, `text` for people."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the check is: `done` of about `total` rows of a `step`."""

    step: str
    done: int
    total: int


Report = Callable[[Progress], None]

_FOLDERS = """
SELECT f.*, c.*, d.* FROM (SELECT * FROM folder WHERE id > $1 ORDER BY id LIMIT $2) f CROSS JOIN LATERAL (
    SELECT count(*) AS mails, count(*) FILTER (WHERE e.flags & 1 = 0) AS unseen,
        coalesce(sum(e.size_bytes), 0)::bigint AS bytes, coalesce(max(e.uid), 0) AS last_uid,
        coalesce(max(e.mod_sequence), 0) AS newest, count(*) FILTER (WHERE e.account_id <> f.account_id) AS
            strange,
        count(*) FILTER (WHERE NOT e.keywords <@ f.keywords) AS unknown_keywords
    FROM entry e WHERE e.folder_id = f.id) c
CROSS JOIN LATERAL (
    SELECT coalesce(max(x.uid), 0) AS last_expunged, coalesce(max(x.mod_sequence), 0) AS newest_expunged,
        count(*) FILTER (WHERE EXISTS (SELECT FROM entry e WHERE e.folder_id = f.id AND e.uid = x.uid)) AS
            undead
    FROM expunged x WHERE x.folder_id = f.id) d
ORDER BY f.id
"""
_ENTRIES = """
SELECT e.folder_id, e.uid, e.message_id, f.id IS NOT NULL AS has_folder, m.id IS NOT NULL AS has_message,
    c.message_id IS NOT NULL AS has_content, e.size_bytes = m.size_bytes + octet_length(c.prefix) AS
        size_fits,
    e.thread = m.thread AND e.has_attachments = m.has_attachments AS summary_fits
FROM (SELECT * FROM entry WHERE (folder_id, uid) > ($1, $2) ORDER BY folder_id, uid LIMIT $3) e
LEFT JOIN folder f ON f.id = e.folder_id LEFT JOIN message m ON m.id = e.message_id
LEFT JOIN content c ON c.message_id = e.message_id
ORDER BY e.folder_id, e.uid
"""
# octet_length of an uncompressed TOASTed body reads its header only.
_MESSAGES = """
SELECT m.id, m.size_bytes, m.envelope, m.structure, c.message_id IS NOT NULL AS has_content, c.blob,
    octet_length(c.body) AS body_bytes, c.trace_offset BETWEEN 0 AND octet_length(c.prefix) AS trace_fits,
    EXISTS (SELECT FROM entry e WHERE e.message_id = m.id)
        OR EXISTS (SELECT FROM queue_envelope q WHERE q.message_id = m.id)
        OR EXISTS (SELECT FROM message_release r WHERE r.message_id = m.id) AS is_referenced
FROM (SELECT * FROM message WHERE id > $1 ORDER BY id LIMIT $2) m LEFT JOIN content c ON c.message_id = m.id
ORDER BY m.id
"""
_PASSING = """
SELECT c.message_id AS id, c.blob, c.trace_offset BETWEEN 0 AND octet_length(c.prefix) AS trace_fits,
    EXISTS (SELECT FROM message m WHERE m.id = c.message_id) AS has_message,
    EXISTS (SELECT FROM queue_envelope q WHERE q.message_id = c.message_id)
        OR EXISTS (SELECT FROM message_release r WHERE r.message_id = c.message_id) AS is_queued
FROM (SELECT message_id, blob, trace_offset, prefix FROM content WHERE message_id > $1 ORDER BY message_id
    LIMIT $2) c
ORDER BY c.message_id
"""
_STRAYS = {
    "search_document": "SELECT message_id FROM search_document d WHERE message_id > $1 AND NOT EXISTS "
    "(SELECT FROM message m WHERE m.id = d.message_id) ORDER BY message_id LIMIT $2",
    "expunged": "SELECT DISTINCT folder_id FROM expunged x WHERE folder_id > $1 AND NOT EXISTS "
    "(SELECT FROM folder f WHERE f.id = x.folder_id) ORDER BY folder_id LIMIT $2",
}


async def verify(database: Database, blobs: Blobs, report: Report = lambda _: None) -> AsyncIterator[Problem]:
    """Check the whole store and tell every problem.

    Raises `BlobsUnavailable` when blobs cannot be asked for.
    """
    async for problem in _verify_folders(database, report):
        yield problem
    async for problem in _verify_entries(database, report):
        yield problem
    async for problem in _verify_messages(database, blobs, report):
        yield problem
    async for problem in _verify_passing(database, blobs, report):
        yield problem
    for table, query in _STRAYS.items():
        last = 0
        while rows := await database.fetch(query, last, MESSAGES_AT_ONCE):
            for row in rows:
                yield Problem(f"stray_{table}", f"{table} {row[0]} belongs to nothing")
            last = rows[-1][0]


async def repair_counters(database: Database) -> int:
    """Compute the counters of every folder anew and correct those that differ; returns how many did."""
    repaired = last = 0
    while rows := await database.fetch("SELECT id FROM folder WHERE id > $1 ORDER BY id LIMIT 100", last):
        for row in rows:
            async with database.transaction() as connection:
                # The lock first, in a statement of its own: the next one sees what its last holder did.
                await connection.execute("SELECT FROM folder WHERE id = $1 FOR NO KEY UPDATE", row["id"])
                done = await connection.execute(
                    "UPDATE folder f SET message_count = c.mails, unseen_count = c.unseen, size_bytes = "
                    "c.bytes, "
                    "uid_next = GREATEST(f.uid_next, c.last_uid + 1), "
                    "mod_sequence = GREATEST(f.mod_sequence, c.newest), keywords = c.words "
                    "FROM (SELECT count(*) AS mails, count(*) FILTER (WHERE flags & 1 = 0) AS unseen, "
                    "coalesce(sum(size_bytes), 0)::bigint AS bytes, coalesce(max(uid), 0) AS last_uid, "
                    "coalesce(max(mod_sequence), 0) AS newest, ARRAY(SELECT unnest(o.keywords) FROM folder o "
                    "WHERE o.id = $1 UNION SELECT unnest(k.keywords) FROM entry k WHERE k.folder_id = $1 "
                    "ORDER BY 1) "
                    "AS words FROM entry WHERE folder_id = $1) c WHERE f.id = $1 AND (f.message_count, "
                    "f.unseen_count, f.size_bytes, f.keywords) IS DISTINCT FROM (c.mails, c.unseen, c.bytes, "
                    "c.words) "
                    "OR f.id = $1 AND (f.uid_next <= c.last_uid OR f.mod_sequence < c.newest)",
                    row["id"],
                )
            repaired += int(done.rpartition(" ")[2])
        last = rows[-1]["id"]
    return repaired


async def _verify_folders(database: Database, report: Report) -> AsyncIterator[Problem]:
    total = await database.fetchval("SELECT count(*) FROM folder")
    done = last = 0
    while rows := await database.fetch(_FOLDERS, last, FOLDERS_AT_ONCE):
        for row in rows:
            for kind, text in _folder_problems(row):
                yield Problem(kind, f"folder {row['id']} ({row['name']}): {text}")
        last = rows[-1]["id"]
        done += len(rows)
        report(Progress("folders", done, total))


def _folder_problems(row: Any) -> list[tuple[str, str]]:
    found = []
    for counter, actual in (("message_count", "mails"), ("unseen_count", "unseen"), ("size_bytes", "bytes")):
        if row[counter] != row[actual]:
            found.append(("counter", f"{counter} is {row[counter]}, its entries give {row[actual]}"))
    last_uid = max(row["last_uid"], row["last_expunged"])
    if row["uid_next"] <= last_uid:
        found.append(("uid_next", f"uid_next is {row['uid_next']}, but UID {last_uid} was given out"))
    newest = max(row["newest"], row["newest_expunged"])
    if row["mod_sequence"] < newest:
        found.append(("mod_sequence", f"mod_sequence is {row['mod_sequence']}, below an entry's {newest}"))
    if row["strange"]:
        found.append(("account", f"{row['strange']} entries name another account"))
    if row["undead"]:
        found.append(("expunged", f"{row['undead']} entries are noted as removed"))
    if row["unknown_keywords"]:
        found.append(("keywords", f"{row['unknown_keywords']} entries have keywords that it does not know"))
    if not 0 < row["uid_validity"] < 2**32:
        found.append(("uid_validity", f"uid_validity is {row['uid_validity']}"))
    return found


async def _verify_entries(database: Database, report: Report) -> AsyncIterator[Problem]:
    total = await database.fetchval("SELECT count(*) FROM entry")
    done, last = 0, (0, 0)
    while rows := await database.fetch(_ENTRIES, *last, ENTRIES_AT_ONCE):
        for row in rows:
            kind = _entry_problem(row)
            if kind is not None:
                yield Problem(
                    f"entry_{kind}", f"folder {row['folder_id']}, UID {row['uid']}: {_ENTRY_TEXTS[kind]}"
                )
        last = (rows[-1]["folder_id"], rows[-1]["uid"])
        done += len(rows)
        report(Progress("entries", done, max(total, done)))


_ENTRY_TEXTS = {
    "folder": "its folder does not exist",
    "message": "its message does not exist",
    "content": "its content does not exist",
    "size": "its size is not that of prefix and content",
    "summary": "thread or attachments differ from its message's",
}


def _entry_problem(row: Any) -> str | None:
    if not row["has_folder"]:
        return "folder"
    if not row["has_message"]:
        return "message"
    if not row["has_content"]:
        return "content"
    if not row["size_fits"]:
        return "size"
    return None if row["summary_fits"] else "summary"


async def _verify_messages(database: Database, blobs: Blobs, report: Report) -> AsyncIterator[Problem]:
    total = await database.fetchval("SELECT count(*) FROM message")
    done, last = 0, 0
    while rows := await database.fetch(_MESSAGES, last, MESSAGES_AT_ONCE):
        blob_sizes = await _blob_sizes(blobs, [row["blob"] for row in rows if row["blob"] is not None])
        for row in rows:
            for kind, text in _message_problems(row, blob_sizes):
                yield Problem(f"message_{kind}", f"message {row['id']}: {text}")
            await asyncio.sleep(0)
        last = rows[-1]["id"]
        done += len(rows)
        report(Progress("messages", done, max(total, done)))


def _message_problems(row: Any, blob_sizes: dict[str, int | None]) -> list[tuple[str, str]]:
    found = []
    size = row["size_bytes"]
    if not row["has_content"]:
        found.append(("content", "its content does not exist"))
    elif row["blob"] is not None:
        stored = blob_sizes[row["blob"]]
        if stored is None:
            found.append(("blob", f"the blob {row['blob']} is missing"))
        elif stored != size:
            found.append(("blob", f"the blob {row['blob']} has {stored} bytes instead of {size}"))
    elif row["body_bytes"] != size:
        found.append(("size", f"its body has {row['body_bytes']} bytes instead of {size}"))
    if row["has_content"] and not row["trace_fits"]:
        found.append(("trace", "trace_offset lies outside the prefix"))
    if not row["is_referenced"]:
        found.append(("unreferenced", "nothing points at it, and it is not released"))
    try:
        decode_envelope(row["envelope"])
        text = structure_problem(decode_structure(row["structure"]), size)
    except (ValueError, msgspec.MsgspecError) as error:
        text = f"its description cannot be read: {error}"
    if text is not None:
        found.append(("structure", text))
    return found


def structure_problem(root: Part, size_bytes: int) -> str | None:
    """Say what is wrong with the offsets of a structure for a body of `size_bytes`, None when nothing is."""
    stack = [(root, 0, size_bytes, 0)]
    while stack:
        part, start, end, depth = stack.pop()
        if depth > _MAX_DEPTH:
            return "its structure is too deep"
        if not start <= part.header_start <= part.body_start <= part.body_end <= end:
            return f"a part claims bytes {part.header_start} to {part.body_end} outside {start} to {end}"
        stack.extend((child, part.body_start, part.body_end, depth + 1) for child in part.children)
        if part.message is not None:
            stack.append((part.message, part.body_start, part.body_end, depth + 1))
    return None


async def _verify_passing(database: Database, blobs: Blobs, report: Report) -> AsyncIterator[Problem]:
    """Contents without a message: mails that only pass through."""
    total = await database.fetchval("SELECT count(*) FROM content")
    done, last = 0, 0
    while rows := await database.fetch(_PASSING, last, MESSAGES_AT_ONCE):
        passing = [row for row in rows if not row["has_message"]]
        blob_sizes = await _blob_sizes(blobs, [row["blob"] for row in passing if row["blob"] is not None])
        for row in passing:
            if not row["is_queued"]:
                yield Problem(
                    "content_unreferenced", f"content {row['id']}: no message and no queue row has it"
                )
            if not row["trace_fits"]:
                yield Problem("content_trace", f"content {row['id']}: trace_offset lies outside the prefix")
            if row["blob"] is not None and blob_sizes[row["blob"]] is None:
                yield Problem("content_blob", f"content {row['id']}: the blob {row['blob']} is missing")
        last = rows[-1]["id"]
        done += len(rows)
        report(Progress("contents", done, max(total, done)))


async def _blob_sizes(blobs: Blobs, keys: list[str]) -> dict[str, int | None]:
    sizes: dict[str, int | None] = {}
    for start in range(0, len(keys), BLOBS_AT_ONCE):
        some = keys[start : start + BLOBS_AT_ONCE]
        sizes.update(zip(some, await asyncio.gather(*(blobs.size(key) for key in some)), strict=True))
    return sizes
