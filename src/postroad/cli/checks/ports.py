"""The doors: whether somebody answers at each address of the settings, and whether it is us.

Loopback stands in for "every address". A door where nobody answers is tried: may we open it?
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass

from postroad.cli.checks.finding import Finding
from postroad.config import Settings
from postroad.listeners.sockets import BadListenAddress, parse_listen_address
from postroad.server.doors import OPEN_DOORS

SECONDS = 4.0  # for one door; they are asked all at once
GREETINGS: dict[str, bytes | tuple[bytes, ...]] = {
    **dict.fromkeys(("smtp", "submission", "submissions"), b"220"),
    **dict.fromkeys(("imap", "imaps"), b"* OK"),
    **dict.fromkeys(("pop3", "pop3s"), b"+OK"),
    **dict.fromkeys(("ctrl", "ctrls"), (b"+00000 <", b"-00129 ", b"-00130 ")),
}
TLS_DOORS = frozenset({"submissions", "imaps", "pop3s", "https", "ctrls"})
HTTP_DOORS = frozenset({"http", "https"})
# Whose greetings say no host's name; a control server's is like nobody else's.
NAMELESS_DOORS = HTTP_DOORS | {"ctrl", "ctrls"}


@dataclass(frozen=True, slots=True)
class Door:
    """One door: its name in the settings, and where it opens."""

    name: str
    host: str
    port: int

    @property
    def subject(self) -> str:
        """How findings name it."""
        return f"{self.name} {self.host}:{self.port}"


async def check_ports(settings: Settings) -> list[Finding]:
    """Knock at every door that is not off."""
    findings: list[Finding] = []
    doors: list[Door] = []
    for name in OPEN_DOORS:
        address: str = getattr(settings.listen, name)
        if not address:
            continue
        try:
            doors.append(Door(name, *parse_listen_address(address)))
        except BadListenAddress:
            findings.append(Finding("ports", f"{name} {address}", "fail", "port-unreadable"))
    findings += await asyncio.gather(*(check_door(door, settings.hostname) for door in doors))
    findings += [_outside(door) for door in doors if door.name == "smtp"]
    return findings


async def check_door(door: Door, hostname: str) -> Finding:
    """Knock at one door, and try to open it when nobody answers."""
    try:
        async with asyncio.timeout(SECONDS):
            greeting = await _greeting(door)
    except TimeoutError:
        return Finding("ports", door.subject, "fail", "port-silent")
    except ssl.SSLError as error:
        return Finding("ports", door.subject, "fail", "port-no-tls", {"error": str(error)})
    except OSError:
        return may_open(door)
    is_ours = greeting.startswith(GREETINGS.get(door.name, b"HTTP/")) and (
        door.name in NAMELESS_DOORS or hostname.encode().lower() in greeting.lower()
    )
    if is_ours:
        return Finding("ports", door.subject, "ok", "port-answers")
    return Finding("ports", door.subject, "fail", "port-taken", {"greeting": _shown(greeting)})


def may_open(door: Door) -> Finding:
    """Say whether this process could open the door."""
    family = socket.AF_INET6 if ":" in door.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((door.host, door.port))
        except PermissionError:
            return Finding("ports", door.subject, "fail", "port-forbidden")
        except OSError as error:
            word = "port-taken" if error.errno == errno.EADDRINUSE else "port-no-address"
            return Finding("ports", door.subject, "fail", word, {"greeting": "-", "error": error.strerror})
    return Finding("ports", door.subject, "warn", "port-free")


async def _greeting(door: Door) -> bytes:
    """Return the first line that is said there."""
    context: ssl.SSLContext | None = None
    if door.name in TLS_DOORS:
        context = ssl.create_default_context()  # whose certificate it is, another check looks at
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(_knock_at(door.host), door.port, ssl=context, limit=4096)
    try:
        if door.name in HTTP_DOORS:
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            await writer.drain()
        with suppress(ValueError):  # longer than any greeting
            return await reader.readline()
        return b""
    finally:
        if door.name in GREETINGS:
            with suppress(OSError):
                writer.write(_FAREWELLS.get(door.name, b"QUIT\r\n"))
        writer.close()
        with suppress(OSError, ssl.SSLError, TimeoutError):
            await asyncio.wait_for(writer.wait_closed(), 1)


_FAREWELLS = {"imap": b"a LOGOUT\r\n", "imaps": b"a LOGOUT\r\n"}


def _knock_at(host: str) -> str:
    if not host:
        return "127.0.0.1"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:
        return "127.0.0.1" if address.version == 4 else "::1"
    return host


def _outside(door: Door) -> Finding:
    """Mail from elsewhere comes to port 25 of an address that others can reach (RFC 5321 4.5.4.2)."""
    try:
        is_loopback = ipaddress.ip_address(door.host).is_loopback
    except ValueError:
        is_loopback = door.host == "localhost"
    if is_loopback or door.port != 25:
        return Finding("ports", door.subject, "warn", "port-not-public")
    return Finding("ports", door.subject, "ok", "port-public")


def _shown(greeting: bytes) -> str:
    return greeting[:60].decode("utf-8", "replace").strip() or "-"
