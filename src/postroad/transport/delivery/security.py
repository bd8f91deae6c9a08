"""How a connection to another server is secured: with TLS or without, and whether it must prove its name.

Opportunistic TLS verifies nothing (RFC 7435): most hosts could not be reached otherwise, and it still keeps
out who only listens. A password is another matter: it goes to a host that has proved its name (RFC 8314 5.1,
RFC 9525), unless the operator says otherwise.
"""

from __future__ import annotations

import ipaddress
import ssl
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from postroad.protocols.smtp.client import TlsUse
from postroad.transport.delivery.shaping import SiteTls

RelayTls = Literal["auto", "verified", "required", "off"]


@dataclass(frozen=True, slots=True)
class Security:
    """What a connection needs before a mail or a password may go over it."""

    tls: TlsUse
    verifies: bool = False

    @property
    def may_fall_back(self) -> bool:
        """Whether a host whose TLS is broken may be met without."""
        return self.tls is TlsUse.OPPORTUNISTIC


def relay_security(chosen: RelayTls, usual: TlsUse, *, sends_password: bool, address: str) -> Security:
    """What the smart host at `address` must do; `usual` is how other hosts are met.

    A password never leaves this machine for a host that has not proved its name, unless that is `chosen`.
    """
    match chosen:
        case "verified":
            return Security(TlsUse.REQUIRED, verifies=True)
        case "required":
            return Security(TlsUse.REQUIRED)
        case "off":
            return Security(TlsUse.OFF)
        case "auto":
            if sends_password and not is_near(address):
                return Security(TlsUse.REQUIRED, verifies=True)
            return Security(usual)


def site_security(chosen: SiteTls | None, usual: Security) -> Security:
    """What a site must do by its rule of shaping, None: it has none. A smart host's own setting stands behind
    `usual`, and a rule can only ask for more than that.
    """
    asked = _BY_WORD[chosen] if chosen is not None else usual
    if usual.tls is TlsUse.REQUIRED:
        return max(asked, usual, key=_strictness)
    return asked


_BY_WORD: dict[SiteTls, Security] = {
    "off": Security(TlsUse.OFF),
    "opportunistic": Security(TlsUse.OPPORTUNISTIC),
    "required": Security(TlsUse.REQUIRED),
    "verified": Security(TlsUse.REQUIRED, verifies=True),
}


def _strictness(security: Security) -> tuple[bool, bool]:
    return security.tls is TlsUse.REQUIRED, security.verifies


def is_near(address: str) -> bool:
    """Whether the address is this machine's own: nobody listens on the way there."""
    return ipaddress.ip_address(address).is_loopback


class TlsContexts:
    """The TLS contexts of outgoing connections. The trusted authorities are read when first needed."""

    def __init__(self, authorities: Path | None = None) -> None:
        """`authorities`: a PEM file of certificates that are trusted instead of the system's."""
        self._authorities = authorities
        self._unverified = _unverified_context()
        self._verified: ssl.SSLContext | None = None

    def context(self, verifies: bool) -> ssl.SSLContext:
        """Return the context to connect with. Raises `OSError` (`ssl.SSLError` too) for a bad file."""
        if not verifies:
            return self._unverified
        if self._verified is None:
            self._verified = ssl.create_default_context(
                cafile=None if self._authorities is None else str(self._authorities)
            )
        return self._verified


def _unverified_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with suppress(ssl.SSLError):
        context.set_ciphers("DEFAULT:@SECLEVEL=0")  # weak encryption beats none (RFC 7435 3)
    return context
