"""What people type into the search field, read into a `Query`. Pure.

Words must all be there; `"words together"` stand like that; `-` excludes. `from:`, `to:`, `subject:`, `file:`
look in one place (also 发件人: 收件人: 主题: 附件:, with either colon). `has:attachment`, `is:unread`,
`is:read`, `is:flagged`, `is:unflagged`, `is:answered`, `before:2026-03-01` (earlier than that day), `after:`
(that day or later), `larger:2M`, `smaller:` narrow further. A word with another colon in it is a word.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from ..message.tokens import QueryTerm, normalise, query_terms
from .errors import BadQuery
from .lexemes import FILE, FROM, SUBJECT, TO

MAX_QUERY = 1000  # characters; beyond that it is a paste by mistake
MAX_TERMS = 32

_PLACES = {
    "from": FROM, "发件人": FROM, "to": TO, "cc": TO, "收件人": TO, "subject": SUBJECT, "主题": SUBJECT,
    "file": FILE, "filename": FILE, "attachment": FILE, "附件": FILE,
}  # fmt: skip
_STATES = {
    "unread": "flags & 1 = 0", "unseen": "flags & 1 = 0", "read": "flags & 1 <> 0", "seen": "flags & 1 <> 0",
    "flagged": "flags & 4 <> 0", "starred": "flags & 4 <> 0", "unflagged": "flags & 4 = 0",
    "answered": "flags & 2 <> 0", "draft": "flags & 16 <> 0",
}  # fmt: skip
_OPPOSITE = {"= 0": "<> 0", "<> 0": "= 0"}
_WORD = re.compile(r'(?P<minus>-?)(?:(?P<field>[^\W\d_]{2,10})[:：])?(?P<value>"[^"]*"?|[^\s"]+)')
_DATE = re.compile(r"(\d{4})[-/.]?(\d{2})?[-/.]?(\d{2})?\Z")
_SIZE = re.compile(r"(\d{1,12})([kmg]?)b?\Z", re.IGNORECASE)
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


@dataclass(frozen=True, slots=True)
class PlacedTerm:
    """A term and where it must stand: a field's letter, or "" for anywhere.

    `phrase` is the normalised text that must stand there literally, None where the tokens suffice.
    """

    place: str
    term: QueryTerm
    phrase: str | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """A query understood. `conditions` are SQL over an entry's columns, made of constants only."""

    terms: tuple[PlacedTerm, ...] = ()
    conditions: tuple[str, ...] = ()
    received_from: datetime | None = None
    received_before: datetime | None = None
    larger_than: int | None = None
    smaller_than: int | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing was asked for."""
        return self == Query()

    @property
    def phrases(self) -> tuple[PlacedTerm, ...]:
        """The terms that must be checked against the text itself."""
        return tuple(term for term in self.terms if term.phrase is not None)


def parse_query(text: str, zone: tzinfo = UTC) -> Query:
    """Read a query; days begin at midnight in `zone`. Raises `BadQuery`."""
    if len(text) > MAX_QUERY:
        raise BadQuery(f"a search has at most {MAX_QUERY} characters")
    terms: list[PlacedTerm] = []
    conditions: list[str] = []
    limits: dict[str, datetime] = {}
    sizes: dict[str, int] = {}
    for match in _WORD.finditer(text):
        is_excluded = bool(match["minus"])
        field, value = (match["field"] or "").lower(), match["value"]
        plain = value.strip('"')
        if field in _PLACES:
            terms.extend(_placed(_PLACES[field], value, is_excluded))
        elif field == "has" and plain.lower() in ("attachment", "attachments", "附件"):
            conditions.append("NOT has_attachments" if is_excluded else "has_attachments")
        elif field == "is":
            conditions.append(_state(plain.lower(), is_excluded))
        elif field in ("before", "after"):
            limits[field] = _day(plain, zone)
        elif field in ("larger", "smaller"):
            sizes[field] = _size(plain)
        else:
            whole = value if not field else match[0].lstrip("-")
            terms.extend(_placed("", whole, is_excluded))
    if len(terms) > MAX_TERMS:
        raise BadQuery(f"a search has at most {MAX_TERMS} words")
    return Query(
        tuple(terms),
        tuple(dict.fromkeys(conditions)),
        limits.get("after"),
        limits.get("before"),
        sizes.get("larger"),
        sizes.get("smaller"),
    )


def tsquery(query: Query, account_lexeme: str) -> str:
    """Return the query in PostgreSQL's text form, for the documents of one account."""
    parts = [_quoted(account_lexeme)]
    for placed in query.terms:
        tokens = [_quoted(placed.place + token) for token in placed.term.tokens]
        if placed.term.is_prefix:
            tokens[-1] += ":*"
        # What may be excluded wrongly (words that are there, but not together) is left to the look at the
        # text.
        if placed.term.is_excluded and placed.phrase is not None and len(tokens) > 1:
            continue
        joined = " & ".join(tokens)
        parts.append(f"!({joined})" if placed.term.is_excluded else f"({joined})")
    return " & ".join(parts)


def _placed(place: str, value: str, is_excluded: bool) -> list[PlacedTerm]:
    found = query_terms(value)
    placed = []
    for term in found:
        phrase = None
        if value.startswith('"') and len(term.tokens) > 1:
            phrase = " ".join(normalise(value.strip('"')).split())
        placed.append(PlacedTerm(place, QueryTerm(term.tokens, term.is_prefix, is_excluded), phrase))
    return placed


def _state(word: str, is_excluded: bool) -> str:
    condition = _STATES.get(word)
    if condition is None:
        raise BadQuery(
            f"is:{word[:40]} is not known; there are {', '.join('is:' + each for each in _STATES)}"
        )
    if not is_excluded:
        return condition
    test, sign, zero = condition.rsplit(" ", 2)
    return f"{test} {_OPPOSITE[f'{sign} {zero}']}"


def _day(text: str, zone: tzinfo) -> datetime:
    match = _DATE.match(text)
    try:
        if match is None:
            raise ValueError(text)
        day = datetime(int(match[1]), int(match[2] or 1), int(match[3] or 1), tzinfo=zone)
        return (day + timedelta(0)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise BadQuery(f"{text[:40]!r} is not a day like 2026-03-01") from error


def _size(text: str) -> int:
    match = _SIZE.match(text)
    if match is None:
        raise BadQuery(f"{text[:40]!r} is not a size like 2M")
    return min(int(match[1]) * _UNITS[match[2].lower()], 2**62)


def _quoted(lexeme: str) -> str:
    escaped = lexeme.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"
