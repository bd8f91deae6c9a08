"""Which mails of a folder a search program finds: exactly, over all of them, in bounded memory.

What entries and mails have in columns is asked of the database; what only the content can decide is read
mail by mail, for those that the columns left. RFC 9051 6.4.4.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from ..db.pool import Database
from ..message.envelope import Envelope, decode_envelope
from ..message.scan import Part, decode_structure
from ..protocols.imap import matching
from ..protocols.imap.search_keys import (
    Age,
    All,
    And,
    Contains,
    Day,
    HasFlag,
    Key,
    ModSequence,
    Not,
    ObjectId,
    Or,
    SaveDateSupported,
    Size,
    Within,
)
from .breath import Batch, Breath
from .errors import NoSuchMessage, TooMuchAsked
from .messages import Messages
from .summaries import IN_LOOP_BYTES

CANDIDATES_AT_ONCE = 500  # mails whose columns are in memory together; an envelope has about 500 bytes
FIRST_CANDIDATES = 50  # of a search: as many more each time as the columns are small
COLUMNS_AT_ONCE = 1024 * 1024  # bytes of envelopes and structures
MAX_NAMED = 500_000  # UIDs in all sets of one search
BYTES_AT_ONCE = 4 * 1024 * 1024  # of content read by one query; a larger mail is read by itself

_BITS = {"\\seen": 1, "\\answered": 2, "\\flagged": 4, "\\deleted": 8, "\\draft": 16}
_ENVELOPE = matching.ENVELOPE_FIELDS | {"message-id"}

Resolve = Callable[[Within], Sequence[int]]
"""The UIDs a set means to the client that named it."""


@dataclass(slots=True)
class _Sql:
    """A condition over `e` (entry) and `m` (message). Not exact: it may let more through, never less."""

    text: str
    is_exact: bool = True


@dataclass(slots=True)
class _Candidate:
    uid: int
    message_id: int
    row: dict[str, Any]
    envelope: Envelope
    structure: Part
    content: bytes | None = None
    header: bytes | None = None
    texts: dict[str, str] = field(default_factory=dict)


class ExactSearch:
    """Searches folders."""

    def __init__(self, database: Database, messages: Messages) -> None:
        self._database = database
        self._messages = messages

    async def find(self, folder_id: int, key: Key, resolve: Resolve) -> list[int]:
        """Return the UIDs that match, ascending. Raises `BlobsUnavailable`, `TooMuchAsked`."""
        asking = _Asking(resolve)
        sql = asking.condition(key)
        if sql.is_exact:
            rows = await self._database.fetchval(
                f"SELECT array_agg(e.uid ORDER BY e.uid) FROM entry e {asking.join} "
                f"WHERE e.folder_id = $1 AND {sql.text}",
                folder_id,
                *asking.parameters,
            )
            return list(rows or ())
        found: list[int] = []
        rest = _rest(key)
        needs_content = _needs_content(rest)
        breath = Breath()
        async for candidates in self._candidates(folder_id, sql, asking):
            if needs_content:
                async for candidate in self._with_content(candidates):
                    if await _decide(rest, candidate, asking):
                        found.append(candidate.uid)
                    candidate.content = None
                    await breath()
            else:
                for candidate in candidates:
                    if _matches(rest, candidate, asking):
                        found.append(candidate.uid)
                    await breath()
        return found

    async def highest_mod_sequence(self, folder_id: int, uids: Sequence[int]) -> int:
        """Return the highest mod-sequence of mails (RFC 7162 3.1.5), 0 of none."""
        return int(
            await self._database.fetchval(
                "SELECT coalesce(max(mod_sequence), 0) FROM entry "
                "WHERE folder_id = $1 AND uid = ANY($2::bigint[])",
                folder_id,
                list(uids),
            )
        )

    async def _candidates(
        self, folder_id: int, sql: _Sql, asking: _Asking
    ) -> AsyncIterator[list[_Candidate]]:
        parameters = list(asking.parameters)
        after = 0
        batch = Batch(FIRST_CANDIDATES, CANDIDATES_AT_ONCE, COLUMNS_AT_ONCE)
        breath = Breath()
        while True:
            wanted = batch.size
            rows = await self._database.fetch(
                "SELECT e.uid, e.message_id, e.flags, e.keywords, e.received_at, e.saved_at, e.size_bytes, "
                "e.mod_sequence, e.thread, m.envelope, m.structure, now() AS now "
                "FROM entry e JOIN message m ON m.id = e.message_id "
                f"WHERE e.folder_id = $1 AND {sql.text} AND e.uid > {after:d} "
                f"ORDER BY e.uid LIMIT {wanted:d}",
                folder_id,
                *parameters,
            )
            batch.took(sum(len(row["envelope"]) + len(row["structure"]) for row in rows))
            found: list[_Candidate] = []
            for row in rows:
                found.append(
                    _Candidate(
                        row["uid"],
                        row["message_id"],
                        dict(row),
                        decode_envelope(row["envelope"]),
                        decode_structure(row["structure"]),
                    )
                )
                await breath()
            if found:
                yield found
            if len(rows) < wanted:
                return
            after = rows[-1]["uid"]

    async def _with_content(self, candidates: Sequence[_Candidate]) -> AsyncIterator[_Candidate]:
        """Yield candidates with their content, a few megabytes of it at a time."""
        some: list[_Candidate] = []
        size = 0
        for place, candidate in enumerate(candidates, 1):
            some.append(candidate)
            size += candidate.structure.body_end
            if size < BYTES_AT_ONCE and place < len(candidates):
                continue
            contents = await self._messages.contents([each.message_id for each in some])
            for each in some:
                content = contents.get(each.message_id)
                if content is None:
                    continue
                each.content = content.body
                each.header = content.prefix + content.body[: each.structure.body_start]
                yield each
            some, size = [], 0


class _Asking:
    """Turns keys into SQL, and gathers parameters; $1 is the folder."""

    def __init__(self, resolve: Resolve) -> None:
        self.resolve = resolve
        self.parameters: list[object] = []
        self._needs_message = False
        self._sets: dict[Within, frozenset[int]] = {}
        self._named = 0

    @property
    def join(self) -> str:
        return "JOIN message m ON m.id = e.message_id" if self._needs_message else ""

    def set_of(self, key: Within) -> frozenset[int]:
        """The UIDs of a set, looked up once."""
        known = self._sets.get(key)
        if known is None:
            known = self._sets[key] = frozenset(self.resolve(key))
        return known

    def _uids(self, key: Within) -> str:
        uids = self.set_of(key)
        self._named += len(uids)
        if self._named > MAX_NAMED:
            raise TooMuchAsked(f"the sets of a search name at most {MAX_NAMED} mails together")
        return self._parameter(sorted(uids))

    def condition(self, key: Key) -> _Sql:
        match key:
            case All() | SaveDateSupported():
                return _Sql("true")
            case And(keys):
                parts = [self.condition(each) for each in keys]
                return _Sql(_joined(parts, "AND"), all(part.is_exact for part in parts))
            case Or(first, second):
                parts = [self.condition(first), self.condition(second)]
                return _Sql(_joined(parts, "OR"), all(part.is_exact for part in parts))
            case Not(inner):
                part = self.condition(inner)
                # The opposite of "perhaps" is "perhaps".
                return _Sql(f"(NOT {part.text})") if part.is_exact else _Sql("true", is_exact=False)
            case HasFlag(flag, is_set):
                return _Sql(self._flag(flag, is_set))
            case Within():
                return _Sql(f"e.uid = ANY({self._uids(key)}::bigint[])")
            case Day():
                return self._day(key)
            case Age(seconds, is_older):
                # RFC 5032 2.1.1: seconds before now, by the clock that stamped the mails
                sign = "<=" if is_older else ">="
                return _Sql(f"e.received_at {sign} now() - make_interval(secs => {min(seconds, 2**40):d})")
            case Size(than, is_larger):
                return _Sql(f"e.size_bytes {'>' if is_larger else '<'} {min(than, 2**62):d}")
            case ModSequence(at_least):
                return _Sql(f"e.mod_sequence >= {at_least:d}")
            case ObjectId(kind, text):
                number = _object_number(kind, text)
                column = "e.message_id" if kind == "EMAILID" else "e.thread"
                return _Sql("false" if number is None else f"{column} = {number:d}")
            case Contains():
                return self._contains(key)

    def _parameter(self, value: object) -> str:
        self.parameters.append(value)
        return f"${len(self.parameters) + 1}"

    def _flag(self, flag: str, is_set: bool) -> str:
        bit = _BITS.get(flag.lower())
        if bit is not None:
            return f"e.flags & {bit} {'<>' if is_set else '='} 0"
        negation = "" if is_set else "NOT "
        return f"{negation}{self._parameter(flag.lower())}::text = ANY(e.keywords)"

    def _day(self, key: Day) -> _Sql:
        if key.of == "sent":
            # The field's own day decides, whatever its zone: within a day of the moment it names.
            return _Sql("true", is_exact=False)
        column = "e.received_at" if key.of == "internal" else "e.saved_at"
        begins = datetime(key.day.year, key.day.month, key.day.day, tzinfo=UTC)
        if key.order == "before":
            return _Sql(f"{column} < {self._parameter(begins)}::timestamptz")
        since = f"{column} >= {self._parameter(begins)}::timestamptz"
        if key.order == "since":
            return _Sql(since)
        try:
            ends = begins + timedelta(days=1)
        except OverflowError:
            return _Sql(since)
        return _Sql(f"({since} AND {column} < {self._parameter(ends)}::timestamptz)")

    def _contains(self, key: Contains) -> _Sql:
        if not key.needle and not key.is_field:
            return _Sql("true")
        if (
            key.is_field
            and key.place == "subject"
            and key.needle.isascii()
            and key.needle.strip() == key.needle
        ):
            # Blanks are folded in the column, so only a needle without doubled ones is asked of it.
            self._needs_message = True
            if "  " not in key.needle and key.needle:
                return _Sql(f"position({self._parameter(key.needle.lower())}::text IN lower(m.subject)) > 0")
        if key.is_field and key.place in _ENVELOPE and key.needle.isascii():
            word = max(_words(key.needle), key=len, default="")
            if word:
                # The envelope holds the word as it is, unless it holds words in another dress.
                text = "lower(convert_from(m.envelope, 'UTF8'))"
                return _Sql(
                    f"(position({self._parameter(word.lower())}::text IN {text}) > 0 "
                    f"OR position('=?' IN {text}) > 0)",
                    is_exact=False,
                )
        return _Sql("true", is_exact=False)


def _joined(parts: Sequence[_Sql], word: str) -> str:
    return f"({f' {word} '.join(part.text for part in parts)})"


def _words(needle: str) -> list[str]:
    return "".join(letter if letter.isalnum() else " " for letter in needle).split()


def _object_number(kind: str, text: str) -> int | None:
    letter, digits = text[:1], text[1:]
    if letter != ("M" if kind == "EMAILID" else "T") or not (digits.isascii() and digits.isdigit()):
        return None
    number = int(digits[:19])
    return number if 0 < number < 2**63 else None


async def _decide(key: Key, mail: _Candidate, asking: _Asking) -> bool:
    """Look into one mail; into a large one in a thread, so that the worker's loop goes on beside it."""
    if mail.structure.body_end <= IN_LOOP_BYTES:
        return _matches(key, mail, asking)
    return await asyncio.to_thread(_matches, key, mail, asking)


