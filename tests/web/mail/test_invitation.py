"""Calendar parts of strangers: read leniently, never raising."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from postroad.web.mail.invitation import read_invitation


def event(*lines: str, before: tuple[str, ...] = ()) -> str:
    return "\r\n".join(
        ["BEGIN:VCALENDAR", *before, "BEGIN:VEVENT", *lines, "END:VEVENT", "END:VCALENDAR", ""]
    )


def test_folded_lines_escapes_and_parameters_are_read() -> None:
    text = event(
        "SUMMARY;LANGUAGE=zh:评审\\, 第",
        " 二轮",
        'ATTENDEE;CN="Doe, Jane";PARTSTAT=NEEDS-ACTION:MAILTO:jane@x.example',
        "DTSTART:20261125T020000Z",
        "DURATION:PT1H30M",
        "RRULE:FREQ=WEEKLY",
        before=("METHOD:REQUEST",),
    )
    found = read_invitation(text, "/x")
    assert found is not None
    assert (found.method, found.summary, found.repeats) == ("REQUEST", "评审, 第二轮", True)
    assert (found.attendees[0].name, found.attendees[0].address) == ("Doe, Jane", "jane@x.example")
    assert found.starts_at == datetime(2026, 11, 25, 2, 0, tzinfo=UTC)
    assert found.ends_at == datetime(2026, 11, 25, 3, 30, tzinfo=UTC)


def test_a_zone_of_the_senders_own_is_taken_from_the_calendar() -> None:
    zone = (
        "BEGIN:VTIMEZONE",
        "TZID:China Standard Time",
        "BEGIN:STANDARD",
        "TZOFFSETTO:+0800",
        "END:STANDARD",
        "END:VTIMEZONE",
    )
    found = read_invitation(event("DTSTART;TZID=China Standard Time:20261125T100000", before=zone), "/x")
    assert found is not None
    assert found.starts_at == datetime(2026, 11, 25, 2, 0, tzinfo=UTC)


def test_whole_days_are_days() -> None:
    found = read_invitation(event("DTSTART;VALUE=DATE:20261125", "DTEND;VALUE=DATE:20261127"), "/x")
    assert found is not None
    assert found.all_day
    assert found.starts_at == datetime(2026, 11, 25, tzinfo=UTC)


def test_alarms_inside_an_event_do_not_speak_for_it() -> None:
    found = read_invitation(event("BEGIN:VALARM", "SUMMARY:alarm", "END:VALARM", "SUMMARY:event"), "/x")
    assert found is not None
    assert found.summary == "event"


_lines = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "BEGIN:VEVENT",
                "END:VEVENT",
                "BEGIN:VCALENDAR",
                "DTSTART:99999999T999999Z",
                "DTSTART;TZID=X:20261301T000000",
                "TZOFFSETTO:+9999",
                "DURATION:P9999W",
                "BEGIN:VTIMEZONE",
                "BEGIN:STANDARD",
                "DTEND:00010101T000000",
                "ATTENDEE:",
            ]
        ),
        st.text(max_size=40),
    ),
    max_size=30,
)


@given(_lines)
def test_nothing_makes_it_raise(lines: list[str]) -> None:
    read_invitation("\r\n".join(lines), "/x")
    read_invitation(event(*lines), "/x")
