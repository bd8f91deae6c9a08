"""The first event of a calendar part, as much of it as a card shows (RFC 5545, RFC 5546).

Reading is lenient and bounded: what cannot be read is left out, nothing raises.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from postroad.message.charsets import undirected
from postroad.web.mail.views import Invitation
from postroad.web.shell.views import Person

MAX_CHARACTERS = 500_000  # of the calendar text; an invitation has 3,000
MAX_LINES = 20_000
MAX_LINE = 8_000  # characters looked at of one line, unfolded; people and times take under 500
MAX_ATTENDEES = 200

_PROPERTY = re.compile(
    r'([A-Za-z0-9-]++)((?:;[A-Za-z0-9-]++=(?:"[^"]*+"|[^";:,]*+)(?:,(?:"[^"]*+"|[^";:,]*+))*+)*+):(.*)\Z',
    re.S,
)
_PARAMETER = re.compile(r';([A-Za-z0-9-]+)=("[^"]*"|[^";:,]*)')
_MOMENT = re.compile(r"(\d{4})(\d{2})(\d{2})(?:T(\d{2})(\d{2})(\d{2})(Z?))?\Z")
_DURATION = re.compile(
    r"P(?:(\d{1,4})W)?(?:(\d{1,4})D)?(?:T(?:(\d{1,4})H)?(?:(\d{1,5})M)?(?:(\d{1,6})S)?)?\Z"
)
_OFFSET = re.compile(r"([+-])(\d{2})(\d{2})")


@dataclass(frozen=True, slots=True)
class _Property:
    name: str
    parameters: dict[str, str]
    value: str


def read_invitation(text: str, file_url: str) -> Invitation | None:
    """Return the first event of `text`, None without one. `file_url` is where the part is saved from."""
    lines = re.sub(r"\r?\n[ \t]", "", text[:MAX_CHARACTERS]).splitlines()[:MAX_LINES]
    method, zones, event = "", dict[str, tzinfo](), list[_Property]()
    stack: list[str] = []
    zone_id = ""
    for line in lines:
        match = _PROPERTY.match(line[:MAX_LINE])
        if match is None:
            continue
        one = _Property(match[1].upper(), _parameters(match[2]), match[3])
        if one.name == "BEGIN":
            stack.append(one.value.strip().upper())
        elif one.name == "END":
            if stack and stack.pop() == "VEVENT" and event:
                break
        elif stack[-1:] == ["VCALENDAR"] and one.name == "METHOD":
            method = one.value.strip().upper()[:20]
        elif stack[-1:] == ["VTIMEZONE"] and one.name == "TZID":
            zone_id = one.value.strip()
        elif stack[-1:] == ["STANDARD"] and one.name == "TZOFFSETTO" and len(zones) < 20:
            zones.setdefault(zone_id, _offset(one.value))
        elif stack[-1:] == ["VEVENT"]:
            event.append(one)
    return _invitation(method, event, zones, file_url) if event else None


def _invitation(
    method: str, event: Sequence[_Property], zones: dict[str, tzinfo], file_url: str
) -> Invitation:
    first: dict[str, _Property] = {}
    for one in event:
        first.setdefault(one.name, one)
    starts_at, all_day = _moment(first.get("DTSTART"), zones)
    ends_at, _ = _moment(first.get("DTEND"), zones)
    if ends_at is None and starts_at is not None and "DURATION" in first:
        length = _duration(first["DURATION"].value)
        ends_at = starts_at + length if length is not None else None
    people = [_person(one) for one in event if one.name == "ATTENDEE"][:MAX_ATTENDEES]
    return Invitation(
        method=method,
        summary=_text(first.get("SUMMARY"))[:500],
        starts_at=starts_at,
        ends_at=ends_at,
        all_day=all_day,
        location=_text(first.get("LOCATION"))[:500],
        organiser=_person(first["ORGANIZER"]) if "ORGANIZER" in first else None,
        attendees=people,
        repeats="RRULE" in first,
        file_url=file_url,
    )


def _parameters(text: str) -> dict[str, str]:
    return {match[1].upper(): match[2].strip('"') for match in _PARAMETER.finditer(text)}


def _text(one: _Property | None) -> str:
    """RFC 5545 3.3.11: a backslash stands before commas, semicolons, itself, and n for a new line."""
    if one is None:
        return ""
    text = re.sub(r"\\(.)", lambda match: "\n" if match[1] in "nN" else match[1], one.value, flags=re.S)
    return undirected(" ".join(text.split()))


def _person(one: _Property) -> Person:
    address = re.sub(r"\Amailto:", "", undirected(one.value.strip()), flags=re.I)[:320]
    name = undirected(one.parameters.get("CN", ""))[:200]
    return Person("" if name == address else name, address)


def _moment(one: _Property | None, zones: dict[str, tzinfo]) -> tuple[datetime | None, bool]:
    """A DATE or DATE-TIME; a time without zone is taken as UTC (RFC 5545 3.3.5 calls it floating)."""
    match = _MOMENT.match(one.value.strip()) if one else None
    if one is None or match is None:
        return None, False
    try:
        year, month, day = int(match[1]), int(match[2]), int(match[3])
        if match[4] is None:
            return datetime(year, month, day, tzinfo=UTC), True
        zone = UTC if match[7] else _zone(one.parameters.get("TZID", ""), zones)
        # Hours of a leap second (60) are no datetime: the last second does.
        moment = datetime(year, month, day, int(match[4]), int(match[5]), min(int(match[6]), 59), tzinfo=zone)
        return moment.astimezone(UTC), False
    except (ValueError, OverflowError):
        return None, False


def _zone(name: str, zones: dict[str, tzinfo]) -> tzinfo:
    try:
        return ZoneInfo(name) if name and len(name) < 64 else zones.get(name, UTC)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return zones.get(name, UTC)  # a name of Windows or of the sender's own, described in the calendar


def _offset(text: str) -> tzinfo:
    match = _OFFSET.match(text.strip())
    if match is None:
        return UTC
    minutes = int(match[2]) * 60 + int(match[3])
    if minutes >= 24 * 60:
        return UTC
    return timezone(timedelta(minutes=-minutes if match[1] == "-" else minutes))


def _duration(text: str) -> timedelta | None:
    match = _DURATION.match(text.strip().lstrip("+"))
    if match is None:
        return None
    weeks, days, hours, minutes, seconds = (int(group or 0) for group in match.groups())
    return timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
