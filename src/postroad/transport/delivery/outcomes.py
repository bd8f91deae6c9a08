"""What an attempt came to, for each recipient: the values that pass from the dispatcher to the books.

Frozen values only.
"""

from __future__ import annotations

from dataclasses import dataclass

from postroad.mailstore.messages import Content
from postroad.transport.delivery.limits import Failure
from postroad.transport.queue.rows import QueuedEnvelope, QueuedRecipient


@dataclass(frozen=True, slots=True)
class Delivered:
    """The next host has taken it. `tells_sender`: it will send the notices that were asked for (RFC 3461
    5.2.2).
    """

    code: int
    status: str
    text: str
    remote: str
    tells_sender: bool


Result = Delivered | Failure


@dataclass(frozen=True, slots=True)
class Attempted:
    """A mail after an attempt: a result for each recipient that was tried. `content` when it is at hand."""

    envelope: QueuedEnvelope
    results: tuple[tuple[QueuedRecipient, Result], ...]
    content: Content | None = None
