"""Limits on guessing passwords, counted over all entrances, workers and machines; the SQL of
`sign_in_attempt`.

A try counts before its password is checked: forty at once are forty. It counts for the name from this client,
for the client whatever name it tries, and for the name whoever asks. An origin that the principal has signed
in from before is spared what strangers can fill up: a known network the count of the name, a known device
every count but its own. IPv6 clients are counted by their /64, which is what one customer gets (RFC 6177).
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from postroad.config import SignInLimits
from postroad.db.pool import Database
from postroad.directory.errors import TooManyFailures
from postroad.directory.principals import Kind

MAX_ROWS = 200_000  # after a sweep; 30 MB
SWEEP_EVERY = (
    2_000  # failures seen by one worker; between sweeps the table grows by thrice that much a worker
)
MAX_BLOCKS_KNOWN = 10_000
# The third failure of a name from one client is answered late, the next ones later still: somebody who
# mistypes does not notice, a program that guesses does.
FREE_FAILURES = 2
DELAY_SECONDS = 0.5
MAX_DELAY_SECONDS = 4.0
# Tries that fill a count may all be right (a mail program on many workers): wait for their outcome this long.
WAITS_FOR_OTHERS = (0.1, 0.2, 0.4, 0.8)

_RESERVE = """
INSERT INTO sign_in_attempt AS a (subject, tries, most, ends_at)
SELECT subject, 1, most, now() + $3::interval
FROM unnest($1::text[], $2::int[]) AS asked(subject, most)
ON CONFLICT (subject) DO UPDATE SET
    tries = CASE WHEN a.ends_at <= now() THEN 1 ELSE a.tries + 1 END,
    most = excluded.most,
    is_blocked = false,
    ends_at = CASE WHEN a.ends_at <= now() THEN excluded.ends_at ELSE a.ends_at END
