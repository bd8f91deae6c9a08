"""Migrations: the `.sql` files beside this module, in the order of their numbers, each in one transaction.

Any number of processes may call `migrate` at once: an advisory lock lets one work, and the others find it
done.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

import asyncpg

from postroad.db.pool import (
    CONNECTION_ERRORS,
    DatabaseUnavailable,
    connect,
    is_unavailable,
    session_settings,
)
from postroad.db.pooler import check_sessions

# Any constant will do; this one is the bytes of "pstroad1" and so recognisable in pg_locks.
ADVISORY_LOCK = int.from_bytes(b"pstroad1")

_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")

_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migration (
    version     integer PRIMARY KEY,
    name        text NOT NULL,
    checksum    text NOT NULL,
    applied_at  timestamptz NOT NULL DEFAULT now()
)
"""


class SchemaTooNew(Exception):
    """The database was migrated by a newer release than this one."""


class SchemaChanged(Exception):
    """A migration that the database has is not the one that this release has under that number."""


class MigrationFailed(Exception):
    """The SQL of a migration was refused; nothing of that file was applied."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file. `checksum` is the SHA-256 of its text in hex."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, in hex."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def read_migrations(directory: Traversable | None = None) -> list[Migration]:
    """The migrations of `directory` (default: the package's) in order. Raises `ValueError` on a bad name."""
    migrations = []
    for file in (directory or files("postroad.db") / "migrations").iterdir():
        if not file.name.endswith(".sql"):
            continue
        if (found := _NAME.fullmatch(file.name)) is None:
            raise ValueError(f"{file.name} is no name of a migration: use 0001_what_it_does.sql")
        migrations.append(Migration(int(found[1]), file.name, file.read_text(encoding="utf-8")))
    migrations.sort(key=lambda migration: migration.version)
    if len({migration.version for migration in migrations}) != len(migrations):
        raise ValueError("two migrations have the same number")
    return migrations


async def migrate(dsn: str, migrations: list[Migration] | None = None) -> list[int]:
    """Bring the database up to this release; gives the versions applied now, in order.

    Raises `SchemaTooNew`, `SchemaChanged`, `MigrationFailed`, `PoolerInTheWay` or `DatabaseUnavailable`.
    """
    wanted = read_migrations() if migrations is None else migrations
    await check_sessions(dsn, session_settings())  # the lock below would be nobody's
    connection = await connect(dsn)
    try:
        # A session's lock, not a transaction's: each file is a transaction of its own.
        await connection.execute("SELECT pg_advisory_lock($1)", ADVISORY_LOCK)
        await connection.execute(_TABLE)
        pending = check(dict(await _applied(connection)), wanted)
        for migration in pending:
            await _apply(connection, migration)
        return [migration.version for migration in pending]
    except CONNECTION_ERRORS as error:
        if is_unavailable(error):
            raise DatabaseUnavailable(str(error)) from error
        raise
    finally:
        # Closing the session drops the lock, also when the connection is beyond use.
        try:
            await connection.close(timeout=5)
        except (asyncio.CancelledError, *CONNECTION_ERRORS):
            connection.terminate()


def check(applied: dict[int, str], wanted: list[Migration]) -> list[Migration]:
    """Say which of `wanted` are still to be applied to a database that has `applied` (version to checksum).

    Raises `SchemaTooNew` or `SchemaChanged`.
    """
    newest = wanted[-1].version if wanted else 0
    if unknown := [version for version in applied if version > newest]:
        raise SchemaTooNew(
            f"the database is at schema {max(unknown)}, this release knows up to {newest}: "
            "install the newer release again, or restore a backup made by this one into a new database"
        )
    for migration in wanted:
        if applied.get(migration.version, migration.checksum) != migration.checksum:
            raise SchemaChanged(
                f"{migration.name} is not the file that this database was made with: "
                "install the release that made it, or start from a new database"
            )
    return [migration for migration in wanted if migration.version not in applied]


async def _applied(connection: asyncpg.Connection[asyncpg.Record]) -> list[tuple[int, str]]:
    rows = await connection.fetch("SELECT version, checksum FROM schema_migration")
    return [(row["version"], row["checksum"]) for row in rows]


async def _apply(connection: asyncpg.Connection[asyncpg.Record], migration: Migration) -> None:
    try:
        async with connection.transaction():
            await connection.execute(migration.sql)
            await connection.execute(
                "INSERT INTO schema_migration (version, name, checksum) VALUES ($1, $2, $3)",
                migration.version,
                migration.name,
                migration.checksum,
            )
    except asyncpg.PostgresError as error:
        if is_unavailable(error):
            raise
        raise MigrationFailed(f"{migration.name}: {error}") from error
