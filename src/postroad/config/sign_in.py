"""`[sign_in]`: Limits on guessing passwords."""

from __future__ import annotations

from pydantic import Field

from postroad.config.section import Section


class SignInLimits(Section):
    """Brute-force limits, counted over all entrances together."""

    pair_failures: int = Field(10, gt=0)  # of one name from one client (an IPv4 address, an IPv6 /64)
    client_failures: int = Field(50, gt=0)  # of one client, whatever names it tries
    account_failures: int = Field(100, gt=0)  # of one name, from wherever; known devices and networks go on
    window_seconds: int = Field(900, gt=0)
    block_seconds: int = Field(900, gt=0)
