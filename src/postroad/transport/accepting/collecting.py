"""Mail that a room above transport takes for itself: which addresses, and the rows it is handed on in.

The room says which addresses are its own (`Collects`) and reads `CollectedMails`; nothing here knows what
they mean. A row is written in the transaction that the 250 stands for, and removed in that of whoever read
it. Only the beginning of a mail is kept: notices say what they have to before they return the original.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from postroad.db.pool import Connection
from postroad.message.address import Address

MAX_KEPT = 256 * 1024  # bytes of a mail
MAX_ATTEMPTS = 300  # at reading one: those that are put off for half a minute give it two hours and more

_ADD = (
    "INSERT INTO collected_mail (recipient, sender, content) SELECT * FROM unnest($1::text[], "
    "$2::text[], $3::bytea[])"
)
# Rows are taken for the length of the transaction: one that dies leaves them to the next.
_CLAIM = """
SELECT id, recipient, sender, content, attempts FROM collected_mail
WHERE due_at <= now() ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED
"""
_PUT_OFF = """
UPDATE collected_mail SET due_at = now() + $2::interval, attempts = attempts + 1 WHERE id = ANY($1::bigint[])
"""


class Collects(Protocol):
    """Says which addresses belong to a room above."""

    async def collects(self, address: Address) -> bool:
        """Whether mail to this address is handed on. Raises `DatabaseUnavailable`."""
        ...


class CollectsNothing:
    """No such room."""

    async def collects(self, address: Address) -> bool:
        """None."""
        return False


@dataclass(frozen=True, slots=True)
class NewCollected:
    """A mail about to be handed on."""

    recipient: Address
    sender: Address | None
    content: bytes


@dataclass(frozen=True, slots=True)
class Collected:
    """A mail that was handed on. `sender` None: the null sender."""

    id: int
    recipient: str
    sender: str | None
    content: bytes
    attempts: int


async def collect_in(connection: Connection, mails: Sequence[NewCollected]) -> None:
    """Write mails down in the transaction that takes them."""
    await connection.execute(
        _ADD,
        [str(mail.recipient) for mail in mails],
        [None if mail.sender is None else str(mail.sender) for mail in mails],
        [mail.content[:MAX_KEPT] for mail in mails],
    )


async def claim_in(connection: Connection, limit: int) -> list[Collected]:
    """Take mails for the length of the caller's transaction, the longest due first."""
    return [Collected(**row) for row in await connection.fetch(_CLAIM, limit)]


async def put_off_in(connection: Connection, ids: Sequence[int], after: timedelta) -> None:
    """Leave mails for later."""
    await connection.execute(_PUT_OFF, list(ids), after)


async def remove_in(connection: Connection, ids: Sequence[int]) -> None:
    """Remove mails that were read."""
    await connection.execute("DELETE FROM collected_mail WHERE id = ANY($1::bigint[])", list(ids))
