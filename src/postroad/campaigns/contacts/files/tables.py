"""Tables as text: CSV with quotes (RFC 4180) and other separators, a header or none, columns in any order.

Excel's `sep=;` line is obeyed. A quote that is never closed costs its line, not the rest of the file.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from postroad.campaigns.contacts.files.cells import addresses_in, birthday_in, phone_in
from postroad.campaigns.contacts.files.parsed import NO_ADDRESS, TOO_LONG, Parsed
from postroad.campaigns.contacts.files.rows import MAX_LINE, lines_of
from postroad.campaigns.contacts.values import Person, clean, read_sex, read_variables

SEPARATORS = (",", ";", "\t", "|")
MAX_RECORD_LINES = 100  # that one quoted field may span
SAMPLE_LINES = 50
FIELDS = (
    *("address", "fullname", "sex", "birthday", "phone", "area"),
    *(f"var{number}" for number in range(1, 11)),
)
# Names of columns as people write them, lower case and without blanks.
_HEADINGS = {
    "address": (
        "address",
        "email",
        "e-mail",
        "mail",
        "emailaddress",
        "邮箱",
        "邮箱地址",
        "邮件地址",
        "电子邮件",
        "电子邮箱",
    ),
    "fullname": ("fullname", "name", "姓名", "名称", "名字", "用户名", "联系人", "称呼"),
    "sex": ("sex", "gender", "性别"),
    "birthday": ("birthday", "birthdate", "dateofbirth", "生日", "出生日期"),
    "phone": ("phone", "mobile", "tel", "telephone", "手机", "手机号", "手机号码", "电话", "联系电话"),
    "area": ("area", "region", "city", "地区", "城市", "地址", "区域"),
    **{
        f"var{number}": (f"var{number}", f"变量{number}", f"variable{number}", f"field{number}")
        for number in range(1, 11)
    },
}
_FIELD_OF = {heading: name for name, headings in _HEADINGS.items() for heading in headings}
_SEP_LINE = re.compile(r"\ufeff?\"?sep=(.)\"?\r?\Z", re.IGNORECASE)


class BadMapping(ValueError):
    """The mapping names a column that the table does not have."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the fields of a contact stand in a row, and whether the first row is a header."""

    places: Mapping[str, int]
    has_header: bool


def parse_table(
    pieces: Iterable[bytes],
    charset: str,
    *,
    separator: str | None = None,
    mapping: Mapping[str, str] | None = None,
) -> Iterator[Parsed]:
    """Parse a file piece by piece. `mapping` says by heading or number (from 1) where a field stands.

    Raises `BadMapping`.
    """
    layout: Layout | None = None
    reader = _Records(separator)
    for lines, count in _with_end(lines_of(pieces, charset)):
        records = reader.feed(lines)
        if layout is None and records:
            layout = layout_of([cells for _, cells, _ in records[:SAMPLE_LINES]], mapping)
            if layout.has_header:
                records = records[1:]
        parsed = Parsed(bytes_read=count)
        for number, cells, fault in records:
            if layout is not None:
                _take(parsed, layout, number, cells, fault)
        yield parsed


def layout_of(sample: Sequence[Sequence[str]], mapping: Mapping[str, str] | None = None) -> Layout:
    """Find out what stands where. Raises `BadMapping`."""
    first = [_heading(cell) for cell in sample[0]] if sample else []
    has_header = bool(first) and not any("@" in cell or "＠" in cell for cell in sample[0])
    if mapping:
        return Layout({name: _place(name, where, first) for name, where in mapping.items()}, has_header)
    named: dict[str, int] = {}
    if has_header:
        for place, heading in enumerate(first):
            if heading in _FIELD_OF:
                named.setdefault(_FIELD_OF[heading], place)
        if "address" in named:
            return Layout(named, True)
    # Without a heading that says so: the column that holds most addresses; the document's order beside it.
    rows = sample[1:] if has_header else sample
    width = max((len(row) for row in rows), default=0)
    counts = [sum(1 for row in rows if place < len(row) and "@" in row[place]) for place in range(width)]
    best = max(range(width), key=counts.__getitem__, default=0)
    places = {name: place for place, name in enumerate(FIELDS)} if best == 0 else {"address": best}
    return Layout({**places, **named, "address": best}, has_header)


