"""The database that tests run on: one embedded cluster for all test processes, one fresh database a test.

The cluster's directory outlives the run (only its start is paid for again); so does the migrated template,
named by the migrations' text.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import asyncpg
import hypothesis
import pytest
import structlog

from postroad.db.cluster import Cluster
from postroad.db.migrate import ADVISORY_LOCK, migrate, read_migrations
from postroad.db.pool import Database
from tests.faults.table import print_table

_HERE = Path(__file__).resolve().parent
MEMORY = Path("/dev/shm")
ENOUGH_BYTES = 4 * 1024**3
# No test asserts a time: a busy machine is no mistake of the code's.
hypothesis.settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("untimed")
_counter = itertools.count(1)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the crash points that were tried."""
    print_table(terminalreporter)


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """A test that runs a command in this process leaves no logging to a captured, closed output behind."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def _roomy() -> Path:
    """Where the cluster lies: in memory where there is plenty, for a database a test is hundreds of files."""
    with suppress(OSError):
        room = os.statvfs(MEMORY)
        if os.access(MEMORY, os.W_OK) and room.f_bavail * room.f_frsize > ENOUGH_BYTES:
            return MEMORY
    return Path(tempfile.gettempdir())


@pytest.fixture(scope="session")
def cluster_dsn() -> Iterator[str]:
    """The DSN of the test cluster's maintenance database. Not durable: who needs that makes one."""
    place = hashlib.sha256(str(_HERE).encode()).hexdigest()[:8]
    data_dir = _roomy() / f"postroad-tests-{os.geteuid()}-{place}"
    cluster = Cluster(data_dir, durable=False)
    dsn = cluster.ensure_running()
    yield dsn
    cluster.leave()


@pytest.fixture(scope="session")
def template_database(cluster_dsn: str) -> str:
    """The name of a migrated database to copy from."""
    text = "\n".join(migration.sql for migration in read_migrations())
    name = f"template_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    asyncio.run(_make_template(cluster_dsn, name))
    return name


@pytest.fixture
async def empty_database_dsn(cluster_dsn: str) -> AsyncIterator[str]:
    """The DSN of a fresh database without any table."""
    async with fresh_database(cluster_dsn, "template0") as dsn:
        yield dsn


@pytest.fixture
async def database_dsn(cluster_dsn: str, template_database: str) -> AsyncIterator[str]:
    """The DSN of a fresh, migrated database."""
    async with fresh_database(cluster_dsn, template_database) as dsn:
        yield dsn


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Database]:
    """An open pool on a fresh, migrated database."""
    async with Database(database_dsn) as database:
        yield database


def _named(dsn: str, name: str) -> str:
    return dsn.replace("/postroad?", f"/{name}?")


@asynccontextmanager
async def fresh_database(cluster_dsn: str, template: str) -> AsyncIterator[str]:
    """Lend a copy of the database `template`; gives its DSN."""
    name = f"test_{os.getpid()}_{next(_counter)}"
    connection = await asyncpg.connect(cluster_dsn)
    try:
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        yield _named(cluster_dsn, name)
        if connection.is_closed():  # the test restarted the cluster
            connection = await asyncpg.connect(cluster_dsn)
        await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    finally:
        await connection.close()


async def _make_template(cluster_dsn: str, name: str) -> None:
    connection = await asyncpg.connect(cluster_dsn)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", ADVISORY_LOCK + 1)
        await _drop_leftovers(connection)
        if await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
            return
        for row in await connection.fetch(
            "SELECT datname FROM pg_database WHERE datname LIKE 'template\\_%'"
        ):
            with suppress(asyncpg.PostgresError):
                await connection.execute(f"DROP DATABASE {row['datname']}")
        # Made under another name: a run that dies half-way leaves no template that looks whole.
        await connection.execute("DROP DATABASE IF EXISTS template_in_the_making WITH (FORCE)")
        await connection.execute("CREATE DATABASE template_in_the_making")
        await migrate(_named(cluster_dsn, "template_in_the_making"))
        await connection.execute(f"ALTER DATABASE template_in_the_making RENAME TO {name}")
    finally:
        await connection.close()


async def _drop_leftovers(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    for row in await connection.fetch("SELECT datname FROM pg_database WHERE datname ~ '^test_[0-9]+_'"):
        if not os.path.exists(f"/proc/{row['datname'].split('_')[1]}"):  # noqa: ASYNC240
            with suppress(asyncpg.PostgresError):
                await connection.execute(f"DROP DATABASE {row['datname']} WITH (FORCE)")
