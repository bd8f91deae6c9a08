"""The SMTP doors of a worker: listeners joined with the directory and transport."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from prometheus_client import CollectorRegistry

from postroad.config import Settings
from postroad.listeners.budget import ContentBudget
from postroad.listeners.limits import Connections
from postroad.listeners.sign_in import SmtpSignIn
from postroad.listeners.smtp import SmtpDoorConfig, SmtpListener, limits_of
from postroad.listeners.smtp_metrics import SmtpMetrics
from postroad.listeners.sockets import bind
from postroad.listeners.tls import ServerTls
from postroad.protocols.smtp.envelope import Role
from postroad.server.parts import Parts

_DOORS = {"smtp": Role.MX, "submission": Role.SUBMISSION, "submissions": Role.SUBMISSIONS}


class SmtpDoors:
    """All SMTP doors of a worker that are on."""

    def __init__(
        self,
        settings: Settings,
        parts: Parts,
        tls: ServerTls,
        registry: CollectorRegistry,
        budget: ContentBudget,
    ) -> None:
        """`budget` may be shared with other doors."""
        smtp = settings.smtp
        limits = limits_of(smtp)
        sign_in = SmtpSignIn(parts.sign_in, parts.standing)
        connections = Connections(
            smtp.max_connections,
            smtp.max_connections_per_address,
            smtp.unlimited_networks,
            most_per_account=smtp.max_connections_per_account,
        )
        metrics = SmtpMetrics(registry)
        self._listeners = {
            door: SmtpListener(
                SmtpDoorConfig(role, settings.hostname, limits, smtp.plain_auth_networks),
                acceptor=parts.transport.acceptance,
                sign_in=sign_in,
                connections=connections,
                budget=budget,
                metrics=metrics,
                tls=tls,
                tasks=parts.tasks,
            )
            for door, role in _DOORS.items()
        }

    async def open(self, addresses: Mapping[str, str]) -> None:
        """Listen on the doors that `addresses` has."""
        for door, listener in self._listeners.items():
            if door in addresses:
                await listener.start(bind(addresses[door]))

    async def drain(self, grace_seconds: float) -> None:
        """Stop accepting, finish the mails in hand, tell everybody else to come back."""
        await asyncio.gather(*(listener.drain(grace_seconds) for listener in self._listeners.values()))
