"""Calls of programs: how many somebody makes a minute, and what a repeated one was answered before.

The SQL of `api_call_count` and `api_answer`. Minutes and holds are the database's time, so that all workers
count together and agree.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta

from postroad.db.pool import Database
from postroad.directory.principals import PrincipalId

KEPT = timedelta(hours=24)  # answers, for clients that repeat
HELD = timedelta(seconds=90)  # longer than the work of a call may take (`api/service.py`)


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose calls are counted together: a principal, for itself (0) or for one account."""

    principal: PrincipalId
    account_id: int = 0


@dataclass(frozen=True, slots=True)
class Counted:
    """Where a caller stands in this minute: how many calls are left (below 0: too many), when it ends."""

    left: int
    seconds: int


class CallRates:
    """Counts calls; `limit` a minute each."""

    def __init__(self, database: Database, limit: int) -> None:
        self._database = database
        self.limit = limit

    async def count(self, caller: Caller) -> Counted:
        """Count one call, over all workers. Raises `DatabaseUnavailable`."""
        row = await self._database.fetchrow(
            """
            INSERT INTO api_call_count AS n (kind, principal_id, account_id, minute, calls)
            VALUES ($1, $2, $3, date_trunc('minute', now()), 1)
            ON CONFLICT (kind, principal_id, account_id) DO UPDATE
            SET calls = CASE WHEN n.minute = excluded.minute THEN least(n.calls + 1, 1000000000) ELSE 1 END,
                minute = excluded.minute
            RETURNING calls, ceil(extract(epoch FROM minute + interval '1 minute' - now()))::int AS seconds
            """,
            caller.principal.kind,
            caller.principal.id,
            caller.account_id,
        )
        assert row is not None
        return Counted(self.limit - row["calls"], max(row["seconds"], 1))

    async def sweep(self) -> int:
        """Forget minutes that are over; gives how many rows went."""
        status = await self._database.execute(
            "DELETE FROM api_call_count WHERE minute < now() - interval '10 minutes'"
        )
        return int(status.rsplit(" ", 1)[1])


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """What a call was answered."""

    status: int
    location: str | None
    body: bytes


class KeyReused(Exception):
    """The key came with another request before."""


class KeyInUse(Exception):
    """The same call is being answered now; `retry_after` in seconds is how long that is believed at most."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("the call is being answered")
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Begun:
    """A call that is ours to answer; `is_repeated`: it was begun before, and how that ended is not known."""

    is_repeated: bool


class AnsweredCalls:
    """Answers of calls with an idempotency key (draft-ietf-httpapi-idempotency-key-header)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, caller: Caller, key: str, request: bytes) -> Begun | KeptAnswer:
        """Take a call for ourselves, or return what it was answered. `request` is all that it asks for.

        Raises `KeyReused`, `KeyInUse`, `DatabaseUnavailable`.
        """
        request_hash = hashlib.sha256(request).digest()
        while True:
            row = await self._database.fetchrow(
                """
                INSERT INTO api_answer AS a
                    (kind, principal_id, account_id, key_hash, request_hash, held_until)
                VALUES ($1, $2, $3, $4, $5, now() + $6)
                ON CONFLICT (kind, principal_id, account_id, key_hash) DO UPDATE SET held_until = now() + $6
                WHERE a.status IS NULL AND a.held_until < now() AND a.request_hash = $5
                RETURNING xmax <> 0 AS is_repeated
                """,
                *self._key(caller, key),
                request_hash,
                HELD,
            )
            if row is not None:
                return Begun(row["is_repeated"])
            found = await self._database.fetchrow(
                """
                SELECT request_hash, status, location, body,
                       ceil(extract(epoch FROM held_until - now()))::int AS seconds
                FROM api_answer
                WHERE kind = $1 AND principal_id = $2 AND account_id = $3 AND key_hash = $4
                """,
                *self._key(caller, key),
            )
            if found is None:
                continue  # given up between the two statements
            if found["request_hash"] != request_hash:
                raise KeyReused
            if found["status"] is None:
                raise KeyInUse(max(found["seconds"], 1))
            return KeptAnswer(found["status"], found["location"], found["body"])

    async def keep(self, caller: Caller, key: str, answer: KeptAnswer) -> None:
        """Note what the call was answered."""
        await self._database.execute(
            "UPDATE api_answer SET status = $5, location = $6, body = $7 "
            "WHERE kind = $1 AND principal_id = $2 AND account_id = $3 AND key_hash = $4",
            *self._key(caller, key),
            answer.status,
            answer.location,
            answer.body,
        )

    async def give_up(self, caller: Caller, key: str) -> None:
        """The call did nothing: the key is free."""
        await self._database.execute(
            "DELETE FROM api_answer WHERE kind = $1 AND principal_id = $2 AND account_id = $3 "
            "AND key_hash = $4 AND status IS NULL",
            *self._key(caller, key),
        )

    async def leave_open(self, caller: Caller, key: str) -> None:
        """How the call ended is not known: whoever repeats it has to look."""
        await self._database.execute(
            "UPDATE api_answer SET held_until = '-infinity' WHERE kind = $1 AND principal_id = $2 "
            "AND account_id = $3 AND key_hash = $4 AND status IS NULL",
            *self._key(caller, key),
        )

    async def sweep(self) -> int:
        """Forget old answers; gives how many."""
        status = await self._database.execute(
            "DELETE FROM api_answer WHERE created_at < now() - $1::interval", KEPT
        )
        return int(status.rsplit(" ", 1)[1])

    def _key(self, caller: Caller, key: str) -> tuple[str, int, int, bytes]:
        hashed = hashlib.sha256(key.encode()).digest()
        return caller.principal.kind, caller.principal.id, caller.account_id, hashed
