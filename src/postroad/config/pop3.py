"""`[pop3]`: Reading mail by POP3."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

from pydantic import Field

from postroad.config.section import LOOPBACK, Section


class Pop3(Section):
    """Reading mail by POP3."""

    max_connections: int = Field(1000, gt=0)  # a worker
    max_connections_per_address: int = Field(20, gt=0)
    idle_seconds: int = Field(600, gt=0)  # RFC 1939 3: at least 10 minutes
    plain_auth_networks: tuple[IPv4Network | IPv6Network, ...] = LOOPBACK
    # Clients without a limit of connections per address.
    unlimited_networks: tuple[IPv4Network | IPv6Network, ...] = LOOPBACK
