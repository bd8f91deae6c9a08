"""The ports, as the supervisor holds them: found out once, kept from others, opened by every worker.

A reserved socket is bound but does not listen, so no connection ever reaches it; workers listen on the same
port beside it (SO_REUSEPORT), also those that are started again later.
"""

from __future__ import annotations

import errno
import socket
import time
from contextlib import suppress

from postroad.config import Listen
from postroad.listeners.sockets import BadListenAddress, parse_listen_address

PATIENCE_SECONDS = 5.0  # workers of a supervisor that was killed may still be letting go
POLL_SECONDS = 0.05

OPEN_DOORS = (
    *("smtp", "submission", "submissions", "imap", "imaps", "pop3", "pop3s"),
    *("http", "https", "ctrl", "ctrls"),
)


class PortTaken(Exception):
    """Another program listens on one of our ports; the message says which."""


class Doors:
    """Every door's address with its real port, reserved until `close`."""

    def __init__(self, listen: Listen) -> None:
        """Reserve all doors that are on. Blocks a little. Raises `PortTaken` or `BadListenAddress`."""
        self._sockets: list[socket.socket] = []
        self.addresses: dict[str, str] = {}
        try:
            for door in OPEN_DOORS:
                text = getattr(listen, door)
                if text:
                    self.addresses[door] = self._reserve(door, text)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the ports back."""
        for reserved in self._sockets:
            reserved.close()
        self._sockets.clear()

    def _reserve(self, door: str, text: str) -> str:
        host, port = parse_listen_address(text)
        try:
            found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except socket.gaierror as error:
            raise BadListenAddress(f"{door} = {text!r}: {error.strerror}") from error
        deadline = time.monotonic() + PATIENCE_SECONDS
        for family, kind, protocol, _, address in dict.fromkeys(found):
            chosen = (address[0], port, *address[2:])
            if port and any(other.getsockname()[:2] == chosen[:2] for other in self._sockets):
                raise PortTaken(f"{door}: {text} is another door's already; change listen.{door}")
            while True:
                try:
                    reserved = _bind(family, kind, protocol, chosen)
                    break
                except OSError as error:
                    if error.errno == errno.EADDRINUSE and time.monotonic() < deadline:
                        time.sleep(POLL_SECONDS)
                        continue
                    if error.errno == errno.EADDRINUSE:
                        raise PortTaken(
                            f"{door}: another program listens on {text}; stop it, or change listen.{door}"
                        ) from error
                    if error.errno in (errno.EACCES, errno.EPERM):
                        raise PortTaken(
                            f"{door}: {text} needs more rights (ports below 1024 belong to root); run as "
                            f"root, grant CAP_NET_BIND_SERVICE, or change listen.{door}"
                        ) from error
                    reserved = None
                    if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT):
                        raise BadListenAddress(f"{door} = {text!r}: {error.strerror}") from error
                    break
            if reserved is not None:
                self._sockets.append(reserved)
                port = reserved.getsockname()[1]
        if port == 0:
            raise BadListenAddress(f"{door} = {text!r}: this machine has no such address")
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _bind(family: int, kind: int, protocol: int, address: tuple[object, ...]) -> socket.socket:
    # Without SO_REUSEPORT first: with it, a stranger's workers under our account would not be noticed.
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _only_v6(probe)
        probe.bind(address)
        address = (address[0], probe.getsockname()[1], *address[2:])
    reserved = socket.socket(family, kind, protocol)
    try:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        _only_v6(reserved)
        reserved.bind(address)
    except OSError:
        reserved.close()
        raise
    return reserved


def _only_v6(bound: socket.socket) -> None:
    if bound.family == socket.AF_INET6:
        with suppress(OSError):
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
