"""The audit log: who changed what, when and from where; the SQL of `audit_entry`.

Written in the transaction of the change where that is at hand (`record_in`), and kept for as long as the
settings say. Names are kept as they were, so that an entry outlives its actor. No secret is among the facts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg

from postroad.db.pool import Connection, Database
from postroad.directory.principals import Principal

OPERATOR = "operator"  # whoever has a shell on the server
MAX_PAGE = 1000
MAX_TEXT = 500  # characters of a subject or a fact
MAX_FACTS = 30


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something: a principal, or `OPERATOR` without an id; `client` is an IP address or ""."""

    kind: str
    id: int | None
    name: str
    client: str = ""

    @classmethod
    def of(cls, principal: Principal, client: str) -> Actor:
        """Somebody who signed in."""
        return cls(principal.kind, principal.id, principal.name, client)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One thing that was done."""

    id: int
    happened_at: datetime
    actor: Actor
    action: str
    subject: str
    facts: Mapping[str, object]


async def record_in(
    connection: Connection, actor: Actor, action: str, subject: str = "", /, **facts: object
) -> None:
    """Note that `actor` did `action` (such as "account.add") to `subject`, if this transaction commits."""
    kept = {name: _bounded(value) for name, value in list(facts.items())[:MAX_FACTS]}
    await connection.execute(
        """
        INSERT INTO audit_entry (kind, actor_id, actor_name, client, action, subject, facts)
        VALUES ($1, $2, $3, $4, $5, $6, $7::jsonb)
        """,
        actor.kind,
        actor.id,
        _text(actor.name),
        _text(actor.client),
        action,
        _text(subject),
        json.dumps(kept, ensure_ascii=False),
    )


class Audit:
    """The log. Entries are kept for `keep`."""

    def __init__(self, database: Database, keep: timedelta) -> None:
        self._database = database
        self._keep = keep

    async def record(self, actor: Actor, action: str, subject: str = "", /, **facts: object) -> None:
        """Note what was done, after it was committed."""
        async with self._database.transaction() as connection:
            await record_in(connection, actor, action, subject, **facts)

    async def list(
        self,
        *,
        subject: str | None = None,
        actor: str | None = None,
        action: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[AuditEntry]:
        """Return up to `limit` entries (at most 1,000), newest first, those before the id `before`.

        An `action` that ends in a dot means all that begin so: "account.".
        """
        rows = await self._database.fetch(
            """
            SELECT * FROM audit_entry
            WHERE ($1::text IS NULL OR subject = $1) AND ($2::text IS NULL OR actor_name = $2)
              AND ($3::text IS NULL OR action = $3 OR ($3 LIKE '%.' AND starts_with(action, $3)))
              AND ($4::bigint IS NULL OR id < $4)
            ORDER BY id DESC LIMIT $5
            """,
            subject,
            actor,
            action,
            before,
            max(1, min(limit, MAX_PAGE)),
        )
        return [_entry(row) for row in rows]

    async def sweep(self) -> int:
        """Remove entries that are older than they are kept; called now and then by the server."""
        rows = await self._database.fetch(
            "DELETE FROM audit_entry WHERE happened_at < now() - $1::interval RETURNING 1", self._keep
        )
        return len(rows)


def _entry(row: asyncpg.Record) -> AuditEntry:
    return AuditEntry(
        row["id"],
        row["happened_at"],
        Actor(row["kind"], row["actor_id"], row["actor_name"], row["client"]),
        row["action"],
        row["subject"],
        json.loads(row["facts"]),
    )


def _text(text: str) -> str:
    return text.replace("\0", "")[:MAX_TEXT].encode("utf-8", "replace").decode()


def _bounded(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple | set | frozenset):
        return [_text(str(each)) for each in list(value)[:MAX_FACTS]]
    return _text(str(value))
