"""Signing in: the one place where a password is checked, for every way in.

Argon2id costs 20 ms, and HTTP Basic sends the password with every call: a successful check is remembered
for minutes, in memory, under a hash keyed by a secret of this process, bound to the credential's version.
Unknown names cost the same time as known ones. Listeners and pages say in their own words what was refused.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from postroad.config import SignInLimits
from postroad.db.pool import Database
from postroad.directory.announcements import CHANNEL, Hearing, read_announcement
from postroad.directory.cache import DependentCache
from postroad.directory.errors import AccountDisabled, SignInBusy, TooManyFailures, WrongCredentials
from postroad.directory.identity.application_passwords import token_hash
from postroad.directory.identity.attempts import Attempt, Attempts
from postroad.directory.identity.known_origins import KnownOrigins, device_origin, new_device_token
from postroad.directory.names import split_key
from postroad.directory.passwords import (
    PasswordHashing,
    TooBusyToHash,
    is_acceptable_input,
    is_md5,
    md5_of,
    prepare,
)
from postroad.directory.principals import (
    ACCOUNTS,
    BY_ADDRESS,
    Kind,
    Principal,
    PrincipalId,
    Via,
    name_key,
)
from postroad.message.address import Address

# "json-api" is where programs get tokens that open a mailbox, "api" the bulk-mail API.
Entrance = Literal["smtp", "imap", "pop3", "web", "api", "control", "json-api"]

# The password comes with every call here: beginning the count anew each time would cost a write a call.
STATELESS_ENTRANCES: frozenset[Entrance] = frozenset({"api"})
MAIL_ENTRANCES: frozenset[Entrance] = frozenset(
    {"smtp", "imap", "pop3", "json-api"}
)  # where application passwords are good
REMEMBERED_SECONDS = 300.0
MAX_REMEMBERED = 20_000
MAX_ORIGINS_REMEMBERED = 16  # a remembered check
# Announcements void a credential at once, and are sent by the transaction that changes it; this bounds what
# a break in listening could cost (`forget` is called after one).
CREDENTIAL_SECONDS = 30.0
MAX_CREDENTIALS = 20_000
USED_EVERY = 600.0  # seconds; how exact an application password's last use is
BUSY_RETRY_SECONDS = 5


@dataclass(slots=True)
class _Token:
    id: int
    noted_at: float | None = None  # by this worker's own clock


@dataclass(frozen=True, slots=True)
class _Credential:
    principal: PrincipalId
    name: str
    mailbox: Address | None
    is_disabled: bool
    password_hash: str
    md5_hash: str | None
    version: int
    tokens: dict[bytes, _Token]

    def opened_by(self, via: Via) -> Principal:
        """The principal, signed in."""
        return Principal(self.principal.kind, self.principal.id, self.name, self.version, via, self.mailbox)


@dataclass(slots=True)
class _Remembered:
    is_right: bool
    expires_at: float
    origins: set[str]  # from which it was right


_TOKENS = """
coalesce((SELECT array_agg((p.id, p.token_hash)) FROM application_password p
          WHERE p.principal_id = c.principal_id AND p.kind = c.kind), '{}') AS tokens
"""
# An account is found by its address, also in an alias domain.
_OF_ACCOUNT = f"""
SELECT account.id, account.address AS name, account.is_disabled OR NOT account.may_sign_in AS is_disabled,
       c.password_hash, c.md5_hash, c.version, {_TOKENS}
