"""`[web]`: The pages."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

from pydantic import Field

from postroad.config.section import LOOPBACK, MEBIBYTE, Section


class Web(Section):
    """The pages."""

    session_seconds: int = Field(14 * 86400, gt=0)
    max_upload_bytes: int = Field(35 * MEBIBYTE, gt=0)  # all attachments of one mail
    max_uploads_bytes: int = Field(1024 * MEBIBYTE, gt=0)  # of uploads under way, a worker, on the disk
    max_connections: int = Field(2000, gt=0)  # a worker
    max_streams: int = Field(1000, gt=0)  # live streams of the webmail, a worker; each keeps its connection
    max_connections_per_address: int = Field(200, gt=0)  # an IPv4 address or an IPv6 /64
    # Clients without a limit of connections per address, beside the trusted proxies.
    unlimited_networks: tuple[IPv4Network | IPv6Network, ...] = LOOPBACK
    metrics_networks: tuple[IPv4Network | IPv6Network, ...] = LOOPBACK  # who may read /metrics
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()  # whose X-Forwarded-For is believed
