"""The OA's role in the database: made with a password of its own, and with just the rights the page grants.

What it may read and insert follows from USAGE of the schema `oa` (0006_oa.sql). Here that is given to one
role, and everything a fresh PostgreSQL gives to all roles is taken back, as far as our own role may.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import asyncpg

from postroad.config import Oa
from postroad.db.pool import Connection, Database

SCRAM_ITERATIONS = 4096  # PostgreSQL's default; the password is 32 random characters, so more adds nothing
PASSWORD_BYTES = 24
LOCK_SECONDS = 10
TEMPORARY_FILES = "256MB"  # of one session's sorts

# Functions that PostgreSQL lets everybody call, and that write or hold something outside the tables: large
# objects, locks that our own jobs and workers are named by, records in the log of changes.
_FUNCTIONS = r"^(lo_|loread|lowrite|pg_(try_)?advisory_|pg_logical_emit_message)"


class RoleRefused(Exception):
    """`oa.sql_role` names a role that cannot be the OA's; the message says why."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """The role as it is now. `missing` is what a superuser has to run for us, if we may not."""

    password: str
    missing: Sequence[str]


async def prepare_role(
    database: Database, settings: Oa, password: str | None, zone: ZoneInfo | None = None
) -> Prepared:
    """Make the role of `settings`, or bring it up to date; safe to call again, from any number of servers.

    The password is the one that the first server chose, `password` if that has one. Raises `RoleRefused`,
    `DatabaseUnavailable`.
    """
    role = settings.sql_role
    async with database.transaction() as connection:
        # One server after the other; two would meet in the catalogue.
        await connection.execute("SELECT pg_advisory_xact_lock(hashtext('postroad oa role'))")
        if zone is not None:
            await connection.execute("UPDATE oa_house SET zone = $1 WHERE zone <> $1", zone.key)
        found = await connection.fetchval(
            "SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolname = current_user "
            "FROM pg_roles WHERE rolname = $1",
            role,
        )
        if found:
            raise RoleRefused(f"oa.sql_role = {role!r} is a role with rights of its own; choose another name")
        chosen: str | None = await connection.fetchval("SELECT password FROM oa_role")
        if chosen is None:
            chosen = password or secrets.token_urlsafe(PASSWORD_BYTES)
            await connection.execute("INSERT INTO oa_role (password) VALUES ($1)", chosen)
        login = f"LOGIN CONNECTION LIMIT {settings.sql_connections} PASSWORD '{scram_verifier(chosen)}'"
        statements = [
            f'CREATE ROLE "{role}" NOINHERIT {login}' if found is None else f'ALTER ROLE "{role}" {login}',
            *await _statements(connection, role, settings),
        ]
        for statement in statements:
            await _try(connection, statement)
        if not await connection.fetchval(_IS_OPEN):
            await _open_schema(connection)
        is_right = await connection.fetchval(_IS_RIGHT, role)
        return Prepared(chosen, [] if is_right else statements)


# Statements of somebody without the rights mostly end with a warning, so what came of them is looked at.
_IS_RIGHT = """
SELECT has_schema_privilege(r.oid, 'oa', 'USAGE')
   AND has_database_privilege(r.oid, current_database(), 'CONNECT')
   AND NOT has_database_privilege(r.oid, current_database(), 'TEMPORARY')
   AND NOT has_schema_privilege(r.oid, 'public', 'USAGE')
   AND NOT has_function_privilege(r.oid, 'pg_catalog.lo_creat(integer)', 'EXECUTE')
   AND NOT has_function_privilege(r.oid, 'pg_catalog.pg_advisory_lock(bigint)', 'EXECUTE')
FROM pg_roles r WHERE r.rolname = $1
"""


_IS_OPEN = """
SELECT has_table_privilege('public', c.oid, 'INSERT')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'oa' AND c.relname = 'websent'
"""


async def _open_schema(connection: Connection) -> None:
    """Grant again what 0006_oa.sql granted: a backup carries no rights."""
    await _try(connection, "ALTER DEFAULT PRIVILEGES IN SCHEMA oa GRANT SELECT ON TABLES TO PUBLIC")
    await _try(connection, "GRANT SELECT ON ALL TABLES IN SCHEMA oa TO PUBLIC")
    await _try(connection, "GRANT INSERT ON oa.websent, oa.websentattach TO PUBLIC")


