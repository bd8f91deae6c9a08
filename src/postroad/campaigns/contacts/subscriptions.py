"""Who subscribes to a list and who left it; the SQL of `unsubscription` and `suppression`.

What was left is kept beside the contacts, so that a list that is emptied and filled again sends nothing to
those who asked for nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from postroad.campaigns.contacts.lists import hold_list_in
from postroad.campaigns.contacts.values import clean
from postroad.db.pool import Database

Source = Literal["api", "link", "one-click", "mail", "complaint", "console"]
READ_AT_ONCE = 5000

# Whoever is there already only gets a name that was really given; whoever left is back.
_SUBSCRIBE = """
WITH wanted AS (
    SELECT DISTINCT ON (lower(w.address)) w.address, w.name
    FROM unnest($3::text[], $4::text[]) AS w(address, name) ORDER BY lower(w.address)
), back AS (
    DELETE FROM unsubscription u USING wanted w
    WHERE u.customer_id = $1 AND u.list_id = $2 AND u.address = lower(w.address)
), done AS (
    INSERT INTO contact (customer_id, list_id, address, fullname)
    SELECT $1, $2, address, coalesce(name, split_part(address, '@', 1)) FROM wanted
    ON CONFLICT (customer_id, list_id, lower(address)) WHERE removed_at IS NULL
    DO UPDATE SET fullname = coalesce(
        (SELECT w.name FROM wanted w WHERE lower(w.address) = lower(EXCLUDED.address)), contact.fullname)
    RETURNING id
)
SELECT count(*) FROM done
"""
_UNSUBSCRIBE = """
WITH gone AS (
    UPDATE contact SET removed_at = now()
    WHERE customer_id = $1 AND list_id = $2 AND removed_at IS NULL AND lower(address) = ANY($3::text[])
    RETURNING lower(address) AS address
), noted AS (
    INSERT INTO unsubscription (customer_id, list_id, address, source)
    SELECT $1, $2, address, $4 FROM gone
    ON CONFLICT (customer_id, list_id, address) DO UPDATE SET created_at = now(), source = EXCLUDED.source
)
SELECT count(*) FROM gone
"""


@dataclass(frozen=True, slots=True)
class Subscriber:
    """An address to be subscribed; without a name the part before the @ becomes it."""

    address: str
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Unsubscription:
    """Who left, and when."""

    address: str
    left_at: datetime


class Subscriptions:
    """Subscribing and unsubscribing. A list that is not the customer's raises `NotFound`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def subscribe(self, customer_id: int, list_id: int, subscribers: Sequence[Subscriber]) -> int:
        """Subscribe them all and return how many are subscribed of them now."""
        async with self._database.transaction() as connection:
            await hold_list_in(connection, customer_id, list_id)
            return int(
                await connection.fetchval(
                    _SUBSCRIBE,
                    customer_id,
                    list_id,
                    [one.address for one in subscribers],
                    [clean(one.name) or None if one.name else None for one in subscribers],
                )
            )

    async def unsubscribe(
        self, customer_id: int, list_id: int, addresses: Sequence[str], source: Source = "api"
    ) -> int:
        """Remove them from the list, remember that they left, and return how many were in it."""
        async with self._database.transaction() as connection:
            await hold_list_in(connection, customer_id, list_id)
            return int(
                await connection.fetchval(
                    _UNSUBSCRIBE, customer_id, list_id, [one.lower() for one in addresses], source
                )
            )

    async def left(self, customer_id: int, list_id: int) -> AsyncIterator[Unsubscription]:
        """Everybody who left the list, by time."""
        await self._check(customer_id, list_id)
        at, address = datetime.fromisoformat("0001-01-01T00:00:00+00:00"), ""
        while rows := await self._database.fetch(
            "SELECT address, created_at FROM unsubscription WHERE customer_id = $1 AND list_id = $2 "
            "AND (created_at, address) > ($3, $4) ORDER BY created_at, address LIMIT $5",
            customer_id,
            list_id,
            at,
            address,
            READ_AT_ONCE,
        ):
            for row in rows:
                yield Unsubscription(row["address"], row["created_at"])
            at, address = rows[-1]["created_at"], rows[-1]["address"]

    async def _check(self, customer_id: int, list_id: int) -> None:
        async with self._database.transaction() as connection:
            await hold_list_in(connection, customer_id, list_id)
