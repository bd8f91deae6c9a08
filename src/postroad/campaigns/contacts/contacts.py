"""Contacts: adding, changing, removing, listing; the SQL of `contact`.

An address is once in a list, without regard to case. What is read in pages is read by id, so that a list of
any length is exported with little memory and without holding a transaction open.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import asyncpg

from postroad.campaigns.contacts.lists import hold_list_in
from postroad.campaigns.contacts.values import (
    VARIABLES,
    Person,
    clean,
    read_address,
    read_birthday,
    read_sex,
    read_variables,
)
from postroad.campaigns.errors import AlreadyThere, MalformedAddress, NotFound
from postroad.db.pool import Database

READ_AT_ONCE = 2000  # about 1 MB of rows with long variables
MAX_REMOVED_AT_ONCE = 10_000
# Until a run that was expanded before the removal is over, its mails are rendered from these rows.
_PURGE = """
DELETE FROM contact WHERE (customer_id, id) IN (
    SELECT c.customer_id, c.id FROM contact c
    WHERE c.removed_at < now() - interval '10 minutes' AND NOT EXISTS (
        SELECT FROM run r WHERE r.customer_id = c.customer_id AND r.finished_at IS NULL
          AND r.created_at <= c.removed_at AND r.kind = 'web')
    LIMIT $1)
"""
_ADD = """
INSERT INTO contact (customer_id, list_id, address, fullname, sex, birthday, phone, area, vars)
SELECT $1, $2, p.address, p.fullname, p.sex, p.birthday, p.phone, p.area,
       coalesce((SELECT array_agg(v.value ORDER BY v.place)
                 FROM jsonb_array_elements_text(p.variables) WITH ORDINALITY AS v(value, place)), '{}')
FROM jsonb_to_recordset($3) AS p(number integer, address text, fullname text, sex text, birthday date,
                                 phone text, area text, variables jsonb)
