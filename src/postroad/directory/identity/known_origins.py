"""From where a principal has signed in before: networks, and browsers by a long-lived cookie; the SQL of
`known_origin`.

Being known opens nothing: it only keeps a stranger's failures from locking the owner out (`attempts.py`).
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from datetime import datetime

from postroad.db.pool import Database
from postroad.directory.principals import PrincipalId

MAX_EACH = 60  # origins of a principal; those unused longest go first
SEEN_EVERY = "1 day"  # how exact the last use is
FORGOTTEN_AFTER = "180 days"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}\Z")


def new_device_token() -> str:
    """Make what a browser keeps in its cookie: 43 characters."""
    return secrets.token_urlsafe(32)


def device_origin(token: str) -> str | None:
    """Return the origin of a browser's token; None for what is none. Only a hash is stored."""
    return f"device:{hashlib.sha256(token.encode()).hexdigest()}" if _TOKEN.match(token) else None


class KnownOrigins:
    """All known origins."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, principal: PrincipalId, origins: Sequence[str]) -> str | None:
        """Return the first of `origins` that the principal has signed in from."""
        found = {
            row["origin"]
            for row in await self._database.fetch(
                "SELECT origin FROM known_origin "
                "WHERE kind = $1 AND principal_id = $2 AND origin = ANY($3::text[])",
                principal.kind,
                principal.id,
                origins,
            )
        }
        return next((origin for origin in origins if origin in found), None)

    async def remember(self, principal: PrincipalId, origin: str) -> None:
        """Note that the principal signed in from `origin`; a principal that is gone is no error."""
        is_new = await self._database.fetchval(
            f"""
            INSERT INTO known_origin AS known (kind, principal_id, origin)
            SELECT kind, principal_id, $3 FROM credential WHERE kind = $1 AND principal_id = $2
            ON CONFLICT (kind, principal_id, origin) DO UPDATE SET last_seen_at = now()
                WHERE known.last_seen_at < now() - interval '{SEEN_EVERY}'
            RETURNING xmax = 0
            """,
            principal.kind,
            principal.id,
            origin,
        )
        if is_new:
            await self._database.execute(
                """
                DELETE FROM known_origin WHERE kind = $1 AND principal_id = $2 AND origin IN (
                    SELECT origin FROM known_origin WHERE kind = $1 AND principal_id = $2
                    ORDER BY last_seen_at DESC OFFSET $3)
                """,
                principal.kind,
                principal.id,
                MAX_EACH,
            )

    async def last_seen(self, principal: PrincipalId) -> tuple[str, datetime] | None:
        """Return the network that the principal signed in from last, and when, exact to `SEEN_EVERY`."""
        row = await self._database.fetchrow(
            "SELECT origin, last_seen_at FROM known_origin "
            "WHERE kind = $1 AND principal_id = $2 AND NOT starts_with(origin, 'device:') "
            "ORDER BY last_seen_at DESC LIMIT 1",
            principal.kind,
            principal.id,
        )
        return (row["origin"], row["last_seen_at"]) if row is not None else None

    async def sweep(self) -> int:
        """Forget origins that were not used for half a year; called now and then by the server."""
        rows = await self._database.fetch(
            f"DELETE FROM known_origin WHERE last_seen_at < now() - interval '{FORGOTTEN_AFTER}' RETURNING 1"
        )
        return len(rows)
