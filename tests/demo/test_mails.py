"""The demo's mails can be read by our own scanner, are varied, and never lie in the future."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from postroad.demo.letter import CHINA, Box, Letter, Raw
from postroad.demo.mails import mails
from postroad.demo.people import ALICE, CHEN, COLLEAGUES
from postroad.mailstore.flags import Flag
from postroad.message.summary import summarise

NOW = datetime(2026, 5, 14, 3, 30, tzinfo=UTC)
MAILS = list(mails(NOW))


def by_key(key: str) -> tuple[Letter | Raw, bytes]:
    return next((mail, content) for mail, content in MAILS if mail.key == key)


def test_there_are_a_few_dozen_with_a_key_each() -> None:
    assert 30 <= len(MAILS) <= 60
    assert len({mail.key for mail, _ in MAILS}) == len(MAILS)


@pytest.mark.parametrize(("mail", "content"), MAILS, ids=[mail.key for mail, _ in MAILS])
def test_every_mail_is_well_formed(mail: Letter | Raw, content: bytes) -> None:
    assert b"\n" not in content.replace(b"\r\n", b""), "line ends are CRLF"
    assert max(map(len, content.split(b"\r\n"))) <= 998  # RFC 5322 2.1.1
    summary = summarise(content)
    assert summary.preview.strip()
    assert summary.date is not None
    assert NOW - timedelta(days=30) < summary.date <= NOW


@pytest.mark.parametrize("hour", range(0, 24, 5))
def test_no_mail_is_from_the_future_at_any_time_of_day(hour: int) -> None:
    now = NOW.replace(hour=hour)
    assert all(mail.at.moment(now) <= now.astimezone(CHINA) for mail, _ in mails(now))


def test_the_old_charset_reads_as_written() -> None:
    _, content = by_key("customs-gb")
    assert "喆鑫".encode("gb18030") in content
    assert "出口货物已放行" in summarise(content).preview


def test_a_thread_hangs_together() -> None:
    roots = {summarise(content).thread_root for mail, content in MAILS if mail.key.startswith("spring-order")}
    assert len(roots) == 1


def test_attachments_are_seen_and_pictures_inside_the_text_are_not_taken_for_them() -> None:
    assert summarise(by_key("contract-draft")[1]).has_attachments
    assert summarise(by_key("forward-damage")[1]).has_attachments
    assert not summarise(by_key("weekly-figures")[1]).has_attachments


def test_everybody_has_read_and_unread_mail_and_drafts_are_drafts() -> None:
    places = [place for mail, _ in MAILS for place in mail.places]
    for owner in COLLEAGUES:
        inbox = [place for place in places if place.owner is owner and place.folder is Box.INBOX]
        assert len(inbox) >= 10
        assert {bool(place.flags & Flag.SEEN) for place in inbox} == {True, False}
    assert {place.folder for place in places if place.owner is CHEN} >= set(Box)
    assert any(place.flags & Flag.ANSWERED for place in places if place.owner is ALICE)