WHERE a.ends_at <= now() OR a.tries < excluded.most
RETURNING subject, tries
"""
_RETURN = """
UPDATE sign_in_attempt SET tries = tries - 1
WHERE subject = ANY($1::text[]) AND tries > 0 AND NOT is_blocked
"""
_SUCCEED = """
WITH forgiven AS (DELETE FROM sign_in_attempt WHERE subject = $2 AND NOT (is_blocked AND ends_at > now()))
UPDATE sign_in_attempt SET tries = tries - 1
WHERE subject = ANY($1::text[]) AND tries > 0 AND NOT is_blocked
"""
_BLOCK = """
UPDATE sign_in_attempt SET is_blocked = true, ends_at = now() + $2::interval
WHERE subject = ANY($1::text[]) AND tries >= most AND NOT is_blocked
RETURNING subject
"""
_FULL = """
SELECT subject, is_blocked, extract(epoch FROM ends_at - now())::float8 AS seconds
FROM sign_in_attempt WHERE subject = ANY($1::text[]) AND ends_at > now() AND tries >= most
"""


@dataclass(frozen=True, slots=True)
class Attempt:
    """Who is asking. `client` and `device` are None without one that counts; `known` is a known origin."""

    name: str
    client: str | None
    device: str | None
    known: str | None = None

    @property
    def network(self) -> str:
        """The origin that an address stands for."""
        return self.client or "loopback"

    @property
    def origins(self) -> list[str]:
        """What may be known of where this comes from, the surest first."""
        return [self.network] if self.device is None else [self.device, self.network]

    @property
    def pair(self) -> str:
        """The subject that only this name from this origin counts in."""
        where = self.device if self._is_from_device and self.device is not None else self.network
        return f"pair:{self.name} from {where}"

    @property
    def subjects(self) -> list[str]:
        """Everything this attempt counts in, in the order in which every transaction locks it."""
        subjects = [self.pair]
        if self.client is not None and not self._is_from_device:
            subjects.append(self.client)
        if self.known is None:
            subjects.append(self.name)
        return sorted(subjects)

    @property
    def _is_from_device(self) -> bool:
        return self.known is not None and self.known == self.device


@dataclass(frozen=True, slots=True)
class Reservation:
    """A try that was counted and is not judged yet; `tries` are those of the pair, this included."""

    attempt: Attempt
    tries: int
    filled: Sequence[str]  # the subjects that have no try left after this one


class Attempts:
    """Counts tries. `monotonic` measures how long this worker refuses by itself; `pause` delays answers.

    Loopback clients have no limit of their own: behind a proxy on this machine every client looks like that
    until the proxy is named in the settings; the limits by name still hold.
    """

    def __init__(
        self,
        database: Database,
        limits: SignInLimits,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._database = database
        self._limits = limits
        self._monotonic = monotonic
        self._pause = pause
        self._blocks: dict[str, float] = {}
        self._seen = 0

    def attempt(self, kind: Kind, name: str, client: str, device: str | None = None) -> Attempt:
        """Describe a try to sign in as `name` of a kind from the address `client`, by a device or none."""
        return Attempt(f"{kind}:{name}", client_subject(client), device)

    def check_remembered(self, attempt: Attempt) -> None:
        """Raise `TooManyFailures` for what this worker knows to be blocked, without asking the database.

        Also for answers from memory: there a guess would cost nothing, so a blocked guesser must not get one.
        """
        now = self._monotonic()
        for subject in attempt.subjects:
            until = self._blocks.get(subject)
            if until is None:
                continue
            if until <= now:
                del self._blocks[subject]
            else:
                raise TooManyFailures(math.ceil(until - now))

    async def reserve(self, attempt: Attempt) -> Reservation:
        """Count a try before it is made. Raises `TooManyFailures` when there is none left."""
        self.check_remembered(attempt)
        for seconds in (*WAITS_FOR_OTHERS, None):
            reservation = await self._reserve(attempt)
            if reservation is not None:
                return reservation
            left = await self._refusal(attempt, is_last=seconds is None)
            if left is not None:
                raise TooManyFailures(left)
            await self._pause(seconds or 0)
        raise TooManyFailures(1)

    async def failed(self, reservation: Reservation) -> None:
        """Let the try stand: it was wrong. Answers late to who guesses on."""
        if reservation.filled:
            seconds = self._limits.block_seconds
            blocked = await self._database.fetch(_BLOCK, reservation.filled, timedelta(seconds=seconds))
            for row in blocked:
                self._learn(row["subject"], self._monotonic() + seconds)
        self._seen += 1
        if self._seen % SWEEP_EVERY == 0:
            await self.sweep()
        late = DELAY_SECONDS * (reservation.tries - FREE_FAILURES)
        if late > 0:
            await self._pause(min(late, MAX_DELAY_SECONDS))

    async def succeeded(self, reservation: Reservation) -> None:
        """Take the try back: it was right. The pair's failures are forgiven, those of others are not."""
        attempt = reservation.attempt
        await self._database.execute(
            _SUCCEED, [subject for subject in attempt.subjects if subject != attempt.pair], attempt.pair
        )

    async def not_made(self, reservation: Reservation) -> None:
        """Take the try back: nobody looked at the password."""
        await self._database.execute(_RETURN, reservation.attempt.subjects)

    async def forgive(self, attempt: Attempt) -> None:
        """Begin the pair's count anew after a right password; what is blocked stays blocked."""
        await self._database.execute(
            "DELETE FROM sign_in_attempt WHERE subject = $1 AND NOT (is_blocked AND ends_at > now())",
            attempt.pair,
        )

    async def sweep(self, most_rows: int = MAX_ROWS) -> int:
        """Remove what no longer counts, and above `most_rows` the smallest counts. Returns how many went."""
        expired = await self._database.fetch("DELETE FROM sign_in_attempt WHERE ends_at <= now() RETURNING 1")
        surplus = await self._database.fetch(
            """
            DELETE FROM sign_in_attempt WHERE subject IN (
                SELECT subject FROM sign_in_attempt
                ORDER BY is_blocked DESC, tries DESC, ends_at DESC OFFSET $1)
            RETURNING 1
            """,
            most_rows,
        )
        return len(expired) + len(surplus)

    async def _reserve(self, attempt: Attempt) -> Reservation | None:
        subjects = attempt.subjects
        most = {subject: self._most(attempt, subject) for subject in subjects}
        rows = await self._database.fetch(
            _RESERVE,
            subjects,
            [most[subject] for subject in subjects],
            timedelta(seconds=self._limits.window_seconds),
        )
        tries = {row["subject"]: row["tries"] for row in rows}
        if len(tries) < len(subjects):
            await self._database.execute(_RETURN, list(tries))
            return None
        filled = [subject for subject in subjects if tries[subject] >= most[subject]]
        return Reservation(attempt, tries[attempt.pair], filled)

    def _most(self, attempt: Attempt, subject: str) -> int:
        if subject == attempt.pair:
            return self._limits.pair_failures
        return self._limits.client_failures if subject == attempt.client else self._limits.account_failures

    async def _refusal(self, attempt: Attempt, *, is_last: bool) -> int | None:
        """How many seconds to refuse for; None when what fills the counts may still be right."""
        rows = await self._database.fetch(_FULL, attempt.subjects)
        now = self._monotonic()
        blocked = [row for row in rows if row["is_blocked"]]
        for row in blocked:
            self._learn(row["subject"], now + row["seconds"])
        if blocked:
            seconds: float = max(row["seconds"] for row in blocked)
            return max(1, math.ceil(seconds))
        return 1 if is_last else None

    def _learn(self, subject: str, until: float) -> None:
        self._blocks.pop(subject, None)
        if len(self._blocks) >= MAX_BLOCKS_KNOWN:
            del self._blocks[next(iter(self._blocks))]
        self._blocks[subject] = until


def client_subject(client: str) -> str | None:
    """Return what a client's failures are counted under: its IPv4 address or its IPv6 /64; None for loopback.

    A text that is no address (a Unix socket's) is counted as one client.
    """
    try:
        address: IPv4Address | IPv6Address = ip_address(client.partition("%")[0])
    except ValueError:
        return "client:unknown"
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_loopback:
        return None
    if isinstance(address, IPv6Address):
        return f"client:{IPv6Network((address, 64), strict=False)}"
    return f"client:{address}"
