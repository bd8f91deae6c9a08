"""What a worker counts, and what a scrape answers: the sum over all workers, whichever of them it hits.

Workers keep their counters in files that they share (prometheus_client's multi-process mode), one set a
worker number; a worker that is started again goes on counting where the last one ended.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector

from postroad.db.pool import Database, DatabaseUnavailable, PoolUse
from postroad.transport.delivery.dispatcher import DeliveryState
from postroad.transport.delivery.source import Attempted, Taken
from postroad.transport.queue.queued_mails import QueuedMails

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
UP_SECONDS = 1.0  # whether the database answers is asked at most so often
GAUGES_SECONDS = 30.0  # and figures so often: counting a queue of a million takes half a second

log = structlog.get_logger("postroad.server.metrics")


def share_counters(directory: Path, number: int) -> None:
    """Keep the metrics made from now on in `directory`, under the worker's number. Call before making any."""
    # What the last worker of this number had open or in use went with it; what it counted did not.
    for stale in directory.glob(f"gauge_*_{number}.db"):
        stale.unlink(missing_ok=True)
    values.ValueClass = values.MultiProcessValue(process_identifier=lambda: number)  # type: ignore[no-untyped-call]


METHODS = ("GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS")  # that are counted apart


class WorkerMetrics:
    """The worker's own state and its web requests; other rooms count into the same `registry`."""

    def __init__(self, number: int) -> None:
        self.registry = CollectorRegistry()
        worker = str(number)
        self._memory = Gauge(
            "postroad_worker_memory_bytes",
            "Resident memory of a worker",
            ("worker",),
            registry=self.registry,
            multiprocess_mode="mostrecent",
        ).labels(worker)
        pool = Gauge(
            "postroad_database_connections",
            "Connections of a worker's pool",
            ("worker", "state"),
            registry=self.registry,
            multiprocess_mode="mostrecent",
        )
        self._open, self._idle, self._limit = (
            pool.labels(worker, state) for state in ("open", "idle", "limit")
        )
        started = Gauge(
            "postroad_worker_started_seconds",
            "When a worker started, in seconds since 1970",
            ("worker",),
            registry=self.registry,
            multiprocess_mode="mostrecent",
        )
        started.labels(worker).set_to_current_time()
        in_flight = Gauge(
            "postroad_delivery",
            "What a worker delivers: recipients, connections, longest wait for an attempt",
            ("worker", "what"),
            registry=self.registry,
            multiprocess_mode="mostrecent",
        )
        self._in_flight, self._connections, self._oldest_wait = (
            in_flight.labels(worker, what) for what in ("recipients", "connections", "oldest_wait_seconds")
        )
        self._waited_too_long = Counter(
            "postroad_delivery_waited_too_long",
            "Mails a worker gave back because it had begun no attempt in time",
            registry=self.registry,
        )
        self._told_waited = 0
        deliveries = Counter(
            "postroad_deliveries",
            "Attempts to deliver to other hosts, by recipient and outcome",
            ("outcome",),
            registry=self.registry,
        )
        self._delivered, self._deferred, self._refused = (
            deliveries.labels(outcome) for outcome in ("delivered", "deferred", "refused")
        )
        self._task_deaths = Counter(
            "postroad_task_deaths",
            "Long-lived tasks that died and were started again, by task",
            ("task",),
            registry=self.registry,
        )
        self._requests = Counter(
            "postroad_http_requests",
            "Answered web requests, by method and class of status",
            ("method", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "postroad_http_request_seconds",
            "How long web requests took",
            registry=self.registry,
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
        )
        self._lag = Histogram(
            "postroad_loop_lag_seconds",
            "How late the loop came to what was due, looked at twenty times a second",
            registry=self.registry,
            buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
        )
        self._counters: dict[tuple[str, int], Counter] = {}
        self._holds = Counter(
            "postroad_loop_holds",
            "Times the loop stood still for more than 0.1 seconds",
            registry=self.registry,
        )

    def lagged(self, seconds: float, *, is_held: bool) -> None:
        """Count a beat of the loop that came so late (`watchdog.py`)."""
        self._lag.observe(seconds)
        if is_held:
            self._holds.inc()

    def attempted(self, attempted: Attempted[Any, Any]) -> None:
        """Count an attempt to deliver, by recipient."""
        for _, result in attempted.results:
            if isinstance(result, Taken) or result.code < 300:  # known without an attempt
                self._delivered.inc()
            elif result.is_permanent:
                self._refused.inc()
            else:
                self._deferred.inc()

    def task_died(self, name: str) -> None:
        """Count a long-lived task that died and is started again."""
        self._task_deaths.labels(name).inc()

    def note_state(self, use: PoolUse) -> None:
        """Write down memory and pool; called every few seconds."""
        self._memory.set(resident_bytes())
        self._open.set(use.open)
        self._idle.set(use.idle)
        self._limit.set(use.limit)

    def note_delivery(self, state: DeliveryState) -> None:
        """Write down what is in flight; called every few seconds."""
        self._in_flight.set(state.recipients)
        self._connections.set(state.connections)
        self._oldest_wait.set(state.oldest_wait_seconds)
        self._waited_too_long.inc(state.waited_too_long - self._told_waited)
        self._told_waited = state.waited_too_long

    def answered(self, method: str, status: int, seconds: float) -> None:
        """Count a web request."""
        counter = self._counters.get((method, status))
        if counter is None:  # labels are looked up under a lock, which takes longer than counting
            known = method if method in METHODS else "other"
            counter = self._requests.labels(known, f"{status // 100}xx")
            if method in METHODS and 100 <= status < 600:
                self._counters[method, status] = counter
        counter.inc()
        self._seconds.observe(seconds)


def resident_bytes() -> int:
    """This process's resident memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def queue_gauges(mails: QueuedMails) -> Mapping[str, float]:
    """The queue's figures. Raises `DatabaseUnavailable`."""
    stats = await mails.stats()
    return {
        "postroad_queue_recipients": stats.recipients,
        "postroad_queue_recipients_due": stats.due,
        "postroad_queue_recipients_held": stats.held,
        "postroad_queue_recipients_being_tried": stats.being_tried,
        "postroad_queue_mails": stats.mails,
        "postroad_queue_bytes": stats.size_bytes,
    }


Gauges = Callable[[], Awaitable[Mapping[str, float]]]


class Scrape:
    """Answers `/metrics`."""

    def __init__(self, directory: Path, database: Database, gauges: Iterable[Gauges] = ()) -> None:
        """`directory` holds all workers' counters. Each of `gauges` asks the database for figures by name."""
        self._directory = directory
        self._database = database
        self._gauges = tuple(gauges)
        self._up = (float("-inf"), False)
        self._figures: tuple[float, dict[str, float]] = (float("-inf"), {})

    async def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        metrics = [await self._ask_up(), *(_gauge(*item) for item in (await self._ask_figures()).items())]
        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=str(self._directory))  # type: ignore[no-untyped-call]
        registry.register(_Fixed(metrics))
        return generate_latest(registry)

    async def _ask_up(self) -> Metric:
        now = time.monotonic()
        if now - self._up[0] > UP_SECONDS:
            try:
                await self._database.fetchval("SELECT 1")
                self._up = (now, True)
            except DatabaseUnavailable:
                self._up = (now, False)
        return _gauge("postroad_database_up", self._up[1], "Whether PostgreSQL answers")

    async def _ask_figures(self) -> Mapping[str, float]:
        now = time.monotonic()
        if self._up[1] and now - self._figures[0] > GAUGES_SECONDS:
            figures: dict[str, float] = {}
            with suppress(DatabaseUnavailable):  # old figures are not told as if they were new
                for gauges in self._gauges:
                    figures.update(await gauges())
            self._figures = (now, figures)
        return self._figures[1] if self._up[1] else {}


def _gauge(name: str, value: float, text: str = "") -> Metric:
    metric = GaugeMetricFamily(name, text or name.removeprefix("postroad_").replace("_", " "))
    metric.add_metric([], value)
    return metric


class _Fixed:
    """A collector of metrics that are known already."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics
