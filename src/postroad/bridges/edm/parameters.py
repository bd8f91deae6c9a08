"""The parameters of a call (A.3 of our page): from the body first, then from the query.

An empty value is the same as an absent one; of several with one name the last counts, as in PHP.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO
from urllib.parse import unquote_to_bytes

from postroad.bridges.edm.multipart import BadMultipart, Part, boundary_of, read_parts
from postroad.bridges.edm.refusals import param_error
from postroad.bridges.fields import as_text

MAX_FIELDS = 2000  # ml_addr[] comes as a field a row
MAX_FORM_BYTES = 32 * 1024 * 1024  # of text: a URL-encoded body, or a text field of a form with files
MAX_ID = 2**63 - 1
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}\Z", re.ASCII)
_VARIABLE = re.compile(r"var(?:[1-9]|10)\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class File:
    """A file of a form. It can be read as long as the call lasts."""

    field: str
    name: str
    content_type: str
    body: IO[bytes]
    start: int
    size: int

    def read(self) -> bytes:
        """The whole content."""
        self.body.seek(self.start)
        return self.body.read(self.size)

    def pieces(self, size: int) -> Iterator[bytes]:
        """The content in pieces."""
        for offset in range(0, self.size, size):
            self.body.seek(self.start + offset)
            yield self.body.read(min(size, self.size - offset))


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a client sent."""

    query: Mapping[str, Sequence[str]]
    body: Mapping[str, Sequence[str]] = field(default_factory=dict)
    files: Sequence[File] = ()

    def get(self, *names: str) -> str | None:
        """The value of the first of these names that has one."""
        for name in names:
            for source in (self.body, self.query):
                if value := next((each for each in reversed(source.get(name, ())) if each), ""):
                    return value
        return None

    def only_in_query(self, name: str) -> str | None:
        """The value of a parameter that is never read from the body."""
        return next((each for each in reversed(self.query.get(name, ())) if each), None)

    def all(self, name: str) -> list[str]:
        """Every value of a repeated parameter, in the body or else in the query."""
        return [value for value in (self.body.get(name) or self.query.get(name) or ()) if value]

    def need(self, *names: str) -> str:
        """As `get`; raises `Refusal` when there is none."""
        value = self.get(*names)
        if value is None:
            raise param_error(f"缺少参数 {names[0]}")
        return value

    def integer(self, *names: str) -> int | None:
        """A whole number, or None when it is absent. Raises `Refusal`."""
        value = self.get(*names)
        return None if value is None else as_integer(value, names[0])

    def need_id(self, *names: str) -> int:
        """The id of something. Raises `Refusal`."""
        return as_integer(self.need(*names), names[0])

    def ids(self, *names: str) -> list[int] | None:
        """Ids joined with commas, or None when they are absent. Raises `Refusal`."""
        value = self.get(*names)
        if value is None:
            return None
        found = [as_integer(piece, names[0]) for piece in re.split(r"[,，\s]+", value) if piece]
        if not found:
            raise param_error(f"参数 {names[0]} 不正确")
        return found


def as_integer(text: str, name: str) -> int:
    """Read a whole number. Raises `Refusal`."""
    trimmed = text.strip()
    if not _INTEGER.match(trimmed) or abs(int(trimmed)) > MAX_ID:
        raise param_error(f"参数 {name} 必须是整数")
    return int(trimmed)


def read_pairs(data: bytes) -> dict[str, list[str]]:
    """Read a query string or a URL-encoded body. Raises `Refusal` for too many fields."""
    pieces = data.split(b"&", MAX_FIELDS)
    if len(pieces) > MAX_FIELDS:
        raise param_error("参数过多")
    values: dict[str, list[str]] = {}
    for piece in pieces:
        name, _, value = piece.replace(b"+", b" ").partition(b"=")
        if name:
            text = _name(as_text(unquote_to_bytes(name)))
            values.setdefault(text, []).append(as_text(unquote_to_bytes(value)))
    return values


@contextmanager
def received() -> Iterator[IO[bytes]]:
    """A place for a body; on the disk, gone with the call."""
    with tempfile.TemporaryFile(prefix="postroad-edm-") as file:
        yield file


async def receive(stream: AsyncIterator[bytes], file: IO[bytes], limit: int) -> int:
    """Write a body into `file` and return its size. Raises `Refusal` past `limit`."""
    size = 0
    async for chunk in stream:
        size += len(chunk)
        if size > limit:
            raise param_error(f"请求内容超过 {limit} 字节")
        await asyncio.to_thread(file.write, chunk) if len(chunk) > 65536 else file.write(chunk)
    file.flush()
    return size


def read_body(file: IO[bytes], size: int, content_type: str) -> tuple[dict[str, list[str]], list[File]]:
    """The fields and files of a body. Raises `Refusal`. Blocks: call it in a thread when it is large."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind.startswith("multipart/"):
        return _read_multipart(file, size, content_type)
    if size > MAX_FORM_BYTES:
        raise param_error("请求内容过大")
    file.seek(0)
    return read_pairs(file.read()), []


def _read_multipart(file: IO[bytes], size: int, content_type: str) -> tuple[dict[str, list[str]], list[File]]:
    try:
        parts = read_parts(file, size, boundary_of(content_type))
    except BadMultipart as error:
        raise param_error("表单内容与 boundary 不符") from error
    values: dict[str, list[str]] = {}
    files: list[File] = []
    for part in parts:
        if part.file_name is None:
            if part.end - part.start > MAX_FORM_BYTES:
                raise param_error("请求内容过大")
            values.setdefault(_name(part.name), []).append(_text(file, part))
        elif part.file_name or part.end > part.start:  # a browser sends an empty part for no file
            files.append(
                File(part.name, part.file_name, part.content_type, file, part.start, part.end - part.start)
            )
    return values, files


def _text(file: IO[bytes], part: Part) -> str:
    file.seek(part.start)
    return as_text(file.read(part.end - part.start))


def _name(text: str) -> str:
    """Names as they are; only of the ten variables the case does not matter."""
    return text.lower() if _VARIABLE.match(text) else text
