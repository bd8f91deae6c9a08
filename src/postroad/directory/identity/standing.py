"""Whether those who signed in may stay: sessions that last end when what opened them is void.

A page asks for its session at every request; a connection would go on for hours after its password was
changed. So each names what it was opened with, announcements say whose is doubtful, and one query answers
for all of them. A lost announcement costs a minute: everybody is looked at then.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from contextlib import suppress

from postroad.db.pool import Database, DatabaseUnavailable
from postroad.directory.announcements import CHANNEL, Hearing, read_announcement
from postroad.directory.principals import Kind, Principal, PrincipalId

POLL_SECONDS = 60.0  # how long a lost announcement may matter
RETRY_SECONDS = 1.0  # while the database is away
GATHER_SECONDS = 0.1  # a flood of announcements becomes ten questions a second
SIGN_IN_SECONDS = (
    120.0  # longer than a sign-in takes: what was announced meanwhile may have been too late for it
)
MAX_HEARD = 10_000  # principals remembered for that

_STANDING = """
SELECT c.kind, c.principal_id, c.version,
       c.is_disabled OR coalesce(a.is_disabled OR NOT a.may_sign_in, false) AS is_disabled,
       ARRAY(SELECT p.id FROM application_password p
             WHERE p.kind = c.kind AND p.principal_id = c.principal_id) AS application_passwords
FROM unnest($1::text[], $2::bigint[]) AS asked(kind, id)
JOIN credential c ON c.kind = asked.kind AND c.principal_id = asked.id
LEFT JOIN account a ON c.kind = 'account' AND a.id = c.principal_id
"""


class _Watch:
    """One session: by what it was opened, and how it is ended."""

    __slots__ = ("end", "principal")

    def __init__(self, principal: Principal, end: Callable[[], None]) -> None:
        self.principal = principal
        self.end = end


class Standing:
    """Watches the sessions of this process; `run` is kept going beside the work."""

    def __init__(
        self, database: Database, hearing: Hearing, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._monotonic = monotonic
        self._watched: dict[PrincipalId, set[_Watch]] = {}
        self._doubtful: set[PrincipalId] = set()
        self._wake = asyncio.Event()
        self._heard: dict[PrincipalId, float] = {}
        self._heard_everything = -math.inf
        hearing.add(CHANNEL, self._hear)

    def watch(self, principal: Principal, end: Callable[[], None]) -> Callable[[], None]:
        """Call `end` once the principal may not stay; returns what stops watching.

        `end` is called from the loop, at most once, and must not raise.
        """
        watch = _Watch(principal, end)
        whose = principal.principal_id
        self._watched.setdefault(whose, set()).add(watch)
        if self._may_be_late(whose):
            self._doubt(whose)

        def stop() -> None:
            self._forget(watch)

        return stop

    async def run(self) -> None:
        """Look whenever somebody is doubtful, and now and then at everybody; until cancelled."""
        while True:
            try:
                async with asyncio.timeout(POLL_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                self._doubtful.update(self._watched)
            self._wake.clear()
            doubtful, self._doubtful = self._doubtful & self._watched.keys(), set()
            try:
                await self._look(doubtful)
            except DatabaseUnavailable:
                self._doubtful |= doubtful
                await asyncio.sleep(RETRY_SECONDS)
                self._wake.set()
            await asyncio.sleep(GATHER_SECONDS)

    async def _look(self, doubtful: set[PrincipalId]) -> None:
        if not doubtful:
            return
        asked = {whose: tuple(self._watched[whose]) for whose in doubtful}  # who comes later is read later
        rows = await self._database.fetch(
            _STANDING, [whose.kind for whose in asked], [whose.id for whose in asked]
        )
        found = {PrincipalId(Kind(row["kind"]), row["principal_id"]): row for row in rows}
        for whose, watches in asked.items():
            row = found.get(whose)
            for watch in watches:
                opened = watch.principal
                if row is None or row["is_disabled"]:
                    stays = False
                elif opened.application_password_id is not None:
                    stays = opened.application_password_id in row["application_passwords"]
                else:
                    stays = row["version"] == opened.credential_version
                if not stays and watch in self._watched.get(whose, ()):
                    self._forget(watch)
                    watch.end()

    def _hear(self, payload: str | None) -> None:
        changes = read_announcement(payload)
        if changes.is_everything:
            self._heard_everything = self._monotonic()
            self._doubtful.update(self._watched)
            if self._doubtful:
                self._wake.set()
            return
        for account_id in changes.account_ids:
            self._hear_of(PrincipalId(Kind.ACCOUNT, account_id))
        for text in changes.principals:
            kind, _, number = text.partition(" ")
            with suppress(ValueError):  # a kind of a newer version
                self._hear_of(PrincipalId(Kind(kind), int(number)))

    def _hear_of(self, whose: PrincipalId) -> None:
        self._heard.pop(whose, None)
        if len(self._heard) >= MAX_HEARD:
            del self._heard[next(iter(self._heard))]
        self._heard[whose] = self._monotonic()
        if whose in self._watched:
            self._doubt(whose)

    def _may_be_late(self, whose: PrincipalId) -> bool:
        """Whether something was announced while this sign-in may have been under way."""
        since = self._monotonic() - SIGN_IN_SECONDS
        return max(self._heard.get(whose, since), self._heard_everything) > since

    def _doubt(self, whose: PrincipalId) -> None:
        self._doubtful.add(whose)
        self._wake.set()

    def _forget(self, watch: _Watch) -> None:
        whose = watch.principal.principal_id
        watches = self._watched.get(whose)
        if watches is not None:
            watches.discard(watch)
            if not watches:
                del self._watched[whose]
