"""The database: reachable, new enough, durable, at this release's schema, and its clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import asyncpg

from postroad.cli.checks.finding import Finding
from postroad.cli.checks.machine import check_clock
from postroad.db.migrate import SchemaChanged, SchemaTooNew, check, read_migrations
from postroad.db.pool import CONNECTION_ERRORS
from postroad.directory.addresses.domains import DkimKey, signing_keys_in

OLDEST = 15  # the release of PostgreSQL in Debian 12; the embedded one is newer
SECONDS = 5.0
MAX_DOMAINS = 100


Keys = dict[str, list[DkimKey]]


async def check_database(dsn: str, clock: Callable[[], datetime]) -> tuple[list[Finding], Keys]:
    """Look at the database; return also up to 100 domains with what signs for them."""
    try:
        connection = await asyncpg.connect(dsn, timeout=SECONDS, command_timeout=SECONDS)
    except CONNECTION_ERRORS as error:
        facts = {"error": str(error) or type(error).__name__}
        return [Finding("database", "postgresql", "fail", "database-silent", facts)], {}
    try:
        findings = [await _version(connection), await _durable(connection), await _replicas(connection)]
        schema, is_current = await _schema(connection)
        findings.append(schema)
        before = clock()
        there: datetime = await connection.fetchval("SELECT clock_timestamp()")
        after = clock()
        findings.append(check_clock(before + (after - before) / 2, there, after - before))
        return findings, await _domains(connection) if is_current else {}
    except CONNECTION_ERRORS as error:
        return [Finding("database", "postgresql", "fail", "database-silent", {"error": str(error)})], {}
    finally:
        await connection.close()


async def _domains(connection: asyncpg.Connection[asyncpg.Record]) -> Keys:
    rows = await connection.fetch("SELECT name FROM domain ORDER BY name LIMIT $1", MAX_DOMAINS)
    names = [row["name"] for row in rows]
    return {name: [] for name in names} | await signing_keys_in(connection, names)


async def _version(connection: asyncpg.Connection[asyncpg.Record]) -> Finding:
    number = int(await connection.fetchval("SHOW server_version_num"))
    facts = {"version": f"{number // 10000}.{number % 10000}", "oldest": OLDEST}
    if number < OLDEST * 10000:
        return Finding("database", "version", "fail", "database-old", facts)
    return Finding("database", "version", "ok", "database-version", facts)


async def _durable(connection: asyncpg.Connection[asyncpg.Record]) -> Finding:
    """A 250 means that the mail is on the disk: not with these settings off."""
    off = [
        name
        for name in ("fsync", "full_page_writes", "synchronous_commit")
        if await connection.fetchval("SELECT current_setting($1)", name) == "off"
    ]
    if await connection.fetchval("SELECT pg_is_in_recovery()"):
        return Finding("database", "durability", "fail", "database-read-only")
    if off:
        return Finding("database", "durability", "fail", "database-not-durable", {"settings": ", ".join(off)})
    return Finding("database", "durability", "ok", "database-durable")


async def _replicas(connection: asyncpg.Connection[asyncpg.Record]) -> Finding:
    count = await connection.fetchval("SELECT count(*) FROM pg_stat_replication")
    word = "database-replicas" if count else "database-alone"
    return Finding("database", "replication", "ok", word, {"count": count})


async def _schema(connection: asyncpg.Connection[asyncpg.Record]) -> tuple[Finding, bool]:
    wanted = read_migrations()
    facts: dict[str, object] = {"version": wanted[-1].version}
    if await connection.fetchval("SELECT to_regclass('schema_migration')") is None:
        return Finding("database", "schema", "warn", "schema-empty", facts), False
    rows = await connection.fetch("SELECT version, checksum FROM schema_migration")
    try:
        pending = check({row["version"]: row["checksum"] for row in rows}, wanted)
    except (SchemaTooNew, SchemaChanged) as error:
        return Finding("database", "schema", "fail", "schema-foreign", {"error": str(error)}), False
    if pending:
        facts["count"] = len(pending)
        return Finding("database", "schema", "warn", "schema-pending", facts), False
    return Finding("database", "schema", "ok", "schema-current", facts), True
