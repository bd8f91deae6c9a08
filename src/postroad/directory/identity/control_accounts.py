"""Control accounts: who signs in at the control protocol; the SQL of `control_account`.

Interface page `ctrl-protocol.md`, sections 4 and 10. Its digest is the MD5 of the banner's timestamp and the
password, so the server must have the password itself: it is kept in clear, as DKIM keys are, only for those
that may sign in so. Passwords of people are not kept like that, and these are good for nothing else.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import asyncpg

from postroad.db.pool import Database
from postroad.directory.credentials import NewCredential, add_in, checked_name, hash_password, replace_in
from postroad.directory.errors import BadValue, UnknownPrincipal, WrongCredentials
from postroad.directory.identity.audit import Actor, record_in
from postroad.directory.identity.rights import Rights, grant_in, rights_in
from postroad.directory.identity.sign_in import SignIn
from postroad.directory.passwords import PasswordHashing
from postroad.directory.principals import Kind, Principal, PrincipalId, name_key

MAX_COMMANDS = 200
MAX_NETWORKS = 100
MAX_COMMAND = 50
CONTROL_ACCOUNTS = (Kind.CONTROL_ACCOUNT,)


@dataclass(frozen=True, slots=True)
class ControlAccount:
    """One control account; `commands` None means every one, `networks` None from anywhere."""

    id: int
    name: str
    is_of_server: bool
    domains: tuple[str, ...]
    commands: tuple[str, ...] | None
    networks: tuple[IPv4Network | IPv6Network, ...] | None
    takes_digest: bool
    created_at: datetime

    def allows_client(self, client: str) -> bool:
        """Whether it may be used from an IP address."""
        if self.networks is None:
            return True
        try:
            address = ip_address(client.partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self.networks)

    def allows_command(self, command: str) -> bool:
        """Whether it may give a command."""
        return self.commands is None or command.lower() in self.commands


@dataclass(frozen=True, slots=True)
class ControlSession:
    """Somebody who signed in at the control protocol, with what they may do."""

    principal: Principal
    account: ControlAccount
    rights: Rights


_LIST = """
SELECT o.id, c.name, o.commands, o.networks, o.digest_secret IS NOT NULL AS takes_digest, o.created_at,
       coalesce(bool_or(a.kind IS NOT NULL AND a.domain_id IS NULL), false) AS is_of_server,
       array_remove(array_agg(d.name ORDER BY d.name), NULL) AS domains
