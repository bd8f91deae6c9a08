"""`[campaigns]`: How campaigns are sent."""

from __future__ import annotations

from pydantic import Field

from postroad.config.section import Section


class CampaignSending(Section):
    """How campaigns are sent; where their links and bounces lead is with the platform (`[edm]`)."""

    lifetime_seconds: int = Field(2 * 86400, gt=0)  # how long a recipient is tried: an offer grows old
    late_seconds: int = Field(2 * 3600, gt=0)  # later than that, a task waits to be asked about
