"""The table of the crash points, printed at the end of a run: what was tried on each road, and what fell.

Rows travel as properties of test reports, which pytest-xdist brings from its workers.
"""

from __future__ import annotations

import pytest

PROPERTY = "crash points"
_HEAD = ("road", "fault", "crash points", "tried", "faults injected", "failures")


def print_table(reporter: pytest.TerminalReporter) -> None:
    """Print what the reports of this run tell; nothing when no road was walked."""
    rows = [
        [str(cell) for cell in value]
        for reports in reporter.stats.values()
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == PROPERTY and getattr(report, "when", "") == "call"
    ]
    if not rows:
        return
    rows.sort()
    totals = [str(sum(int(row[place]) for row in rows)) for place in range(2, len(_HEAD))]
    table = [list(_HEAD), *rows, ["all", "", *totals]]
    widths = [max(len(row[place]) for row in table) for place in range(len(_HEAD))]
    reporter.section("crash points")
    for row in table:
        cells = (
            cell.rjust(width) if place > 1 else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        reporter.write_line("  ".join(cells).rstrip())
