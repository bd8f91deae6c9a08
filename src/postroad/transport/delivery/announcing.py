"""What workers tell each other about mail on its way, over LISTEN/NOTIFY: hints, never the thing itself."""

from __future__ import annotations

from typing import Protocol

QUEUE_CHANNEL = "postroad_queue"  # announced when rows were queued that their worker did not keep for itself
REOPEN = "reopen"  # its payload when an operator wants sites tried that were found closed
RECALL = "recall"  # its payload when an operator wants back what workers have in flight


class Announce(Protocol):
    """How other workers are told (`db.notify.Announcer`)."""

    def announce(self, channel: str, payload: str = "") -> None:
        """Tell the listeners of a channel, soon."""
        ...
