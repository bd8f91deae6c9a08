"""The forms of answer of the bulk-mail API (A.4 and M.3 of our page): compact XML, text, csv, json.

One line without white space between elements, no attributes, `<x></x>` for an empty value: real clients break
otherwise (K.3). Characters that XML 1.0 does not allow are dropped.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'
XML, TEXT = "text/xml; charset=utf-8", "text/plain; charset=utf-8"
CSV, JSON = "text/csv; charset=utf-8", "application/json; charset=utf-8"
PIECE = 64 * 1024  # of a streamed answer

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0 2.2, Char
# What a spreadsheet takes for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

_Row = TypeVar("_Row")


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back; the body of a large export comes in pieces."""

    body: bytes | AsyncIterator[bytes]
    media_type: str = XML
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


def escaped(value: object) -> str:
    """A value as character data."""
    text = _FORBIDDEN.sub("", str(value))
    # A bare CR would be read back as LF (XML 1.0 2.11).
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")


def element(name: str, value: object = "") -> str:
    """`<name>value</name>`."""
    return f"<{name}>{escaped(value)}</{name}>"


def elements(**values: object) -> str:
    """One element after the other, in the order given."""
    return "".join(element(name, value) for name, value in values.items())


def cdata(name: str, value: object) -> str:
    """A value in CDATA, where the document shows it so."""
    text = _FORBIDDEN.sub("", str(value)).replace("]]>", "]]]]><![CDATA[>")
    return f"<{name}><![CDATA[{text}]]></{name}>"


def nest(name: str, *children: str) -> str:
    """An element of elements."""
    return f"<{name}>{''.join(children)}</{name}>"


def document(root: str) -> Answer:
    """A whole XML answer."""
    return Answer(f"{DECLARATION}{root}".encode())


def result(status: str, data: object = "", *, id: int | None = None, in_cdata: bool = False) -> Answer:
    """The result form: status, id where there is one, data."""
    parts = [element("status", status)]
    if id is not None:
        parts.append(element("id", id))
    parts.append((cdata if in_cdata else element)("data", data))
    return document(nest("result", *parts))


def json_error(status: str, data: str) -> Answer:
    """An error where JSON was asked for."""
    return Answer(msgspec.json.encode({"status": status, "data": data}), JSON)


async def streamed(
    rows: AsyncIterator[str], *, before: str = "", between: str = "", after: str = "", media_type: str = XML
) -> Answer:
    """Send rows as they come. The first one is waited for, so that what is refused is refused in full."""
    first = await anext(rows, None)
    return Answer(_pieces(first, rows, before, between, after), media_type)


async def streamed_xml(root: str, rows: AsyncIterator[str], before: str = "") -> Answer:
    """Rows of XML in one root."""
    return await streamed(rows, before=f"{DECLARATION}<{root}>{before}", after=f"</{root}>")


def download(answer: Answer, name: str) -> Answer:
    """The answer as a file to be saved."""
    return Answer(
        answer.body,
        answer.media_type,
        answer.status,
        {**answer.headers, "content-disposition": f'attachment; filename="{name}"'},
    )


def csv_line(values: Sequence[str], guarded: Sequence[int] = ()) -> str:
    """A line of RFC 4180; in the columns `guarded` a spreadsheet shall see no formula (M.3)."""
    shown = [
        f"'{value}" if place in guarded and value.startswith(_FORMULA) else value
        for place, value in enumerate(values)
    ]
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(shown)
    return out.getvalue()


def json_text(value: object) -> str:
    """A value as JSON."""
    return msgspec.json.encode(value).decode()


async def _pieces(
    first: str | None, rows: AsyncIterator[str], before: str, between: str, after: str
) -> AsyncIterator[bytes]:
    buffer = io.StringIO()
    buffer.write(before)
    if first is not None:
        buffer.write(first)
        async for row in rows:
            buffer.write(between)
            buffer.write(row)
            if buffer.tell() >= PIECE:
                yield buffer.getvalue().encode("utf-8", "replace")
                buffer.seek(0)
                buffer.truncate()
    buffer.write(after)
    yield buffer.getvalue().encode("utf-8", "replace")
