"""`[smtp]`: How mail is taken in."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import Literal

from pydantic import Field

from postroad.config.section import LOOPBACK, MEBIBYTE, Section

OwnDomains = Literal["mark", "refuse", "accept"]


class Smtp(Section):
    """How mail is taken in."""

    max_size_bytes: int = Field(50 * MEBIBYTE, gt=0)
    max_recipients: int = Field(1000, ge=100)  # RFC 5321 4.5.3.1.8: at least 100
    max_connections: int = Field(2000, gt=0)  # a worker
    max_connections_per_address: int = Field(50, gt=0)
    max_connections_per_account: int = Field(100, gt=0)
    idle_seconds: int = Field(300, gt=0)  # RFC 5321 4.5.3.2.7: at least 5 minutes
    session_seconds: int = Field(3600, gt=0)
    accept_deadline_seconds: int = Field(60, gt=0)
    plain_auth_networks: tuple[IPv4Network | IPv6Network, ...] = LOOPBACK
    relay_networks: tuple[IPv4Network | IPv6Network, ...] = ()  # may relay without signing in
    # Copies that mails from outside may become by way of one list, an hour; the first mail of an hour passes.
    max_list_copies_per_hour: int = Field(100_000, gt=0)
    # Mail from outside, without signing in, whose sender or author has an address of ours: filed as junk with
    # a warning, refused, or taken as any other.
    own_domains: OwnDomains = "mark"
    # From where such mail is taken as any other: forwarders, and servers of lists that our people write to.
    forwarder_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    # Clients without a limit of connections per address.
    unlimited_networks: tuple[IPv4Network | IPv6Network, ...] = LOOPBACK
