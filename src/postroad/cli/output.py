"""How an answer looks: one JSON object for programs, aligned text for people. Errors likewise.

JSON: `{"ok": true, …}` or `{"ok": false, "error": {"code", "message", "hint", …}}`, always one object on
standard output. Text tables are aligned by what a terminal shows (UAX #11: Chinese signs are two columns
wide).
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from postroad.cli.words import Language, say


@dataclass(frozen=True, slots=True)
class Grid:
    """A table: headings are names of the catalogue, cells are texts."""

    headings: Sequence[str]
    rows: Sequence[Sequence[object]]
    empty: str = "none"  # a word of the catalogue, said when there is no row


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command found or did: `data` for programs, `shown` for people; exit code 1 if `is_failure`."""

    data: Mapping[str, object]
    shown: Sequence[str | Grid] = field(default_factory=tuple)
    is_failure: bool = False


def print_answer(answer: Answer, *, is_json: bool, language: Language) -> None:
    """Write an answer to standard output."""
    if is_json:
        _write(json.dumps({"ok": not answer.is_failure, **answer.data}, default=_plain, ensure_ascii=False))
        return
    for part in answer.shown:
        print_text(part if isinstance(part, str) else grid_text(part, language))


def print_failure(code: str, message: str, hint: str, facts: Mapping[str, object], *, is_json: bool) -> None:
    """Write an error: as JSON to standard output, otherwise to standard error with what to do about it."""
    if is_json:
        error = {**facts, "code": code, "message": message, "hint": hint}
        _write(json.dumps({"ok": False, "error": error}, default=_plain, ensure_ascii=False))
        return
    sys.stderr.write(f"postroad: {printable(message)}\n")
    if hint:
        sys.stderr.write(f"  {printable(hint)}\n")


def print_text(text: str) -> None:
    """Write lines to standard output, without anything that would steer a terminal."""
    _write(printable(text))


def printable(text: str) -> str:
    """Return the text with control characters (line ends apart) and lone surrogates made visible."""
    return "".join(
        sign if sign in "\n\t" or unicodedata.category(sign) not in ("Cc", "Cs") else f"\\x{ord(sign):02x}"
        for sign in text
    )


def grid_text(grid: Grid, language: Language) -> str:
    """Lay a table out in columns."""
    if not grid.rows:
        return say(grid.empty, language)
    headings = [say(heading, language) for heading in grid.headings]
    lines = [headings, *([cell_text(cell, language) for cell in row] for row in grid.rows)]
    widths = [max(columns(line[place]) for line in lines) for place in range(len(headings))]
    return "\n".join(
        "  ".join(
            text + " " * (width - columns(text)) for text, width in zip(line, widths, strict=True)
        ).rstrip()
        for line in lines
    )


def columns(text: str) -> int:
    """How many columns a terminal needs for the text."""
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1
        for sign in text
    )


def cell_text(value: object, language: Language) -> str:
    """Return a value as a cell: one line, nothing that steers a terminal."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return say("yes" if value else "no", language)
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return printable(" ".join(str(value).split()))


def size_text(size_bytes: int) -> str:
    """Return a size as people read it: 1.5 GiB."""
    if size_bytes < 1024:
        return f"{size_bytes} B"
    power = min((size_bytes.bit_length() - 1) // 10, 5)
    return f"{size_bytes / 1024**power:.1f} {'KMGTP'[power - 1]}iB"


def _plain(value: object) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    if is_dataclass(value) and not isinstance(value, type) and not hasattr(value, "local_part"):
        return {name: getattr(value, name) for name in value.__dataclass_fields__}
    if isinstance(value, Path) or hasattr(value, "local_part"):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def _write(text: str) -> None:
    try:
        sys.stdout.write(text + "\n")
    except UnicodeEncodeError:  # a terminal without UTF-8
        sys.stdout.write(text.encode("ascii", "backslashreplace").decode() + "\n")
    sys.stdout.flush()
