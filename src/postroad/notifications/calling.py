"""One HTTP call to a stranger's host: the address is found, judged and then kept to; nothing is followed.

HTTP/1.1 (RFC 9112) as far as a POST and its status need it. The name is looked up once and the connection
goes to the very address that was judged, so an answer of the DNS that changes in between opens nothing.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Protocol
from urllib.parse import urlsplit

from postroad.dns.answers import Answer, LookupFailed, NameNotFound
from postroad.notifications.walls import may_go_to

MAX_HEAD = 32 * 1024  # bytes of status and header fields
MAX_SHOWN = 300  # bytes of an answer's body that are shown in the log
PORTS = {"http": 80, "https": 443}


class CallFailed(Exception):
    """Nobody took the call; the message says why, and can be shown."""


class FindsAddresses(Protocol):
    """What is needed of the DNS (`dns.lookups.Lookups`)."""

    async def addresses(self, host: str) -> Answer[str]: ...


@dataclass(frozen=True, slots=True)
class Reply:
    """What was answered."""

    status: int
    beginning: str  # of the body

    @property
    def is_success(self) -> bool:
        """Whether it was taken. A redirect is none: nothing is followed."""
        return 200 <= self.status < 300


class Caller:
    """Calls. `context` makes the TLS of https."""

    def __init__(
        self,
        lookups: FindsAddresses,
        allowed: Sequence[IPv4Network | IPv6Network],
        timeout_seconds: float,
        context: Callable[[], ssl.SSLContext] = ssl.create_default_context,
    ) -> None:
        self._lookups = lookups
        self._allowed = allowed
        self._timeout = timeout_seconds
        self._make_context = context
        self._context: ssl.SSLContext | None = None

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """POST `body` to `url`, all within the time of one call. Raises `CallFailed`."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = parts.port or PORTS[parts.scheme]
        try:
            async with asyncio.timeout(self._timeout):
                addresses = await self._addresses(host)
                context = self._tls() if parts.scheme == "https" else None
                reader, writer = await self._connect(addresses, port, host, context)
                try:
                    target = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
                    writer.write(_request(target, parts.netloc, headers, body))
                    return await _reply(reader)
                finally:
                    # Not waited for: a peer that does not close would hold us.
                    writer.transport.abort()
        except TimeoutError:
            raise CallFailed(f"no answer within {self._timeout:.0f} seconds") from None
        except (OSError, EOFError) as error:  # ssl.SSLError is an OSError, IncompleteReadError an EOFError
            raise CallFailed(str(error) or type(error).__name__) from error

    async def _addresses(self, host: str) -> Sequence[str]:
        """The host's addresses that we may go to."""
        try:
            ip_address(host.partition("%")[0])
            found: Sequence[str] = [host]
        except ValueError:
            try:
                found = [*await self._lookups.addresses(host)]
            except (NameNotFound, LookupFailed) as error:
                raise CallFailed(f"the DNS has no address of {host}: {error}") from error
        if not found:
            raise CallFailed(f"{host} has no address")
        good = [address for address in found if may_go_to(address, self._allowed)]
        if len(good) < len(found):
            # One that leads inside is no accident, whatever the others are.
            bad = next(address for address in found if address not in good)
            raise CallFailed(
                f"{host} is at {bad}, where webhooks may not go (notifications.allowed_networks)"
            )
        return good

    async def _connect(
        self, addresses: Sequence[str], port: int, host: str, context: ssl.SSLContext | None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        trouble: OSError = OSError("nobody answers")
        for address in addresses:
            try:
                return await asyncio.open_connection(
                    address, port, ssl=context, server_hostname=host if context else None, limit=MAX_HEAD
                )
            except OSError as error:
                trouble = error
        raise trouble

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = self._make_context()
        return self._context


def _request(target: str, host: str, headers: Mapping[str, str], body: bytes) -> bytes:
    lines = [
        f"POST {target} HTTP/1.1",
        f"Host: {host}",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join(lines).encode("ascii") + b"\r\n\r\n" + body


async def _reply(reader: asyncio.StreamReader) -> Reply:
    while True:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError as error:
            raise CallFailed("the answer's header is too long") from error
        words = head.split(b"\r\n", 1)[0].split(b" ")
        if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
            raise CallFailed("the answer is not HTTP")
        status = int(words[1][:3])
        if status >= 200:  # RFC 9110 15.2: what comes before is not the answer yet
            beginning = b"" if 200 <= status < 300 else await reader.read(MAX_SHOWN)
            return Reply(status, beginning.decode("utf-8", "replace"))
