"""Who opened and clicked (chapter 3 of the bulk-mail document), counted from the hits of people.

Hits of machines are kept in the same table and left out here; `Unfiltered` has all of them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

from postroad.campaigns.errors import NotFound
from postroad.campaigns.reports.figures import RunFigures
from postroad.campaigns.reports.spooling import spooled
from postroad.db.pool import Database

_RUN = """
SELECT r.id, r.shelf, r.email_base, coalesce(t.ident, '') AS ident, coalesce(t.id, 0) AS send_id,
       (SELECT min(d.id) FROM run_day d WHERE d.customer_id = r.customer_id AND d.run_id = r.id) AS task_id
FROM run r LEFT JOIN task t ON t.customer_id = r.customer_id AND t.id = r.task_id
WHERE r.customer_id = $1
"""
_TOTALS = """
SELECT count(DISTINCT number) FILTER (WHERE link_id IS NULL) AS open_unique,
       count(*) FILTER (WHERE link_id IS NULL) AS open_total,
       min(hit_at) FILTER (WHERE link_id IS NULL) AS open_first,
       max(hit_at) FILTER (WHERE link_id IS NULL) AS open_last,
       count(DISTINCT number) FILTER (WHERE link_id IS NOT NULL) AS click_unique,
       count(*) FILTER (WHERE link_id IS NOT NULL) AS click_total,
       min(hit_at) FILTER (WHERE link_id IS NOT NULL) AS click_first,
       max(hit_at) FILTER (WHERE link_id IS NOT NULL) AS click_last
FROM hit WHERE customer_id = $1 AND run_id = $2 AND kind = 0
"""
_UNFILTERED = """
SELECT count(DISTINCT number) FILTER (WHERE link_id IS NULL) AS open_unique,
       count(*) FILTER (WHERE link_id IS NULL) AS open_total,
       count(DISTINCT number) FILTER (WHERE link_id IS NOT NULL) AS click_unique,
       count(*) FILTER (WHERE link_id IS NOT NULL) AS click_total
FROM hit WHERE customer_id = $1 AND run_id = $2
"""
_LINKS = """
SELECT l.id, l.url, count(DISTINCT h.number) AS unique_count, count(h.id) AS total,
       min(h.hit_at) AS first_at, max(h.hit_at) AS last_at
FROM link l LEFT JOIN hit h ON h.customer_id = l.customer_id AND h.run_id = l.run_id AND h.link_id = l.id
                           AND h.kind = 0
WHERE l.customer_id = $1 AND l.run_id = $2 AND ($3::bigint IS NULL OR l.id = $3)
GROUP BY l.id, l.url ORDER BY l.id
"""
_OPENS = """
WITH opens AS (
    SELECT number, count(*) AS open_total, min(hit_at) AS open_first, max(hit_at) AS open_last,
           (array_agg(host(ip) ORDER BY hit_at, id))[1] AS ip_first,
           (array_agg(host(ip) ORDER BY hit_at DESC, id DESC))[1] AS ip_last,
           (array_agg(user_agent_id ORDER BY hit_at, id))[1] AS agent
    FROM hit WHERE customer_id = $1 AND run_id = $2 AND link_id IS NULL AND kind = 0 GROUP BY number
), clicks AS (
    SELECT number, count(*) AS click_total, min(hit_at) AS click_first, max(hit_at) AS click_last,
           array_agg(DISTINCT link_id) AS links
    FROM hit WHERE customer_id = $1 AND run_id = $2 AND link_id IS NOT NULL AND kind = 0 GROUP BY number
)
SELECT r.number, r.address, coalesce(a.browser, '') AS browser, coalesce(a.os, '') AS os,
       coalesce(a.device, '') AS device,
       coalesce(o.ip_first, '') AS ip_first, coalesce(o.ip_last, '') AS ip_last,
       o.open_total, o.open_first, o.open_last,
       coalesce(c.click_total, 0) AS click_total, c.click_first, c.click_last
