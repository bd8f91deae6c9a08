"""From a row of `websent` to a mail: senders, recipients, dates and bodies read as the documents mean them.

Pure. What the columns mean is in the vendors' documents, section 5.2; RFC 5322 rules the mail.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from postroad.bridges.oa.dates import BadDate, read_date
from postroad.bridges.oa.refusals import Refusal
from postroad.message.address import Address, BadAddress
from postroad.message.compose import Attachment, Draft
from postroad.message.headers import Mailbox, parse_addresses

MAX_SUBJECT = 1023  # "under 1024 characters"
MAX_LIST = 200_000  # characters of a recipient column: 1,000 recipients with their names

# One recipient of a column: commas part them outside quotes and brackets; semicolons are what people write.
_SEPARATED = re.compile(r'(?:"(?:[^"\\]|\\.)*"|<[^<>]*>|[^,;，；\r\n"<]|["<])+')


@dataclass(frozen=True, slots=True)
class SentRow:
    """A row as it was written; nulls are read as the columns' defaults."""

    mail_id: str
    account: str
    mail_from: str
    mail_to: str
    mail_cc: str
    mail_bcc: str
    mail_date: str
    subject: str
    is_html: bool
    body: str
    has_attachments: bool
    needs_approval: bool
    is_draft: bool
    saves_to_sent: bool
    is_urgent: bool
    reply_to: str
    wants_receipt: bool
    send_time: str

    @property
    def recipients(self) -> str:
        """All recipients, as written."""
        return ", ".join(each for each in (self.mail_to, self.mail_cc, self.mail_bcc) if each.strip())


@dataclass(frozen=True, slots=True)
class Written:
    """A row that makes sense: the mail, its date if it names one, and recipients that are no addresses."""

    draft: Draft
    dated: datetime | None
    recipients: Sequence[Address]
    bad_recipients: Sequence[str]


def send_time(row: SentRow, zone: ZoneInfo) -> datetime | None:
    """Return when a row is to be sent, None for now. Raises `Refusal`."""
    try:
        read_date(row.mail_date, zone)
    except BadDate as error:
        raise Refusal(f"MailDate: {error}", f"MailDate 日期格式错误：{row.mail_date[:40]}") from error
    try:
        return read_date(row.send_time, zone)
    except BadDate as error:
        raise Refusal(f"Sendtime: {error}", f"Sendtime 日期格式错误：{row.send_time[:40]}") from error


def write_mail(row: SentRow, own: Address, files: Sequence[Attachment], zone: ZoneInfo) -> Written:
    """Make a mail of a row of the account `own`. Raises `Refusal`."""
    if len(row.subject) > MAX_SUBJECT:
        raise Refusal("MailSubject has 1024 characters or more", "主题超过 1023 个字符")
    to, bad_to = _recipients(row.mail_to)
    cc, bad_cc = _recipients(row.mail_cc)
    bcc, bad_bcc = _recipients(row.mail_bcc)
    recipients = [Address.parse(each.address_text) for each in (*to, *cc, *bcc)]
    bad = [*bad_to, *bad_cc, *bad_bcc]
    if not recipients and not row.is_draft:
        if bad:
            listed = ", ".join(bad[:10])
            raise Refusal(f"no valid recipient: {listed}", f"没有有效的收件人：{listed}")
        raise Refusal("the mail has no recipient", "邮件没有收件人")
    reply_to: tuple[Mailbox, ...] = ()
    if row.reply_to.strip():
        found, wrong = _recipients(row.reply_to)
        if wrong or not found:
            raise Refusal(
                f"replyto is not a mail address: {row.reply_to}", f"回复地址格式错误：{row.reply_to}"
            )
        reply_to = found
    draft = Draft(
        sender=_sender(row.mail_from, own),
        to=to,
        cc=cc,
        bcc=bcc,
        reply_to=reply_to,
        subject=row.subject,
        text=None if row.is_html else row.body,
        html=row.body if row.is_html else None,
        attachments=tuple(files),
        is_urgent=row.is_urgent,
        wants_receipt=row.wants_receipt,
    )
    return Written(draft, read_date(row.mail_date, zone), recipients, bad)


def _sender(text: str, own: Address) -> Mailbox:
    text = text.strip()
    if not text:
        return Mailbox("", str(own))
    if "@" not in text:  # a name alone
        return Mailbox(text.strip('"<> '), str(own))
    found = parse_addresses(text.encode("utf-8", "replace"))
    if len(found) == 1:
        try:
            Address.parse(found[0].address_text)
            return found[0]
        except BadAddress:
            pass
    raise Refusal(f"MailFrom is not a mail address: {text}", f"发件人地址格式错误：{text}")


def _recipients(text: str) -> tuple[tuple[Mailbox, ...], list[str]]:
    """Read a column strictly: what is not an address is told, never joined to its neighbour."""
    if len(text) > MAX_LIST:
        raise Refusal(f"a list of recipients is longer than {MAX_LIST} characters", "收件人列表过长")
    good: list[Mailbox] = []
    bad: list[str] = []
    for piece in _SEPARATED.findall(text):
        if not piece.strip():
            continue
        found = parse_addresses(piece.encode("utf-8", "replace"))
        try:
            Address.parse(found[0].address_text if len(found) == 1 else piece)
        except BadAddress:
            bad.append(piece.strip())
            continue
        good.append(found[0])
    return tuple(good), bad
