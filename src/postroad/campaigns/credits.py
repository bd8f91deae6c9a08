"""How many mails a customer may still send; the SQL of `credit`.

Nothing is ever taken off: what was used is counted from what became of recipients, what is bound is what
tasks chose that are not over. So no crash can leave a wrong balance.
"""

from __future__ import annotations

from dataclasses import dataclass

from postroad.campaigns.errors import NotEnoughVolume, NotFound
from postroad.campaigns.reports.figures import FIGURES_OF_CUSTOMER
from postroad.db.pool import Connection, Database

# A point is a mail that was really handed to delivery: delivered, or refused by its server.
_BALANCE = f"""
WITH figures AS ({FIGURES_OF_CUSTOMER})
SELECT c.service_type, c.daily_volume,
       (SELECT coalesce(sum(amount), 0) FROM credit WHERE customer_id = $1)::bigint AS bought,
       (SELECT coalesce(sum(count), 0) FROM figures
        WHERE state = 2 OR state = 3 AND failure NOT IN (5, 8, 9))::bigint AS used,
       (SELECT coalesce(sum(count), 0) FROM figures
        WHERE (state = 2 OR state = 3 AND failure NOT IN (5, 8, 9))
          AND day = (now() AT TIME ZONE $2)::date)::bigint AS used_today,
       (SELECT coalesce(sum(count), 0) FROM figures WHERE state IN (0, 1))::bigint
         + (SELECT coalesce(sum(t.selected), 0)
            FROM task t JOIN run r ON r.customer_id = t.customer_id AND r.task_id = t.id
            WHERE t.customer_id = $1 AND t.deleted_at IS NULL AND r.expanded_at IS NULL
              AND t.state IN (-5, -2, 1, 2))::bigint AS bound
FROM customer c WHERE c.id = $1
"""


@dataclass(frozen=True, slots=True)
class Volume:
    """`total` was bought, or is the daily volume; `left` of it; `bound` by tasks that are not over."""

    total: int
    left: int
    bound: int


class Credits:
    """Volumes of customers."""

    def __init__(self, database: Database, zone: str) -> None:
        """`zone` names the time zone in which a day of volume begins and ends."""
        self._database = database
        self._zone = zone

    async def volume(self, customer_id: int) -> Volume:
        """Return the customer's volume. Raises `NotFound`."""
        async with self._database.connection() as connection:
            return await self.volume_in(connection, customer_id)

    async def volume_in(self, connection: Connection, customer_id: int) -> Volume:
        """As `volume`, in the caller's transaction."""
        row = await connection.fetchrow(_BALANCE, customer_id, self._zone)
        if row is None:
            raise NotFound("customer", customer_id)
        if row["service_type"] == "day":
            return Volume(row["daily_volume"], max(0, row["daily_volume"] - row["used_today"]), row["bound"])
        return Volume(row["bought"], max(0, row["bought"] - row["used"]), row["bound"])

    async def require_in(self, connection: Connection, customer_id: int, mails: int) -> None:
        """Raise `NotEnoughVolume` unless so many more mails may be sent."""
        volume = await self.volume_in(connection, customer_id)
        if mails > volume.left - volume.bound:
            raise NotEnoughVolume(mails, max(0, volume.left - volume.bound))

    async def add(self, customer_id: int, amount: int, note: str = "") -> Volume:
        """Give (or, below zero, take) volume and return what there is now. Raises `NotFound`."""
        done = await self._database.execute(
            "INSERT INTO credit (customer_id, amount, note) SELECT id, $2, $3 FROM customer WHERE id = $1",
            customer_id,
            amount,
            note[:200],
        )
        if done.endswith(" 0"):
            raise NotFound("customer", customer_id)
        return await self.volume(customer_id)
