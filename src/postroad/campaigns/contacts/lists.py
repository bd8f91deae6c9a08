"""Contact categories, which are the subscription lists too; the SQL of `contact_list`."""

from __future__ import annotations

from dataclasses import dataclass

import asyncpg

from postroad.campaigns.contacts.values import clean
from postroad.campaigns.errors import BadInput, InUse, NotFound
from postroad.db.pool import Connection, Database

MAX_SUBJECT = 200
MAX_DESCRIPTION = 2000

# Counted anew each time from an index alone: a counter beside it would drift.
_LISTS = """
SELECT l.id, l.subject, l.description, l.is_enabled, coalesce(n.count, 0) AS count
FROM contact_list l
LEFT JOIN (SELECT list_id, count(*) FROM contact
           WHERE customer_id = $1 AND removed_at IS NULL GROUP BY list_id) n ON n.list_id = l.id
WHERE l.customer_id = $1 ORDER BY l.id
"""
_ONE = """
SELECT l.id, l.subject, l.description, l.is_enabled,
       (SELECT count(*) FROM contact c
        WHERE c.customer_id = $1 AND c.list_id = $2 AND c.removed_at IS NULL) AS count
FROM contact_list l WHERE l.customer_id = $1 AND l.id = $2
"""
# In these states a task still needs its list and its templates (4.5 and 5.5 of our page).
OPEN_STATES = (-5, 1, 2, -2)
_IN_USE = """
SELECT EXISTS (SELECT FROM task_list tl JOIN task t ON t.customer_id = tl.customer_id AND t.id = tl.task_id
               WHERE tl.customer_id = $1 AND tl.list_id = $2 AND t.state = ANY($3::smallint[])
                 AND t.deleted_at IS NULL)
"""


@dataclass(frozen=True, slots=True)
class ContactList:
    """One category and how many contacts it has."""

    id: int
    subject: str
    description: str
    is_enabled: bool
    count: int


class ContactLists:
    """The categories of all customers. Who asks for one that is not the customer's gets `NotFound`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, customer_id: int) -> list[ContactList]:
        """Return the customer's categories by id."""
        return [_list(row) for row in await self._database.fetch(_LISTS, customer_id)]

    async def get(self, customer_id: int, list_id: int) -> ContactList:
        """Return one category."""
        row = await self._database.fetchrow(_ONE, customer_id, list_id)
        if row is None:
            raise NotFound("list", list_id)
        return _list(row)

    async def add(
        self, customer_id: int, subject: str, *, description: str = "", is_enabled: bool = True
    ) -> int:
        """Make a category and return its id. Two may have one name. Raises `BadInput`."""
        return int(
            await self._database.fetchval(
                "INSERT INTO contact_list (customer_id, subject, description, is_enabled) "
                "VALUES ($1, $2, $3, $4) RETURNING id",
                customer_id,
                _subject(subject),
                clean(description, MAX_DESCRIPTION),
                is_enabled,
            )
        )

    async def edit(
        self,
        customer_id: int,
        list_id: int,
        *,
        subject: str | None = None,
        description: str | None = None,
        is_enabled: bool | None = None,
    ) -> None:
        """Change what is not None. Raises `BadInput`, `NotFound`."""
        done = await self._database.fetchval(
            "UPDATE contact_list SET subject = coalesce($3, subject), "
            "description = coalesce($4, description), is_enabled = coalesce($5, is_enabled) "
            "WHERE customer_id = $1 AND id = $2 RETURNING id",
            customer_id,
            list_id,
            None if subject is None else _subject(subject),
            None if description is None else clean(description, MAX_DESCRIPTION),
            is_enabled,
        )
        if done is None:
            raise NotFound("list", list_id)

    async def remove(self, customer_id: int, list_id: int) -> None:
        """Remove a category and its contacts. Raises `InUse`, `NotFound`."""
        async with self._database.transaction() as connection:
            await hold_list_in(connection, customer_id, list_id, exclusively=True)
            if await connection.fetchval(_IN_USE, customer_id, list_id, OPEN_STATES):
                raise InUse("list", list_id)
            await connection.execute(
                "UPDATE contact SET removed_at = now() "
                "WHERE customer_id = $1 AND list_id = $2 AND removed_at IS NULL",
                customer_id,
                list_id,
            )
            await connection.execute(
                "DELETE FROM unsubscription WHERE customer_id = $1 AND list_id = $2", customer_id, list_id
            )
            await connection.execute(
                "DELETE FROM contact_list WHERE customer_id = $1 AND id = $2", customer_id, list_id
            )


async def hold_list_in(
    connection: Connection, customer_id: int, list_id: int, *, exclusively: bool = False
) -> None:
    """Keep the list from being removed until the commit. Raises `NotFound`.

    Who writes contacts into it, or a task that names it, calls this first.
    """
    strength = "UPDATE" if exclusively else "KEY SHARE"
    found = await connection.fetchval(
        f"SELECT id FROM contact_list WHERE customer_id = $1 AND id = $2 FOR {strength}", customer_id, list_id
    )
    if found is None:
        raise NotFound("list", list_id)


def _subject(text: str) -> str:
    subject = clean(text, MAX_SUBJECT + 1)
    if not 1 <= len(subject) <= MAX_SUBJECT:
        raise BadInput("subject", f"1 to {MAX_SUBJECT} characters")
    return subject


def _list(row: asyncpg.Record) -> ContactList:
    return ContactList(row["id"], row["subject"], row["description"], row["is_enabled"], row["count"])
