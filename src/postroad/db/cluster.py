"""The embedded PostgreSQL: made on first use, started by whoever comes first, stopped by whoever leaves last.

Several processes (supervisor, commands) share one cluster through locks on files in the data directory; the
kernel drops them when their holder dies, so nothing is ever left locked. Ready means that a query succeeded.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import signal
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TypeVar
from urllib.parse import quote

import asyncpg
import structlog

from postroad.db.binaries import (
    SHARED_ROOT,
    ClusterFailed,
    RunAs,
    account_for,
    find_binaries,
    quiet_environment,
    reachable_binaries,
    version_of,
)
from postroad.db.cluster_settings import ROLE, pg_hba, pg_ident, postgresql_conf
from postroad.db.making import failure, make
from postroad.db.pool import CONNECTION_ERRORS
from postroad.db.processes import POLL_SECONDS, memory_bytes, processes_of, wait_until
from postroad.db.sql_door import SqlDoor

DATABASE = "postroad"
LONGEST_SOCKET_PATH = 107  # sockaddr_un.sun_path is 108 bytes with its final zero (unix(7))
START_SECONDS = 300.0  # replaying max_wal_size of log on a slow disk
STOP_SECONDS = 60.0
ORPHAN_SECONDS = 1.0  # backends notice a dead postmaster at once unless they are deep in a query
KILL_SECONDS = 10.0  # even SIGKILL waits for a disk that does not answer
# Of one of its processes: past it a statement fails, where the kernel would end the largest. PostgreSQL
# makes nothing larger than 1 GB (MaxAllocSize), and nothing of ours comes near.
SESSION_BYTES = 1536 * 1024 * 1024

Result = TypeVar("Result")

log = structlog.get_logger("postroad.db.cluster")


class Cluster:
    """The embedded cluster of one data directory, shared with every other process that uses the directory."""

    def __init__(
        self,
        data_dir: Path,
        *,
        door: SqlDoor | None = None,
        durable: bool = True,
        shared_root: Path = SHARED_ROOT,
        binaries: Path | None = None,
    ) -> None:
        """`binaries` are the programs to use, by default those found here. `durable=False` gives up safety
        against power cuts (tests only).

        `door` is where OA systems come in; a cluster that runs with another one is started again if nobody
        else uses it.

        `shared_root` is where root keeps what the cluster's account could not reach in `data_dir`.
        """
        self.data_dir = data_dir.absolute()
        self.home = self.data_dir / "postgres"
        self._door = SqlDoor() if door is None else door
        self._durable = durable
        self._shared_root = shared_root
        self._users: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._binaries = binaries

    # -- for everyone

    def ensure_running(self) -> str:
        """Count us among the users, start the cluster unless it runs, give its DSN once a query succeeded.

        Blocks for a second or so. May be called again, after the cluster died for example. Raises
        `ClusterFailed` or its `ClusterDiskFull`.
        """
        try:
            self._prepare_data_dir()
            self._join()
            if self._answers() and self._has_door():
                return self.dsn
            with self._lock("cluster.lock"):
                if self._answers() and not self._has_door():
                    self._close_other_door()
                if not self._answers():
                    self._start()
                return self.dsn
        except OSError as error:
            raise failure(
                f"the embedded database in {self.data_dir} cannot be started: {error}", str(error)
            ) from error

    @property
    def dsn(self) -> str:
        """The address of the database for asyncpg and PostgreSQL's own programs."""
        directory = quote(str(self._socket_directory()), safe="")
        return f"postgresql://{ROLE}@/{DATABASE}?host={directory}&port={self.port}"

    @property
    def port(self) -> int:
        """The running cluster's port, which names its socket file; the one it would get, when none runs."""
        with suppress(OSError, IndexError, ValueError):
            return int((self.home / "postmaster.pid").read_text().splitlines()[3])
        return self._door.port

    @property
    def socket_directory(self) -> Path:
        """Where its socket is."""
        return self._socket_directory()

    @property
    def binaries(self) -> Path:
        """The directory of PostgreSQL's programs (`pg_dump`, `pg_restore`)."""
        if self._binaries is None:
            self._binaries = find_binaries()
        return self._binaries

    def postmaster(self) -> int | None:
        """The process id of the running postmaster, or None. Cheap enough to ask several times a second."""
        if self._process is not None and self._process.poll() is not None:
            self._process = None  # reaped; otherwise a zombie would look alive
        try:
            process_id = int((self.home / "postmaster.pid").read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return None
        return process_id if process_id in processes_of(self.home.resolve(), process_id) else None

    def leave(self) -> bool:
        """Stop using the cluster; the last user stops it. True when it was stopped."""
        if self._users is None:
            return False
        with self._lock("cluster.lock"):
            users, self._users = self._users, None
            with users:
                try:
                    fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return False
                self.stop()
                return True

    def stop(self) -> None:
        """Stop the cluster whoever else uses it: clients are disconnected, everything is flushed."""
        process_id = self.postmaster()
        if process_id is None:
            return
        for order, patience in (
            (signal.SIGINT, STOP_SECONDS),
            (signal.SIGQUIT, 10.0),
            (signal.SIGKILL, KILL_SECONDS),
        ):
            with suppress(ProcessLookupError):
                os.kill(
                    process_id, order
                )  # SIGINT: fast shutdown; SIGQUIT: immediate, recovers at next start
            if wait_until(lambda: self.postmaster() is None, patience):
                log.info("database_stopped", process_id=process_id)
                return
        raise ClusterFailed(f"PostgreSQL (process {process_id}) does not end")

    # -- using it together

    def _prepare_data_dir(self) -> None:
        if not self.data_dir.is_dir():
            self.data_dir.mkdir(parents=True)
            # The cluster's account must pass through; every secret inside has a closed directory of its own.
            self.data_dir.chmod(0o711)

    def _join(self) -> None:
        if self._users is None:
            users = self._open("cluster.users")
            fcntl.flock(users, fcntl.LOCK_SH)
            self._users = users

    def _open(self, name: str) -> IO[bytes]:
        path = self.data_dir / name
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if os.geteuid() == 0:  # a command run by root must not lock out the owner
            owner = self.data_dir.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        return os.fdopen(descriptor, "r+b")

    @contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        with self._open(name) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _answers(self) -> bool:
        if not (self._socket_directory() / f".s.PGSQL.{self.port}").exists():
            return False
        try:
            _in_thread(lambda: asyncio.run(_execute(self.dsn, "SELECT 1")))
        except CONNECTION_ERRORS:
            return False
        return True

    def _has_door(self) -> bool:
        try:
            return self._door.mark in (self.home / "pg_hba.conf").read_text(encoding="utf-8")
        except OSError:
            return True  # not ours to read, so not ours to change

    def _close_other_door(self) -> None:
        """Stop a cluster that runs with another door, unless somebody else uses it."""
        assert self._users is not None
        try:
            fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.warning("database_door_unchanged", reason="another process uses the database")
            return
        finally:
            fcntl.flock(self._users, fcntl.LOCK_SH)
        self.stop()

    # -- starting it

    def _start(self) -> None:
        began = time.monotonic()
        binaries = self.binaries
        existing = self.home.resolve() if (self.home / "PG_VERSION").is_file() else None
        account = account_for(existing)
        binaries = reachable_binaries(binaries, account, self._shared_root)
        if existing is None:
            make(self.data_dir, self.home, binaries, account, self._shared_root, durable=self._durable)
        home = self.home.resolve()
        made_by = (home / "PG_VERSION").read_text().strip()
        version = version_of(binaries) or "unknown"
        if made_by != version.split(".")[0]:
            raise ClusterFailed(
                f"{home} was made by PostgreSQL {made_by}, here is {version}: `postroad database upgrade` "
                f"carries it over; it needs the programs of PostgreSQL {made_by} once more (the package "
                f"postgresql-{made_by}, or --old-binaries)"
            )
        if (process_id := self.postmaster()) is None:
            self._clear_remains(home)
            self._write_settings(home, account, version)
            self._launch(binaries, home, account)
        else:
            log.info("database_waiting", process_id=process_id)
        self._wait_ready()
        log.info(
            "database_started",
            seconds=round(time.monotonic() - began, 3),
            version=version,
            account=account.name,
            is_new=existing is None,
        )

    def _write_settings(self, home: Path, account: RunAs, version: str) -> None:
        system_accounts = sorted({"root", account.name})
        for name in ("local.conf", "local_hba.conf"):
            if not (home / name).exists():
                (home / name).touch(mode=0o600)
                account.take(home / name)
        has_tls = self._copy_certificate(home, account)
        for name, text in (
            ("postgresql.conf", postgresql_conf(memory_bytes(), self._durable, self._door, has_tls)),
            ("pg_hba.conf", pg_hba(DATABASE, self._door, int(version.split(".")[0]))),
            ("pg_ident.conf", pg_ident(system_accounts)),
        ):
            path = home / name
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                fresh = home / f"{name}.new"
                fresh.write_text(text, encoding="utf-8")
                fresh.chmod(0o600)
                account.take(fresh)
                fresh.replace(path)

    def _copy_certificate(self, home: Path, account: RunAs) -> bool:
        """Lay the certificate where PostgreSQL may read it; False without one, or if the build lacks TLS."""
        door = self._door
        if door.host is None or door.certificate is None or door.private_key is None:
            return False
        built_with = account.run([str(self.binaries / "pg_config"), "--configure"]).stdout
        if "ssl" not in built_with:
            return False
        try:
            pairs = [
                ("server.crt", door.certificate.read_bytes()),
                ("server.key", door.private_key.read_bytes()),
            ]
        except OSError as error:
            log.warning("database_without_tls", reason=str(error))
            return False
        for name, content in pairs:
            fresh = home / f"{name}.new"
            fresh.unlink(missing_ok=True)
            fresh.touch(mode=0o600)
            fresh.write_bytes(content)
            account.take(fresh)
            fresh.replace(home / name)
        return True

    def renew_certificate(self) -> None:
        """Show the certificate as its files are now. Raises `OSError`."""
        process_id = self.postmaster()
        home = self.home.resolve()
        if process_id is not None and self._copy_certificate(home, account_for(home)):
            os.kill(process_id, signal.SIGHUP)

    def _clear_remains(self, home: Path) -> None:
        """Make room after a crash: end backends whose postmaster is gone, forget its process id.

        PostgreSQL looks only whether the old process id exists. In a container or after a reboot it may
        belong to anybody, or to a zombie that its parent has not buried; we see whether processes of this
        cluster live.
        """
        wait_until(lambda: not processes_of(home), ORPHAN_SECONDS)
        for process_id in processes_of(home):
            log.warning("database_orphan_killed", process_id=process_id)
            with suppress(ProcessLookupError):
                os.kill(process_id, signal.SIGKILL)
        if not wait_until(lambda: not processes_of(home), KILL_SECONDS):
            raise ClusterFailed(f"processes of an earlier PostgreSQL do not end: {processes_of(home)}")
        for remains in self._socket_directory().glob(".s.PGSQL.*"):
            remains.unlink(missing_ok=True)
        (home / "postmaster.pid").unlink(missing_ok=True)

    def _launch(self, binaries: Path, home: Path, account: RunAs) -> None:
        sockets = self._socket_directory()
        if sockets != home:
            _closed_directory(sockets, account)
        start_log = home / "start.log"
        with start_log.open("wb") as output:
            account.take(start_log)
            self._process = subprocess.Popen(  # noqa: S603
                [
                    *("/bin/sh", "-c", f'ulimit -d {SESSION_BYTES // 1024}; exec "$@"', "postgres"),
                    *(str(binaries / "postgres"), "-D", str(home)),
                    *("-k", str(sockets), "-p", str(self._door.port)),
                ],
                user=account.user_id,
                group=account.group_id,
                extra_groups=None if account.user_id is None else [],
                umask=0o077,
                cwd=home,
                env=quiet_environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a terminal's Ctrl-C is for the supervisor, which then stops it
            )

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        maintenance = self.dsn.replace(f"/{DATABASE}?", "/postgres?")
        while time.monotonic() < deadline:
            if self._process is not None and (code := self._process.poll()) is not None:
                self._process = None
                said = self._last_words()
                raise failure(f"PostgreSQL ended with code {code} while starting: {said}", said)
            if self._process is None and self.postmaster() is None:
                raise ClusterFailed("PostgreSQL ended while it was waited for; start again")
            try:
                _in_thread(lambda: asyncio.run(_create_database(maintenance)))
                return
            except (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError):
                time.sleep(POLL_SECONDS)
            except asyncpg.PostgresError as error:
                # Still starting, or died just now: then its process or its log tells more.
                if (error.sqlstate or "")[:2] in ("08", "57"):
                    time.sleep(POLL_SECONDS)
                    continue
                raise failure(f"PostgreSQL refuses to work: {error}", str(error)) from error
        raise ClusterFailed(f"PostgreSQL was not ready within {START_SECONDS:.0f} s: {self._last_words()}")

    def _last_words(self) -> str:
        """The end of what PostgreSQL said, for an error message."""
        home = self.home.resolve()
        logs = sorted((home / "log").glob("*.log"), key=lambda path: path.stat().st_mtime)[-1:]
        text = "".join(path.read_text(errors="replace")[-1500:] for path in (*logs, home / "start.log"))
        return " | ".join(line for line in text.splitlines() if line)[-2000:]

    def _socket_directory(self) -> Path:
        """The cluster's own closed directory, or a short one where its path would not fit into an address."""
        home = self.home.resolve()
        if len(os.fsencode(home / ".s.PGSQL.65535.lock")) <= LONGEST_SOCKET_PATH:
            return home
        with suppress(OSError, IndexError):  # whoever started it chose, perhaps as another account
            chosen = (home / "postmaster.pid").read_text().splitlines()[4]
            if chosen:  # PostgreSQL writes its file line by line while it starts
                return Path(chosen)
        is_root = os.geteuid() == 0
        base = Path("/run") if is_root and os.access("/run", os.W_OK) else Path(tempfile.gettempdir())
        return base / f"postroad-{hashlib.sha256(os.fsencode(home)).hexdigest()[:16]}"


def _closed_directory(path: Path, account: RunAs) -> None:
    """Make sure that `path` is a directory of `account` that nobody else can enter."""
    try:
        path.mkdir(mode=0o700)
        account.take(path)
    except FileExistsError:
        state = path.lstat()  # the name can be guessed: it may be a link, or a stranger's
        owner = os.geteuid() if account.user_id is None else account.user_id
        if not stat.S_ISDIR(state.st_mode) or state.st_uid != owner or state.st_mode & 0o077:
            raise ClusterFailed(f"{path} is not a closed directory of {account.name}; remove it") from None


async def _execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        await connection.execute(statement, timeout=5)
    finally:
        connection.terminate()


async def _create_database(maintenance_dsn: str) -> None:
    connection = await asyncpg.connect(maintenance_dsn, timeout=5)
    try:
        if await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE) is None:
            await connection.execute(f"CREATE DATABASE {DATABASE} OWNER {ROLE}")
    finally:
        await connection.close()


def _in_thread(work: Callable[[], Result]) -> Result:
    """Run `work` in a thread of its own, since the caller may already stand inside an event loop."""
    results: list[Result] = []
    errors: list[BaseException] = []

    def body() -> None:
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=body, name="postroad-cluster")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
