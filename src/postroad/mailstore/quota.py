"""How much an account holds and may hold: the sum of its folders' counters against `account.quota_bytes`.

Never a scan of its mails. A mail that lies in two folders counts twice, as in Dovecot and Gmail's IMAP.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ..db.pool import Connection, Database
from .errors import NoSuchFolder

REMEMBERED_FOR = timedelta(seconds=2)  # a recipient who gets many mails is asked about once in that time
REMEMBERED = 10_000  # accounts

_USAGE = (
    "SELECT a.quota_bytes, coalesce(sum(f.size_bytes), 0)::bigint AS used_bytes, "
    "coalesce(sum(f.message_count), 0)::bigint AS message_count "
    "FROM account a LEFT JOIN folder f ON f.account_id = a.id WHERE a.id = $1 GROUP BY a.id"
)


@dataclass(frozen=True, slots=True)
class Usage:
    """What an account holds; `quota_bytes` None: no limit."""

    used_bytes: int
    message_count: int
    quota_bytes: int | None

    def exceeded(self, extra_bytes: int = 0) -> bool:
        """Whether `extra_bytes` more would be too much."""
        return self.quota_bytes is not None and self.used_bytes + extra_bytes > self.quota_bytes


class Quota:
    """Answers for all accounts, from a memory of `REMEMBERED_FOR`."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock
        self._remembered: OrderedDict[int, tuple[datetime, Usage]] = OrderedDict()

    async def usage(self, account_id: int) -> Usage:
        """Return what the account holds, now. Raises `NoSuchFolder` when there is no such account."""
        row = await self._database.fetchrow(_USAGE, account_id)
        if row is None:
            raise NoSuchFolder("there is no such account")
        usage = Usage(row["used_bytes"], row["message_count"], row["quota_bytes"])
        self._remembered[account_id] = (self._clock(), usage)
        self._remembered.move_to_end(account_id)
        if len(self._remembered) > REMEMBERED:
            self._remembered.popitem(last=False)
        return usage

    async def exceeded(self, account_id: int, extra_bytes: int = 0) -> bool:
        """Whether the account has no room for `extra_bytes` more, by figures up to `REMEMBERED_FOR` old.

        An account that does not exist exceeds nothing: others say so better.
        """
        known = self._remembered.get(account_id)
        if known is not None and self._clock() - known[0] < REMEMBERED_FOR:
            return known[1].exceeded(extra_bytes)
        try:
            return (await self.usage(account_id)).exceeded(extra_bytes)
        except NoSuchFolder:
            return False


async def over_quota_among_in(connection: Connection, account_ids: Sequence[int]) -> bool:
    """Whether one of these accounts holds more than it may, seen from inside a transaction."""
    return bool(
        await connection.fetchval(
            "SELECT EXISTS (SELECT FROM account a WHERE a.id = ANY($1::bigint[]) AND a.quota_bytes < "
            "(SELECT coalesce(sum(f.size_bytes), 0) FROM folder f WHERE f.account_id = a.id))",
            list(account_ids),
        )
    )


async def over_quota_in(connection: Connection, account_id: int) -> bool:
    """Whether the account holds more than it may, seen from inside a transaction that added something."""
    row = await connection.fetchrow(_USAGE, account_id)
    return row is not None and row["quota_bytes"] is not None and row["used_bytes"] > row["quota_bytes"]
