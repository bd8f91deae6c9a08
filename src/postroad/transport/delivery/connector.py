"""Opening a session to a route: which host, which address, with what security.

Tries every address of the hosts in their order; remembers hosts whose TLS is broken. RFC 5321 5.1 (all
addresses of the best host, then the next), RFC 7435 (opportunistic TLS), RFC 8314 3.3 (TLS from the first
byte on port 465).
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import structlog

from postroad.config import Settings
from postroad.protocols.smtp.auth import Credentials
from postroad.protocols.smtp.client import ClientConfig, TlsUse
from postroad.transport.delivery.connections import (
    CannotConnect,
    Session,
    Timeouts,
    TlsBroken,
)
from postroad.transport.delivery.destinations import RELAY, Destinations, Host, SiteName
from postroad.transport.delivery.security import (
    RelayTls,
    Security,
    TlsContexts,
    is_near,
    relay_security,
    site_security,
)
from postroad.transport.delivery.shaping import SiteTls
from postroad.transport.delivery.source import Failure

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
        relay_tls: RelayTls = "auto",
        relay_authorities: Path | None = None,
        timeouts: Timeouts | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`credentials` are for the smart host, and so are `relay_tls` and `relay_authorities`."""
        self._destinations = destinations
        self._hostname = hostname
        self._tls = TlsUse.OPPORTUNISTIC if uses_tls else TlsUse.OFF
        self._credentials = credentials
        self._timeouts = timeouts or Timeouts()
        self._monotonic = monotonic
        self._relay_tls = relay_tls
        self._contexts = TlsContexts()
        self._relay_contexts = TlsContexts(relay_authorities)
        self._broken: OrderedDict[str, float] = OrderedDict()

    @classmethod
    def configured(
        cls, settings: Settings, destinations: Destinations, timeouts: Timeouts | None = None
    ) -> Connector:
        """The connector that the settings ask for."""
        delivery = settings.delivery
        return cls(
            destinations,
            settings.hostname,
            uses_tls=delivery.tls == "opportunistic",
            credentials=(
                Credentials(delivery.relay_username, delivery.relay_password)
                if delivery.relay_username
                else None
            ),
            relay_tls=delivery.relay_tls,
            relay_authorities=delivery.relay_ca,
            timeouts=timeouts,
        )

    async def site(self, route: str) -> SiteName:
        """Say which site a route leads to. Raises `Unreachable`."""
        return await self._destinations.site(route)

    async def open(self, route: str, tls: SiteTls | None = None) -> Session:
        """Open a session to the first host that lets us, as securely as `tls` asks at least.

        Raises `Unreachable`, `CannotConnect`.
        """
        route = self._destinations.onward(route)
        hosts = await self._destinations.hosts(route)
        last: CannotConnect | None = None
        tries = 0
        for host in hosts:
            for address in host.addresses:
                if tries >= MAX_TRIES:
                    break
                tries += 1
                try:
                    return await self._try(host, address, route, tls)
                except CannotConnect as error:
                    last = error
                    log.debug("connecting_failed", remote=error.failure.remote, text=error.failure.text)
        assert last is not None
        raise last

    async def _try(self, host: Host, address: str, route: str, tls: SiteTls | None) -> Session:
        is_relay = route.startswith(RELAY)
        security = self._security(host, address, is_relay, tls)
        is_tls = host.port == SUBMISSIONS_PORT and is_relay
        config = self._config(address, is_relay, security)
        session = Session(host, address, config, self._timeouts, is_tls=is_tls)
        try:
            contexts = self._relay_contexts if is_relay else self._contexts
            context = contexts.context(security.verifies)
        except OSError as error:  # the operator's setting: the mail waits until it is mended
            log.error("authorities_unreadable", error=str(error))
            text = f"the certificates to verify with cannot be read: {error}"
            raise CannotConnect(Failure(451, "4.7.5", text, session.remote)) from None
        try:
            await session.open(context)
        except TlsBroken as error:
            if security.verifies:
                log.warning("host_not_verified", remote=error.failure.remote, text=error.failure.text)
            # Where TLS comes first there is nothing to fall back to, and a password does not go without it.
            if is_tls or not security.may_fall_back or (is_relay and self._credentials is not None):
                raise
            log.info("tls_given_up", remote=error.failure.remote, text=error.failure.text)
            self._remember_broken(host.name)
            config = self._config(address, is_relay, Security(TlsUse.OFF))
            plain = Session(host, address, config, self._timeouts)
            await plain.open(context)
            return plain
        return session

    def _security(self, host: Host, address: str, is_relay: bool, tls: SiteTls | None) -> Security:
        security = Security(self._tls)
        if is_relay:
            security = relay_security(
                self._relay_tls, self._tls, sends_password=self._credentials is not None, address=address
            )
        security = site_security(tls, security)
        if security.may_fall_back and self._broken.get(host.name, 0.0) > self._monotonic():
            return Security(TlsUse.OFF)
        return security

    def _config(self, address: str, is_relay: bool, security: Security) -> ClientConfig:
        credentials = self._credentials if is_relay else None
        return ClientConfig(self._hostname, security.tls, credentials, allows_plain_auth=is_near(address))

    def _remember_broken(self, name: str) -> None:
        self._broken[name] = self._monotonic() + BROKEN_TLS_SECONDS
        self._broken.move_to_end(name)
        if len(self._broken) > MAX_BROKEN_TLS:
            self._broken.popitem(last=False)
