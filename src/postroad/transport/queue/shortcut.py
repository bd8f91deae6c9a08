"""Mail that is tried at once: leased from birth, it goes to delivery from memory instead of being read back.

Room is kept for it before its transaction, so that what is committed with a lease surely has a place.
"""

from __future__ import annotations

from typing import Protocol

from postroad.mailstore.messages import Content
from postroad.transport.delivery.dispatcher import Dispatcher, Reservation
from postroad.transport.queue.rows import Leased
from postroad.transport.queue.source import QueueSource


class Offers(Protocol):
    """Delivery, as far as taking mail knows it."""

    def reserve(self, route: str, recipients: int, size_bytes: int) -> Reservation | None:
        """Keep room for a mail about to be committed, to be leased to the reservation's owner; None when it
        had better wait in the queue.
        """
        ...

    def take(self, leased: Leased, content: Content, reservation: Reservation) -> None:
        """Deliver this; it is committed now."""
        ...

    def forget(self, leased: Leased, reservation: Reservation) -> None:
        """What was reserved for this was not committed."""
        ...

    def look(self) -> None:
        """Something was queued that nobody has leased."""
        ...


class Shortcut:
    """`Offers`, once there is a dispatcher: it is made after those who offer it mail."""

    def __init__(self) -> None:
        self._dispatcher: Dispatcher | None = None
        self._source: QueueSource | None = None

    def connect(self, source: QueueSource, dispatcher: Dispatcher) -> None:
        """From now on mail is offered to this dispatcher."""
        self._source, self._dispatcher = source, dispatcher

    def reserve(self, route: str, recipients: int, size_bytes: int) -> Reservation | None:
        """Keep room for a mail about to be committed."""
        if self._dispatcher is None or self._source is None:
            return None
        return self._dispatcher.reserve(self._source, route, recipients, size_bytes)

    def take(self, leased: Leased, content: Content, reservation: Reservation) -> None:
        """Deliver what was reserved."""
        assert self._dispatcher is not None and self._source is not None
        self._dispatcher.take(self._source.job(leased, content), reservation)

    def forget(self, leased: Leased, reservation: Reservation) -> None:
        """What was reserved was not committed."""
        assert self._dispatcher is not None
        self._dispatcher.forget(reservation, len(leased.recipients), leased.envelope.size_bytes)

    def look(self) -> None:
        """Something was queued that nobody has leased."""
        if self._dispatcher is not None:
            self._dispatcher.look()
