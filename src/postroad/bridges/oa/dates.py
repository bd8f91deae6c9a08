"""Dates as the OA writes and reads them: `YYYY-MM-DD HH:NN:SS` in the server's zone (`NN` are minutes).

Pure but for `server_zone`, which asks the machine.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

# A date alone is midnight; `T`, slashes, missing zeros and fractions come from people's own formatting.
_DATE = re.compile(
    r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})(?:[ T]+(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.\d{1,9})?)?)?", re.ASCII
)


class BadDate(ValueError):
    """A text that names no moment."""


class BadZone(ValueError):
    """`oa.timezone` is not the name of a zone."""


def server_zone(name: str = "") -> ZoneInfo:
    """Return the zone `name`, or else this machine's; UTC where that cannot be learned. Raises `BadZone`."""
    if name:
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise BadZone(f"oa.timezone = {name!r} is no time zone; write it like Asia/Shanghai") from error
    candidates = [os.environ.get("TZ", "").lstrip(":")]
    with suppress(OSError):
        candidates.append(str(Path("/etc/localtime").readlink()).rpartition("zoneinfo/")[2])
    with suppress(OSError, ValueError):
        candidates.append(Path("/etc/timezone").read_text(encoding="utf-8").strip())
    for candidate in candidates:
        try:
            if candidate and not candidate.startswith("/"):
                return ZoneInfo(candidate)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            continue
    return ZoneInfo("UTC")


def read_date(text: str | None, zone: ZoneInfo) -> datetime | None:
    """Return the moment in UTC, None for an empty text. Raises `BadDate`."""
    text = (text or "").strip()
    if not text:
        return None
    found = _DATE.fullmatch(text)
    if found is None:
        raise BadDate(f"{text[:40]!r} is not of the form YYYY-MM-DD HH:NN:SS")
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups())
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise BadDate(f"{text[:40]!r} is not a date of the calendar") from error


def write_date(moment: datetime, zone: ZoneInfo) -> str:
    """Write a moment the OA's way."""
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")
