"""Customers and managers of the campaign platform; the SQL of `customer`.

How they sign in is the directory's; a customer made here gets its credential in the same transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import asyncpg

from postroad.campaigns.errors import AlreadyThere, BadInput, NotAllowed, NotFound
from postroad.db.pool import Connection, Database

MAX_USERNAME = 100
MAX_TEXT = 255
MAX_PAGE = 1000
MAX_RATE = 10_000_000  # mails a minute
TEXTS = ("company", "contact", "phone", "mobile", "email", "im", "address")
CHANGEABLE = frozenset(
    {
        *TEXTS,
        "mails_per_minute",
        "is_enabled",
        "service_type",
        "send_type",
        "begins_on",
        "ends_on",
        "daily_volume",
        "manager_id",
    }
)

# The dates of a service are days of the platform's zone, which the caller knows.
_COLUMNS = """
c.id, c.username, c.is_manager, c.manager_id, c.company, c.contact, c.phone, c.mobile, c.email, c.im,
c.address, c.is_enabled, c.service_type, c.send_type, c.begins_on, c.ends_on, c.daily_volume, c.created_at,
c.mails_per_minute
"""


@dataclass(frozen=True, slots=True)
class Customer:
    """One customer or manager."""

    id: int
    username: str
    is_manager: bool
    manager_id: int | None
    company: str
    contact: str
    phone: str
    mobile: str
    email: str
    im: str
    address: str
    is_enabled: bool
    service_type: str
    send_type: str
    begins_on: date
    ends_on: date | None
    daily_volume: int
    created_at: datetime
    mails_per_minute: int | None = None  # of all its tasks together; None: as receivers allow

    def check_may_write(self, today: date) -> None:
        """Raise `NotAllowed` unless the service is enabled and runs on the day `today`."""
        if (
            not self.is_enabled
            or today < self.begins_on
            or (self.ends_on is not None and today > self.ends_on)
        ):
            raise NotAllowed


class Customers:
    """All customers. Who is not found raises `NotFound`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_in(
        self,
        connection: Connection,
        username: str,
        *,
        is_manager: bool = False,
        manager_id: int | None = None,
        volume: int = 0,
        **details: Any,
    ) -> Customer:
        """Make a customer with `volume` mails to send. Raises `AlreadyThere`, `BadInput`, `NotFound`."""
        name = username.strip()
        if not 1 <= len(name) <= MAX_USERNAME or not name.isprintable() or ":" in name:
            raise BadInput("username", f"1 to {MAX_USERNAME} printable characters without a colon")
        checked = _checked(details)
        columns = ["username", "is_manager", "manager_id", *checked]
        values = [name, is_manager, manager_id, *checked.values()]
        if manager_id is not None:
            await self._check_manager_in(connection, manager_id)
        places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
        try:
            async with connection.transaction():
                row = await connection.fetchrow(
                    f"INSERT INTO customer AS c ({', '.join(columns)}) VALUES ({places}) "
                    f"RETURNING {_COLUMNS}",
                    *values,
                )
        except asyncpg.UniqueViolationError as error:
            raise AlreadyThere("username", name) from error
        assert row is not None
        if volume:
            await connection.execute(
                "INSERT INTO credit (customer_id, amount, note) VALUES ($1, $2, 'opening')", row["id"], volume
            )
        return Customer(**row)

    async def get(self, customer_id: int) -> Customer:
        """Return the customer with this id."""
        row = await self._database.fetchrow(f"SELECT {_COLUMNS} FROM customer c WHERE id = $1", customer_id)
        if row is None:
            raise NotFound("customer", customer_id)
        return Customer(**row)

    async def get_by_username(self, username: str) -> Customer:
        """Return the customer with this name, of whatever case."""
        row = await self._database.fetchrow(
            f"SELECT {_COLUMNS} FROM customer c WHERE lower(username) = lower($1)", username.strip()
        )
        if row is None:
            raise NotFound("customer", username[:MAX_USERNAME])
        return Customer(**row)

    async def managed_by(self, manager: Customer, customer_id: int) -> Customer:
        """Return the customer that `manager` acts for. One that is not its own raises `NotFound`.

        A manager without a manager above it and without sub-accounts named at it manages everybody who has
        no manager: on an installation of one company nobody assigns customers.
        """
        if not manager.is_manager:
            raise NotAllowed("only a manager may do that")
        customer = await self.get(customer_id)
        if customer.is_manager or customer.manager_id not in (manager.id, None):
            raise NotFound("customer", customer_id)
        return customer

    async def list(self, after: int = 0, limit: int = 100) -> list[Customer]:
        """Return up to `limit` customers (at most 1,000) by id, those after the id `after`."""
        rows = await self._database.fetch(
            f"SELECT {_COLUMNS} FROM customer c WHERE id > $1 ORDER BY id LIMIT $2",
            after,
            max(1, min(limit, MAX_PAGE)),
        )
        return [Customer(**row) for row in rows]

    async def update(self, customer_id: int, **changes: Any) -> Customer:
        """Change fields named in `CHANGEABLE`. Raises `BadInput`, `NotFound`."""
        checked = _checked(changes)
        if not checked:
            return await self.get(customer_id)
        settings = ", ".join(f"{name} = ${number}" for number, name in enumerate(checked, 2))
        async with self._database.transaction() as connection:
            if (manager_id := checked.get("manager_id")) is not None:
                await self._check_manager_in(connection, manager_id)
            row = await connection.fetchrow(
                f"UPDATE customer c SET {settings} WHERE id = $1 RETURNING {_COLUMNS}",
                customer_id,
                *checked.values(),
            )
        if row is None:
            raise NotFound("customer", customer_id)
        return Customer(**row)

    async def _check_manager_in(self, connection: Connection, manager_id: int) -> None:
        if not await connection.fetchval(
            "SELECT id FROM customer WHERE id = $1 AND is_manager FOR KEY SHARE", manager_id
        ):
            raise NotFound("manager", manager_id)


def _checked(details: dict[str, Any]) -> dict[str, Any]:
    for name, value in details.items():
        if name not in CHANGEABLE:
            raise BadInput(name, "cannot be set")
        if name in TEXTS and (len(value) > MAX_TEXT or not (value == "" or value.isprintable())):
            raise BadInput(name, f"at most {MAX_TEXT} printable characters")
        if name == "service_type" and value not in ("all", "day"):
            raise BadInput(name, "all or day")
        if name == "send_type" and value not in ("remote", "local"):
            raise BadInput(name, "remote or local")
        if name == "mails_per_minute" and value is not None and not 1 <= value <= MAX_RATE:
            raise BadInput(name, f"1 to {MAX_RATE}, or none")
        if name == "daily_volume" and not 0 <= value < 2**62:
            raise BadInput(name, "a number from 0")
    return details
