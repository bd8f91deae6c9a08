"""Getting mail back that workers have in flight: an order is obeyed, and only then answered.

Whoever gives it (an operator who holds or drops mail, a campaign that is paused) marks rows first, so that
`Source.renew` calls them withdrawn; a recall then asks the workers that have leased any of them to look at
their leases, and waits until each has answered or is gone. After that, whatever of those rows is still leased
is on the wire. Workers look for themselves every few seconds: a lost announcement only costs time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from postroad.db.pool import Database
from postroad.transport.delivery.announcing import QUEUE_CHANNEL, RECALL, Announce

LOOK_SECONDS = 0.02
LONGEST_LOOK_SECONDS = 0.5
# A worker that has not answered by then shows no sign of life either, or its process is stopped: it has lost
# its proof of life, and begins nothing (`presence.CONFIRMED_SECONDS`).
LONGEST_WAIT = timedelta(seconds=30)

_ASK = """
UPDATE queue_worker SET recalled = recalled + 1 WHERE owner = ANY($1::int[]) RETURNING owner, recalled
"""

# A worker that was taken for dead and came back has a new row, which knows of no recall: it looks at all its
# leases before it begins anything.
_UNANSWERED = """
SELECT count(*) FROM queue_worker w
JOIN unnest($1::int[], $2::bigint[]) AS asked(owner, recalled) ON asked.owner = w.owner
WHERE w.answered < asked.recalled AND w.recalled >= asked.recalled AND w.seen_at > now() - $3::interval
"""


async def recall(database: Database, announcer: Announce, workers: Sequence[int]) -> None:
    """Have these workers (`lease_owner` of the rows) begin nothing more that was withdrawn.

    Raises `DatabaseUnavailable`.
    """
    asked = await database.fetch(_ASK, sorted(set(workers)))
    if not asked:
        return
    announcer.announce(QUEUE_CHANNEL, RECALL)
    owners, numbers = [row["owner"] for row in asked], [row["recalled"] for row in asked]
    pause = LOOK_SECONDS
    while await database.fetchval(_UNANSWERED, owners, numbers, LONGEST_WAIT):
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, LONGEST_LOOK_SECONDS)
