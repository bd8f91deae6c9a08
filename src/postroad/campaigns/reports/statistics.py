"""Statistics of days and runs (chapter 2 of the bulk-mail document), from the figures of recipients."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from datetime import date

from postroad.campaigns.errors import NotFound
from postroad.campaigns.reports.figures import INVALID, MALFORMED, Figures, RunFigures
from postroad.campaigns.reports.spooling import spooled
from postroad.db.pool import Database

_RUNS_OF_DAYS = """
SELECT d.id, d.run_id, d.day, r.kind, coalesce(t.ident, '') AS ident FROM run_day d
JOIN run r ON r.customer_id = d.customer_id AND r.id = d.run_id
LEFT JOIN task t ON t.customer_id = r.customer_id AND t.id = r.task_id
WHERE d.customer_id = $1
"""
_PLANNED = """
SELECT r.id, t.selected FROM task t JOIN run r ON r.customer_id = t.customer_id AND r.task_id = t.id
WHERE t.customer_id = $1 AND t.state <> -3 AND (t.deleted_at IS NULL OR r.expanded_at IS NOT NULL)
  AND t.send_at >= $2::date::timestamp AT TIME ZONE $3
  AND t.send_at < ($2::date + 1)::timestamp AT TIME ZONE $3
"""
_FAILED = """
SELECT r.address, r.failure, d.id AS run_day_id FROM run_day d
JOIN run n ON n.customer_id = d.customer_id AND n.id = d.run_id
JOIN recipient r ON r.customer_id = d.customer_id AND r.run_id = d.run_id AND r.shelf = n.shelf
                AND r.day = d.day AND r.state = 3 AND r.failure = ANY($4::smallint[])
LEFT JOIN task t ON t.customer_id = n.customer_id AND t.id = n.task_id
WHERE d.customer_id = $1 AND d.day BETWEEN $2 AND $3
  AND ($5::bigint IS NULL OR d.id = $5) AND ($6::text IS NULL OR t.ident = $6)
  AND r.shelf = ANY(ARRAY(SELECT DISTINCT n2.shelf FROM run_day d2
      JOIN run n2 ON n2.customer_id = d2.customer_id AND n2.id = d2.run_id
      WHERE d2.customer_id = $1 AND d2.day BETWEEN $2 AND $3))
ORDER BY r.changed_at, r.run_id, r.number
"""


@dataclass(frozen=True, slots=True)
class RunDay:
    """A run on one day: `id` is the interface's task_id. `kind` is web or smtp."""

    id: int
    run_id: int
    day: date
    kind: str
    ident: str
    figures: Figures


@dataclass(frozen=True, slots=True)
class DayOverview:
    """A day: what was planned for it, and what was sent on it."""

    planned: int
    planned_figures: Figures
    sent: Figures


@dataclass(frozen=True, slots=True)
class Failed:
    """An address that nothing was delivered to; `failure` as in part C.1 of our page."""

    address: str
    failure: int
    run_day_id: int


class Statistics:
    """Counts for reports."""

    def __init__(self, database: Database, figures: RunFigures, zone: str) -> None:
        self._database = database
        self._figures = figures
        self._zone = zone

    async def run_days(
        self,
        customer_id: int,
        *,
        day: date | None = None,
        ident: str | None = None,
        task_id: int | None = None,
        kind: str | None = None,
    ) -> list[RunDay]:
        """The days of runs, by id. Raises `NotFound` for an ident or a task that does not exist."""
        conditions, values = "", list[object]([customer_id])
        if ident is not None or task_id is not None:
            values.append(await self.run_of(customer_id, task_id=task_id, ident=ident))
            conditions += f" AND d.run_id = ${len(values)}"
        if day is not None:
            values.append(day)
            conditions += f" AND d.day = ${len(values)}"
        if kind is not None:
            values.append(kind)
            conditions += f" AND r.kind = ${len(values)}"
        rows = await self._database.fetch(f"{_RUNS_OF_DAYS}{conditions} ORDER BY d.id", *values)
        figures = await self._figures.by_day(customer_id, list({row["run_id"] for row in rows}))
        return [RunDay(**row, figures=figures.get((row["run_id"], row["day"]), Figures())) for row in rows]

    async def day(self, customer_id: int, day: date) -> DayOverview:
        """What was planned for a day by tasks, and what was sent on it."""
        rows = await self._database.fetch(_PLANNED, customer_id, day, self._zone)
        planned = Figures()
        for figures in (await self._figures.by_run(customer_id, [row["id"] for row in rows])).values():
            _add(planned, figures)
        sent = Figures()
        for run in await self.run_days(customer_id, day=day, kind="web"):
            _add(sent, run.figures)
        return DayOverview(sum(row["selected"] for row in rows), planned, sent)

    async def failed(
        self,
        customer_id: int,
        first: date,
        last: date,
        failures: Collection[int],
        *,
        run_day_id: int | None = None,
        ident: str | None = None,
    ) -> AsyncIterator[Failed]:
        """Addresses that failed on these days, by the time of the failure, once for each failure."""
        rows = spooled(self._database, _FAILED, customer_id, first, last, list(failures), run_day_id, ident)
        async for row in rows:
            yield Failed(**row)

    async def check_run_day(self, customer_id: int, run_day_id: int) -> None:
        """Raise `NotFound` for the day of a run that does not exist."""
        if not await self._database.fetchval(
            "SELECT id FROM run_day WHERE customer_id = $1 AND id = $2", customer_id, run_day_id
        ):
            raise NotFound("task", run_day_id)

    async def run_of(self, customer_id: int, *, task_id: int | None = None, ident: str | None = None) -> int:
        """The run of a task, by its ident or else its id, also of one that was removed. Raises `NotFound`."""
        condition, value = ("t.id = $2", task_id) if ident is None else ("t.ident = $2", ident)
        found = await self._database.fetchval(
            "SELECT r.id FROM task t JOIN run r ON r.customer_id = t.customer_id AND r.task_id = t.id "
            f"WHERE t.customer_id = $1 AND {condition}",
            customer_id,
            value,
        )
        if found is None:
            raise NotFound("task", ident if ident is not None else task_id or 0)
        return int(found)


def planned_invalid(overview: DayOverview) -> tuple[int, int]:
    """How many of the planned were invalid, and how many malformed."""
    failures = overview.planned_figures.failures
    return failures.get(INVALID, 0), failures.get(MALFORMED, 0)


def _add(total: Figures, figures: Figures) -> None:
    total.delivered += figures.delivered
    total.waiting += figures.waiting
    total.cancelled += figures.cancelled
    for failure, count in figures.failures.items():
        total.failures[failure] = total.failures.get(failure, 0) + count
