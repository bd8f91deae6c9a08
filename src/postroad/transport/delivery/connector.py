"""Opening a session to a route: which host, which address, with TLS or without.

Tries every address of the hosts in their order; remembers hosts whose TLS is broken. RFC 5321 5.1 (all
addresses of the best host, then the next), RFC 7435 (opportunistic TLS), RFC 8314 3.3 (TLS from the first
byte on port 465).
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

import structlog

from postroad.protocols.smtp.auth import Credentials
from postroad.protocols.smtp.client import ClientConfig, TlsUse
from postroad.transport.delivery.connections import (
    CannotConnect,
    Session,
    Timeouts,
    TlsBroken,
    make_tls_context,
)
from postroad.transport.delivery.destinations import RELAY, Destinations, Host

SUBMISSIONS_PORT = 465  # RFC 8314 7.3
MAX_TRIES = 10  # addresses of one attempt; Postfix smtp_mx_address_limit is 5, smtp_mx_session_limit 2
BROKEN_TLS_SECONDS = 3600.0  # how long a host whose handshake failed is met without TLS
MAX_BROKEN_TLS = 10_000

log = structlog.get_logger("postroad.transport.delivery.connector")


class Connector:
    """Opens sessions."""

    def __init__(
        self,
        destinations: Destinations,
        hostname: str,
        *,
        uses_tls: bool = True,
        credentials: Credentials | None = None,
        timeouts: Timeouts | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`credentials` are for the smart host."""
        self._destinations = destinations
        self._hostname = hostname
        self._tls = TlsUse.OPPORTUNISTIC if uses_tls else TlsUse.OFF
        self._credentials = credentials
        self._timeouts = timeouts or Timeouts()
        self._monotonic = monotonic
        self._context = make_tls_context(verifies=False)
        self._broken: OrderedDict[str, float] = OrderedDict()

    async def site(self, route: str) -> str:
        """Say which site a route leads to. Raises `Unreachable`."""
        return await self._destinations.site(route)

    async def open(self, route: str) -> Session:
        """Open a session to the first host that lets us. Raises `Unreachable`, `CannotConnect`."""
        hosts = await self._destinations.hosts(route)
        last: CannotConnect | None = None
        tries = 0
        for host in hosts:
            for address in host.addresses:
                if tries >= MAX_TRIES:
                    break
                tries += 1
                try:
                    return await self._try(host, address, route)
                except CannotConnect as error:
                    last = error
                    log.debug("connecting_failed", remote=error.failure.remote, text=error.failure.text)
        assert last is not None
        raise last

    async def _try(self, host: Host, address: str, route: str) -> Session:
        config = self._config(host, address, route)
        is_tls = host.port == SUBMISSIONS_PORT and route.startswith(RELAY)
        session = Session(host, address, config, self._timeouts, is_tls=is_tls)
        try:
            await session.open(self._context)
        except TlsBroken as error:
            if config.tls is not TlsUse.OPPORTUNISTIC or config.credentials is not None:
                raise
            log.info("tls_given_up", remote=error.failure.remote, text=error.failure.text)
            self._remember_broken(host.name)
            plain = Session(host, address, self._config(host, address, route), self._timeouts)
            await plain.open(self._context)
            return plain
        return session

    def _config(self, host: Host, address: str, route: str) -> ClientConfig:
        credentials = self._credentials if route.startswith(RELAY) else None
        tls = self._tls
        if self._broken.get(host.name, 0.0) > self._monotonic():
            tls = TlsUse.OFF
        is_near = address.startswith("127.") or address == "::1"
        return ClientConfig(self._hostname, tls, credentials, allows_plain_auth=is_near)

    def _remember_broken(self, name: str) -> None:
        self._broken[name] = self._monotonic() + BROKEN_TLS_SECONDS
        self._broken.move_to_end(name)
        if len(self._broken) > MAX_BROKEN_TLS:
            self._broken.popitem(last=False)