FROM opens o
JOIN recipient r ON r.customer_id = $1 AND r.run_id = $2 AND r.shelf = $3 AND r.number = o.number
LEFT JOIN clicks c ON c.number = o.number
LEFT JOIN user_agent a ON a.id = o.agent
WHERE ($4::bigint IS NULL OR $4 = ANY(c.links)) AND ($5::integer IS NULL OR o.number = $5)
  AND (NOT $6::boolean OR c.number IS NOT NULL)
ORDER BY o.open_first, o.number
"""
_CLICKERS = _OPENS.replace("FROM opens o\nJOIN", "FROM clicks c\nJOIN").replace(
    "r.number = o.number\nLEFT JOIN clicks c ON c.number = o.number",
    "r.number = c.number\nLEFT JOIN opens o ON o.number = c.number",
)
_CLICKS = """
SELECT min(h.id) AS id, r.address, l.url, count(*) AS total,
       min(h.hit_at) AS first_at, max(h.hit_at) AS last_at
FROM hit h
JOIN link l ON l.customer_id = h.customer_id AND l.id = h.link_id
JOIN recipient r ON r.customer_id = h.customer_id AND r.run_id = h.run_id AND r.shelf = $3
                AND r.number = h.number
WHERE h.customer_id = $1 AND h.run_id = $2 AND h.kind = 0 AND h.link_id IS NOT NULL
  AND ($4::bigint IS NULL OR h.link_id = $4)
GROUP BY r.number, r.address, l.id, l.url ORDER BY first_at, id
"""


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """A run by its ids: `id` is the interface's track_id, `task_id` the first day's, 0 before one began."""

    id: int
    ident: str
    send_id: int
    task_id: int
    shelf: int | None
    email_base: int


@dataclass(frozen=True, slots=True)
class Span:
    """How often, by how many, and when first and last; `last` only when there was a second time."""

    unique: int
    total: int
    first: datetime | None
    last: datetime | None

    @classmethod
    def of(cls, unique: int, total: int, first: datetime | None, last: datetime | None) -> Span:
        """Leave out the last time when it is the first."""
        return cls(unique, total, first, last if total > 1 else None)


@dataclass(frozen=True, slots=True)
class LinkReport:
    """One link and its clicks."""

    id: int
    url: str
    clicks: Span


@dataclass(frozen=True, slots=True)
class Overview:
    """A run in numbers."""

    run: TrackedRun
    sent: int
    delivered: int
    failed: int
    opens: Span
    clicks: Span
    links: tuple[LinkReport, ...]


@dataclass(frozen=True, slots=True)
class Unfiltered:
    """All opens and clicks of a run, whoever made them: people, providers' proxies, programs that look."""

    open_unique: int
    open_total: int
    click_unique: int
    click_total: int


@dataclass(frozen=True, slots=True)
class Reader:
    """One recipient who opened."""

    email_id: int
    address: str
    browser: str
    os: str
    device: str
    ip_first: str
    ip_last: str
    opens: Span
    clicks: Span


@dataclass(frozen=True, slots=True)
class Click:
    """One recipient's clicks on one link."""

    id: int
    address: str
    url: str
    clicks: Span


