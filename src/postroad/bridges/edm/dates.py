"""Dates and times of the bulk-mail API (A.6 of our page), in the platform's zone."""

from __future__ import annotations

import re
from datetime import date, datetime
from zoneinfo import ZoneInfo

from postroad.bridges.edm.refusals import param_error

NEVER = "0000-00-00 00:00:00"
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}\Z", re.ASCII)
_LOOSE = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})(?:[ T]+(\d{1,2})(?::(\d{1,2})(?::(\d{1,2}))?)?)?\Z", re.ASCII
)


def read_padded_day(text: str) -> date:
    """A day as 2.3 insists on it: 2012-03-02, never 2012-3-2. Raises `Refusal`."""
    if not _DAY.match(text):
        raise param_error("日期格式必须是 YYYY-MM-DD")
    return read_day(text)


def read_day(text: str) -> date:
    """A day. Raises `Refusal`."""
    return read_time(text, ZoneInfo("UTC")).date()


def read_time(text: str, zone: ZoneInfo) -> datetime:
    """A time with or without minutes and seconds; a date alone is midnight. Raises `Refusal`."""
    found = _LOOSE.match(text.strip())
    if found is None:
        raise param_error("时间格式不正确")
    try:
        return datetime(*(int(part or 0) for part in found.groups()), tzinfo=zone)  # type: ignore[misc,arg-type]
    except ValueError as error:
        raise param_error("时间不正确") from error


def show_time(moment: datetime | None, zone: ZoneInfo) -> str:
    """A time as clients read it; one that never happened is zero."""
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S") if moment else NEVER
