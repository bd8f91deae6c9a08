"""A demo mail as data, and how it becomes bytes. RFC 5322, RFC 2045 to 2049.

Built with the standard library on purpose: demo mail should look like other programs' mail, not like ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from email.headerregistry import Address as HeaderAddress
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from enum import StrEnum

from postroad.demo.people import COLLEAGUES, DOMAIN, Person
from postroad.mailstore.flags import Flag

CHINA = timezone(timedelta(hours=8))

UNREAD = Flag(0)
READ = Flag.SEEN
STARRED = Flag.SEEN | Flag.FLAGGED
ANSWERED = Flag.SEEN | Flag.ANSWERED


class Box(StrEnum):
    """The folders of the demo that every account has, by their role."""

    INBOX = "inbox"
    SENT = "sent"
    DRAFTS = "drafts"
    TRASH = "trash"
    JUNK = "junk"
    ARCHIVE = "archive"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a copy of a mail lies: whose, in which folder (a role, or the path of a folder to make)."""

    owner: Person
    folder: Box | str = Box.INBOX
    flags: Flag = READ
    keywords: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class At:
    """When a mail was written, before now: whole days and a time of day in China, or (today) minutes."""

    days: int = 0
    hour: int = 9
    minute: int = 0
    minutes_ago: int | None = None

    def moment(self, now: datetime) -> datetime:
        """The time in China, never later than `now`."""
        if self.minutes_ago is not None:
            return (now - timedelta(minutes=self.minutes_ago)).astimezone(CHINA).replace(microsecond=0)
        day = now.astimezone(CHINA) - timedelta(days=self.days)
        chosen = day.replace(hour=self.hour, minute=self.minute, second=(self.minute * 7) % 60, microsecond=0)
        return min(chosen, now.astimezone(CHINA))


@dataclass(frozen=True, slots=True)
class File:
    """An attachment; with `content_id` it is a picture inside the HTML."""

    name: str
    media_type: str
    content: bytes
    content_id: str | None = None


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail between people. `key` is its name here and the left side of its Message-ID."""

    key: str
    at: At
    sender: Person
    to: tuple[Person, ...]
    subject: str
    text: str
    places: tuple[Place, ...]
    cc: tuple[Person, ...] = ()
    html: str | None = None
    files: tuple[File, ...] = ()
    answers: str | None = None
    headers: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Raw:
    """A mail that has to be written byte by byte; `{date}` in `content` becomes its date."""

    key: str
    at: At
    content: bytes
    places: tuple[Place, ...]


def message_id(key: str, sender: Person) -> str:
    """The Message-ID with its angle brackets."""
    return f"<{key}@{sender.address.rpartition('@')[2]}>"


def render(mail: Letter | Raw, now: datetime, letters: Mapping[str, Letter]) -> bytes:
    """The mail as it lies in the store, with CRLF line ends; `letters` are all by key, for References."""
    when = mail.at.moment(now)
    if isinstance(mail, Raw):
        return mail.content.replace(b"{date}", format_datetime(when).encode())
    message = EmailMessage(policy=SMTP)
    if mail.sender not in COLLEAGUES:
        _trace(message, mail, when)
    message["From"] = _mailbox(mail.sender)
    message["To"] = [_mailbox(person) for person in mail.to]
    if mail.cc:
        message["Cc"] = [_mailbox(person) for person in mail.cc]
    message["Subject"] = mail.subject
    message["Date"] = when
    message["Message-ID"] = message_id(mail.key, mail.sender)
    _refer(message, mail, letters)
    for name, value in (mail.headers or {}).items():
        message[name] = value
    message.set_content(mail.text)
    if mail.html is not None:
        message.add_alternative(mail.html, subtype="html")
    _attach(message, mail.files)
    return message.as_bytes()


def _mailbox(person: Person) -> HeaderAddress:
    user, _, domain = person.address.rpartition("@")
    return HeaderAddress(person.name, user, domain)


def _trace(message: EmailMessage, mail: Letter, when: datetime) -> None:
    domain = mail.sender.address.rpartition("@")[2]
    arrived = format_datetime((when + timedelta(seconds=3)).astimezone(UTC))
    message["Received"] = (
        f"from mx.{domain} (mx.{domain} [192.0.2.25]) by mail.{DOMAIN} with ESMTPS id {mail.key}; {arrived}"
    )


def _refer(message: EmailMessage, mail: Letter, letters: Mapping[str, Letter]) -> None:
    chain: list[str] = []
    key = mail.answers
    while key is not None:
        earlier = letters[key]
        chain.insert(0, message_id(earlier.key, earlier.sender))
        key = earlier.answers
    if chain:
        message["In-Reply-To"] = chain[-1]
        message["References"] = " ".join(chain)


def _attach(message: EmailMessage, files: tuple[File, ...]) -> None:
    for file in files:
        kind, _, subkind = file.media_type.partition("/")
        if file.content_id is None:
            message.add_attachment(file.content, kind, subkind, filename=file.name)
            continue
        html = message.get_body(("html",))
        assert isinstance(html, EmailMessage), "a picture inside the text needs an HTML part"
        html.add_related(
            file.content,
            kind,
            subkind,
            cid=f"<{file.content_id}>",
            filename=file.name,
            disposition="inline",
        )
