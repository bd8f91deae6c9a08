"""Preparing answers and forwards: recipients, subject, thread, and the quoted original.

RFC 5322 3.6.3 and 3.6.4 rule who is answered and how a thread is kept. The quoted HTML must have been
sanitised by the caller; everything else that comes from the original is escaped here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape

from .address import Address, BadAddress
from .compose import Attachment, Draft
from .headers import Mailbox
from .summary import MessageSummary

MAX_REFERENCES = 20  # kept in an answer, the first and the last ones, as RFC 5537 3.4.4 keeps threads
MAX_QUOTED = 200_000  # characters of the original that are quoted

_NUMBER = r"\s*(?:\[\d{1,4}\]|\(\d{1,4}\)|（\d{1,4}）)?\s*[:：]\s*"
# What the mailers of the world put before the subject of an answer: Outlook, Foxmail, QQ Mail, Lotus, Gmail.
_REPLY = re.compile(
    rf"\s*(?:(?:re|回复|回覆|答复|答覆|回信|aw|sv|vs|antw|odp|rif|res){_NUMBER})+", re.IGNORECASE
)
_FORWARD = re.compile(rf"\s*(?:(?:fwd|fw|转发|轉寄|轉發|wg|tr|doorst|vl|enc|i){_NUMBER})+", re.IGNORECASE)

_QUOTE_STYLE = "margin:0 0 0 0.8ex;border-left:1px solid #cccccc;padding-left:1ex"


@dataclass(frozen=True, slots=True)
class Original:
    """The mail that is answered or forwarded: its summary, its text, and its sanitised HTML if it has any."""

    summary: MessageSummary
    text: str
    html: str | None = None


@dataclass(frozen=True, slots=True)
class _Words:
    wrote: str
    date: str
    forwarded: str
    labels: tuple[str, str, str, str, str]


_WORDS = {
    "en": _Words(
        "On {date}, {name} wrote:",
        "%Y-%m-%d %H:%M",
        "-------- Forwarded message --------",
        ("From: ", "Date: ", "Subject: ", "To: ", "Cc: "),
    ),
    "zh": _Words(
        "在 {date}，{name} 写道：",
        "%Y-%m-%d %H:%M",
        "-------- 转发的邮件 --------",
        ("发件人：", "日期：", "主题：", "收件人：", "抄送："),
    ),
}


def reply_subject(subject: str) -> str:
    """Return the subject of an answer: one `Re: `, whatever prefixes were there."""
    return f"Re: {_REPLY.sub('', subject, count=1) if _REPLY.match(subject) else subject.strip()}"


def forward_subject(subject: str) -> str:
    """Return the subject of a forward: one `Fwd: `, whatever prefixes were there."""
    return f"Fwd: {_FORWARD.sub('', subject, count=1) if _FORWARD.match(subject) else subject.strip()}"


def reply(
    original: Original,
    *,
    sender: Mailbox,
    own_addresses: Collection[str] = (),
    to_all: bool = False,
    language: str = "en",
) -> Draft:
    """Return the draft of an answer, the original quoted below an empty line in text and HTML.

    It goes where Reply-To or else From says; an answer to one's own mail goes to its recipients again.
    `to_all` adds the other recipients in Cc. One's own addresses (`own_addresses` and the sender's) never
    become recipients, unless nobody else is left. `language` ("en" or "zh") is that of the line above the
    quote.
    """
    summary = original.summary
    own = {_key(address) for address in (*own_addresses, sender.address_text)}
    is_own = any(_key(one.address_text) in own for one in summary.header_from)
    answered = summary.to if is_own else summary.reply_to or summary.header_from
    to = _distinct(answered, own) or _distinct(answered, ())
    cc: list[Mailbox] = []
    if to_all:
        others = summary.cc if is_own else [*summary.to, *summary.cc]
        cc = _distinct(others, own | {_key(one.address_text) for one in to})
    words = _WORDS.get(language, _WORDS["en"])
    name = ", ".join(one.name or one.address_text for one in summary.header_from) or "?"
    wrote = words.wrote.format(date=_date(summary.date, words), name=name)
    return Draft(
        sender=sender,
        to=tuple(to),
        cc=tuple(cc),
        subject=reply_subject(summary.subject),
        text=f"\n\n{wrote}\n{quoted_text(original.text)}\n",
        html=(
            f'<p><br></p><div>{escape(wrote)}</div><blockquote type="cite" style="{_QUOTE_STYLE}">'
            f"{_html_of(original)}</blockquote>"
        ),
        in_reply_to=summary.message_id,
        references=references_after(summary),
    )


def forward(
    original: Original,
    *,
    sender: Mailbox,
    attachments: Sequence[Attachment] = (),
    language: str = "en",
) -> Draft:
    """Return the draft of a forward: the original's main fields, then its text, below an empty line.

    `attachments` are the original's files, pictures of its HTML included, as the caller decoded them.
    """
    summary = original.summary
    words = _WORDS.get(language, _WORDS["en"])
    values = (
        _people(summary.header_from),
        _date(summary.date, words),
        summary.subject,
        _people(summary.to),
        _people(summary.cc),
    )
    lines = [f"{label}{value}" for label, value in zip(words.labels, values, strict=True) if value]
    return Draft(
        sender=sender,
        subject=forward_subject(summary.subject),
        text="\n".join(["\n", words.forwarded, *lines, "", original.text[:MAX_QUOTED]]),
        html=(
            f"<p><br></p><div>{escape(words.forwarded)}<br>{'<br>'.join(map(escape, lines))}</div><br>"
            f"{_html_of(original)}"
        ),
        attachments=tuple(attachments),
        references=references_after(summary),
    )


def quoted_text(text: str) -> str:
    """Return `text` with `> ` before each line; quotes in it get deeper without another blank."""
    lines = text[:MAX_QUOTED].strip("\n").split("\n")
    return "\n".join(f">{line}" if line.startswith(">") else f"> {line}".rstrip() for line in lines)


def _html_of(original: Original) -> str:
    if original.html is not None:
        return original.html
    return escape(original.text[:MAX_QUOTED]).replace("\n", "<br>\n")


def _date(date: datetime | None, words: _Words) -> str:
    return date.strftime(words.date) if date is not None else "?"


def _people(mailboxes: Iterable[Mailbox]) -> str:
    return ", ".join(map(str, mailboxes))


def references_after(summary: MessageSummary) -> tuple[str, ...]:
    """RFC 5322 3.6.4: the original's references, or what it answered, and the original itself."""
    before = summary.references or summary.in_reply_to[:1]
    references = [*before, *([summary.message_id] if summary.message_id else [])]
    if len(references) > MAX_REFERENCES:
        references = [references[0], *references[-(MAX_REFERENCES - 1) :]]
    return tuple(references)


def _key(address_text: str) -> str:
    try:
        return Address.parse(address_text).key
    except BadAddress:
        return address_text.lower()


def _distinct(mailboxes: Iterable[Mailbox], without: Collection[str]) -> list[Mailbox]:
    """Return the mailboxes that can be written to, each once, those in `without` left out."""
    found: dict[str, Mailbox] = {}
    for mailbox in mailboxes:
        try:
            key = Address.parse(mailbox.address_text).key
        except BadAddress:
            continue
        if key not in without:
            found.setdefault(key, mailbox)
    return list(found.values())
