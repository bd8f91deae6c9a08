"""Dumping a database into one file and reading it back, by PostgreSQL's own programs.

The dump is taken from an exported snapshot, so that whoever reads beside it (the list of blobs) sees the same
moment.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from postroad.db.binaries import find_program, quiet_environment
from postroad.db.ownership import lending
from postroad.db.pool import Connection, connect

POLL_SECONDS = 0.2
SCHEMAS = ("public", "oa")
LONGEST_COMPLAINT = 2000  # characters of what a program said


class DumpFailed(Exception):
    """`pg_dump` or `pg_restore` failed; the message is what it said."""


@asynccontextmanager
async def snapshot(dsn: str) -> AsyncIterator[tuple[Connection, str]]:
    """A connection that sees the database as it is now for as long as it is held, and the snapshot's name."""
    connection = await connect(dsn)
    try:
        await connection.execute("SET idle_in_transaction_session_timeout = 0")
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            yield connection, await connection.fetchval("SELECT pg_export_snapshot()")
    finally:
        connection.terminate()


async def dump(dsn: str, snapshot_name: str, target: Path, on_bytes: Callable[[int], None]) -> None:
    """Write the database as of the snapshot into `target`; `on_bytes` hears how large it has become.

    Raises `DumpFailed`, `DatabaseUnavailable`, `ClusterFailed` when there is no fitting `pg_dump`.
    """
    program = find_program("pg_dump", await server_major(dsn))
    address, secret = without_password(dsn)
    task = asyncio.create_task(
        _run(
            [
                *(str(program), f"--dbname={address}", f"--snapshot={snapshot_name}", f"--file={target}"),
                # The fastest level: mails are mostly base64 and pictures, which give way little.
                *("--format=custom", "--compress=1", "--no-owner", "--no-privileges"),
                *(f"--schema={schema}" for schema in SCHEMAS),
            ],
            secret,
        )
    )
    try:
        while not task.done():
            await asyncio.wait([task], timeout=POLL_SECONDS)
            with suppress(OSError):
                on_bytes(target.stat().st_size)  # noqa: ASYNC240
        await task
    finally:
        task.cancel()


async def load(dsn: str, source: Path) -> None:
    """Replace everything in the database by the dump `source`, or on failure leave all as it was.

    Nobody else may use the database meanwhile. Raises `DumpFailed`, `DatabaseUnavailable`, `ClusterFailed`.
    """
    program = find_program("pg_restore", await server_major(dsn))
    address, secret = without_password(dsn)
    kept = f"replaced_{secrets.token_hex(4)}"
    connection = await connect(dsn)
    try:
        async with connection.transaction():
            for schema in SCHEMAS:
                await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
                await connection.execute(f"ALTER SCHEMA {schema} RENAME TO {kept}_{schema}")
                await connection.execute(f"CREATE SCHEMA {schema}")
        try:
            await _run(
                [
                    *(str(program), f"--dbname={address}", "--single-transaction", "--exit-on-error"),
                    *("--no-owner", "--no-privileges"),
                    *(f"--schema={schema}" for schema in SCHEMAS),
                    str(source),
                ],
                secret,
            )
        except BaseException:
            async with connection.transaction():
                for schema in SCHEMAS:
                    await connection.execute(f"DROP SCHEMA {schema} CASCADE")
                    await connection.execute(f"ALTER SCHEMA {kept}_{schema} RENAME TO {schema}")
                await _drop_if_empty(connection, "oa")
            raise
        await connection.execute(f"DROP SCHEMA {', '.join(f'{kept}_{schema}' for schema in SCHEMAS)} CASCADE")
        await _drop_if_empty(connection, "oa")
        await connection.execute("ANALYZE")
    finally:
        await connection.close()


async def _drop_if_empty(connection: Connection, schema: str) -> None:
    """Leave a schema that the dump did not have to the migration that makes it."""
    if not await connection.fetchval(
        "SELECT EXISTS (SELECT FROM pg_class WHERE relnamespace = $1::text::regnamespace)", schema
    ):
        await connection.execute(f"DROP SCHEMA {schema}")


async def is_empty(dsn: str) -> bool:
    """Whether nothing of ours stands in the database."""
    connection = await connect(dsn)
    try:
        return not await connection.fetchval(
            "SELECT EXISTS (SELECT FROM pg_class WHERE relnamespace = 'public'::regnamespace)"
        )
    finally:
        await connection.close()


async def server_major(dsn: str) -> int:
    """The server's major version."""
    connection = await connect(dsn)
    try:
        return int(connection.get_server_version().major)
    finally:
        await connection.close()


def without_password(dsn: str) -> tuple[str, str | None]:
    """Split the password off a DSN: a command line can be read by everybody on the machine."""
    parts = urlsplit(dsn)
    if parts.password is None:
        return dsn, None
    user, _, _ = parts.netloc.rpartition("@")
    host = parts.netloc[len(user) :]
    return urlunsplit(parts._replace(netloc=user.split(":", 1)[0] + host)), unquote(parts.password)


async def _run(command: list[str], password: str | None) -> None:
    environment = {**quiet_environment(), "HOME": os.environ.get("HOME", "/")}
    if password is not None:
        environment["PGPASSWORD"] = password
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
        preexec_fn=lending(),  # root's backup may go where only root writes
    )
    try:
        _, said = await process.communicate()
    except BaseException:
        with suppress(ProcessLookupError):
            process.kill()
        raise
    if process.returncode != 0:
        complaint = said.decode(errors="replace").strip()[-LONGEST_COMPLAINT:]
        raise DumpFailed(f"{Path(command[0]).name}: {complaint}")
