"""A pooler that lends sessions by the transaction is found out at start; one that keeps them serves."""

from __future__ import annotations

import asyncio
import os
import pwd
import re
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import unquote

import asyncpg
import pytest

from postroad.db.group_commit import was_committed
from postroad.db.migrate import migrate
from postroad.db.pool import Database, DatabaseUnavailable, process_of, session_settings
from postroad.db.pooler import PoolerInTheWay, check_sessions

PGBOUNCER = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
needs_pgbouncer = pytest.mark.skipif(not Path(PGBOUNCER).exists(), reason="PgBouncer is not installed")
IGNORED = "statement_timeout,lock_timeout,idle_in_transaction_session_timeout"


async def test_a_postgresql_of_ones_own_passes(database_dsn: str) -> None:
    await check_sessions(database_dsn, session_settings())


async def test_nobody_there_is_said_as_such(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailable):
        await check_sessions(f"postgresql://postroad@/postroad?host={tmp_path}")


class Lent:
    """A connection that a pooler serves from the sessions in `pids`, one a transaction, by some rule."""

    def __init__(self, pids: list[int], *, turns: bool) -> None:
        self.pids = pids  # shared by all connections; the last one is the next
        self.turns = turns
        self.mine: int | None = None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        self.mine = self.pids.pop()
        yield
        self._give_back(self.mine)
        self.mine = None

    async def fetchval(self, _query: str) -> int:
        if self.mine is not None:
            return self.mine
        pid = self.pids.pop()
        self._give_back(pid)
        return pid

    def _give_back(self, pid: int) -> None:
        self.pids.insert(0 if self.turns else len(self.pids), pid)

    def terminate(self) -> None:
        pass


@pytest.mark.parametrize("turns", [False, True], ids=["the last one first", "in turn"])
@pytest.mark.parametrize("sessions", [2, 3, 4, 20])
async def test_sessions_lent_by_the_transaction_are_found_out_whatever_the_rule(
    monkeypatch: pytest.MonkeyPatch, sessions: int, turns: bool
) -> None:
    pids = list(range(1, sessions + 1))

    async def connect(_dsn: str, **_: object) -> Lent:
        return Lent(pids, turns=turns)

    monkeypatch.setattr(asyncpg, "connect", connect)
    with pytest.raises(PoolerInTheWay, match="pool_mode = session"):
        await check_sessions("postgresql://anywhere")


@asynccontextmanager
async def pgbouncer(dsn: str, directory: Path, mode: str, ignored: str = IGNORED) -> AsyncIterator[str]:
    """A PgBouncer before the database `dsn`; gives the DSN of its door."""
    found = re.fullmatch(r"postgresql://(\w+)@/(\w+)\?host=([^&]+)(?:&port=(\d+))?", dsn)
    assert found is not None, dsn
    user, name, quoted, port = found.groups()
    host = unquote(quoted)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        door = probe.getsockname()[1]
    (directory / "users").write_text(f'"{user}" ""\n')
    (directory / "ini").write_text(
        f"[databases]\n{name} = host={host} port={port or 5432} user={user}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {door}\nunix_socket_dir =\n"
        f"auth_type = trust\nauth_file = {directory / 'users'}\npool_mode = {mode}\n"
        f"ignore_startup_parameters = extra_float_digits{',' + ignored if ignored else ''}\n"
        f"logfile = {directory / 'log'}\n"
    )
    os.chmod(directory, 0o755)
    # Root lends it the account that may reach PostgreSQL's socket.
    account = () if os.geteuid() else ("-u", pwd.getpwuid(os.stat(host).st_uid).pw_name)
    for file in ("users", "ini"):
        (directory / file).chmod(0o644)
    if not os.geteuid():
        (directory / "log").touch()
        (directory / "log").chmod(0o666)
    process = await asyncio.create_subprocess_exec(
        PGBOUNCER, "-q", *account, str(directory / "ini"), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(60):
            while True:
                with suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", door)
                    writer.close()
                    break
                await asyncio.sleep(0.05)
        yield f"postgresql://{user}@127.0.0.1:{door}/{name}?sslmode=disable"
    finally:
        process.terminate()
        await process.wait()


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that PgBouncer's account can reach."""
    directory = Path(tempfile.mkdtemp(prefix="pgbouncer-"))
    yield directory
    shutil.rmtree(directory)


@needs_pgbouncer
async def test_pgbouncer_in_transaction_mode_is_refused(database_dsn: str, open_directory: Path) -> None:
    async with pgbouncer(database_dsn, open_directory, "transaction") as dsn:
        with pytest.raises(PoolerInTheWay, match="pool_mode = session"):
            await migrate(dsn)


@needs_pgbouncer
async def test_pgbouncer_that_refuses_our_settings_is_told_which_to_ignore(
    database_dsn: str, open_directory: Path
) -> None:
    async with pgbouncer(database_dsn, open_directory, "session", ignored="") as dsn:
        with pytest.raises(PoolerInTheWay, match="ignore_startup_parameters"):
            await migrate(dsn)


@needs_pgbouncer
async def test_pgbouncer_in_session_mode_serves_and_hides_no_process(
    database: Database, database_dsn: str, open_directory: Path
) -> None:
    async with pgbouncer(database_dsn, open_directory, "session") as dsn:
        assert await migrate(dsn) == []
        async with Database(dsn) as pooled, pooled.connection() as connection:
            assert process_of(connection) == await connection.fetchval("SELECT pg_backend_pid()")
            # Its commit is still on its way while that process runs: nobody may say that it was none.
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute("INSERT INTO content (message_id, body) VALUES (7, 'x')")
            asked = asyncio.create_task(was_committed(database, 7, process_of(connection)))
            await asyncio.sleep(0.3)
            assert not asked.done()
            await transaction.commit()
            assert await asked


async def test_a_connection_knows_the_process_that_serves_it(database: Database) -> None:
    async with database.connection() as connection:
        assert process_of(connection) == await connection.fetchval("SELECT pg_backend_pid()")
