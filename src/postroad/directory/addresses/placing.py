"""Putting an address into a domain: what accounts, aliases and lists have in common.

The table `local_address` (kept by triggers) makes a name unique over all three; here is how its refusal is
told.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from postroad.db.pool import Connection, Database
from postroad.directory.errors import (
    AddressTaken,
    DirectoryError,
    DomainIsAlias,
    UnknownDomain,
    UnknownTarget,
)
from postroad.directory.names import base_of, split_key


async def domain_ids_in(connection: Connection, names: Iterable[str]) -> dict[str, int]:
    """Return the ids of domains that may hold addresses, and keep them as they are until the commit.

    Raises `UnknownDomain`, `DomainIsAlias`.
    """
    wanted = sorted(set(names))
    rows = await connection.fetch(
        "SELECT id, name, alias_of FROM domain WHERE name = ANY($1::text[]) ORDER BY id FOR SHARE", wanted
    )
    found = {row["name"]: row for row in rows}
    for name in wanted:
        if name not in found:
            raise UnknownDomain(name)
        if found[name]["alias_of"] is not None:
            raise DomainIsAlias(name)
    return {name: row["id"] for name, row in found.items()}


async def explain_collision(database: Database, keys: Sequence[str]) -> DirectoryError:
    """Return the error for a refused insert: which of `keys` is taken, and by what."""
    row = await database.fetchrow(
        "SELECT address, kind FROM local_address WHERE address = ANY($1::text[]) ORDER BY address LIMIT 1",
        list(keys),
    )
    if row is None:  # the same name twice in one batch, or removed since
        seen: set[str] = set()
        twice = [key for key in keys if key in seen or seen.add(key)]  # type: ignore[func-returns-value]
        return AddressTaken((twice or list(keys))[0], "account")
    return AddressTaken(row["address"], row["kind"])


async def check_targets_in(connection: Connection, keys: Iterable[str]) -> None:
    """Raise `UnknownTarget` for an address of a domain of ours that nothing stands behind.

    Typing mistakes are found when they are made, not when the first mail bounces.
    """
    wanted = list(dict.fromkeys(keys))
    parts = [split_key(key) for key in wanted]
    missing = await connection.fetchval(
        """
        SELECT t.key
        FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS t(key, local_part, base, domain)
        JOIN domain ON domain.name = t.domain
        JOIN domain home ON home.id = coalesce(domain.alias_of, domain.id)
        WHERE NOT EXISTS (
            SELECT FROM local_address
            WHERE address IN (t.local_part || '@' || home.name, t.base || '@' || home.name))
        LIMIT 1
        """,
        wanted,
        [local_part for local_part, _ in parts],
        [base_of(local_part) for local_part, _ in parts],
        [domain for _, domain in parts],
    )
    if missing is not None:
        raise UnknownTarget(missing)
