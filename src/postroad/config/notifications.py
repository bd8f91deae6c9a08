"""`[notifications]`: Telling other programs of new mail."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from pydantic import Field

from postroad.config.section import Section


class Notifications(Section):
    """Webhooks and new-mail files."""

    # Where webhooks may go beside public addresses: none of this machine's or this network's without being
    # named.
    allowed_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    ca: Path | None = None  # authorities that vouch for https receivers, instead of the system's
    timeout_seconds: int = Field(10, gt=0, le=15)  # for one call
    at_once: int = Field(4, gt=0, le=100)  # accounts that a worker tells one receiver of at once
    give_up_hours: int = Field(72, gt=0)  # a webhook that fails for so long is not told of that mail any more
    log_days: int = Field(7, gt=0)
