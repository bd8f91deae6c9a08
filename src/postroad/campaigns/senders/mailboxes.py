"""Mailboxes that customers send from; the SQL of `sender_mailbox`. Their passwords open SMTP to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import asyncpg

from postroad.campaigns.errors import AlreadyThere, BadInput, NotFound
from postroad.campaigns.senders.domains import read_domain
from postroad.db.pool import Connection, Database
from postroad.message.address import Address, BadAddress

MAX_PAGE = 10_000


class Credentials(Protocol):
    """Where passwords are kept: mailboxes are principals of their own."""

    async def hash(self, password: str, name: str) -> str:
        """Make a hash of a new password. Raises what the directory has for a weak one."""

    async def put_in(self, connection: Connection, mailbox_id: int, name: str, password_hash: str) -> None:
        """Write a new credential, or change the one there is; it goes with the mailbox by itself."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One mailbox."""

    id: int
    address: str
    domain: str

    @property
    def local_part(self) -> str:
        """The part before the @."""
        return self.address.rpartition("@")[0]


class SenderMailboxes:
    """The mailboxes of all customers."""

    def __init__(self, database: Database, credentials: Credentials) -> None:
        self._database = database
        self._credentials = credentials

    async def of_domain(
        self, customer_id: int, domain: str, *, skip: int = 0, limit: int = MAX_PAGE
    ) -> list[Mailbox]:
        """Return the mailboxes of one of the customer's domains by id. Raises `BadInput`, `NotFound`."""
        name = read_domain(domain)
        if not await self._database.fetchval(
            "SELECT id FROM sender_domain WHERE customer_id = $1 AND name = $2", customer_id, name
        ):
            raise NotFound("domain", name)
        rows = await self._database.fetch(
            "SELECT m.id, m.address, d.name AS domain FROM sender_mailbox m "
            "JOIN sender_domain d ON d.customer_id = m.customer_id AND d.id = m.domain_id "
            "WHERE m.customer_id = $1 AND d.name = $2 ORDER BY m.id OFFSET $3 LIMIT $4",
            customer_id,
            name,
            skip,
            min(limit, MAX_PAGE),
        )
        return [Mailbox(**row) for row in rows]

    async def add(self, customer_id: int, text: str, password: str) -> int:
        """Add a mailbox to a domain of the customer's and return its id.

        Raises `BadInput`, `NotFound`, `AlreadyThere`, and what the directory says of a weak password.
        """
        address = _address(text)
        password_hash = await self._credentials.hash(password, address.key)
        try:
            async with self._database.transaction() as connection:
                domain_id = await connection.fetchval(
                    "SELECT id FROM sender_domain WHERE customer_id = $1 AND name = $2 FOR KEY SHARE",
                    customer_id,
                    address.domain,
                )
                if domain_id is None:
                    raise NotFound("domain", address.domain)
                mailbox_id: int = await connection.fetchval(
                    "INSERT INTO sender_mailbox (customer_id, domain_id, address) "
                    "VALUES ($1, $2, $3) RETURNING id",
                    customer_id,
                    domain_id,
                    address.key,
                )
                await self._credentials.put_in(connection, mailbox_id, address.key, password_hash)
        except asyncpg.UniqueViolationError as error:
            raise AlreadyThere("mailbox", address.key) from error
        return mailbox_id

    async def set_password(self, customer_id: int, text: str, password: str) -> None:
        """Give a mailbox another password. Raises as `add`."""
        address = _address(text)
        password_hash = await self._credentials.hash(password, address.key)
        async with self._database.transaction() as connection:
            mailbox_id = await self._id_in(connection, customer_id, address)
            await self._credentials.put_in(connection, mailbox_id, address.key, password_hash)

    async def remove(self, customer_id: int, text: str) -> None:
        """Remove a mailbox. Raises `BadInput`, `NotFound`."""
        address = _address(text)
        async with self._database.transaction() as connection:
            mailbox_id = await self._id_in(connection, customer_id, address)
            await connection.execute(
                "DELETE FROM sender_mailbox WHERE customer_id = $1 AND id = $2", customer_id, mailbox_id
            )

    async def _id_in(self, connection: Connection, customer_id: int, address: Address) -> int:
        found = await connection.fetchval(
            "SELECT id FROM sender_mailbox WHERE customer_id = $1 AND address = $2 FOR UPDATE",
            customer_id,
            address.key,
        )
        if found is None:
            raise NotFound("mailbox", address.key)
        return int(found)


def _address(text: str) -> Address:
    try:
        return Address.parse(text.strip())
    except BadAddress as error:
        raise BadInput("mailbox", str(error)) from error