FROM domain
JOIN domain home ON home.id = coalesce(domain.alias_of, domain.id)
JOIN account ON account.address = $1 || '@' || home.name
JOIN credential c ON c.kind = 'account' AND c.principal_id = account.id
WHERE domain.name = $2
"""
_BY_NAME = f"""
SELECT c.principal_id AS id, c.name, c.is_disabled, c.password_hash, c.md5_hash, c.version, {_TOKENS}
FROM credential c WHERE c.kind = $1 AND c.name = $2
"""

# A name as somebody of one kind gives it, canonical.
_Key = tuple[Kind, str]


class SignIn:
    """Checks passwords.

    Without `hearing` credentials are read anew each time, since nobody would say when to forget them.
    """

    def __init__(
        self,
        database: Database,
        hashing: PasswordHashing,
        limits: SignInLimits,
        hearing: Hearing | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._database = database
        self._hashing = hashing
        self._monotonic = monotonic
        self._is_cached = hearing is not None
        self._attempts = Attempts(database, limits, monotonic=monotonic, pause=pause)
        self._origins = KnownOrigins(database)
        self._credentials: DependentCache[_Key, _Credential] = DependentCache(
            MAX_CREDENTIALS, CREDENTIAL_SECONDS, monotonic
        )
        self._secret = secrets.token_bytes(32)
        self._remembered: dict[bytes, _Remembered] = {}
        self._under_way: dict[bytes, asyncio.Future[None]] = {}
        if hearing is not None:
            hearing.add(CHANNEL, self._hear)

    async def check(
        self,
        username: str,
        password: str,
        client: str,
        entrance: Entrance = "web",
        *,
        kinds: Sequence[Kind] = ACCOUNTS,
        takes_md5: bool = False,
        device: str = "",
    ) -> Principal:
        """Say who signs in as `username` from the IP address `client`: the first of `kinds` that has it.

        Accounts are named by their address, also in an alias domain. Application passwords are good at the
        mail entrances only. With `takes_md5` the MD5 of the password is as good as the password; what looks
        like one is tried as a password first, and both count as one try. `device` is the token that a
        browser got from `remember_device`: who signed in with it before is not locked out by strangers.
        Raises `WrongCredentials`, `AccountDisabled`, `TooManyFailures`, `SignInBusy` and
        `DatabaseUnavailable`.
        """
        keys = _keys(username, kinds)
        if not is_acceptable_input(password):
            password = ""  # checked like any wrong one, so that it counts as a failure and takes its time
        key, credential = self._cached(keys)
        if credential is None or not self._is_answered(credential, key, password, entrance, takes_md5):
            # Memory may say yes by itself, never no: a password changed this instant must open at once,
            # and beside a hash, one read more costs nothing.
            key, credential = await self._read_first(keys) if password else (keys[0], None)
        name = credential.name if credential else key[1]
        attempt = self._attempts.attempt(key[0], name, client, device_origin(device))
        if credential is None:
            await self._check_password(None, key, password, attempt, entrance, takes_md5)
            raise WrongCredentials
        principal = credential.opened_by("password")
        if entrance in MAIL_ENTRANCES and (token := self._token(credential, password)) is not None:
            # Nobody guesses 120 random bits: no limit keeps a device out while others guess at the password.
            await self._note_use(token)
            principal = replace(
                credential.opened_by("application-password"), application_password_id=token.id
            )
        else:
            await self._check_password(credential, key, password, attempt, entrance, takes_md5)
        if credential.is_disabled:
            raise AccountDisabled
        return principal

    async def remember_device(self, principal: PrincipalId, device: str = "") -> str:
        """Note that the principal has signed in with a browser; return its token, for a long-lived cookie.

        `device` is the token it has already, perhaps from somebody else's sign-in.
        """
        origin = device_origin(device)
        if origin is None:
            device = new_device_token()
            origin = device_origin(device)
            assert origin is not None
        await self._origins.remember(principal, origin)
        return device

    async def judged(self, username: str, kind: Kind, client: str, *, is_right: bool) -> Principal:
        """Say who signs in by a proof that the caller has judged already, within the limits on guessing.

        The proof must be cheap: it was judged before the try was counted, and its outcome is told only if the
        try counts. Raises what `check` raises.
        """
        [key] = _keys(username, [kind])
        _, credential = await self._read_first([key])
        name = credential.name if credential else key[1]
        attempt = self._attempts.attempt(kind, name, client)
        if credential is not None:
            origin = await self._origins.find(credential.principal, attempt.origins)
            attempt = replace(attempt, known=origin)
        reservation = await self._attempts.reserve(attempt)
        if credential is None or not is_right:
            await self._attempts.failed(reservation)
            raise WrongCredentials
        await self._attempts.succeeded(reservation)
        await self._origins.remember(credential.principal, attempt.network)
        if credential.is_disabled:
            raise AccountDisabled
        return credential.opened_by("digest")

    async def vouched(self, username: str, kind: Kind = Kind.ACCOUNT) -> Principal:
        """Say who `username` is, for somebody who has proved it otherwise than by a password.

        Raises `WrongCredentials` (there is nobody of that name), `AccountDisabled` and `DatabaseUnavailable`.
        """
        _, credential = await self._read_first(_keys(username, [kind]))
        if credential is None:
            raise WrongCredentials
        if credential.is_disabled:
            raise AccountDisabled
        return credential.opened_by("ticket")

    def _hear(self, payload: str | None) -> None:
        """Forget what an announcement makes doubtful."""
        changes = read_announcement(payload)
        if changes.is_everything:
            self._credentials.clear()
        for account_id in changes.account_ids:
            self._credentials.void(f"account {account_id}")
        for principal in changes.principals:
            self._credentials.void(principal)

    def _cached(self, keys: Sequence[_Key]) -> tuple[_Key, _Credential | None]:
        # Only the first: a name remembered for a later kind may by now be somebody's of an earlier one.
        return keys[0], self._credentials.get(keys[0]) if self._is_cached else None

    def _is_answered(
        self, credential: _Credential, key: _Key, password: str, entrance: Entrance, takes_md5: bool
    ) -> bool:
        """Whether `credential` and memory say that the password is right."""
        if entrance in MAIL_ENTRANCES and self._token(credential, password) is not None:
            return True
        fingerprint = self._fingerprint(credential, key, password, takes_md5 and is_md5(password))
        known = self._remembered.get(fingerprint)
        return known is not None and known.is_right and known.expires_at > self._monotonic()

    async def _read_first(self, keys: Sequence[_Key]) -> tuple[_Key, _Credential | None]:
        for key in keys:
            credential = await self._read(key) if key[1] else None
            if credential is not None:
                return key, credential
        return keys[0], None

    async def _read(self, key: _Key) -> _Credential | None:
        kind, name = key
        generation = self._credentials.generation
        if kind is Kind.ACCOUNT:
            row = await self._database.fetchrow(_OF_ACCOUNT, *split_key(name))
        else:
            row = await self._database.fetchrow(_BY_NAME, kind, name)
        if row is None:
            return None  # never kept: an account made this second can sign in
        credential = _Credential(
            PrincipalId(kind, row["id"]),
            row["name"],
            Address.parse(row["name"]) if kind in BY_ADDRESS else None,
            row["is_disabled"],
            row["password_hash"],
            row["md5_hash"],
            row["version"],
            {bytes(hashed): _Token(token_id) for token_id, hashed in row["tokens"]},
        )
        if self._is_cached:
            self._credentials.put(key, credential, (str(credential.principal),), generation)
        return credential

    async def _check_password(
        self,
        credential: _Credential | None,
        key: _Key,
        password: str,
        attempt: Attempt,
        entrance: Entrance,
        takes_md5: bool,
    ) -> None:
        """Return when the password is right; None and a wrong one raise `WrongCredentials`, equally late."""
        takes_md5 = takes_md5 and is_md5(password)
        fingerprint = self._fingerprint(credential, key, password, takes_md5)
        while True:
            known = self._remembered.get(fingerprint)
            if known is not None and known.expires_at > self._monotonic():
                await self._answer_again(known, credential, attempt)
                if entrance not in STATELESS_ENTRANCES:
                    await self._attempts.forgive(attempt)
                return
            under_way = self._under_way.get(fingerprint)
            if under_way is None:
                break
            # A mail program opens a dozen connections at once: one hash answers them all.
            await asyncio.shield(under_way)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._under_way[fingerprint] = done
        try:
            is_right = await self._verify(credential, password, attempt, takes_md5)
            self._remember(fingerprint, is_right, attempt)
        finally:
            del self._under_way[fingerprint]
            done.set_result(None)
        if not is_right:
            raise WrongCredentials

    async def _answer_again(
        self, known: _Remembered, credential: _Credential | None, attempt: Attempt
    ) -> None:
        """Answer from memory, within the limits.

        A wrong password that comes again is no new guess: the telephone that still has last week's password
        must not lock its owner out.
        """
        if credential is None or not known.is_right:
            self._attempts.check_remembered(attempt)
            raise WrongCredentials
        origin = next((origin for origin in attempt.origins if origin in known.origins), None)
        try:
            self._attempts.check_remembered(replace(attempt, known=origin))
        except TooManyFailures:
            better = await self._origins.find(credential.principal, attempt.origins)
            if better in (None, origin):
                raise
            self._attempts.check_remembered(replace(attempt, known=better))
        if attempt.network not in known.origins:
            await self._origins.remember(credential.principal, attempt.network)
        if len(known.origins) < MAX_ORIGINS_REMEMBERED:
            known.origins.update(attempt.origins)

    async def _verify(
        self, credential: _Credential | None, password: str, attempt: Attempt, takes_md5: bool
    ) -> bool:
        """Check against the hash, within the limits; None takes as long and is always wrong."""
        if credential is not None:
            origin = await self._origins.find(credential.principal, attempt.origins)
            attempt = replace(attempt, known=origin)
        reservation = await self._attempts.reserve(attempt)
        try:
            is_password = await self._hashing.verify(
                credential.password_hash if credential else None, password
            )
            is_right = is_password or (
                takes_md5
                and await self._hashing.verify(credential.md5_hash if credential else None, password.lower())
            )
        except TooBusyToHash as error:
            await self._attempts.not_made(reservation)
            raise SignInBusy(BUSY_RETRY_SECONDS) from error
        if credential is None or not is_right:
            await self._attempts.failed(reservation)
            return False
        await self._attempts.succeeded(reservation)
        await self._origins.remember(credential.principal, attempt.network)
        if is_password and (
            (credential.md5_hash is None and _has_md5(credential))
            or self._hashing.is_outdated(credential.password_hash)
        ):
            await self._renew(credential, password)
        return True

    async def _renew(self, credential: _Credential, password: str) -> None:
        """Hash again with today's parameters. The password is the same, so is its version."""
        try:
            password_hash = await self._hashing.hash(password)
            md5_hash = await self._hashing.hash(md5_of(password)) if _has_md5(credential) else None
        except TooBusyToHash:
            return  # next time
        await self._database.execute(
            "UPDATE credential SET password_hash = $4, md5_hash = $5 "
            "WHERE kind = $1 AND principal_id = $2 AND password_hash = $3",
            credential.principal.kind,
            credential.principal.id,
            credential.password_hash,
            password_hash,
            md5_hash,
        )
        self._credentials.void(str(credential.principal))

    def _fingerprint(
        self, credential: _Credential | None, key: _Key, password: str, takes_md5: bool
    ) -> bytes:
        account = (
            f"{credential.principal}:{credential.version}" if credential else f"nobody:{key[0]} {key[1]}"
        )
        if takes_md5:  # what is right at an entrance that takes MD5 is not right at the others
            account = f"md5:{account}"
        return hmac.digest(self._secret, f"{account}:{prepare(password)}".encode(), "sha256")

    def _remember(self, fingerprint: bytes, is_right: bool, attempt: Attempt) -> None:
        self._remembered.pop(fingerprint, None)
        while len(self._remembered) >= MAX_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[fingerprint] = _Remembered(
            is_right, self._monotonic() + REMEMBERED_SECONDS, set(attempt.origins)
        )

    def _token(self, credential: _Credential, password: str) -> _Token | None:
        hashed = token_hash(password) if credential.tokens else None
        return credential.tokens.get(hashed) if hashed else None

    async def _note_use(self, token: _Token) -> None:
        now = self._monotonic()
        if token.noted_at is not None and now - token.noted_at < USED_EVERY:
            return
        token.noted_at = now
        await self._database.execute(
            f"""
            UPDATE application_password SET last_used_at = now()
            WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < now() - interval '{USED_EVERY} seconds')
            """,
            token.id,
        )


def _keys(username: str, kinds: Sequence[Kind]) -> list[_Key]:
    """What is meant, kind by kind; "" for what is no name of that kind."""
    return [(kind, name_key(kind, username)) for kind in kinds]


def _has_md5(credential: _Credential) -> bool:
    """Whether the MD5 of its password is kept: for accounts always, as those who made others decided."""
    return credential.principal.kind is Kind.ACCOUNT or credential.md5_hash is not None
