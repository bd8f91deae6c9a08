"""One worker: builds its parts, opens the doors, serves until told to stop, drains. All workers are the same.

Started by the supervisor (`python -m postroad.server.worker`), which hands it a `WorkerSpec`; ends with it.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import signal
import sys
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from functools import partial

import structlog
import uvloop

from postroad.db.migrate import read_migrations
from postroad.db.pool import DatabaseUnavailable
from postroad.db.tasks import TaskSupervisor
from postroad.listeners.access_metrics import AccessMetrics
from postroad.listeners.budget import ContentBudget
from postroad.listeners.limits import Connections
from postroad.listeners.tls import BadCertificate, ServerTls
from postroad.mailstore.errors import BlobsUnavailable
from postroad.server import logs
from postroad.server.access_doors import AccessDoors
from postroad.server.bodies import BoundedBodies
from postroad.server.certificate import CertificateFiles
from postroad.server.control_doors import ControlDoors, control_tls
from postroad.server.health import App, Check, Health, remembered
from postroad.server.jobs import keep_running
from postroad.server.metrics import Scrape, WorkerMetrics, queue_gauges, share_counters
from postroad.server.pages import open_pages, open_public
from postroad.server.parts import Parts, open_parts
from postroad.server.smtp_doors import SmtpDoors
from postroad.server.spec import READY, WorkerSpec
from postroad.server.watchdog import Watchdog
from postroad.server.web_door import WebServer, bind_web, web_server

STATE_SECONDS = 5.0  # how often memory and pool are written down
CERTIFICATE_SECONDS = 10.0  # how often the certificate's files are looked at
CHECK_SECONDS = 2.0  # a database or a blob store slower than this is not ready
BLOBS_SECONDS = 15.0  # how old the answer about the blob store may be: a bucket is asked for money
# Objects made between collections: nearly all garbage here goes by reference counts. With Python's 700,
# collecting took 8 % of a worker that accepts at full speed.
COLLECT_EVERY = 50_000
GRACE_SHARE = 0.8  # of `drain_seconds` for clients; the rest is for what stands behind them

log = structlog.get_logger("postroad.server.worker")


def main() -> int:
    """Run a worker; gives its exit code."""
    line = sys.stdin.buffer.readline()
    if not line:
        return 1
    spec = WorkerSpec.from_bytes(line)
    logs.configure(spec.settings.log, worker=spec.number)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the supervisor, which tells us in order
    if not _tie_to(spec.supervisor):
        return 0
    share_counters(spec.metrics_directory, spec.number)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            return runner.run(Worker(spec).run())
        except BadCertificate as error:  # replaced by a bad one since the server started
            log.error("worker_cannot_start", reason=str(error))
            return 1


def _tie_to(supervisor: int) -> bool:
    """Have the kernel send us SIGTERM when the supervisor dies; False when it is dead already."""
    if sys.platform == "linux":
        set_parent_death_signal = 1  # PR_SET_PDEATHSIG, prctl(2)
        ctypes.CDLL(None).prctl(set_parent_death_signal, int(signal.SIGTERM), 0, 0, 0)
    return os.getppid() == supervisor


class Worker:
    """The life of one worker."""

    def __init__(self, spec: WorkerSpec) -> None:
        self._spec = spec
        self._settings = spec.settings
        self._stop = asyncio.Event()
        self._is_open = False
        self._files = CertificateFiles(spec.certificate, spec.private_key)
        self._seen = self._files.changed_at()
        self._tls = ServerTls(spec.certificate, spec.private_key)
        self._web_tls = ServerTls(spec.certificate, spec.private_key)
        self._web_tls.context.set_alpn_protocols(["http/1.1"])
        self._control_tls = control_tls(self._settings, spec.certificate, spec.private_key)
        self._metrics = WorkerMetrics(spec.number)
        self._tasks = TaskSupervisor(self._metrics.task_died)
        self._schema = read_migrations()[-1].version

    async def run(self) -> int:
        """Serve until SIGTERM or the supervisor's end; gives the exit code."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload_certificate)
        loop.add_reader(sys.stdin.fileno(), self._hear_supervisor)
        async with AsyncExitStack() as stack:
            parts = await stack.enter_async_context(
                open_parts(
                    self._settings,
                    self._spec.dsn,
                    lambda: datetime.now(UTC),
                    self._metrics.attempted,
                    self._tasks,
                )
            )
            settings, registry = self._settings, self._metrics.registry
            # Whatever is set, the largest mail has room, and another one beside it.
            content = ContentBudget(max(settings.content_bytes, 2 * settings.smtp.max_size_bytes))
            smtp = SmtpDoors(settings, parts, self._tls, registry, content)
            access_metrics = AccessMetrics(registry)
            access = AccessDoors(settings, parts, self._tls, access_metrics, content)
            control = ControlDoors(settings, parts, self._control_tls, access_metrics)
            pages = open_pages(self._settings, parts)
            bodies = BoundedBodies(pages, content, ContentBudget(settings.web.max_uploads_bytes), loop.time)
            webs = self._web_servers(parts, bodies)
            async with asyncio.TaskGroup() as group:
                for server, door in webs:
                    group.create_task(server.serve(bind_web(self._spec.addresses[door])))
                await smtp.open(self._spec.addresses)
                await access.open(self._spec.addresses)
                await control.open(self._spec.addresses)
                keep = self._tasks.keep
                helpers = [
                    keep("indexer", parts.indexer.run),
                    keep("standing of sessions", parts.standing.run),
                    keep("websent", parts.oa_sql.outgoing.run),
                    keep("OA role", parts.oa_sql.watch.run),
                    keep("imports of contacts", parts.campaigns.imports.run),
                    keep("campaigns", parts.engine.watch.run),
                    keep("template checks", parts.campaigns.checks.run),
                    keep("notifications", parts.telling.run),
                    keep("returned mail", parts.campaigns.returns.run),
                    keep("jobs", partial(keep_running, parts.database, parts.jobs)),
                    keep("worker metrics", partial(self._keep_noting, parts)),
                    keep("watchdog", Watchdog(self._metrics).run),
                    keep("certificate", self._keep_certificate),
                ]
                for helper in helpers:
                    stack.push_async_callback(helper.stop)
                await asyncio.to_thread(pages.load)
                self._is_open = True
                gc.collect()
                gc.freeze()  # what was built so far stays: no collection need look at it again
                gc.set_threshold(COLLECT_EVERY, 20, 20)
                sys.stdout.buffer.write(READY)
                sys.stdout.buffer.flush()
                await self._stop.wait()
                self._is_open = False
                log.info("worker_draining")
                for helper in helpers:
                    helper.end()
                pages.stop()
                for server, _ in webs:
                    server.should_exit = True
                grace = self._settings.drain_seconds * GRACE_SHARE
                await asyncio.gather(smtp.drain(grace), access.drain(grace), control.drain(grace))
        log.info("worker_stopped")
        return 0

    def _web_servers(self, parts: Parts, pages: App) -> list[tuple[WebServer, str]]:
        scrape = Scrape(
            self._spec.metrics_directory,
            parts.database,
            [partial(queue_gauges, parts.transport.queued_mails)],
        )
        health: App = Health(
            pages,
            checks={
                "database": self._check_database(parts),
                "blobs": remembered(BLOBS_SECONDS, self._check_blobs(parts)),
                "doors": self._check_doors,
                "tasks": self._tasks.trouble,
            },
            scrape=scrape,
            count=self._metrics,
            metrics_networks=self._settings.web.metrics_networks,
        )
        app = open_public(self._settings, parts, health, self._metrics.answered)
        grace = self._settings.drain_seconds * GRACE_SHARE
        web = self._settings.web
        places = Connections(
            web.max_connections,
            web.max_connections_per_address,
            (*web.unlimited_networks, *web.trusted_proxies),
            replaces_own=True,
        )
        return [
            (web_server(app, grace, tls, places), door)
            for door, tls in {"http": None, "https": self._web_tls}.items()
            if door in self._spec.addresses
        ]

    # -- checks

    def _check_database(self, parts: Parts) -> Check:
        async def check() -> str | None:
            try:
                async with asyncio.timeout(CHECK_SECONDS):
                    version = await parts.database.fetchval("SELECT max(version) FROM schema_migration")
            except (DatabaseUnavailable, TimeoutError) as error:
                return str(error) or "no answer in time"
            return None if version == self._schema else f"schema {version}, wanted {self._schema}"

        return check

    def _check_blobs(self, parts: Parts) -> Check:
        async def check() -> str | None:
            try:
                async with asyncio.timeout(CHECK_SECONDS):
                    await parts.blobs.check()
            except (BlobsUnavailable, TimeoutError) as error:
                return str(error) or "no answer in time"
            return None

        return check

    async def _check_doors(self) -> str | None:
        return None if self._is_open else "draining" if self._stop.is_set() else "not open yet"

    # -- beside the work

    async def _keep_noting(self, parts: Parts) -> None:
        while True:
            self._metrics.note_state(parts.database.use())
            self._metrics.note_delivery(parts.transport.dispatcher.state)
            await asyncio.sleep(STATE_SECONDS)

    async def _keep_certificate(self) -> None:
        while True:
            await asyncio.sleep(CERTIFICATE_SECONDS)
            if self._files.changed_at() != self._seen:
                self._reload_certificate()

    def _reload_certificate(self) -> None:
        seen = self._files.changed_at()
        try:
            self._tls.reload()
            self._web_tls.reload()
            self._control_tls.reload()
            log.info("certificate_loaded", certificate=str(self._files.certificate))
        except BadCertificate as error:
            log.error("certificate_unusable", reason=str(error), advice="the one before stays in use")
        self._seen = seen

    def _hear_supervisor(self) -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
            self._stop.set()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
