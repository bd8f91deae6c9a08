"""Listening sockets: addresses as the settings write them, ports shared by all workers, both IP versions.

Nothing about any protocol lives here. SO_REUSEPORT lets every worker listen on the same port and leaves the
sharing out of connections to the kernel.
"""

from __future__ import annotations

import errno
import socket

# Connections that wait while a worker is busy; the kernel caps it at net.core.somaxconn (4096 since Linux
# 5.4).
BACKLOG = 1024

_UNUSABLE = frozenset((errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT))


class BadListenAddress(ValueError):
    """A listen address that is not `host:port`, or that cannot be bound; the message says why."""


def parse_listen_address(text: str) -> tuple[str, int]:
    """Split `host:port`, `[v6]:port`, `:port` or `*:port` (every address of this machine) into host and
    port.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise BadListenAddress(f"{text!r} is not of the form host:port")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise BadListenAddress(f"{text!r}: an IPv6 address stands in brackets, as in [::1]:25")
    return ("" if host == "*" else host), int(port)


def bind(text: str, backlog: int = BACKLOG) -> list[socket.socket]:
    """Bind and listen on every address that `text` means; with port 0 they all get the same free port.

    Blocks for a name to be looked up, so it is for starting up. Raises `BadListenAddress`.
    """
    host, port = parse_listen_address(text)
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise BadListenAddress(f"{text!r}: {error.strerror}") from error
    bound: list[socket.socket] = []
    problem: OSError | None = None
    for family, kind, protocol, _, address in dict.fromkeys(found):
        chosen = (address[0], port or (bound[0].getsockname()[1] if bound else 0), *address[2:])
        try:
            bound.append(_listen(family, kind, protocol, chosen, backlog))
        except OSError as error:
            problem = error
            # A machine without IPv6 still resolves "localhost" and "*" to it.
            if error.errno not in _UNUSABLE:
                break
            continue
    if not bound or (problem is not None and problem.errno not in _UNUSABLE):
        for listening in bound:
            listening.close()
        raise BadListenAddress(f"{text!r}: {problem.strerror if problem else 'no address'}")
    return bound


def _listen(
    family: int, kind: int, protocol: int, address: tuple[object, ...], backlog: int
) -> socket.socket:
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # Taken over by every accepted connection: a reply never waits for the acknowledgement of the last.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(address)
        listening.listen(backlog)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening


def acknowledge_now(connection: socket.socket) -> None:
    """Acknowledge at once what has come, for a client that writes one thing in two pieces.

    Its second piece waits for our acknowledgement (Nagle), which ours would delay by 40 ms: measured, 21
    mails a second without this and 320 with it. The kernel falls back by itself, so it is asked anew each
    time.
    """
    if hasattr(socket, "TCP_QUICKACK"):  # Linux
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        except OSError:
            return  # the connection is gone; whoever reads it will notice
