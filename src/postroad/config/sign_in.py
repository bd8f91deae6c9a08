"""`[sign_in]`: Limits on guessing passwords."""

from __future__ import annotations

from pydantic import Field

from postroad.config.section import Section


class SignInLimits(Section):
    """Brute-force limits, counted over all doors together."""

    account_failures: int = Field(10, gt=0)
    client_failures: int = Field(50, gt=0)
    window_seconds: int = Field(900, gt=0)
    block_seconds: int = Field(900, gt=0)
