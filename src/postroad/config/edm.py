"""`[edm]`: The bulk-mail API and the campaign platform behind it."""

from __future__ import annotations

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

    @field_validator("timezone")
    @classmethod
    def _is_zone(cls, timezone: str) -> str:
        try:
            ZoneInfo(timezone)
        except (ValueError, OSError) as error:
            raise ValueError(f"{timezone!r} is no time zone: write it like Asia/Shanghai") from error
        return timezone