ORDER BY p.number
ON CONFLICT (customer_id, list_id, lower(address)) WHERE removed_at IS NULL DO NOTHING
RETURNING id
"""


@dataclass(frozen=True, slots=True)
class Contact:
    """One contact; `list_id` 0 = in no category."""

    id: int
    list_id: int
    person: Person
    created_at: datetime


class Contacts:
    """The contacts of all customers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, customer_id: int, list_id: int, person: Person) -> int:
        """Add one and return its id. Raises `AlreadyThere`, `NotFound`."""
        added = await self.add_many(customer_id, list_id, [person])
        if not added:
            raise AlreadyThere("contact", person.address)
        return added[0]

    async def add_many(self, customer_id: int, list_id: int, persons: Sequence[Person]) -> list[int]:
        """Add those whose address the list does not have yet and return their ids. Raises `NotFound`."""
        rows = [
            {
                "number": number,
                "address": person.address,
                "fullname": person.fullname,
                "sex": person.sex,
                "birthday": person.birthday.isoformat() if person.birthday else None,
                "phone": person.phone,
                "area": person.area,
                "variables": person.variables,
            }
            for number, person in enumerate(persons)
        ]
        async with self._database.transaction() as connection:
            await hold_list_in(connection, customer_id, list_id)
            return [row["id"] for row in await connection.fetch(_ADD, customer_id, list_id, rows)]

    async def get(self, customer_id: int, contact_id: int) -> Contact:
        """Return one contact. Raises `NotFound`."""
        row = await self._database.fetchrow(
            "SELECT * FROM contact WHERE customer_id = $1 AND id = $2 AND removed_at IS NULL",
            customer_id,
            contact_id,
        )
        if row is None:
            raise NotFound("contact", contact_id)
        return _contact(row)

    async def edit(self, customer_id: int, contact_id: int, changes: Mapping[str, str]) -> None:
        """Change the fields given by name: address, fullname, sex, birthday, phone, area, var1 … var10.

        Raises `MalformedAddress`, `AlreadyThere`, `NotFound`.
        """
        values: dict[str, Any] = {
            name: clean(changes[name]) for name in ("fullname", "phone", "area") if name in changes
        }
        if "address" in changes:
            values["address"] = read_address(changes["address"])
            if values["address"] is None:
                raise MalformedAddress(changes["address"])
        if "sex" in changes:
            values["sex"] = read_sex(changes["sex"])
        if "birthday" in changes:
            values["birthday"] = read_birthday(changes["birthday"])
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(
                "SELECT * FROM contact WHERE customer_id = $1 AND id = $2 AND removed_at IS NULL FOR UPDATE",
                customer_id,
                contact_id,
            )
            if row is None:
                raise NotFound("contact", contact_id)
            variables = [*row["vars"], *[""] * VARIABLES][:VARIABLES]
            for number in range(VARIABLES):
                variables[number] = changes.get(f"var{number + 1}", variables[number])
            values["vars"] = list(read_variables(variables))
            settings = ", ".join(f"{name} = ${place}" for place, name in enumerate(values, 3))
            try:
                await connection.execute(
                    f"UPDATE contact SET {settings} WHERE customer_id = $1 AND id = $2",
                    customer_id,
                    contact_id,
                    *values.values(),
                )
            except asyncpg.UniqueViolationError as error:
                raise AlreadyThere("contact", str(values["address"])) from error

    async def remove(self, customer_id: int, contact_ids: Sequence[int]) -> int:
        """Remove contacts and return how many there were."""
        done = await self._database.execute(
            "UPDATE contact SET removed_at = now() "
            "WHERE customer_id = $1 AND id = ANY($2::bigint[]) AND removed_at IS NULL",
            customer_id,
            list(contact_ids)[:MAX_REMOVED_AT_ONCE],
        )
        return int(done.split()[1])

    async def empty(self, customer_id: int, list_id: int) -> int:
        """Remove every contact of a list and return how many there were. Raises `NotFound`."""
        async with self._database.transaction() as connection:
            await hold_list_in(connection, customer_id, list_id, exclusively=True)
            done = await connection.execute(
                "UPDATE contact SET removed_at = now() "
                "WHERE customer_id = $1 AND list_id = $2 AND removed_at IS NULL",
                customer_id,
                list_id,
            )
        return int(done.split()[1])

    async def count(self, customer_id: int, *, list_id: int | None = None, keyword: str = "") -> int:
        """How many contacts match; `list_id` None = all, 0 = in no category."""
        condition, values = _condition(customer_id, list_id, keyword)
        return int(await self._database.fetchval(f"SELECT count(*) FROM contact WHERE {condition}", *values))

    async def page(
        self,
        customer_id: int,
        *,
        list_id: int | None = None,
        keyword: str = "",
        skip: int = 0,
        limit: int = READ_AT_ONCE,
    ) -> list[Contact]:
        """Return matching contacts by id, `limit` of them behind the first `skip`."""
        condition, values = _condition(customer_id, list_id, keyword)
        rows = await self._database.fetch(
            f"SELECT * FROM contact WHERE {condition} ORDER BY id "
            f"OFFSET ${len(values) + 1} LIMIT ${len(values) + 2}",
            *values,
            skip,
            limit,
        )
        return [_contact(row) for row in rows]

    async def each(
        self,
        customer_id: int,
        *,
        list_id: int | None = None,
        keyword: str = "",
        without_unsubscribed: bool = False,
        skip: int = 0,
        limit: int | None = None,
    ) -> AsyncIterator[Contact]:
        """Every matching contact by id, or `limit` of them behind the first `skip`."""
        condition, values = _condition(customer_id, list_id, keyword)
        if without_unsubscribed:
            condition += (
                " AND NOT EXISTS (SELECT FROM unsubscription u WHERE u.customer_id = contact.customer_id "
                "AND u.list_id IN (0, contact.list_id) AND u.address = lower(contact.address))"
            )
        after, count, offset = (f"${len(values) + more}" for more in (1, 2, 3))
        query = (
            f"SELECT * FROM contact WHERE {condition} AND id > {after} "
            f"ORDER BY id LIMIT {count} OFFSET {offset}"
        )
        last, left = 0, limit
        while left is None or left > 0:
            at_once = READ_AT_ONCE if left is None else min(left, READ_AT_ONCE)
            rows = await self._database.fetch(query, *values, last, at_once, skip)
            for row in rows:
                yield _contact(row)
            if len(rows) < at_once:
                return
            last, skip = rows[-1]["id"], 0
            left = None if left is None else left - len(rows)

    async def purge(self) -> int:
        """Delete removed contacts that no run can need any more; return how many."""
        total = 0
        while True:
            done = int((await self._database.execute(_PURGE, MAX_REMOVED_AT_ONCE)).split()[1])
            total += done
            if done < MAX_REMOVED_AT_ONCE:
                return total


def _condition(customer_id: int, list_id: int | None, keyword: str) -> tuple[str, list[object]]:
    condition, values = "customer_id = $1 AND removed_at IS NULL", list[object]([customer_id])
    if list_id is not None:
        values.append(list_id)
        condition += f" AND list_id = ${len(values)}"
    if wanted := clean(keyword).lower():
        values.append(wanted)
        place = f"${len(values)}"
        condition += f" AND (strpos(lower(address), {place}) > 0 OR strpos(lower(fullname), {place}) > 0)"
    return condition, values


def _contact(row: asyncpg.Record) -> Contact:
    return Contact(row["id"], row["list_id"], person_of(row), row["created_at"])


def person_of(row: asyncpg.Record) -> Person:
    """The person in a row of `contact`."""
    birthday: date | None = row["birthday"]
    return Person(
        row["address"], row["fullname"], row["sex"], birthday, row["phone"], row["area"], tuple(row["vars"])
    )
