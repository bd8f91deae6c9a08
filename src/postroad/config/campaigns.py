"""`[campaigns]`: How campaigns are sent."""

from __future__ import annotations

import re

from pydantic import Field, field_validator

from postroad.config.section import Section


class CampaignSending(Section):
    """How campaigns are sent."""

    base_url: str = (
        ""  # where readers' links lead, such as "https://mail.example.com"; "" = https and the hostname
    )
    bounce_domain: str = ""  # domain of envelope senders; "" = the sender's own, whose MX is ours
    lifetime_seconds: int = Field(2 * 86400, gt=0)  # how long a recipient is tried: an offer grows old
    late_seconds: int = Field(2 * 3600, gt=0)  # later than that, a task waits to be asked about

    @field_validator("base_url")
    @classmethod
    def _is_url(cls, text: str) -> str:
        if text and not re.fullmatch(r"https?://[A-Za-z0-9.:\[\]_-]+(?:/[A-Za-z0-9._~/-]*)?", text):
            raise ValueError(f'{text!r} is no address of a server: write "https://mail.example.com"')
        return text.rstrip("/")
