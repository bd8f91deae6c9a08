"""The supervisor: holds the ports, keeps PostgreSQL and N identical workers alive, and ends them in order.

It does no mail itself and holds no state, so it can be killed at any moment: workers end with it, and the
next one finds everything in the database.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import asyncpg
import msgspec
import structlog

from postroad.bridges.oa.publishing import Place, place_of_dsn, place_of_embedded, publish
from postroad.bridges.oa.watch import nobody_in_the_way
from postroad.config import Settings
from postroad.db.binaries import ClusterFailed
from postroad.db.cluster import DATABASE, Cluster
from postroad.db.migrate import MigrationFailed, SchemaChanged, SchemaTooNew, migrate
from postroad.db.pool import DatabaseUnavailable
from postroad.db.pooler import PoolerInTheWay
from postroad.db.sql_door import sql_door
from postroad.db.tasks import TaskSupervisor
from postroad.listeners.sockets import BadListenAddress
from postroad.listeners.tls import BadCertificate, ServerTls
from postroad.server import logs
from postroad.server.certificate import CertificateFiles, certificate_files
from postroad.server.doors import Doors, PortTaken
from postroad.server.spec import READY, WorkerSpec

FIRST_DELAY = 0.2  # seconds before a worker that died is started again; doubled each time
LAST_DELAY = 10.0
STEADY_SECONDS = 30.0  # a worker that lived so long was well: its next death starts with the first delay
WATCH_SECONDS = 0.25  # how often PostgreSQL's postmaster is looked at
CERTIFICATE_SECONDS = 6 * 3600.0  # how often the self-signed certificate's end is looked at
KILL_AFTER_SECONDS = 3.0  # on top of `drain_seconds`

log = structlog.get_logger("postroad.server.supervisor")


class DatabaseRefuses(Exception):
    """The settings' database does not let us in; the message says what it said."""


class AlreadyRunning(Exception):
    """Another server runs on this data directory."""


def serve(settings: Settings) -> int:
    """Run the server until it is told to stop (SIGTERM, SIGINT); gives the exit code.

    SIGHUP reads the certificate again. What keeps the server from starting is logged as one event that says
    what to do.
    """
    logs.configure(settings.log, process="supervisor")
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        with _only_one(settings.data_dir) as state:
            return asyncio.run(Supervisor(settings, state).run())
    except (
        AlreadyRunning,
        DatabaseRefuses,
        BadCertificate,
        BadListenAddress,
        PortTaken,
        ClusterFailed,
        SchemaTooNew,
        SchemaChanged,
        MigrationFailed,
        PoolerInTheWay,
        OSError,
    ) as error:
        log.error("server_cannot_start", reason=str(error), kind=type(error).__name__)
        return 1


