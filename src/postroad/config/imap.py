"""`[imap]`: Reading mail by IMAP."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

from pydantic import Field

from postroad.config.section import LOOPBACK, Section


class Imap(Section):
    """Reading mail by IMAP."""

    max_connections: int = Field(5000, gt=0)  # a worker; most of them are idle
    # Thunderbird opens 5, Apple Mail up to 10, and an office stands behind one address.
    max_connections_per_address: int = Field(200, gt=0)
    max_connections_per_account: int = Field(200, gt=0)  # a shared mailbox is read by a department
    idle_seconds: int = Field(1800, ge=1800)  # RFC 9051 5.4: at least 30 minutes
    plain_auth_networks: tuple[IPv4Network | IPv6Network, ...] = LOOPBACK
    # Clients without a limit of connections per address.
    unlimited_networks: tuple[IPv4Network | IPv6Network, ...] = LOOPBACK
