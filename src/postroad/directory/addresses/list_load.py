"""How much mail from outside a list passes on: the SQL of `distribution_list_load`.

A list of 10,000 makes 10,000 mails of one, and whoever writes from outside proves nothing: the sender's
address of a member elsewhere is easily guessed. So copies are counted for an hour, over all workers.
"""

from __future__ import annotations

from postroad.db.pool import Database

# One statement: two mails at once cannot both take the last room. The first mail of an hour always passes,
# however large the list.
_TAKE = """
INSERT INTO distribution_list_load AS load (list_id, since, copies) VALUES ($1, now(), $2)
ON CONFLICT (list_id) DO UPDATE
SET since = CASE WHEN load.since < now() - interval '1 hour' THEN now() ELSE load.since END,
    copies = CASE WHEN load.since < now() - interval '1 hour' THEN 0 ELSE load.copies END + EXCLUDED.copies
WHERE load.since < now() - interval '1 hour' OR load.copies + EXCLUDED.copies <= $3
RETURNING true
"""


class ListLoad:
    """Counts for all lists."""

    def __init__(self, database: Database, most_copies: int) -> None:
        """`most_copies` an hour of one list."""
        self._database = database
        self._most = most_copies

    async def may_take(self, list_id: int, copies: int) -> bool:
        """Count so many copies more; False, and nothing counted, when they are too many now."""
        return bool(await self._database.fetchval(_TAKE, list_id, copies, self._most))
