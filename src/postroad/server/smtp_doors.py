"""The SMTP doors of a worker: listeners joined with the directory and transport."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from prometheus_client import CollectorRegistry

from postroad.config import Settings
from postroad.db.pool import DatabaseUnavailable
from postroad.directory.errors import AccountDisabled, SignInRefused, TooManyFailures
from postroad.directory.sign_in import SignIn
from postroad.listeners.limits import Connections, ContentBudget
from postroad.listeners.smtp import SmtpDoorConfig, SmtpListener
from postroad.listeners.smtp_metrics import SmtpMetrics
from postroad.listeners.sockets import bind
from postroad.listeners.tls import ServerTls
from postroad.protocols.smtp.envelope import Principal, Role
from postroad.protocols.smtp.limits import ServerLimits
from postroad.protocols.smtp.replies import SmtpReply
from postroad.server.parts import Parts

_DOORS = {"smtp": Role.MX, "submission": Role.SUBMISSION, "submissions": Role.SUBMISSIONS}


class SmtpSignIn:
    """The directory's sign-in in SMTP's words (RFC 4954 6, RFC 5248)."""

    def __init__(self, sign_in: SignIn) -> None:
        self._sign_in = sign_in

    async def check(self, username: str, password: str, client: str) -> Principal:
        """Say who it is. Raises `SmtpReply`."""
        try:
            principal = await self._sign_in.check(username, password, client, "smtp")
        except TooManyFailures as error:
            seconds = error.retry_after
            raise SmtpReply(
                454, "4.7.0", f"too many failed sign-ins, try again in {seconds} seconds"
            ) from error
        except AccountDisabled as error:
            raise SmtpReply(535, "5.7.13", "this account is disabled") from error
        except SignInRefused as error:
            raise SmtpReply(535, "5.7.8", "the user name or the password is wrong") from error
        except DatabaseUnavailable as error:
            raise SmtpReply(454, "4.7.0", "sign-in is not possible now, try again later") from error
        return Principal(principal.account_id, principal.address)


class SmtpDoors:
    """All SMTP doors of a worker that are on."""

    def __init__(self, settings: Settings, parts: Parts, tls: ServerTls, registry: CollectorRegistry) -> None:
        smtp = settings.smtp
        limits = ServerLimits(
            message=smtp.max_size_bytes,
            recipients=smtp.max_recipients,
            idle_seconds=smtp.idle_seconds,
            session_seconds=smtp.session_seconds,
            saving_seconds=smtp.accept_deadline_seconds,
        )
        sign_in = SmtpSignIn(parts.sign_in)
        connections = Connections(
            smtp.max_connections, smtp.max_connections_per_address, smtp.unlimited_networks
        )
        budget = ContentBudget()
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