class _Records:
    """Puts lines together where a quoted field spans them, and divides them into cells."""

    def __init__(self, separator: str | None) -> None:
        self._separator = separator
        self._waiting: deque[str] = deque()
        self._number = 0

    def feed(self, lines: Sequence[str] | None) -> list[tuple[int, list[str], str | None]]:
        """Take lines, None at the end; give whole records with the number of their first line."""
        self._waiting.extend(lines or ())
        if self._separator is None and self._waiting:
            self._separator = self._find_separator()
        records = []
        while (record := self._next(is_end=lines is None)) is not None:
            if record[1]:
                records.append(record)
        return records

    def _next(self, *, is_end: bool) -> tuple[int, list[str], str | None] | None:
        if not self._waiting:
            return None
        span = self._span(is_end=is_end)
        if span == 0:
            return None
        lines = [self._waiting.popleft() for _ in range(span)]
        number, self._number = self._number + 1, self._number + span
        text = "\n".join(line.rstrip("\r") for line in lines)
        if len(text) > MAX_LINE:
            return number, [text[:MAX_LINE]], TOO_LONG
        if not text.strip("\x00 \t\ufeff"):
            return number, [], None
        return number, self._cells(text, is_quoted=text.count('"') % 2 == 0), None

    def _span(self, *, is_end: bool) -> int:
        """How many lines the next record has; 0 when more must come first, 1 when its quote never ends."""
        quotes = length = 0
        for span, line in enumerate(self._waiting, 1):
            quotes += line.count('"')
            length += len(line)
            if quotes % 2 == 0:
                return span
            if span >= MAX_RECORD_LINES or length > MAX_LINE:
                return 1
        return 1 if is_end else 0

    def _cells(self, text: str, *, is_quoted: bool) -> list[str]:
        separator = self._separator or ","
        if not is_quoted or '"' not in text:
            return text.replace("\x00", "").split(separator)
        cleaned = text.replace("\x00", "")
        try:
            return next(csv.reader([cleaned], delimiter=separator, skipinitialspace=True))
        except (csv.Error, StopIteration):
            return cleaned.split(separator)

    def _find_separator(self) -> str:
        found = _SEP_LINE.match(self._waiting[0])
        if found is not None:
            self._waiting.popleft()
            self._number += 1
            return found[1]
        sample = [line for line in list(self._waiting)[:SAMPLE_LINES] if line.strip()]
        counts = {
            each: sum(re.sub(r'"[^"]*"', "", line).count(each) for line in sample) for each in SEPARATORS
        }
        best = max(SEPARATORS, key=lambda each: counts[each])
        return best if counts[best] else ","


def _with_end(lines: Iterator[tuple[list[str], int]]) -> Iterator[tuple[list[str] | None, int]]:
    count = 0
    for some, count in lines:
        yield some, count
    yield None, count


def _take(parsed: Parsed, layout: Layout, number: int, cells: Sequence[str], fault: str | None) -> None:
    if not any(cell.strip() for cell in cells):
        return
    parsed.total += 1
    if fault is not None:
        parsed.refuse(number, fault, cells[0])
        return

    def cell(name: str) -> str:
        place = layout.places.get(name)
        return cells[place] if place is not None and place < len(cells) else ""

    found = addresses_in(cell("address"))
    if not found:
        parsed.refuse(number, NO_ADDRESS, ";".join(cells))
        return
    variables = read_variables([cell(name) for name in FIELDS[6:]])
    for each in found:
        parsed.add(
            number,
            Person(
                each.address,
                clean(cell("fullname")) or each.name,
                read_sex(cell("sex")),
                birthday_in(cell("birthday")),
                phone_in(cell("phone")),
                clean(cell("area")),
                variables,
            ),
        )


def field_named(name: str) -> str | None:
    """The field of a contact that people call so; None when nobody does."""
    return _FIELD_OF.get(_heading(name))


def _heading(cell: str) -> str:
    return re.sub(r"[\s_\ufeff]", "", cell).lower()


def _place(name: str, where: str, headings: Sequence[str]) -> int:
    if name not in FIELDS:
        raise BadMapping(f"{name} is no field of a contact")
    if where.isdecimal() and int(where) > 0:
        return int(where) - 1
    if _heading(where) not in headings:
        raise BadMapping(f"the table has no column {where}")
    return headings.index(_heading(where))
