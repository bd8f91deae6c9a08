"""Sign-on tickets that were used: each is good once, whichever worker or machine sees it; the SQL of
`sign_on_ticket`.

Who may issue tickets and how they are signed is not known here: an id is kept until its ticket would have run
out by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from postroad.db.pool import Database


class Tickets:
    """All used tickets."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock

    async def use(self, integration: str, ticket_id: str, expires_at: datetime) -> bool:
        """Use up the ticket `ticket_id` of an integration; False when that was done before.

        One INSERT, so that of two that come at once one wins.
        """
        row = await self._database.fetchrow(
            """
            INSERT INTO sign_on_ticket (integration, ticket_id, expires_at) VALUES ($1, $2, $3)
            ON CONFLICT DO NOTHING RETURNING true
            """,
            integration,
            ticket_id,
            expires_at,
        )
        return row is not None

    async def sweep(self) -> int:
        """Forget tickets that have run out; called now and then by the server."""
        rows = await self._database.fetch(
            "DELETE FROM sign_on_ticket WHERE expires_at <= $1 RETURNING 1", self._clock()
        )
        return len(rows)
