"""A control server on free ports over a fresh database, and `ctrlclnt` in front of it."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client import CollectorRegistry

from postroad.bridges.jdmail import ctrlclnt
from postroad.bridges.jdmail.control.desk import Desk
from postroad.config import Ctrl, Delivery, Listen, Settings
from postroad.directory.identity.audit import Actor
from postroad.listeners.access_metrics import AccessMetrics
from postroad.listeners.ctrl import CtrlDoor, ctrl_listener
from postroad.listeners.limits import Connections
from postroad.listeners.sockets import bind
from postroad.listeners.tls import ServerTls
from postroad.message.sign import Algorithm
from postroad.server.control_doors import control_house
from postroad.server.parts import Parts, open_parts
from tests.listeners.conftest import write_certificate

ADMIN = "admin"
PASSWORD = "control-Secret-9"
OPERATOR = Actor("operator", None, "test")
# Domains of tests get no RSA keys, which take their time.
QUICK_KEYS: dict[Algorithm, tuple[str, str]] = {"ed25519": ("e", "ed25519-sha256")}
CASES: tuple[list[str], ...] = ([], ["-S"], ["-L"])  # plain, negotiated and native TLS


@dataclass(frozen=True)
class Ran:
    """What a run of `ctrlclnt` came to."""

    code: int
    out: str
    err: str


def block(code: int, string: str, info: str | None = None) -> Ran:
    """A failed run."""
    lines = [f"ErrCode   = {code}", f"ErrString = {string}"]
    if info is not None:
        lines.append(f"ErrInfo   = {info}")
    return Ran(4, "", "\n".join(lines) + "\n")


def refused(text: str) -> Ran:
    """A run that the server refused."""
    return block(-138, "Controller response error", text)


DONE = Ran(0, "", "")


def run_client(arguments: Sequence[str], stdin: bytes = b"") -> Ran:
    """Run `ctrlclnt` in this thread."""
    out, err = io.BytesIO(), io.TextIOWrapper(io.BytesIO(), write_through=True)
    code = ctrlclnt.run(arguments, "ctrlclnt", {}, io.BytesIO(stdin), out, err)
    assert isinstance(err.buffer, io.BytesIO)
    return Ran(code, out.getvalue().decode(), err.buffer.getvalue().decode())


@dataclass
class Room:
    """One server."""

    parts: Parts
    port: int
    native_port: int

    def arguments(
        self, flags: Sequence[str], *command: str, user: str = ADMIN, password: str = PASSWORD
    ) -> list[str]:
        """What `ctrlclnt` is called with."""
        port = self.native_port if "-L" in flags else self.port
        return ["-s", "127.0.0.1", "-n", str(port), "-u", user, "-p", password, *flags, *command]

    async def client(
        self,
        flags: Sequence[str],
        *command: str,
        stdin: bytes = b"",
        user: str = ADMIN,
        password: str = PASSWORD,
    ) -> Ran:
        """Run `ctrlclnt` in a thread."""
        arguments = self.arguments(flags, *command, user=user, password=password)
        return await asyncio.to_thread(run_client, arguments, stdin)

    async def ask(self, *command: str) -> Ran:
        """Run it on the plain port as the administrator."""
        return await self.client([], *command)

    async def rows(self, *command: str) -> list[tuple[str, ...]]:
        """A list, read."""
        ran = await self.ask(*command)
        assert ran.code == 0, ran
        return [tuple(value.strip('"') for value in line.split("\t")) for line in ran.out.splitlines()]

    async def pairs(self, *command: str) -> dict[str, str]:
        """A list of two columns, read."""
        return {row[0]: row[1] for row in await self.rows(*command)}


@asynccontextmanager
async def open_room(dsn: str, directory: Path, ctrl: Ctrl | None = None) -> AsyncIterator[Room]:
    """Open one with a control account over everything."""
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    write_certificate(certificate, key, "localhost")
    settings = Settings(
        data_dir=directory,
        hostname="mx.control.test",
        workers=1,
        listen=Listen(smtp="127.0.0.1:1"),
        delivery=Delivery(relay="127.0.0.1:1"),
        ctrl=ctrl or Ctrl(),
    )
    async with open_parts(settings, dsn, lambda: datetime.now(UTC)) as parts:
        await parts.control_accounts.add(ADMIN, PASSWORD, OPERATOR)
        tls = ServerTls(certificate, key)
        metrics = AccessMetrics(CollectorRegistry())
        desk = Desk(control_house(settings, parts))
        listeners, ports = [], []
        for name in ("ctrl", "ctrls"):
            door = CtrlDoor(
                "Postroad test", desk, parts.clock, settings.ctrl.plain_auth_networks, metrics.door(name), tls
            )
            listener = ctrl_listener(name, door, Connections(20, 20))
            sockets = bind("127.0.0.1:0")
            ports.append(sockets[0].getsockname()[1])
            await listener.start(sockets)
            listeners.append(listener)
        try:
            yield Room(parts, *ports)
        finally:
            for listener in listeners:
                await listener.drain(5)
