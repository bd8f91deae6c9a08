"""The keys that seal tokens and envelope senders; the SQL of `sealing_key`.

The newest seals, all of them open: links of mails that were sent before a change stay alive. A worker that
meets what it cannot open looks once more, since another may have changed the key a moment ago.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from postroad.campaigns.results.verp import Verp
from postroad.campaigns.tracking.tokens import Token, Tokens
from postroad.db.pool import Database

KEPT_SECONDS = 600.0  # until the keys are read again; a change is used by all workers then
LOOK_AGAIN_SECONDS = 5.0  # at the soonest, for a token that does not open: garbage must cost nothing

_ROTATE = """
INSERT INTO sealing_key (key)
SELECT decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex')
"""


@dataclass(frozen=True, slots=True)
class Sealing:
    """What is made of the keys."""

    tokens: Tokens
    verp: Verp


class SealingKeys:
    """Reads the keys and keeps them."""

    def __init__(self, database: Database, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._monotonic = monotonic
        self._kept: Sealing | None = None
        self._read_at = 0.0

    async def get(self) -> Sealing:
        """The keys in use. Raises `DatabaseUnavailable` only when they were never read."""
        if self._kept is None or self._monotonic() - self._read_at > KEPT_SECONDS:
            try:
                return await self._read()
            except Exception:
                if self._kept is None:
                    raise
                self._read_at = self._monotonic() - KEPT_SECONDS + LOOK_AGAIN_SECONDS
        return self._kept

    def opened(self, text: str) -> Token | None:
        """What a token says, by the keys that are at hand; None also when there are none yet."""
        if self._kept is None or self._monotonic() - self._read_at > KEPT_SECONDS:
            return None
        return self._kept.tokens.read(text)

    async def read_token(self, text: str) -> Token | None:
        """What a token says, by whichever key. Raises `DatabaseUnavailable`."""
        token = (await self.get()).tokens.read(text)
        if token is None and self._monotonic() - self._read_at > LOOK_AGAIN_SECONDS:
            token = (await self._read()).tokens.read(text)
        return token

    async def rotate(self) -> None:
        """Make a new key; mails that are sent later carry it, all workers within ten minutes."""
        await self._database.execute(_ROTATE)
        await self._read()

    async def _read(self) -> Sealing:
        rows = await self._database.fetch("SELECT key FROM sealing_key ORDER BY id DESC")
        newest, *older = [bytes(row["key"]) for row in rows]
        self._kept = Sealing(Tokens(newest, older), Verp(newest, older))
        self._read_at = self._monotonic()
        return self._kept
