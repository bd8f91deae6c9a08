"""Forms with files (RFC 7578), read leniently, as the document's own samples need it (A.3 of our page).

The body stands in a file already; parts are places in it, and files are never read whole. Forgiven: line
breaks before the first boundary, bare LF for CRLF, any type of a file part, rubbish behind the last boundary.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from postroad.bridges.fields import as_text

MAX_PARTS = 200
MAX_PART_HEAD = 8 * 1024
_BOUNDARY = re.compile(r"""boundary=(?:"([^"]{1,200})"|([^;\s]{1,200}))""", re.IGNORECASE)
_PARAMETER = re.compile(r"""[;\s](name|filename)=(?:"((?:[^"\\]|\\.)*)"|([^;\r\n]*))""", re.IGNORECASE)


class BadMultipart(Exception):
    """The body cannot be read by its boundary."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part: `file_name` None = a text field. Its bytes are from `start` to `end` of the body."""

    name: str
    file_name: str | None
    content_type: str
    start: int
    end: int


def boundary_of(content_type: str) -> bytes:
    """The boundary that the header names. Raises `BadMultipart`."""
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise BadMultipart
    return (found[1] or found[2]).encode("utf-8", "replace")


def read_parts(body: IO[bytes], size: int, boundary: bytes) -> list[Part]:
    """Find the parts of a body. Raises `BadMultipart` when there is none or too many."""
    if not size:
        raise BadMultipart
    with mmap.mmap(body.fileno(), size, access=mmap.ACCESS_READ) as data:
        parts = [part for start, end in _spans(data, boundary) if (part := _part(data, start, end))]
    if not parts or len(parts) > MAX_PARTS:
        raise BadMultipart
    return parts


def _spans(data: mmap.mmap, boundary: bytes) -> Iterator[tuple[int, int]]:
    # Behind the last one anything may follow: the Java sample of 9.8 lost a backslash there.
    delimiter = re.compile(rb"(?:\A|\r?\n)--" + re.escape(boundary) + rb"(?:(--)[^\n]*|[ \t]*)(?:\r?\n|\Z)")
    begin: int | None = None
    position = 0
    for _ in range(MAX_PARTS + 2):
        found = delimiter.search(data, position)
        if found is None:
            return
        if begin is not None:
            yield begin, max(begin, found.start())
        if found[1]:
            return
        begin = found.end()
        # The line end of a boundary may be the one before the next, when a part has neither head nor body.
        position = found.end() - 1 if found.end() > found.start() else found.end()


def _part(data: mmap.mmap, start: int, end: int) -> Part | None:
    head = data[start : min(end, start + MAX_PART_HEAD)]
    found = re.search(rb"\r?\n\r?\n", head)
    if found is None:
        return None
    text = as_text(head[: found.start()])
    disposition = next(
        (line for line in text.splitlines() if line.lower().startswith("content-disposition:")), ""
    )
    kind = next((line for line in text.splitlines() if line.lower().startswith("content-type:")), "")
    parameters = {
        match[1].lower(): re.sub(r'\\(["\\])', r"\1", match[2]) if match[2] is not None else match[3].strip()
        for match in _PARAMETER.finditer(disposition)
    }
    if "name" not in parameters:
        return None
    return Part(
        parameters["name"],
        parameters.get("filename"),
        kind.partition(":")[2].partition(";")[0].strip().lower(),
        start + found.end(),
        end,
    )
