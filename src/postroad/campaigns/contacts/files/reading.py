"""From the bytes of a file to parsed rows: which charset, which kind of file, which parser."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from postroad.campaigns.contacts.files.charset import charset_of
from postroad.campaigns.contacts.files.parsed import Parsed
from postroad.campaigns.contacts.files.rows import parse_rows
from postroad.campaigns.contacts.files.tables import BadMapping, parse_table
from postroad.campaigns.contacts.files.workbook import is_workbook

Source = Callable[[], Iterator[bytes]]  # can be read as often as wanted
PIECE_BYTES = 1024 * 1024
SIGNATURE_BYTES = 4


class UnreadableFile(Exception):
    """The file cannot be read at all; the message says why."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a file is to be read. `rows`: the document's format; `table`: whatever people have."""

    format: Literal["rows", "table"] = "rows"
    separator: str | None = None
    mapping: Mapping[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For the job's row."""
        return {"format": self.format, "separator": self.separator, "mapping": dict(self.mapping)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Options:
        """Undo `as_dict`."""
        return cls(values["format"], values["separator"], values["mapping"])


def parse(source: Source, options: Options, spool: Path | None = None) -> Iterator[Parsed]:
    """Parse a file piece by piece. Blocks. Raises `UnreadableFile`."""
    beginning = _beginning(source())
    if not beginning:
        raise UnreadableFile("the file is empty")
    if is_workbook(beginning):
        if options.format == "rows":
            raise UnreadableFile("this is a workbook, not a text file")
        yield from _workbook(source, options, spool)
        return
    charset = charset_of(source())
    if not charset.is_certain and b"\x00" in beginning:
        raise UnreadableFile("this is no text")
    if options.format == "rows":
        yield from parse_rows(source(), charset.name)
    else:
        yield from _table(source(), charset.name, options)


def _beginning(pieces: Iterator[bytes]) -> bytes:
    beginning = b""
    for piece in pieces:
        beginning += piece
        if len(beginning) >= SIGNATURE_BYTES:
            break
    return beginning


def _table(pieces: Iterable[bytes], charset: str, options: Options) -> Iterator[Parsed]:
    try:
        yield from parse_table(pieces, charset, separator=options.separator, mapping=options.mapping)
    except BadMapping as error:
        raise UnreadableFile(str(error)) from error


def _workbook(source: Source, options: Options, spool: Path | None) -> Iterator[Parsed]:
    """Read a workbook in a process of its own, which a bomb may kill."""
    with tempfile.NamedTemporaryFile(prefix="postroad-workbook-", dir=spool) as file:
        for piece in source():
            file.write(piece)
        file.flush()
        command = [sys.executable, "-m", "postroad.campaigns.contacts.files.workbook", file.name]
        with (
            tempfile.TemporaryFile() as complaints,
            subprocess.Popen(  # noqa: S603
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=complaints,
                env={**os.environ, "PYTHONIOENCODING": "utf-8"},
            ) as process,
        ):
            assert process.stdout is not None
            try:
                pieces = iter(lambda: process.stdout.read(PIECE_BYTES), b"")  # type: ignore[union-attr]
                # The child writes commas, whatever separator the caller thought of.
                yield from _table(pieces, "utf-8", Options("table", ",", options.mapping))
            finally:
                process.stdout.close()
                if process.poll() is None and _is_left(process):
                    process.kill()
            if process.wait() != 0:
                complaints.seek(0)
                reason = complaints.read(300).decode("utf-8", "replace").strip()
                raise UnreadableFile(reason or "the workbook is damaged, or too large when unpacked")


def _is_left(process: subprocess.Popen[bytes]) -> bool:
    """Whether the child is still at work although nobody reads any more."""
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        return True
    return False
