"""Customers, managers and their mailboxes as principals: how they get passwords, and who one of them is.

The directory checks passwords and keeps them; a principal and its credential are made in one transaction.
"""

from __future__ import annotations

from typing import Any

from postroad.campaigns.customers import Customer, Customers
from postroad.campaigns.errors import AlreadyThere
from postroad.db.pool import Connection, Database
from postroad.directory.credentials import (
    Hashed,
    NewCredential,
    add_in,
    checked_name,
    hash_password,
    replace_in,
)
from postroad.directory.errors import NameTaken, UnknownPrincipal
from postroad.directory.passwords import PasswordHashing
from postroad.directory.principals import Kind, PrincipalId

CUSTOMERS = (Kind.CUSTOMER, Kind.MANAGER)  # who may call the bulk-mail API


def principal_of(customer: Customer) -> PrincipalId:
    """The principal that a customer signs in as."""
    return PrincipalId(Kind.MANAGER if customer.is_manager else Kind.CUSTOMER, customer.id)


class CustomerAccounts:
    """Makes customers that can sign in."""

    def __init__(self, database: Database, customers: Customers, hashing: PasswordHashing) -> None:
        self._database = database
        self._customers = customers
        self._hashing = hashing

    async def add(
        self, username: str, password: str, *, is_manager: bool = False, **details: Any
    ) -> Customer:
        """Make a customer or a manager with a password.

        Raises `AlreadyThere`, `BadInput`, `NotFound`, `BadValue`, `WeakPassword`, `TooBusyToHash`.
        """
        kind = Kind.MANAGER if is_manager else Kind.CUSTOMER
        name = checked_name(kind, username)
        hashed = await hash_password(self._hashing, name, password)
        try:
            async with self._database.transaction() as connection:
                customer = await self._customers.add_in(
                    connection, username, is_manager=is_manager, **details
                )
                await add_in(connection, [NewCredential(principal_of(customer), name, hashed)])
        except NameTaken as error:
            raise AlreadyThere("username", username) from error
        return customer

    async def set_password(self, customer: Customer, password: str) -> None:
        """Change a customer's password; sessions and what was remembered end. Raises as `add`."""
        principal = principal_of(customer)
        hashed = await hash_password(self._hashing, checked_name(principal.kind, customer.username), password)
        async with self._database.transaction() as connection:
            await replace_in(connection, principal, hashed)


class MailboxCredentials:
    """The passwords of customers' mailboxes."""

    def __init__(self, hashing: PasswordHashing) -> None:
        self._hashing = hashing

    async def hash(self, password: str, name: str) -> str:
        """Make a hash of a new password. Raises `WeakPassword`, `TooBusyToHash`."""
        return (await hash_password(self._hashing, name, password)).password_hash

    async def put_in(self, connection: Connection, mailbox_id: int, name: str, password_hash: str) -> None:
        """Write a new credential, or change the one there is."""
        principal, hashed = PrincipalId(Kind.CUSTOMER_MAILBOX, mailbox_id), Hashed(password_hash)
        try:
            await replace_in(connection, principal, hashed)
        except UnknownPrincipal:
            await add_in(connection, [NewCredential(principal, checked_name(principal.kind, name), hashed)])
