"""`[ctrl]`: The control protocol, and what `ctrlclnt` sees."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import Literal

from pydantic import Field

from postroad.config.section import LOOPBACK, Section


class Ctrl(Section):
    """The control protocol."""

    max_connections: int = Field(200, gt=0)  # a worker
    max_connections_per_address: int = Field(20, gt=0)
    idle_seconds: int = Field(120, gt=0)  # between commands, as the original server has it
    # From where a clear password is taken without TLS; a digest is taken from everywhere.
    plain_auth_networks: tuple[IPv4Network | IPv6Network, ...] = LOOPBACK
    # Clients without a limit of connections per address.
    unlimited_networks: tuple[IPv4Network | IPv6Network, ...] = LOOPBACK
    # The lowest version of TLS; below 1.2 only for clients that are as old as the document.
    min_tls: Literal["1.0", "1.1", "1.2", "1.3"] = "1.2"
    # Say what the document prints for a failed login and an existing domain, which scripts compare; else what
    # is the matter.
    document_texts: bool = True
    # Take any password that is not empty, as the original does; else by the rules for everybody.
    any_password: bool = True
    new_account_kilobytes: int = Field(0, ge=0, le=2**40)  # what an account made here may hold; 0: no limit
