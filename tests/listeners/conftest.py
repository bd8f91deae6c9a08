"""A listener on free ports, an acceptor that keeps mail in memory, a certificate for localhost."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from prometheus_client import CollectorRegistry

from postroad.listeners.budget import ContentBudget
from postroad.listeners.limits import Connections, Network
from postroad.listeners.smtp import SmtpDoorConfig, SmtpListener
from postroad.listeners.smtp_metrics import SmtpMetrics
from postroad.listeners.sockets import bind
from postroad.listeners.tls import ServerTls
from postroad.message.address import Address
from postroad.protocols.smtp.envelope import Envelope, EnvelopeRecipient, Principal, Role, SessionInfo
from postroad.protocols.smtp.limits import ServerLimits
from postroad.protocols.smtp.replies import SmtpReply

LOOPBACK: tuple[Network, ...] = (ipaddress.ip_network("127.0.0.0/8"),)


@dataclass
class Keeper:
    """Takes mail for example.com into a list; strangers may not relay, whoever signed in may."""

    mails: list[tuple[Envelope, bytes, SessionInfo]] = field(default_factory=list)
    senders: list[Envelope] = field(default_factory=list)
    before_accept: Callable[[], Awaitable[None]] | None = None

    async def sender(self, envelope: Envelope, session: SessionInfo) -> None:
        self.senders.append(envelope)
        if envelope.mail_from is not None and envelope.mail_from.local_part == "broken":
            raise RuntimeError("the acceptor is broken")

    async def recipient(self, envelope: Envelope, recipient: EnvelopeRecipient, session: SessionInfo) -> None:
        await asyncio.sleep(0)
        if recipient.address.local_part == "nobody":
            raise SmtpReply(550, "5.1.1", "No such mailbox")
        if recipient.address.domain != "example.com" and session.principal is None:
            raise SmtpReply(550, "5.7.1", "Relaying is not allowed")

    async def accept(self, envelope: Envelope, content: bytes, session: SessionInfo) -> str:
        if self.before_accept is not None:
            await self.before_accept()
        self.mails.append((envelope, content, session))
        return str(len(self.mails))


class Passwords:
    """Knows one account."""

    def __init__(self) -> None:
        self.watched: list[Callable[[], None]] = []

    async def check(self, username: str, password: str, client: str) -> Principal:
        if username == "disabled@example.com":
            raise SmtpReply(535, "5.7.13", "This account is disabled")
        if (username, password) != ("user@example.com", "secret"):
            raise SmtpReply(535, "5.7.8", "Wrong user name or password")
        return Principal(7, Address.parse(username))

    def watch(self, principal: Principal, end: Callable[[], None]) -> Callable[[], None]:
        """Remember who would be told."""
        self.watched.append(end)
        return lambda: None


@dataclass
class Running:
    """One open door."""

    port: int
    keeper: Keeper
    listener: SmtpListener
    registry: CollectorRegistry
    budget: ContentBudget
    connections: Connections
    passwords: Passwords

    def counted(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


Opener = Callable[..., Awaitable[Running]]


@pytest_asyncio.fixture
async def open_door(certificate: ServerTls) -> AsyncIterator[Opener]:
    opened: list[Running] = []

    async def open_one(
        role: Role = Role.MX,
        *,
        limits: ServerLimits | None = None,
        plain_auth: tuple[Network, ...] = LOOPBACK,
        most: int = 2000,
        most_per_client: int = 1000,
        budget_bytes: int = 100_000_000,
        has_tls: bool = True,
    ) -> Running:
        registry = CollectorRegistry()
        keeper = Keeper()
        connections = Connections(most, most_per_client)
        budget = ContentBudget(budget_bytes)
        passwords = Passwords()
        listener = SmtpListener(
            SmtpDoorConfig(role, "mx.example.com", limits or ServerLimits(), plain_auth),
            acceptor=keeper,
            sign_in=passwords,
            connections=connections,
            budget=budget,
            metrics=SmtpMetrics(registry),
            tls=certificate if has_tls else None,
        )
        sockets = bind("127.0.0.1:0")
        await listener.start(sockets)
        running = Running(
            sockets[0].getsockname()[1], keeper, listener, registry, budget, connections, passwords
        )
        opened.append(running)
        return running

    yield open_one
    for running in opened:
        await running.listener.drain(0)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ServerTls:
    directory = tmp_path_factory.mktemp("tls")
    write_certificate(directory / "cert.pem", directory / "key.pem", "mx.example.com")
    return ServerTls(directory / "cert.pem", directory / "key.pem")


def write_certificate(certificate: Path, private_key: Path, name: str) -> None:
    """Write a self-signed certificate and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private_key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Every test of this room runs on both loops: they differ in TLS, pausing and closing."""
    return {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}


async def until(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds; the test's own time-out ends a wait in vain."""
    while not condition():  # noqa: ASYNC110 - conditions of counters, which nobody announces
        await asyncio.sleep(0.005)
