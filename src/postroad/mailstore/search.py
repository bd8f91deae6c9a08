"""Mails found by what is in them: newest first, in pages by key.

The index narrows down by words; what words cannot say (a phrase's order) is checked against the mail's text,
for a bounded number of candidates a call.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any

from ..db.pool import Database
from ..message.tokens import normalise
from .entries import ENTRY_COLUMNS, Entry, entry_of
from .errors import BlobMissing, NoSuchMessage
from .lexemes import account_lexeme, searched_text, text_end
from .messages import Messages
from .query import PlacedTerm, Query, parse_query, tsquery

MAX_RESULTS = 200  # of one page
MAX_MATCHES = 20_000  # documents taken from the index for one query, the newest: about 100 ms
MAX_CHECKED = 200  # texts read for one page of a phrase search: about 200 ms

# Taken first and by themselves: joined in one go, the planner at times walks all entries of the account
# instead.
MATCHES = (
    "WITH hit AS MATERIALIZED (SELECT message_id FROM search_document WHERE document @@ {words}::tsquery "
    "ORDER BY message_id DESC LIMIT {most}) "
)


@dataclass(frozen=True, slots=True)
class SearchKey:
    """Where a page ended: the next one begins behind it."""

    received_at: datetime
    folder_id: int
    uid: int

    def __str__(self) -> str:
        """As text, for an address."""
        return f"{int(self.received_at.timestamp() * 1_000_000)}.{self.folder_id}.{self.uid}"

    @classmethod
    def parse(cls, text: str) -> SearchKey | None:
        """Read what `str` wrote; None for anything else."""
        words = text.split(".")
        if len(words) != 3 or not all(word.isascii() and word.isdigit() and len(word) < 19 for word in words):
            return None
        micros, folder_id, uid = map(int, words)
        try:
            received_at = datetime.fromtimestamp(micros // 1_000_000, UTC)
        except (ValueError, OverflowError, OSError):
            return None
        return cls(received_at.replace(microsecond=micros % 1_000_000), folder_id, uid)


@dataclass(frozen=True, slots=True)
class Found:
    """A page of results, newest first. `next` is the key of the following page, None at the end."""

    entries: tuple[Entry, ...]
    next: SearchKey | None


class Search:
    """Searches the mails of an account."""

    def __init__(self, database: Database, messages: Messages) -> None:
        self._database = database
        self._messages = messages

    async def search(
        self,
        account_id: int,
        query: str,
        folder_id: int | None = None,
        before: SearchKey | None = None,
        limit: int = 50,
        zone: tzinfo = UTC,
    ) -> Found:
        """Find mails of an account, or of one of its folders. An empty query finds nothing.

        A page may hold fewer than `limit` and still have a next one. Raises `BadQuery`, `BlobsUnavailable`.
        """
        asked = parse_query(query, zone)
        if asked.is_empty:
            return Found((), None)
        limit = min(limit, MAX_RESULTS)
        if not asked.phrases:
            found = await self._matching(account_id, asked, folder_id, before, limit)
            return Found(tuple(found), _key(found[-1]) if len(found) == limit else None)
        wanted = max(limit, MAX_CHECKED)
        candidates = await self._matching(account_id, asked, folder_id, before, wanted)
        checked: list[Entry] = []
        for entry in candidates:
            if await self._says(entry, asked.phrases):
                checked.append(entry)
                if len(checked) == limit:
                    return Found(tuple(checked), _key(entry))
        return Found(tuple(checked), _key(candidates[-1]) if len(candidates) == wanted else None)

    async def _matching(
        self, account_id: int, asked: Query, folder_id: int | None, before: SearchKey | None, limit: int
    ) -> list[Entry]:
        query, parameters = search_sql(account_id, asked, folder_id, before, limit)
        return [entry_of(row) for row in await self._database.fetch(query, *parameters)]

    async def _says(self, entry: Entry, phrases: tuple[PlacedTerm, ...]) -> bool:
        description = (await self._messages.describe([entry.message_id])).get(entry.message_id)
        if description is None:
            return False
        structure = description.structure
        try:
            body = await self._messages.body_range(entry.message_id, 0, text_end(structure))
        except (BlobMissing, NoSuchMessage):
            body = b""
        fields = searched_text(entry.subject, description.envelope, structure, body)
        texts = {place: " ".join(normalise(text).split()) for place, text in fields.items()}
        return all(((each.phrase or "") in texts[each.place]) != each.term.is_excluded for each in phrases)


def search_sql(
    account_id: int, asked: Query, folder_id: int | None, before: SearchKey | None, limit: int
) -> tuple[str, list[Any]]:
    """Return the statement of a search and its parameters."""
    parameters: list[Any] = []

    def parameter(value: object) -> str:
        parameters.append(value)
        return f"${len(parameters)}"

    # The account is checked at the folders: see `entries.OWN_FOLDER`. Without words, its folders are walked,
    # where the states have indexes of their own.
    mine = f"SELECT id FROM folder WHERE account_id = {parameter(account_id)}"
    if folder_id is not None:
        mine += f" AND id = {parameter(folder_id)}"
    conditions = [f"e.folder_id = ANY(ARRAY({mine}))", *asked.conditions]
    matches, source, fence = "", "entry e", ""
    if asked.terms:
        words, most = parameter(tsquery(asked, account_lexeme(account_id))), parameter(MAX_MATCHES)
        matches = MATCHES.format(words=words, most=most)
        # One look into the index of entries for each match, whatever the planner believes their number to be.
        source, fence = (
            "hit CROSS JOIN LATERAL (SELECT * FROM entry e WHERE e.message_id = hit.message_id",
            " OFFSET 0) e",
        )
    if asked.received_from is not None:
        conditions.append(f"e.received_at >= {parameter(asked.received_from)}")
    if asked.received_before is not None:
        conditions.append(f"e.received_at < {parameter(asked.received_before)}")
    if asked.larger_than is not None:
        conditions.append(f"e.size_bytes > {parameter(asked.larger_than)}")
    if asked.smaller_than is not None:
        conditions.append(f"e.size_bytes < {parameter(asked.smaller_than)}")
    if before is not None:
        conditions.append(
            f"(e.received_at, e.folder_id, e.uid) < ({parameter(before.received_at)}::timestamptz, "
            f"{parameter(before.folder_id)}::bigint, {parameter(before.uid)}::bigint)"
        )
    restricted = " AND ".join(conditions)
    found = f"{source} AND {restricted}{fence}" if asked.terms else f"{source} WHERE {restricted}"
    # Sorted and cut before the join with `message`, which only the page's rows need.
    return (
        f"{matches}SELECT {ENTRY_COLUMNS} FROM (SELECT e.* FROM {found} "
        f"ORDER BY e.received_at DESC, e.folder_id DESC, e.uid DESC LIMIT {limit:d}) e "
        "JOIN message m ON m.id = e.message_id ORDER BY e.received_at DESC, e.folder_id DESC, e.uid DESC"
    ), parameters


def _key(entry: Entry) -> SearchKey:
    return SearchKey(entry.received_at, entry.folder_id, entry.uid)
