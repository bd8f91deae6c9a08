"""Why a row of `websent` was not sent, in both languages, and the notice its account finds about it.

Pure. RFC 3834 marks the notice as automatic, so that nobody answers it by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from postroad.message.compose import Draft, compose
from postroad.message.fields import one_line
from postroad.message.headers import Mailbox

SENDER_NAME = "Mail Delivery System"
MAX_SHOWN = 200  # characters of a subject or an address in a notice
MAX_LISTED = 50  # recipients a notice names


class Refusal(Exception):
    """A row that will never be sent as it is; `english` goes into `errorinfo`."""

    def __init__(self, english: str, chinese: str) -> None:
        super().__init__(english)
        self.english = one_line(english)[:1000]
        self.chinese = one_line(chinese)[:1000]


@dataclass(frozen=True, slots=True)
class About:
    """The row a notice is about: its id, subject and recipients as its writer gave them."""

    mail_id: str
    subject: str
    recipients: str


@dataclass(frozen=True, slots=True)
class Reader:
    """Whom a notice is for. `language` "zh" or "en"; None is told in both."""

    address: str
    language: str | None


def refusal_notice(
    about: About, refusal: Refusal, reader: Reader, *, hostname: str, now: datetime, message_id: str
) -> bytes:
    """Return the mail that says that nothing was sent."""
    english = (
        "Your mail was not sent to anybody.\n\n"
        f"Reason: {refusal.english}\n\nMail: {_shown(about.mail_id)}\nSubject: {_shown(about.subject)}\n"
        f"To: {_shown(about.recipients)}\n"
    )
    chinese = (
        "您的邮件没有发给任何人。\n\n"
        f"原因：{refusal.chinese}\n\n邮件编号：{_shown(about.mail_id)}\n主题：{_shown(about.subject)}\n"
        f"收件人：{_shown(about.recipients)}\n"
    )
    subjects = {"en": "Mail not sent: ", "zh": "邮件未发送："}
    return _notice(subjects, about, english, chinese, reader, hostname, now, message_id)


def recipients_notice(
    about: About, bad: Sequence[str], reader: Reader, *, hostname: str, now: datetime, message_id: str
) -> bytes:
    """Return the mail that says which recipients were left out, since they are no addresses."""
    listed = "".join(f"  {_shown(each)}\n" for each in bad[:MAX_LISTED])
    english = (
        "Your mail was sent, but not to these, which are not mail addresses:\n\n"
        f"{listed}\nMail: {_shown(about.mail_id)}\nSubject: {_shown(about.subject)}\n"
    )
    chinese = (
        "您的邮件已发送，但以下内容不是邮件地址，未能送达：\n\n"
        f"{listed}\n邮件编号：{_shown(about.mail_id)}\n主题：{_shown(about.subject)}\n"
    )
    subjects = {"en": "Not delivered to everybody: ", "zh": "部分收件人未送达："}
    return _notice(subjects, about, english, chinese, reader, hostname, now, message_id)


def _notice(
    subjects: dict[str, str],
    about: About,
    english: str,
    chinese: str,
    reader: Reader,
    hostname: str,
    now: datetime,
    message_id: str,
) -> bytes:
    texts = {"en": english, "zh": chinese}
    first = "en" if reader.language == "en" else "zh"
    text = texts[first] if reader.language in texts else f"{chinese}\n----\n\n{english}"
    draft = Draft(
        sender=Mailbox(SENDER_NAME, f"mailer-daemon@{hostname}"),
        to=(Mailbox("", reader.address),),
        subject=subjects[first] + (_shown(about.subject) or _shown(about.mail_id)),
        text=text,
    )
    return b"Auto-Submitted: auto-generated\r\n" + compose(draft, now=now, message_id=message_id)


def _shown(text: str) -> str:
    return one_line(text)[:MAX_SHOWN]
