"""The doors of a worker through which mail is read: listeners joined with the directory and the store."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from importlib.metadata import version

from postroad.config import Settings
from postroad.listeners.access import AccessListener
from postroad.listeners.access_metrics import AccessMetrics
from postroad.listeners.access_sign_in import AccessSignIn
from postroad.listeners.budget import ContentBudget
from postroad.listeners.imap import imap_listener
from postroad.listeners.imap_session import ImapDoor, MailServices
from postroad.listeners.limits import Connections
from postroad.listeners.pop3 import Pop3Door, pop3_listener
from postroad.listeners.sockets import bind
from postroad.listeners.tls import ServerTls
from postroad.server.parts import Parts


class AccessDoors:
    """All POP3 and IMAP doors of a worker that are on."""

    def __init__(
        self,
        settings: Settings,
        parts: Parts,
        tls: ServerTls,
        metrics: AccessMetrics,
        budget: ContentBudget,
    ) -> None:
        """`budget` may be shared with other doors, `metrics` too."""
        self._listeners = {
            **_imap(settings, parts, tls, metrics, budget),
            **_pop3(settings, parts, tls, metrics, budget),
        }

    async def open(self, addresses: Mapping[str, str]) -> None:
        """Listen on the doors that `addresses` has."""
        for door, listener in self._listeners.items():
            if door in addresses:
                await listener.start(bind(addresses[door]))

    async def drain(self, grace_seconds: float) -> None:
        """Stop accepting, finish the commands in hand, tell everybody else to come back."""
        await asyncio.gather(*(listener.drain(grace_seconds) for listener in self._listeners.values()))


def _pop3(
    settings: Settings, parts: Parts, tls: ServerTls, metrics: AccessMetrics, budget: ContentBudget
) -> dict[str, AccessListener]:
    pop3 = settings.pop3
    connections = Connections(pop3.max_connections, pop3.max_connections_per_address, pop3.unlimited_networks)
    return {
        name: pop3_listener(
            name,
            Pop3Door(
                settings.hostname,
                pop3.plain_auth_networks,
                AccessSignIn(parts.sign_in, "pop3", parts.standing),
                parts.maildrops,
                metrics.door(name),
                tls,
                pop3.idle_seconds,
                budget=budget,
            ),
            connections,
            parts.tasks,
        )
        for name in ("pop3", "pop3s")
    }


def _imap(
    settings: Settings, parts: Parts, tls: ServerTls, metrics: AccessMetrics, budget: ContentBudget
) -> dict[str, AccessListener]:
    imap = settings.imap
    connections = Connections(
        imap.max_connections,
        imap.max_connections_per_address,
        imap.unlimited_networks,
        most_per_account=imap.max_connections_per_account,
    )
    store = MailServices(
        folders=parts.folders,
        entries=parts.entries,
        append=parts.append,
        quota=parts.quota,
        views=parts.views,
        search=parts.exact_search,
        changes=parts.changes,
    )
    return {
        name: imap_listener(
            name,
            ImapDoor(
                hostname=settings.hostname,
                version=version("postroad"),
                plain_auth_networks=imap.plain_auth_networks,
                sign_in=AccessSignIn(parts.sign_in, "imap", parts.standing),
                store=store,
                budget=budget,
                metrics=metrics.door(name),
                tls=tls,
                largest_mail=settings.smtp.max_size_bytes,
                idle_seconds=imap.idle_seconds,
            ),
            connections,
            parts.tasks,
        )
        for name in ("imap", "imaps")
    }
