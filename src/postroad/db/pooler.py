"""Whether a connection of ours is a session of PostgreSQL's: a pooler may lend sessions by the transaction.

PgBouncer in transaction mode (pgbouncer(1), `pool_mode`) gives each transaction another session. Locks of a
session, LISTEN and prepared statements are then lost or, worse, left with a stranger, and nothing says so:
two workers deliver one mail, announcements stay away. So it is found out before anything is served.
"""

from __future__ import annotations

import asyncpg

from postroad.db.pool import CONNECT_SECONDS, CONNECTION_ERRORS, DatabaseUnavailable, is_unavailable

_ROUNDS = (
    3  # PgBouncer lends the session that was used last, or takes them in turn: either shows in two rounds
)
_ADVICE = (
    "the database is reached through a pooler that lends sessions by the transaction: set its pool mode to "
    "session for this database (PgBouncer: pool_mode = session), or name PostgreSQL itself in the setting "
    "database"
)
_REAL_PID = "SELECT pg_backend_pid()"


class PoolerInTheWay(Exception):
    """The database is reached through a pooler that does not keep sessions; the message says what to do."""


async def check_sessions(dsn: str, server_settings: dict[str, str] | None = None) -> None:
    """Raise `PoolerInTheWay` unless every connection to `dsn` has a session for itself.

    Raises `DatabaseUnavailable` when nobody answers.
    """
    opened: list[asyncpg.Connection[asyncpg.Record]] = []
    try:
        while len(opened) < 2:
            one = await asyncpg.connect(
                dsn,
                timeout=CONNECT_SECONDS,
                command_timeout=CONNECT_SECONDS,
                statement_cache_size=0,  # by such a pooler, a statement is prepared for somebody else
                server_settings=server_settings or {},
            )
            opened.append(one)
        if await _share_sessions(opened[0], opened[1]):
            raise PoolerInTheWay(_ADVICE)
    except (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError) as error:
        raise PoolerInTheWay(_ADVICE) from error  # what was prepared is in another session
    except CONNECTION_ERRORS as error:
        if "unsupported startup parameter" in str(error):
            raise PoolerInTheWay(
                f"the pooler refuses the connection ({error}): add that name to its "
                "ignore_startup_parameters and set its pool mode to session, or name PostgreSQL itself in "
                "the setting database"
            ) from error
        if isinstance(error, OSError) or is_unavailable(error):
            raise DatabaseUnavailable(f"cannot connect: {error}") from error
        raise
    finally:
        for connection in opened:
            connection.terminate()


async def _share_sessions(
    one: asyncpg.Connection[asyncpg.Record], other: asyncpg.Connection[asyncpg.Record]
) -> bool:
    """Whether two connections are ever seen in one session, or one of them in two."""
    seen: dict[int, int] = {}
    for _ in range(_ROUNDS):
        for place, connection in enumerate((one, other)):
            # Inside a transaction, so that the session is ours while the other asks for its own.
            async with connection.transaction():
                process = await connection.fetchval(_REAL_PID)
                if seen.setdefault(process, place) != place:
                    return True
                across = await (other if connection is one else one).fetchval(_REAL_PID)
                if seen.setdefault(across, 1 - place) != 1 - place:
                    return True
        # Once more, so that turns taken by two do not always fall to the same one.
        if seen.setdefault(await one.fetchval(_REAL_PID), 0) != 0:
            return True
    return len(seen) != len((one, other))
