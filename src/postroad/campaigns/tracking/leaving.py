"""How a reader leaves, and chooses his lists: the SQL behind the unsubscribe and preference pages.

Whoever holds the mail may do it: its token is the right (RFC 8058 3.2). A reader of a task leaves all of its
lists, since another of them would bring him the next mail; one of a customer's own SMTP mail leaves all that
the customer has (list 0). Where a reader is shown lists, these are the ones that know his address: the others
are nobody's business.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from postroad.campaigns.contacts.lists import hold_list_in
from postroad.campaigns.contacts.subscriptions import Source
from postroad.campaigns.errors import NotFound
from postroad.db.pool import Connection, Database

MAX_LISTS = 200  # shown to one reader

_READER = """
SELECT n.customer_id, n.id AS run_id, n.task_id, r.number, r.contact_id, lower(r.address) AS address,
       coalesce(nullif(c.company, ''), c.username) AS company,
       coalesce((SELECT f.fullname FROM contact f WHERE f.customer_id = n.customer_id AND f.id =
       r.contact_id), '') AS fullname,
       ARRAY(SELECT l.list_id FROM task_list l
             WHERE l.customer_id = n.customer_id AND l.task_id = n.task_id ORDER BY l.position) AS list_ids
FROM run n
JOIN customer c ON c.id = n.customer_id
CROSS JOIN LATERAL (
    SELECT * FROM recipient r
    WHERE r.customer_id = n.customer_id AND r.run_id = n.id AND r.shelf = n.shelf
      AND r.number = $2 - n.email_base LIMIT 1
) r
WHERE n.id = $1
"""
# Who left before keeps the time he left at.
_LEAVE = """
WITH gone AS (
    UPDATE contact SET removed_at = now()
    WHERE customer_id = $1 AND removed_at IS NULL AND lower(address) = $2
      AND (list_id = ANY($3::bigint[]) OR 0 = ANY($3::bigint[]))
)
INSERT INTO unsubscription (customer_id, list_id, address, source, run_id)
SELECT $1, w.list_id, $2, $4, $5 FROM unnest($3::bigint[]) AS w(list_id)
ON CONFLICT (customer_id, list_id, address) DO NOTHING
"""
_LISTS = """
SELECT l.id, l.subject, l.description,
       c.id IS NOT NULL AND NOT EXISTS (
           SELECT FROM unsubscription u WHERE u.customer_id = $1 AND u.address = $2 AND u.list_id IN (0, l.id)
       ) AS is_subscribed
FROM contact_list l
LEFT JOIN contact c ON c.customer_id = $1 AND c.list_id = l.id AND lower(c.address) = $2 AND c.removed_at IS
NULL WHERE l.customer_id = $1 AND l.is_enabled
  AND (c.id IS NOT NULL OR l.id = ANY($3::bigint[])
       OR EXISTS (SELECT FROM unsubscription u WHERE u.customer_id = $1 AND u.address = $2 AND u.list_id =
       l.id))
ORDER BY l.id LIMIT $4
"""
# As he was, while that is still kept; else his address and name.
_COME_BACK = """
WITH before AS (
    SELECT id FROM contact
    WHERE customer_id = $1 AND list_id = $2 AND lower(address) = $3 AND removed_at IS NOT NULL
      AND NOT EXISTS (SELECT FROM contact x WHERE x.customer_id = $1 AND x.list_id = $2
                      AND lower(x.address) = $3 AND x.removed_at IS NULL)
    ORDER BY removed_at DESC, id DESC LIMIT 1 FOR UPDATE
), revived AS (
    UPDATE contact c SET removed_at = NULL FROM before WHERE c.customer_id = $1 AND c.id = before.id RETURNING
    c.id
)
INSERT INTO contact (customer_id, list_id, address, fullname)
SELECT $1, $2, $3, $4 WHERE NOT EXISTS (SELECT FROM revived)
ON CONFLICT (customer_id, list_id, lower(address)) WHERE removed_at IS NULL DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class Reader:
    """The recipient that a token names, and whose mail it was."""

    customer_id: int
    company: str
    run_id: int
    number: int
    contact_id: int
    address: str
    fullname: str
    list_ids: tuple[int, ...]  # of the task; none for a customer's own SMTP mail


@dataclass(frozen=True, slots=True)
class ListChoice:
    """A list that a reader may choose."""

    id: int
    subject: str
    description: str
    is_subscribed: bool


class Leaving:
    """Takes readers off lists and puts them back."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def reader(self, run_id: int, email_id: int) -> Reader:
        """Who a token names. Raises `NotFound` when his row is gone with its run."""
        row = await self._database.fetchrow(_READER, run_id, email_id)
        if row is None:
            raise NotFound("recipient", email_id)
        return Reader(
            row["customer_id"],
            row["company"],
            row["run_id"],
            row["number"],
            row["contact_id"],
            row["address"],
            row["fullname"],
            tuple(row["list_ids"]),
        )

    async def leave(self, reader: Reader, source: Source) -> None:
        """Take the reader off the lists that the mail was sent to. Returning means committed; twice is
        once.
        """
        await self._database.commit(
            lambda connection: leave_in(connection, reader, reader.list_ids or (0,), source)
        )

    async def leave_all(self, reader: Reader, source: Source) -> None:
        """Take the reader off every list of the customer, those to come included."""
        await self._database.commit(lambda connection: leave_in(connection, reader, (0,), source))

    async def lists(self, reader: Reader) -> list[ListChoice]:
        """The lists that the reader may choose from."""
        rows = await self._database.fetch(
            _LISTS, reader.customer_id, reader.address, list(reader.list_ids), MAX_LISTS
        )
        return [ListChoice(**row) for row in rows]

    async def choose(self, reader: Reader, wanted: Collection[int]) -> None:
        """Subscribe to exactly those of `lists` that are wanted; ids of others mean nothing."""

        async def work(connection: Connection) -> None:
            rows = await connection.fetch(
                _LISTS, reader.customer_id, reader.address, list(reader.list_ids), MAX_LISTS
            )
            left = [row["id"] for row in rows if row["id"] not in wanted]
            chosen = [row["id"] for row in rows if row["id"] in wanted]
            if chosen:
                # Who wants one list again has not left them all; the others are left one by one.
                await connection.execute(
                    "DELETE FROM unsubscription WHERE customer_id = $1 AND address = $2 "
                    "AND list_id = ANY($3::bigint[])",
                    reader.customer_id,
                    reader.address,
                    [0, *chosen],
                )
            for list_id in chosen:
                await hold_list_in(connection, reader.customer_id, list_id)
                await connection.execute(
                    _COME_BACK, reader.customer_id, list_id, reader.address, reader.fullname
                )
            if left:
                await leave_in(connection, reader, left, "link")

        await self._database.commit(work)


async def leave_in(connection: Connection, reader: Reader, list_ids: Collection[int], source: Source) -> None:
    """Take the reader off these lists in the caller's transaction; 0 stands for all."""
    await connection.execute(
        _LEAVE, reader.customer_id, reader.address, sorted(list_ids), source, reader.run_id
    )
