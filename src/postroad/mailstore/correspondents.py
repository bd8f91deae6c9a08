"""The people an account writes with, for suggesting recipients: read from its newest mails.

There is no address book here: whoever was written to lately, or wrote lately, is the likeliest to be meant.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..db.pool import Database
from ..message.address import Address, BadAddress
from ..message.envelope import decode_envelope
from ..message.headers import Mailbox, mailboxes

LOOKED_AT = 300  # newest mails of each of the two folders; reading them takes about 10 ms
REMEMBERED_SECONDS = 60.0
REMEMBERED = 500  # accounts that write at the same time in one process
WRITTEN_TO = 3  # one mail sent weighs as much as three received
_UNANSWERED = ("noreply", "no-reply", "donotreply", "do-not-reply", "mailer-daemon", "bounce", "notification")


@dataclass(frozen=True, slots=True)
class Correspondent:
    """Somebody, with the weight that orders suggestions."""

    name: str
    address: str
    weight: float


class Correspondents:
    """Suggests recipients."""

    def __init__(self, database: Database, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._monotonic = monotonic
        self._known: OrderedDict[int, tuple[float, list[Correspondent]]] = OrderedDict()

    async def matching(self, account_id: int, text: str, limit: int) -> list[Correspondent]:
        """Return up to `limit` people whose name or address holds `text`, without case, likeliest first.

        A name or an address that begins with `text` comes before one that only holds it.
        """
        wanted = text.casefold().strip()
        if not wanted:
            return []
        found = [
            (not _begins(one, wanted), -one.weight, one.address, one)
            for one in await self._people(account_id)
            if wanted in one.name.casefold() or wanted in one.address
        ]
        return [one for *_, one in sorted(found, key=lambda each: each[:3])[:limit]]

    async def _people(self, account_id: int) -> list[Correspondent]:
        now = self._monotonic()
        remembered = self._known.get(account_id)
        if remembered is not None and now - remembered[0] < REMEMBERED_SECONDS:
            return remembered[1]
        # Two walks along the primary key of `entry` from its end, whatever the size of the folders.
        rows = await self._database.fetch(
            "SELECT f.role, m.envelope FROM folder f CROSS JOIN LATERAL "
            "(SELECT message_id FROM entry e WHERE e.folder_id = f.id ORDER BY e.uid DESC LIMIT $2) e "
            "JOIN message m ON m.id = e.message_id "
            "WHERE f.account_id = $1 AND f.role IN ('sent', 'inbox')",
            account_id,
            LOOKED_AT,
        )
        people = _weighed([(row["role"] == "sent", row["envelope"]) for row in rows])
        self._known[account_id] = (now, people)
        self._known.move_to_end(account_id)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return people


def _weighed(mails: Sequence[tuple[bool, bytes]]) -> list[Correspondent]:
    names: dict[str, str] = {}
    weights: dict[str, float] = {}
    for is_sent, encoded in mails:
        envelope = decode_envelope(encoded)
        listed = [*envelope.to, *envelope.cc, *envelope.bcc] if is_sent else envelope.from_
        for one in mailboxes(listed[:50]):
            key = _key(one)
            if key is None or (not is_sent and any(word in key for word in _UNANSWERED)):
                continue
            weights[key] = weights.get(key, 0.0) + (WRITTEN_TO if is_sent else 1)
            if one.name and one.name != one.address_text:
                names.setdefault(key, one.name)
    return [Correspondent(names.get(key, ""), key, weight) for key, weight in weights.items()]


def _key(one: Mailbox) -> str | None:
    try:
        return Address.parse(one.address_text).key
    except BadAddress:
        return None


def _begins(one: Correspondent, wanted: str) -> bool:
    words = one.name.casefold().replace(",", " ").split()
    return one.address.startswith(wanted) or any(word.startswith(wanted) for word in words)