FROM control_account o
JOIN credential c ON c.kind = 'control-account' AND c.principal_id = o.id
LEFT JOIN administers a ON a.kind = 'control-account' AND a.principal_id = o.id
LEFT JOIN domain d ON d.id = a.domain_id
WHERE $1::text IS NULL OR c.name = $1
GROUP BY o.id, c.kind, c.principal_id
ORDER BY c.name
"""


class ControlAccounts:
    """All control accounts. A name that is not found raises `UnknownPrincipal`."""

    def __init__(self, database: Database, hashing: PasswordHashing, sign_in: SignIn | None = None) -> None:
        self._database = database
        self._hashing = hashing
        self._sign_in = sign_in

    async def add(
        self,
        name: str,
        password: str,
        actor: Actor,
        *,
        domains: Sequence[str] = (),
        commands: Sequence[str] | None = None,
        networks: Sequence[str] | None = None,
        takes_digest: bool = True,
    ) -> ControlAccount:
        """Make a control account over the whole server, or over `domains`.

        Raises `BadValue`, `NameTaken`, `UnknownDomain`, `WeakPassword`, `TooBusyToHash`.
        """
        key = checked_name(Kind.CONTROL_ACCOUNT, name)
        clean_commands, clean_networks = _commands(commands), _networks(networks)
        _check_password(password)
        hashed = await hash_password(self._hashing, key, password)
        async with self._database.transaction() as connection:
            new_id = await connection.fetchval(
                """
                INSERT INTO control_account (commands, networks, digest_secret)
                VALUES ($1::text[], $2::cidr[], $3) RETURNING id
                """,
                clean_commands,
                clean_networks,
                password if takes_digest else None,
            )
            principal = PrincipalId(Kind.CONTROL_ACCOUNT, new_id)
            await add_in(connection, [NewCredential(principal, key, hashed)])
            await grant_in(connection, principal, domains)
            await record_in(
                connection,
                actor,
                "control-account.add",
                key,
                domains=list(domains),
                commands=clean_commands,
                networks=None if clean_networks is None else list(map(str, clean_networks)),
            )
        return await self.get(key)

    async def get(self, name: str) -> ControlAccount:
        """Return the control account of this name."""
        key = name_key(Kind.CONTROL_ACCOUNT, name)
        row = await self._database.fetchrow(_LIST, key) if key else None
        if row is None:
            raise UnknownPrincipal(Kind.CONTROL_ACCOUNT, name)
        return _control_account(row)

    async def list(self) -> list[ControlAccount]:
        """Return all of them by name."""
        return [_control_account(row) for row in await self._database.fetch(_LIST, None)]

    async def set_password(self, name: str, password: str, actor: Actor) -> int:
        """Change the password; return its new version. Raises `WeakPassword`, `TooBusyToHash`."""
        found = await self.get(name)
        _check_password(password)
        hashed = await hash_password(self._hashing, found.name, password)
        async with self._database.transaction() as connection:
            version = await replace_in(connection, PrincipalId(Kind.CONTROL_ACCOUNT, found.id), hashed)
            await connection.execute(
                "UPDATE control_account SET digest_secret = $2 WHERE id = $1 AND digest_secret IS NOT NULL",
                found.id,
                password,
            )
            await record_in(connection, actor, "control-account.password", found.name)
        return version

    async def remove(self, name: str, actor: Actor) -> None:
        """Remove a control account; it can do nothing from now on."""
        found = await self.get(name)
        async with self._database.transaction() as connection:
            await connection.execute("DELETE FROM control_account WHERE id = $1", found.id)
            await record_in(connection, actor, "control-account.remove", found.name)

    async def may_connect(self, client: str) -> bool:
        """Whether any control account may be used from an IP address: who it is shows later."""
        return any(account.allows_client(client) for account in await self.list())

    async def check_password(self, name: str, password: str, client: str) -> ControlSession:
        """Say who signs in by the password. Raises what `SignIn.check` raises."""
        assert self._sign_in is not None
        principal = await self._sign_in.check(name, password, client, "control", kinds=CONTROL_ACCOUNTS)
        return await self._opened(principal, client)

    async def check_digest(self, name: str, challenge: bytes, digest: str, client: str) -> ControlSession:
        """Say who signs in by the digest of `challenge` (the banner's timestamp with its brackets).

        Raises what `SignIn.check` raises.
        """
        assert self._sign_in is not None
        key = name_key(Kind.CONTROL_ACCOUNT, name)
        row = await self._database.fetchrow(
            """
            SELECT digest_secret FROM control_account o
            JOIN credential c ON c.kind = 'control-account' AND c.principal_id = o.id
            WHERE c.name = $1
            """,
            key,
        )
        secret = row["digest_secret"] if row is not None else None
        # Unknown names and accounts without one take as long, and are always wrong.
        made = hashlib.md5(challenge + (secret or "nobody").encode(), usedforsecurity=False).hexdigest()
        is_right = hmac.compare_digest(made.encode(), digest.lower().encode("utf-8", "replace"))
        principal = await self._sign_in.judged(
            name, Kind.CONTROL_ACCOUNT, client, is_right=is_right and secret is not None
        )
        return await self._opened(principal, client)

    async def as_it_is_now(self, session: ControlSession) -> ControlSession:
        """Return the session with today's commands, networks and rights.

        Raises `WrongCredentials` when its account is gone, or has another password since.
        """
        principal = session.principal
        version = await self._database.fetchval(
            "SELECT version FROM credential WHERE kind = $1 AND principal_id = $2 AND NOT is_disabled",
            principal.kind,
            principal.id,
        )
        if version != principal.credential_version:
            raise WrongCredentials
        try:
            account = await self.get(principal.name)
        except UnknownPrincipal as error:
            raise WrongCredentials from error
        return ControlSession(principal, account, await rights_in(self._database, principal.principal_id))

    async def _opened(self, principal: Principal, client: str) -> ControlSession:
        try:
            account = await self.get(principal.name)
        except UnknownPrincipal as error:
            raise WrongCredentials from error
        if not account.allows_client(client):
            raise WrongCredentials
        return ControlSession(principal, account, await rights_in(self._database, principal.principal_id))


def _check_password(password: str) -> None:
    # Interface page, section 4: a clear password that begins so would be taken for a digest.
    if password.startswith("#"):
        raise BadValue("password", "it must not begin with #")


def _commands(commands: Sequence[str] | None) -> list[str] | None:
    if commands is None:
        return None
    clean = sorted({command.strip().lower() for command in commands})
    if not clean or len(clean) > MAX_COMMANDS:
        raise BadValue("commands", f"1 to {MAX_COMMANDS} names of commands")
    for command in clean:
        if not command.isascii() or not command.isalnum() or len(command) > MAX_COMMAND:
            raise BadValue("commands", f"{command[:MAX_COMMAND]!r} is not the name of a command")
    return clean


def _networks(networks: Sequence[str] | None) -> list[IPv4Network | IPv6Network] | None:
    if networks is None:
        return None
    if not networks or len(networks) > MAX_NETWORKS:
        raise BadValue("networks", f"1 to {MAX_NETWORKS} networks")
    try:
        return [ip_network(network.strip(), strict=False) for network in networks]
    except ValueError as error:
        raise BadValue("networks", "write them as 192.0.2.0/24 or 2001:db8::/48") from error


def _control_account(row: asyncpg.Record) -> ControlAccount:
    return ControlAccount(
        row["id"],
        row["name"],
        row["is_of_server"],
        tuple(row["domains"]),
        None if row["commands"] is None else tuple(row["commands"]),
        None if row["networks"] is None else tuple(row["networks"]),
        row["takes_digest"],
        row["created_at"],
    )