@contextmanager
def _only_one(data_dir: Path) -> Iterator[Path]:
    """Hold the data directory for one server; yields the file where it says who and where it is."""
    with (data_dir / "server.lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(f"another server runs on {data_dir}; stop it first") from None
        state = data_dir / "server.json"
        try:
            yield state
        finally:
            state.unlink(missing_ok=True)


class Supervisor:
    """One running server."""

    def __init__(self, settings: Settings, state_file: Path) -> None:
        """`state_file` gets the process id and the real addresses, for commands and tests."""
        self._settings = settings
        self._state_file = state_file
        self._cluster = (
            Cluster(settings.data_dir, door=sql_door(settings)) if settings.database == "embedded" else None
        )
        self._stop = asyncio.Event()
        self._ready: set[int] = set()
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._began = time.monotonic()

    async def run(self) -> int:
        """Start everything, wait for the order to stop, end everything; gives the exit code."""
        loop = asyncio.get_running_loop()
        for order in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(order, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        doors = Doors(self._settings.listen)
        try:
            files = certificate_files(self._settings, datetime.now(UTC))
            ServerTls(files.certificate, files.private_key)  # better said once here than by every worker
            await self._serve(doors, files)
        finally:
            doors.close()
            if self._cluster is not None:
                await asyncio.to_thread(self._cluster.leave)
        log.info("server_stopped")
        return 0

    async def _serve(self, doors: Doors, files: CertificateFiles) -> None:
        metrics_directory = self._settings.data_dir / "metrics"
        shutil.rmtree(metrics_directory, ignore_errors=True)  # counters begin with the server
        metrics_directory.mkdir(mode=0o700)
        dsn = asyncio.create_task(self._start_database(doors))

        async def spec(number: int) -> WorkerSpec:
            await asyncio.wait([dsn])
            if dsn.cancelled() or dsn.exception() is not None:
                await asyncio.Future()  # the whole server is about to end because of it
            return WorkerSpec(
                number=number,
                supervisor=os.getpid(),
                settings=self._settings,
                dsn=dsn.result(),
                addresses=doors.addresses,
                certificate=files.certificate,
                private_key=files.private_key,
                metrics_directory=metrics_directory,
            )

        # Workers load their code while PostgreSQL starts, and wait for their spec.
        keep = TaskSupervisor().keep
        kept = [
            keep(f"worker {number}", partial(self._keep_worker, number, metrics_directory, spec))
            for number in range(self._settings.workers)
        ]
        kept.append(keep("certificate", self._keep_certificate))
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait([stopping, dsn], return_when=asyncio.FIRST_COMPLETED)
            if not self._stop.is_set() and dsn.exception() is None:
                kept.append(keep("cluster", self._keep_cluster))
                await stopping
        finally:
            log.info("server_stopping", drain_seconds=self._settings.drain_seconds)
            stopping.cancel()
            dsn.cancel()
            for each in kept:
                each.end()
            result, *_ = await asyncio.gather(dsn, *(each.stop() for each in kept), return_exceptions=True)
            await self._end_workers()
        if isinstance(result, Exception):
            raise result

    # -- the database

    async def _start_database(self, doors: Doors) -> str:
        """Start the embedded cluster, if it is that, and bring the schema up to date; gives the DSN."""
        dsn = self._settings.database
        if self._cluster is not None:
            dsn = await _to_its_end(self._cluster.ensure_running)
        delay = FIRST_DELAY
        while True:
            try:
                async with nobody_in_the_way(dsn, self._settings.oa.sql_role):
                    if applied := await migrate(dsn):
                        log.info("schema_migrated", versions=applied)
                break
            except DatabaseUnavailable as error:
                # A database of one's own may come up after us; nothing can be served before it has.
                log.warning("database_unavailable", reason=str(error), retry_seconds=delay)
                await asyncio.sleep(delay)
                delay = min(delay * 2, LAST_DELAY)
            except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                # It answers, and will answer the same again: a wrong name, password or option.
                raise DatabaseRefuses(
                    f"the database refuses: {error}; mend `database` in the settings"
                ) from error
        await publish(self._settings, dsn, self._place(dsn))
        self._state_file.write_bytes(
            msgspec.json.encode({"process_id": os.getpid(), "addresses": doors.addresses})
        )
        return dsn

    def _place(self, dsn: str) -> Place:
        """Where OA systems find the database."""
        if self._cluster is None:
            return place_of_dsn(dsn)
        return place_of_embedded(self._settings, self._cluster.socket_directory, self._cluster.port, DATABASE)

    async def _keep_cluster(self) -> None:
        cluster = self._cluster
        delay = FIRST_DELAY
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if cluster is None or cluster.postmaster() is not None:
                continue
            log.error("database_died")
            try:
                await _to_its_end(cluster.ensure_running)
                delay = FIRST_DELAY
            except (ClusterFailed, OSError, subprocess.SubprocessError) as error:
                log.error("database_cannot_start", reason=str(error), retry_seconds=delay)
                await asyncio.sleep(delay)
                delay = min(delay * 2, LAST_DELAY)

    # -- workers

    async def _keep_worker(
        self, number: int, metrics_directory: Path, spec: Callable[[int], Awaitable[WorkerSpec]]
    ) -> None:
        delay = FIRST_DELAY
        while True:
            began = time.monotonic()
            code: int | str
            try:
                process = await self._start_worker(number, metrics_directory)
                await self._tell(process, await spec(number))
                await self._hear(number, process)
                code = await process.wait()
            except OSError as error:  # no memory, no more processes
                code = str(error)
            finally:
                self._ready.discard(number)
            lived = time.monotonic() - began
            delay = FIRST_DELAY if lived > STEADY_SECONDS else min(delay * 2, LAST_DELAY)
            log.error("worker_died", worker=number, code=code, lived_seconds=round(lived, 1), delay=delay)
            await asyncio.sleep(delay)

    async def _start_worker(self, number: int, metrics_directory: Path) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "postroad.server.worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={
                **os.environ,
                "PROMETHEUS_MULTIPROC_DIR": str(metrics_directory),
                # Threads (signing, hashing passwords) would otherwise grow an arena of 64 MB each.
                "MALLOC_ARENA_MAX": "2",
            },
        )
        self._processes[number] = process
        return process

    async def _tell(self, process: asyncio.subprocess.Process, spec: WorkerSpec) -> None:
        assert process.stdin is not None
        with suppress(ConnectionError):  # it died at once; waiting for it tells
            process.stdin.write(spec.to_bytes())
            await process.stdin.drain()

    async def _hear(self, number: int, process: asyncio.subprocess.Process) -> None:
        """Listen to what a worker says until it ends."""
        assert process.stdout is not None
        while said := await process.stdout.read(4096):
            if READY in said:
                self._ready.add(number)
                if len(self._ready) == self._settings.workers:
                    log.info(
                        "server_ready",
                        workers=self._settings.workers,
                        seconds=round(time.monotonic() - self._began, 3),
                    )

    async def _end_workers(self) -> None:
        living = [process for process in self._processes.values() if process.returncode is None]
        for process in living:
            with suppress(ProcessLookupError):
                process.terminate()
        waiting = [asyncio.create_task(process.wait()) for process in living]
        if not waiting:
            return
        _, late = await asyncio.wait(waiting, timeout=self._settings.drain_seconds + KILL_AFTER_SECONDS)
        if late:
            log.warning("workers_killed", count=len(late))
            for process in living:
                if process.returncode is None:
                    with suppress(ProcessLookupError):
                        process.kill()
            await asyncio.wait(late)

    # -- the certificate

    async def _keep_certificate(self) -> None:
        """Renew the self-signed certificate in time; workers notice the new file by themselves."""
        while True:
            await asyncio.sleep(CERTIFICATE_SECONDS)
            try:
                certificate_files(self._settings, datetime.now(UTC))
                if self._cluster is not None:
                    await asyncio.to_thread(self._cluster.renew_certificate)
            except OSError as error:
                log.error("certificate_not_renewed", reason=str(error))

    def _reload(self) -> None:
        for process in self._processes.values():
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.send_signal(signal.SIGHUP)


async def _to_its_end(start: Callable[[], str]) -> str:
    """Run `start` in a thread; cancelled, wait for it all the same: what it starts must be stopped again."""
    running = asyncio.ensure_future(asyncio.to_thread(start))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise
