"""Which contacts a task is for: the SQL that counts them and, when the task begins, makes recipients of them.

One statement for both, so that they cannot differ: contacts by id, without who unsubscribed; a range by place
in that order; of several lists each address once, and no range (6.2 of our page).
$1 customer, $2 list ids, $3 first place (from 1), $4 last place or 0.
"""

from __future__ import annotations

from postroad.db.pool import Connection

_REACHABLE = """
SELECT c.id, c.address FROM contact c
WHERE c.customer_id = $1 AND c.list_id = ANY($2::bigint[]) AND c.removed_at IS NULL
  AND NOT EXISTS (SELECT FROM unsubscription u
                  WHERE u.customer_id = c.customer_id AND u.list_id IN (0, c.list_id)
                    AND u.address = lower(c.address))
"""
ONE_LIST = f"""
{_REACHABLE}
ORDER BY c.id OFFSET $3::integer - 1
LIMIT CASE WHEN $4::integer = 0 THEN NULL ELSE greatest($4::integer - $3::integer + 1, 0) END
"""
SEVERAL_LISTS = f"""
SELECT DISTINCT ON (lower(r.address)) r.id, r.address FROM ({_REACHABLE}) AS r
WHERE $3::integer > 0 AND $4::integer >= 0 ORDER BY lower(r.address), r.id
"""


def selection(list_ids: list[int]) -> str:
    """The query for these lists: columns id and address."""
    return ONE_LIST if len(list_ids) == 1 else SEVERAL_LISTS


async def count_in(
    connection: Connection, customer_id: int, list_ids: list[int], first: int, last: int
) -> int:
    """How many contacts are chosen."""
    query = f"SELECT count(*) FROM ({selection(list_ids)}) AS chosen"
    return int(await connection.fetchval(query, customer_id, list_ids, first, last))
