"""What a principal may administer; the SQL of `administers`.

The whole server, or domains with their alias domains. Asked by the service that does something for a
principal, once, with the rights as they are now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from postroad.db.pool import Connection, Database
from postroad.directory.announcements import announce_in
from postroad.directory.errors import BadValue, NotAllowed, UnknownDomain
from postroad.directory.principals import PrincipalId
from postroad.message.address import BadAddress, canonical_domain

MAX_DOMAINS = 1000  # of one principal


@dataclass(frozen=True, slots=True)
class Rights:
    """Over what: everything, or domains (canonical names, alias domains among them)."""

    everything: bool = False
    domains: frozenset[str] = frozenset()

    @property
    def are_none(self) -> bool:
        """Whether there is nothing that may be administered."""
        return not self.everything and not self.domains

    def cover(self, domain: str) -> bool:
        """Whether a domain may be administered; one that does not exist, only by who may everything."""
        if self.everything:
            return True
        try:
            return canonical_domain(domain) in self.domains
        except BadAddress:
            return False

    def check(self, domain: str) -> None:
        """Raise `NotAllowed` for a domain that is not covered."""
        if not self.cover(domain):
            raise NotAllowed(domain)

    def check_everything(self) -> None:
        """Raise `NotAllowed` for what concerns the whole server."""
        if not self.everything:
            raise NotAllowed("the server")


_RIGHTS = """
SELECT coalesce(bool_or(a.domain_id IS NULL), false) AS everything,
       coalesce(array_agg(DISTINCT d.name) FILTER (WHERE d.name IS NOT NULL), '{}') AS domains
FROM administers a
LEFT JOIN domain d ON d.id = a.domain_id OR d.alias_of = a.domain_id
WHERE a.kind = $1 AND a.principal_id = $2
"""


async def rights_in(connection: Connection | Database, principal: PrincipalId) -> Rights:
    """Return what a principal may administer now: nothing, for most."""
    row = await connection.fetchrow(_RIGHTS, principal.kind, principal.id)
    assert row is not None
    return Rights(row["everything"], frozenset(row["domains"]))


async def grant_in(connection: Connection, principal: PrincipalId, domains: Sequence[str]) -> None:
    """Let a principal administer domains, or without any the whole server.

    Raises `UnknownDomain`, `BadValue`.
    """
    if len(domains) > MAX_DOMAINS:
        raise BadValue("domains", f"at most {MAX_DOMAINS}")
    domain_ids = [await _domain_id_in(connection, domain) for domain in domains]
    await connection.execute(
        """
        INSERT INTO administers (kind, principal_id, domain_id) SELECT $1, $2, unnest($3::bigint[])
        ON CONFLICT DO NOTHING
        """,
        principal.kind,
        principal.id,
        domain_ids or [None],
    )
    await announce_in(connection, principals=[principal])


async def revoke_in(connection: Connection, principal: PrincipalId) -> bool:
    """Take all rights away; say whether there were any."""
    rows = await connection.fetch(
        "DELETE FROM administers WHERE kind = $1 AND principal_id = $2 RETURNING 1",
        principal.kind,
        principal.id,
    )
    await announce_in(connection, principals=[principal])
    return bool(rows)


async def _domain_id_in(connection: Connection, domain: str) -> int:
    try:
        name = canonical_domain(domain)
    except BadAddress as error:
        raise UnknownDomain(domain) from error
    domain_id: int | None = await connection.fetchval(
        "SELECT id FROM domain WHERE name = $1 AND alias_of IS NULL FOR SHARE", name
    )
    if domain_id is None:
        raise UnknownDomain(domain)
    return domain_id