class TrackingReports:
    """Reports on the readers of a run. What does not exist raises `NotFound`."""

    def __init__(self, database: Database, figures: RunFigures) -> None:
        self._database = database
        self._figures = figures

    async def run(
        self,
        customer_id: int,
        *,
        send_id: int | None = None,
        ident: str | None = None,
        track_id: int | None = None,
        task_id: int | None = None,
    ) -> TrackedRun:
        """Find a run by one of its ids; the ident goes before all others."""
        for condition, value in (
            ("t.ident = $2", ident),
            ("t.id = $2", send_id),
            ("r.id = $2", track_id),
            ("r.id = (SELECT run_id FROM run_day WHERE customer_id = $1 AND id = $2)", task_id),
        ):
            if value is None:
                continue
            row = await self._database.fetchrow(f"{_RUN} AND {condition}", customer_id, value)
            if row is None:
                break
            return TrackedRun(
                row["id"],
                row["ident"],
                row["send_id"],
                row["task_id"] or 0,
                row["shelf"],
                row["email_base"] or 0,
            )
        raise NotFound("run", ident or send_id or track_id or task_id or 0)

    async def check_email(self, customer_id: int, run: TrackedRun, email_id: int) -> None:
        """Raise `NotFound` unless the run has this recipient."""
        number = email_id - run.email_base
        if (
            run.shelf is None
            or not 0 < number < 2**31
            or not await self._database.fetchval(
                "SELECT number FROM recipient "
                "WHERE customer_id = $1 AND run_id = $2 AND shelf = $3 AND number = $4",
                customer_id,
                run.id,
                run.shelf,
                number,
            )
        ):
            raise NotFound("recipient", email_id)

    async def overview(self, customer_id: int, run: TrackedRun) -> Overview:
        """The run in numbers."""
        figures = (await self._figures.by_run(customer_id, [run.id]))[run.id]
        row = await self._database.fetchrow(_TOTALS, customer_id, run.id)
        assert row is not None
        return Overview(
            run,
            figures.sent,
            figures.delivered,
            figures.failed,
            Span.of(row["open_unique"], row["open_total"], row["open_first"], row["open_last"]),
            Span.of(row["click_unique"], row["click_total"], row["click_first"], row["click_last"]),
            tuple(await self.links(customer_id, run)),
        )

    async def unfiltered(self, customer_id: int, run: TrackedRun) -> Unfiltered:
        """Opens and clicks with those of machines."""
        row = await self._database.fetchrow(_UNFILTERED, customer_id, run.id)
        assert row is not None
        return Unfiltered(**row)

    async def links(self, customer_id: int, run: TrackedRun, link_id: int | None = None) -> list[LinkReport]:
        """The links of the run, or one of them."""
        rows = await self._database.fetch(_LINKS, customer_id, run.id, link_id)
        if link_id is not None and not rows:
            raise NotFound("link", link_id)
        return [
            LinkReport(
                row["id"],
                row["url"],
                Span.of(row["unique_count"], row["total"], row["first_at"], row["last_at"]),
            )
            for row in rows
        ]

    async def readers(
        self,
        customer_id: int,
        run: TrackedRun,
        *,
        link_id: int | None = None,
        email_id: int | None = None,
        only_clicked: bool = False,
    ) -> AsyncIterator[Reader]:
        """Who opened, by the first open. With a link or `only_clicked`: who clicked, opened or not."""
        if run.shelf is None:
            return
        number = None if email_id is None else email_id - run.email_base
        query = _CLICKERS if only_clicked or link_id is not None else _OPENS
        rows = spooled(
            self._database,
            query.replace("o.number = $5", "r.number = $5"),
            customer_id,
            run.id,
            run.shelf,
            link_id,
            number,
            only_clicked,
        )
        async for row in rows:
            opens, clicks = row["open_total"] or 0, row["click_total"]
            yield Reader(
                run.email_base + row["number"],
                row["address"],
                row["browser"],
                row["os"],
                row["device"],
                row["ip_first"],
                row["ip_last"] if opens > 1 else "",
                Span.of(1 if opens else 0, opens, row["open_first"], row["open_last"]),
                Span.of(1 if clicks else 0, clicks, row["click_first"], row["click_last"]),
            )

    async def clicks(
        self, customer_id: int, run: TrackedRun, link_id: int | None = None
    ) -> AsyncIterator[Click]:
        """A row a recipient and link, by the time of the first click."""
        if run.shelf is None:
            return
        async for row in spooled(self._database, _CLICKS, customer_id, run.id, run.shelf, link_id):
            yield Click(
                row["id"],
                row["address"],
                row["url"],
                Span.of(1, row["total"], row["first_at"], row["last_at"]),
            )
