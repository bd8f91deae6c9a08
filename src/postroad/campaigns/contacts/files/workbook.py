"""Workbooks (XLSX, ODS, XLS) as CSV on standard output, in a process of its own: `python -m … FILE`.

A workbook is a zip of XML that may unfold to anything: the process has a bound on memory and time, so a bomb
costs one import and nothing else. The first sheet that holds something is read.
"""

from __future__ import annotations

import csv
import resource
import sys
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

MAX_MEMORY = 1024 * 1024 * 1024  # a million rows of six cells need about 600 MB
MAX_SECONDS = 120
MAX_COLUMNS = 64
SIGNATURES = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # zip (XLSX, ODS), compound file (XLS)


def is_workbook(beginning: bytes) -> bool:
    """Whether a file that begins like this is a workbook."""
    return beginning.startswith(SIGNATURES)


def rows_of(path: Path) -> Iterator[list[str]]:
    """The rows of the first sheet with something in it."""
    from python_calamine import CalamineWorkbook

    workbook = CalamineWorkbook.from_path(str(path))
    for name in workbook.sheet_names:
        sheet = workbook.get_sheet_by_name(name)
        if sheet.height and sheet.width:
            for row in sheet.iter_rows():
                yield [cell_text(value) for value in row[:MAX_COLUMNS]]
            return


def cell_text(value: object) -> str:
    """A cell as a person sees it: whole numbers without `.0`, dates as dates."""
    if isinstance(value, datetime):
        return value.date().isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def main(arguments: list[str]) -> int:
    """Write the rows of a workbook as CSV; 1 when it cannot be read."""
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_SECONDS, MAX_SECONDS))
    writer = csv.writer(sys.stdout, lineterminator="\n")
    try:
        for row in rows_of(Path(arguments[0])):
            writer.writerow(row)
    except BrokenPipeError:
        return 1
    except BaseException as error:  # Rust's panics are no Exception
        print(f"{type(error).__name__}: {error}"[:300], file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8", errors="replace")  # type: ignore[union-attr]
    sys.exit(main(sys.argv[1:]))