async def _statements(connection: Connection, role: str, settings: Oa) -> list[str]:
    known = await connection.fetchrow(
        "SELECT quote_ident(current_database()) AS database, quote_ident(current_user) AS house, "
        "(SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS is_superuser"
    )
    assert known is not None
    functions = await connection.fetch(
        "SELECT oid::regprocedure::text AS function FROM pg_proc "
        "WHERE pronamespace = 'pg_catalog'::regnamespace AND proname ~ $1 ORDER BY 1",
        _FUNCTIONS,
    )
    own = f'ALTER ROLE "{role}" IN DATABASE {known["database"]}'
    statements = [
        # What the role has set for itself goes first: no right keeps it from that.
        f'ALTER ROLE "{role}" RESET ALL',
        f"{own} RESET ALL",
        *(
            f"{own} SET {name} = '{value}'"
            for name, value in _defaults(settings, known["is_superuser"]).items()
        ),
        f"REVOKE TEMPORARY ON DATABASE {known['database']} FROM PUBLIC",
        f'GRANT CONNECT ON DATABASE {known["database"]} TO "{role}"',
        f"GRANT USAGE ON SCHEMA public TO {known['house']}",
        "REVOKE ALL ON SCHEMA public FROM PUBLIC",
        f'GRANT USAGE ON SCHEMA oa TO "{role}"',
        "REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC",
    ]
    for row in functions:  # our own role keeps what everybody loses
        statements.append(f"GRANT EXECUTE ON FUNCTION {row['function']} TO {known['house']}")
        statements.append(f"REVOKE EXECUTE ON FUNCTION {row['function']} FROM PUBLIC")
    return statements


def _defaults(settings: Oa, is_superuser: bool) -> dict[str, str]:
    """What the role's sessions begin with. They may change most of it; `watch.py` looks after that."""
    defaults = {
        "search_path": "oa",
        "statement_timeout": f"{settings.sql_statement_seconds}s",
        "lock_timeout": f"{LOCK_SECONDS}s",
        "idle_in_transaction_session_timeout": f"{settings.sql_statement_seconds}s",
    }
    if is_superuser:  # the one that the role cannot change
        defaults["temp_file_limit"] = TEMPORARY_FILES
    return defaults


async def has_drifted(database: Database, settings: Oa) -> str:
    """Say what of the role is no longer as `prepare_role` made it: "", "settings" or "password".

    The password can be compared by a superuser only, which our role in the embedded database is. Raises
    `DatabaseUnavailable`.
    """
    known = await database.fetchrow(_DRIFT, settings.sql_role)
    if known is None:  # no such role: it could not be made, and the log has said so
        return ""
    wanted = {f"{name}={value}" for name, value in _defaults(settings, known["is_superuser"]).items()}
    if known["everywhere"] or set(known["here"] or ()) != wanted:
        return "settings"
    if known["is_superuser"]:
        stored: str | None = await database.fetchval(
            "SELECT rolpassword FROM pg_authid WHERE rolname = $1", settings.sql_role
        )
        if stored is None or not is_verifier_of(stored, known["password"]):
            return "password"
    return ""


_DRIFT = """
SELECT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS is_superuser,
       (SELECT setconfig FROM pg_db_role_setting s
        WHERE s.setrole = r.oid AND s.setdatabase = 0) AS everywhere,
       (SELECT setconfig FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
        WHERE s.setrole = r.oid AND d.datname = current_database()) AS here,
       (SELECT password FROM oa_role) AS password
FROM pg_roles r WHERE r.rolname = $1
"""


async def set_writing(database: Database, allowed: bool) -> None:
    """Let the role insert rows, or not for now. Raises `DatabaseUnavailable`."""
    verb, to = ("GRANT", "TO") if allowed else ("REVOKE", "FROM")
    await database.execute(f"{verb} INSERT ON oa.websent, oa.websentattach {to} PUBLIC")


async def _try(connection: Connection, statement: str) -> None:
    # Undefined: the role that we were not allowed to make.
    with suppress(
        asyncpg.InsufficientPrivilegeError, asyncpg.InvalidGrantOperationError, asyncpg.UndefinedObjectError
    ):
        async with connection.transaction():
            await connection.execute(statement)


def is_verifier_of(verifier: str, password: str) -> bool:
    """Whether `verifier` is what PostgreSQL keeps of `password`, whatever its salt."""
    with suppress(ValueError, IndexError):
        kind, salted, _ = verifier.split("$")
        iterations, salt = salted.split(":")
        if kind == "SCRAM-SHA-256":
            made = scram_verifier(password, base64.b64decode(salt), int(iterations))
            return hmac.compare_digest(made, verifier)
    return False


def scram_verifier(password: str, salt: bytes | None = None, iterations: int = SCRAM_ITERATIONS) -> str:
    """Return what PostgreSQL keeps of a password (RFC 5803), so that no statement carries the password."""
    salt = os.urandom(16) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    parts = [base64.b64encode(part).decode() for part in (salt, stored_key, server_key)]
    return f"SCRAM-SHA-256${iterations}:{parts[0]}${parts[1]}:{parts[2]}"
