"""`[edm]`: The bulk-mail API and the campaign platform behind it."""

from __future__ import annotations

import re
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator

from postroad.config.section import MEBIBYTE, Section


class Edm(Section):
    """The bulk-mail API and the campaign platform behind it."""

    timezone: str = "Asia/Shanghai"  # of days and times, in answers and in what clients send
    query_credentials: bool = True  # take username and password from the query on the current address too
    add_task_per_hour: int = Field(100, gt=0)  # calls of one customer
    max_import_bytes: int = Field(50 * MEBIBYTE, gt=0)  # of one uploaded file of contacts
    max_request_bytes: int = Field(64 * MEBIBYTE, gt=0)  # a form with everything in it
    spf_name: str = ""  # what a customer domain's SPF record must include; "" = the hostname
    mx_host: str = ""  # where a customer domain's MX must lead; "" = the hostname
    # Where readers reach pixel, links and pages: `https://news.example.com`; "" = https and the hostname.
    tracking_url: str = ""
    bounce_domain: str = ""  # of the envelope senders of campaigns; its MX leads here; "" = the hostname

    @field_validator("tracking_url")
    @classmethod
    def _is_base(cls, url: str) -> str:
        if url and not re.match(r"https?://[A-Za-z0-9.-]+(:\d{1,5})?/?\Z", url):
            raise ValueError(
                f"{url!r} is no address of readers' pages: write it like https://news.example.com"
            )
        return url

    @field_validator("timezone")
    @classmethod
    def _is_zone(cls, timezone: str) -> str:
        try:
            ZoneInfo(timezone)
        except (ValueError, OSError) as error:
            raise ValueError(f"{timezone!r} is no time zone: write it like Asia/Shanghai") from error
        return timezone
