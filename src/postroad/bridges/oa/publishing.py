"""What an OA programmer finds in the data directory: `mailserver.ini`, `resource/database.dbi`, `mail`.

Written when the server starts, each file whole or not at all, and only when it would change.
"""

from __future__ import annotations

import asyncio
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg
import structlog

from postroad.bridges.oa.attachments import DatFiles
from postroad.bridges.oa.dates import BadZone, server_zone
from postroad.bridges.oa.role import RoleRefused, prepare_role
from postroad.config import Settings
from postroad.db.migrate import read_migrations
from postroad.db.pool import Database, DatabaseUnavailable

PASSWORD_FILE = "oa-sql-password"  # noqa: S105 - a name
EVERYWHERE = ("", "*", "0.0.0.0", "::")  # noqa: S104 - compared with, not listened on
_CREATED = re.compile(r"^CREATE (?:TABLE|VIEW|INDEX \w+ ON) oa[._]\w.*?;$", re.MULTILINE | re.DOTALL)

log = structlog.get_logger("postroad.bridges.oa")


@dataclass(frozen=True, slots=True)
class Place:
    """Where the OA finds the database: a host or the directory of a socket, a port, a name."""

    data_source: str
    port: int
    database: str


def place_of_embedded(settings: Settings, socket_directory: Path, port: int, database: str) -> Place:
    """Where the embedded database is reached: by TCP if that is open, else by its socket."""
    listen = settings.oa.sql_listen
    if not listen:
        return Place(str(socket_directory), port, database)
    host = listen.rpartition(":")[0].removeprefix("[").removesuffix("]")
    return Place(settings.hostname if host in EVERYWHERE else host, port, database)


def place_of_dsn(dsn: str) -> Place:
    """Where a database of the operator's is, by its address."""
    parts = urlsplit(dsn)
    query = parse_qs(parts.query)
    host = unquote(parts.hostname or "") or query.get("host", ["localhost"])[0]
    port = parts.port or int(query.get("port", ["5432"])[0])
    name = unquote(parts.path.lstrip("/")) or query.get("dbname", [unquote(parts.username or "postgres")])[0]
    return Place(host, port, name)


async def publish(settings: Settings, dsn: str, place: Place) -> None:
    """Make the OA's role and the files it is found by. What fails is logged: mail does not wait for it."""
    try:
        zone = server_zone(settings.oa.timezone)
        known = await asyncio.to_thread(_read_password, settings.data_dir)
        async with Database(dsn, max_size=1) as database:
            prepared = await prepare_role(database, settings.oa, known, zone)
        await asyncio.to_thread(_write, settings, place, prepared.password)
    except (BadZone, RoleRefused, DatabaseUnavailable, asyncpg.PostgresError, OSError) as error:
        log.error("oa_sql_not_ready", reason=str(error))
        return
    if prepared.missing:
        log.warning(
            "oa_role_needs_rights",
            role=settings.oa.sql_role,
            advice="have a superuser run these statements in the database, then start again",
            statements="; ".join(prepared.missing),
        )


def mailserver_ini(settings: Settings, place: Place, password: str) -> str:
    """The file's text (DBMail's and AAMail's documents, 4.1)."""
    return (
        "; Written by Postroad when it starts.\n"
        "[Database]\n"
        f"DataSource={place.data_source}\n"
        f"DatabaseName={place.database}\n"
        "AuthSSPI=0\n"
        f"UserId={settings.oa.sql_role}\n"
        f"Password={password}\n"
        "Driver=PostgreSQL\n"
        f"Port={place.port}\n"
    )


def database_dbi() -> str:
    """The statements by which the server made the OA's tables and views, word for word."""
    text = next(each.sql for each in read_migrations() if each.name == "0006_oa.sql")
    statements = [
        found[0] for found in _CREATED.finditer(text) if not found[0].startswith("CREATE TABLE oa_")
    ]
    return (
        "-- The tables and views of the OA's role, in the schema oa, as the server makes them (PostgreSQL).\n"
        "-- oa_received is behind the views; the OA sees ldap, webreceive, XNNNNNNmail and the tables.\n"
        "-- Each account has a view of its own, X + its accseqno with at least six digits + mail:\n"
        "--   CREATE VIEW oa.X000003mail AS SELECT ... FROM oa_received WHERE account_id = 3;\n\n"
        + "\n\n".join(statements)
        + "\n"
    )


def _write(settings: Settings, place: Place, password: str) -> None:
    data_dir = settings.data_dir
    resource = data_dir / "resource"
    with suppress(FileExistsError):
        resource.mkdir()
        _take(resource, data_dir)
        resource.chmod(0o755)
    _replace(data_dir / PASSWORD_FILE, f"{password}\n", 0o600)
    _replace(data_dir / "mailserver.ini", mailserver_ini(settings, place, password), 0o640)
    _replace(resource / "database.dbi", database_dbi(), 0o644)
    DatFiles(data_dir).make()


def _read_password(data_dir: Path) -> str | None:
    with suppress(OSError, UnicodeError):
        text = (data_dir / PASSWORD_FILE).read_text(encoding="ascii").strip()
        if re.fullmatch(r"[A-Za-z0-9_-]{16,100}", text):
            return text
    return None


def _replace(path: Path, text: str, mode: int) -> None:
    """Write a file whole: readers see the old one or the new one."""
    with suppress(OSError, UnicodeError):
        if path.read_text(encoding="utf-8") == text and path.stat().st_mode & 0o777 == mode:
            return
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as output:
        output.write(text)
        output.flush()
        os.fsync(output.fileno())
    _take(fresh, path.parent)
    fresh.chmod(mode)
    fresh.replace(path)


def _take(path: Path, beside: Path) -> None:
    """Give what root made to whom the directory beside it belongs."""
    if os.geteuid() == 0:
        owner = beside.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
