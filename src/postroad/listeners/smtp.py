"""The SMTP doors: `mx`, `submission`, `submissions`. Listening, and draining when the worker stops.

What happens on one connection is `smtp_session`. No SQL and no business rule here: the engine speaks, the
`Acceptor` and `SignIn` decide. RFC 5321, RFC 6409, RFC 8314.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import structlog

from postroad.config import Smtp
from postroad.db.tasks import TaskSupervisor
from postroad.listeners.budget import ContentBudget
from postroad.listeners.interfaces import Acceptor, SignIn
from postroad.listeners.limits import Connections, Network
from postroad.listeners.smtp_metrics import SmtpMetrics
from postroad.listeners.smtp_session import Door, SmtpSession
from postroad.listeners.tls import ServerTls
from postroad.listeners.tls_first import TlsFirst
from postroad.protocols.smtp.envelope import Role
from postroad.protocols.smtp.limits import ServerLimits


@dataclass(frozen=True, slots=True)
class SmtpDoorConfig:
    """How one door behaves. `plain_auth_networks`: from where AUTH is taken without TLS."""

    role: Role
    hostname: str
    limits: ServerLimits = field(default_factory=ServerLimits)
    plain_auth_networks: Sequence[Network] = ()


def limits_of(settings: Smtp) -> ServerLimits:
    """Return the limits of a session as the settings have them; what they do not name keeps its default."""
    return ServerLimits(
        message=settings.max_size_bytes,
        recipients=settings.max_recipients,
        idle_seconds=settings.idle_seconds,
        session_seconds=settings.session_seconds,
        saving_seconds=settings.accept_deadline_seconds,
    )


class SmtpListener:
    """One door, open on some sockets."""

    def __init__(
        self,
        config: SmtpDoorConfig,
        *,
        acceptor: Acceptor,
        sign_in: SignIn,
        connections: Connections,
        budget: ContentBudget,
        metrics: SmtpMetrics,
        tls: ServerTls | None = None,
        tasks: TaskSupervisor | None = None,
    ) -> None:
        """`connections` and `budget` may be shared by several doors. A `submissions` door needs `tls`."""
        if config.role is Role.SUBMISSIONS and tls is None:
            raise ValueError("the submissions door needs a certificate")
        self._door = Door(
            role=config.role,
            hostname=config.hostname,
            limits=config.limits,
            plain_auth_networks=tuple(config.plain_auth_networks),
            acceptor=acceptor,
            sign_in=sign_in,
            connections=connections,
            budget=budget,
            metrics=metrics.door(config.role),
            tls=tls,
        )
        self._log = structlog.get_logger("smtp")
        self._sessions: set[SmtpSession] = set()
        self._tls_first: TlsFirst[SmtpSession] | None = None
        if config.role is Role.SUBMISSIONS and tls is not None:
            self._tls_first = TlsFirst(
                tls,
                config.limits.handshake_seconds,
                admit=self._admit,
                failed=self._handshake_failed,
                new_protocol=lambda: SmtpSession(self._door, self._opened, self._closed, is_admitted=True),
                has_begun=lambda session: session.has_begun,
                tasks=tasks,
            )
        self._servers: list[asyncio.Server] = []
        self._nobody_left = asyncio.Event()
        self._is_draining = False

    @property
    def open_sessions(self) -> int:
        """How many connections are open."""
        return len(self._sessions)

    async def start(self, listening: Iterable[socket.socket]) -> None:
        """Accept connections on these sockets (`sockets.bind`), which are closed with the listener."""
        if self._tls_first is not None:
            self._tls_first.start(listening)
            return
        loop = asyncio.get_running_loop()
        for sock in listening:
            self._servers.append(await loop.create_server(self._new_session, sock=sock))

    def _new_session(self) -> SmtpSession:
        return SmtpSession(self._door, self._opened, self._closed)

    def _admit(self, client: str) -> bool:
        is_admitted = self._door.connections.admit(client)
        if not is_admitted:
            self._door.metrics.turned_away.inc()
        return is_admitted

    def _handshake_failed(self, client: str, reason: str) -> None:
        self._door.connections.release(client)
        self._door.metrics.handshake_failed.inc()
        self._log.info("smtp.handshake-failed", client=client, reason=reason)

    def _opened(self, session: SmtpSession) -> None:
        self._sessions.add(session)

    def _closed(self, session: SmtpSession) -> None:
        self._sessions.discard(session)
        if self._is_draining and not self._sessions:
            self._nobody_left.set()

    async def drain(self, grace_seconds: float) -> None:
        """Stop accepting; let mails in hand finish for so long, tell everybody else 421; then close what is
        left.
        """
        self._is_draining = True
        if self._tls_first is not None:
            self._tls_first.close()
        for server in self._servers:
            server.close()
        for session in tuple(self._sessions):
            session.drain()
        if self._sessions:
            try:
                async with asyncio.timeout(grace_seconds):
                    await self._nobody_left.wait()
            except TimeoutError:
                for session in tuple(self._sessions):
                    session.abort()
