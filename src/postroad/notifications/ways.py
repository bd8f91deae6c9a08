"""How receivers are reached, put together from the settings."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from postroad.config import Notifications
from postroad.dns.lookups import Lookups
from postroad.mailstore.messages import Messages
from postroad.notifications.calling import Caller
from postroad.notifications.documents import Documents


@dataclass(frozen=True, slots=True)
class Ways:
    """How each kind of receiver is told."""

    caller: Caller
    documents: Documents
    messages: Messages
    clock: Callable[[], datetime]
    timeout_seconds: float


def open_ways(
    settings: Notifications, lookups: Lookups, messages: Messages, clock: Callable[[], datetime]
) -> Ways:
    """Build them."""

    def context() -> ssl.SSLContext:
        return ssl.create_default_context(cafile=None if settings.ca is None else str(settings.ca))

    return Ways(
        Caller(lookups, settings.allowed_networks, settings.timeout_seconds, context),
        Documents(messages),
        messages,
        clock,
        settings.timeout_seconds,
    )