def _rest(key: Key) -> Key:
    """What is left to decide mail by mail: of a conjunction, the keys that the database did not decide."""
    if not isinstance(key, And):
        return key
    asking = _Asking(lambda _: ())
    return And(tuple(each for each in key.keys if not asking.condition(each).is_exact))


def _needs_content(key: Key) -> bool:
    match key:
        case And(keys):
            return any(map(_needs_content, keys))
        case Or(first, second):
            return _needs_content(first) or _needs_content(second)
        case Not(inner):
            return _needs_content(inner)
        case Contains(place, needle, is_field):
            return not (is_field and needle and place in matching.ENVELOPE_FIELDS)
        case _:
            return False


def _matches(key: Key, mail: _Candidate, asking: _Asking) -> bool:
    row = mail.row
    match key:
        case All() | SaveDateSupported():
            return True
        case And(keys):
            return all(_matches(each, mail, asking) for each in keys)
        case Or(first, second):
            return _matches(first, mail, asking) or _matches(second, mail, asking)
        case Not(inner):
            return not _matches(inner, mail, asking)
        case HasFlag(flag, is_set):
            bit = _BITS.get(flag.lower())
            has = bool(row["flags"] & bit) if bit else flag.lower() in row["keywords"]
            return has == is_set
        case Within():
            return mail.uid in asking.set_of(key)
        case Day():
            return _is_on(key, mail)
        case Age(seconds, is_older):
            age: timedelta = row["now"] - row["received_at"]
            return age.total_seconds() >= seconds if is_older else age.total_seconds() <= seconds
        case Size(than, is_larger):
            size = row["size_bytes"]
            return bool(size > than if is_larger else size < than)
        case ModSequence(at_least):
            return bool(row["mod_sequence"] >= at_least)
        case ObjectId(kind, text):
            return bool(row["message_id" if kind == "EMAILID" else "thread"] == _object_number(kind, text))
        case Contains():
            return _contains(key, mail)


def _is_on(key: Day, mail: _Candidate) -> bool:
    day: date | None
    if key.of == "sent":
        day = matching.sent_on(mail.envelope)
        if (
            day is None
        ):  # RFC 9051 says nothing of mails without a Date: as SORT does, the internal one counts
            day = mail.row["received_at"].date()
    else:
        day = mail.row["received_at" if key.of == "internal" else "saved_at"].date()
    assert day is not None
    if key.order == "before":
        return day < key.day
    return day >= key.day if key.order == "since" else day == key.day


def _contains(key: Contains, mail: _Candidate) -> bool:
    needle = matching.folded(key.needle)
    if key.is_field:
        if key.place in matching.ENVELOPE_FIELDS and needle:
            return needle in mail.texts.setdefault(
                key.place, matching.envelope_text(mail.envelope, key.place)
            )
        return mail.header is not None and matching.field_holds(mail.header, key.place, needle)
    if mail.content is None:
        raise NoSuchMessage("the mail is not there any more")
    if key.place == "text" and mail.header is not None:
        known = mail.texts.get("header")
        if known is None:
            known = mail.texts["header"] = matching.header_text(mail.header)
        if needle in known:
            return True
    return any(needle in text for text in matching.body_texts(mail.content, mail.structure))
