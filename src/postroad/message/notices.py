"""Delivery status notifications: what became of a mail, for people and for programs.

RFC 3464 rules the report, RFC 3461 what is returned with it, RFC 6533 addresses beyond ASCII, RFC 3834 the
marks of an automatic answer. The words people read are in `notice_words.py`. Sending (with a null sender,
never in answer to one) is the transport's matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from typing import Literal

from .compose import MAX_LINE, multipart, text_part
from .fields import address_field, folded, ids_field, one_line, text_field
from .headers import MAX_HEADER_BYTES, Mailbox, decode_text, field_matches, parse_message_ids
from .notice_words import Kind, explanation, subject_for
from .scan import header_end

MAX_RETURNED = 50_000  # bytes of an original that is returned whole; Postfix bounce_size_limit
MAX_RETURNED_HEADER = 20_000  # bytes of a header that is returned
MAX_DIAGNOSTIC = 1_500  # characters of what a remote server said; RFC 5321 4.5.3.1.5 lines are 512
MAX_READABLE = 100  # recipients told of in the readable part; programs find all in the other


@dataclass(frozen=True, slots=True)
class RecipientReport:
    """What became of one recipient.

    `status` is an enhanced code (RFC 3463). `diagnostic` is the remote server's reply as it came,
    `remote_mta` its name; both None where we decided ourselves. `original_recipient` is the ORCPT parameter,
    decoded (`rfc822;name@…`). `is_relayed` marks a success that was only handed on, to a server without DSN.
    """

    address: str
    status: str
    diagnostic: str | None = None
    remote_mta: str | None = None
    original_recipient: str | None = None
    last_attempt_at: datetime | None = None
    is_relayed: bool = False


@dataclass(frozen=True, slots=True)
class Occasion:
    """The mail a notice is about, and who tells whom.

    `recipient` is the mail's envelope sender. `original` is the mail as it would be delivered.
    `returns_content` is RET=FULL (RFC 3461 4.3). `language` ("zh", "en") is the sender's; None puts first
    what the subject suggests.
    """

    reporting_mta: str
    sender: Mailbox
    recipient: str
    original: bytes
    arrived_at: datetime
    envelope_id: str | None = None
    returns_content: bool = True
    language: Literal["zh", "en"] | None = None


def failure_notice(
    occasion: Occasion, recipients: Sequence[RecipientReport], *, now: datetime, message_id: str
) -> bytes:
    """Return the notice that a mail could not be delivered to `recipients`. Raises `BadAddress`."""
    return _notice("failed", occasion, recipients, now=now, message_id=message_id)


def delay_notice(
    occasion: Occasion,
    recipients: Sequence[RecipientReport],
    *,
    now: datetime,
    message_id: str,
    retry_until: datetime | None = None,
) -> bytes:
    """Return the notice that delivery takes longer, and is tried until `retry_until`. Raises `BadAddress`."""
    return _notice("delayed", occasion, recipients, now=now, message_id=message_id, retry_until=retry_until)


def success_notice(
    occasion: Occasion, recipients: Sequence[RecipientReport], *, now: datetime, message_id: str
) -> bytes:
    """Return the notice, asked for by NOTIFY=SUCCESS, that a mail arrived or was handed on. Raises
    `BadAddress`.
    """
    return _notice("delivered", occasion, recipients, now=now, message_id=message_id)


def _notice(
    kind: Kind,
    occasion: Occasion,
    recipients: Sequence[RecipientReport],
    *,
    now: datetime,
    message_id: str,
    retry_until: datetime | None = None,
) -> bytes:
    header = occasion.original[: header_end(occasion.original, 0, MAX_HEADER_BYTES)]
    subject, original_id = _subject_and_id(header)
    language = occasion.language or (
        "zh" if any("\u4e00" <= letter <= "\u9fff" for letter in subject) else "en"
    )
    lines = [_readable(recipient) for recipient in recipients[:MAX_READABLE]]
    text = explanation(
        kind,
        language,
        subject=subject,
        recipients=lines,
        left_out=len(recipients) - len(lines),
        statuses=[recipient.status for recipient in recipients[:MAX_READABLE]],
        reporting_mta=occasion.reporting_mta,
        retry_until=retry_until,
    )
    fields = [
        address_field("From", [occasion.sender]),
        address_field("To", [Mailbox("", occasion.recipient)]),
        text_field("Subject", subject_for(kind, language, subject)),
        text_field("Date", format_datetime(now)),
        ids_field("Message-ID", [message_id]),
        *(
            [ids_field("In-Reply-To", [original_id]), ids_field("References", [original_id])]
            if original_id
            else []
        ),
        b"Auto-Submitted: auto-replied\r\n",  # RFC 3834 5.2
        b"X-Auto-Response-Suppress: All\r\n",  # [MS-OXCMAIL] 2.2.3.2.14: Exchange does not answer it either
        b"MIME-Version: 1.0\r\n",
    ]
    is_global = any(
        not (recipient.address + (recipient.original_recipient or "")).isascii() for recipient in recipients
    )
    parts = [
        b"Content-Description: Notification\r\n" + text_part("plain", text),
        _status_part(kind, occasion, recipients, retry_until, is_global=is_global),
        _returned_part(kind, occasion, header),
    ]
    return b"".join(fields) + multipart("report", parts, message_id, "report-type=delivery-status")


def _subject_and_id(header: bytes) -> tuple[str, str | None]:
    subject, original_id = "", None
    for match in field_matches(header):
        name = match[1].lower()
        if name == b"subject" and not subject:
            subject = decode_text(match[2])[:200]
        elif name == b"message-id" and original_id is None:
            original_id = next(iter(parse_message_ids(match[2])), None)
    return subject, original_id if original_id and original_id.isascii() else None


def _readable(recipient: RecipientReport) -> str:
    line = f"<{one_line(recipient.address)}>"
    if recipient.diagnostic:
        said = f"{recipient.remote_mta}: " if recipient.remote_mta else ""
        line += f"\n    {said}{one_line(recipient.diagnostic)[:MAX_DIAGNOSTIC]}"
    return line


def _status_part(
    kind: Kind,
    occasion: Occasion,
    recipients: Sequence[RecipientReport],
    retry_until: datetime | None,
    *,
    is_global: bool,
) -> bytes:
    """Return the part for programs (RFC 3464 2), as message/global-delivery-status where RFC 6533 3 asks for
    it.
    """
    blocks = [[_field("Reporting-MTA", f"dns; {occasion.reporting_mta}")]]
    if occasion.envelope_id:
        blocks[0].insert(0, _field("Original-Envelope-Id", occasion.envelope_id))
    blocks[0].append(_field("Arrival-Date", format_datetime(occasion.arrived_at)))
    for recipient in recipients:
        kept = []
        if recipient.original_recipient:
            kind_of, mark, address = recipient.original_recipient.partition(";")
            kept.append(
                _field(
                    "Original-Recipient", f"{kind_of.strip()}; {address}" if mark else f"rfc822; {kind_of}"
                )
            )
        address_type = "rfc822" if recipient.address.isascii() else "utf-8"
        kept.append(_field("Final-Recipient", f"{address_type}; {recipient.address}"))
        action = "relayed" if kind == "delivered" and recipient.is_relayed else kind
        kept.append(_field("Action", action))
        kept.append(_field("Status", recipient.status))
        if recipient.remote_mta:
            kept.append(_field("Remote-MTA", f"dns; {recipient.remote_mta}"))
        if recipient.diagnostic:
            kept.append(
                _field("Diagnostic-Code", f"smtp; {recipient.diagnostic[:MAX_DIAGNOSTIC]}", ascii_only=True)
            )
        if recipient.last_attempt_at is not None:
            kept.append(_field("Last-Attempt-Date", format_datetime(recipient.last_attempt_at)))
        if kind == "delayed" and retry_until is not None:
            kept.append(_field("Will-Retry-Until", format_datetime(retry_until)))
        blocks.append(kept)
    body = b"\r\n".join(b"".join(block) for block in blocks)
    media_type = "message/global-delivery-status" if is_global else "message/delivery-status"
    encoding = "7bit" if body.isascii() else "8bit"
    head = (
        "Content-Description: Delivery report\r\n"
        f"Content-Type: {media_type}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    )
    return head.encode() + body


def _field(name: str, value: str, *, ascii_only: bool = False) -> bytes:
    text = one_line(value)
    if ascii_only:
        text = text.encode("ascii", "replace").decode()
    words = [word[at : at + 200] for word in text.split() for at in range(0, len(word), 200)]
    return folded(name, words)


def _returned_part(kind: Kind, occasion: Occasion, header: bytes) -> bytes:
    """Return the original where it failed, is wanted and small (RFC 3461 4.3), else its header."""
    # More than twice the limit cannot come below it by its line ends, and is not worth the copies.
    original = _with_crlf(occasion.original[: 2 * MAX_RETURNED + 1])
    is_global = not header.isascii()  # RFC 6532: raw UTF-8 in the header
    # RFC 3461 4.3: RET applies to failures; other notices return no content
    is_whole = kind == "failed" and occasion.returns_content and len(original) <= MAX_RETURNED
    if is_whole and max(map(len, original.split(b"\r\n"))) <= MAX_LINE and b"\0" not in original:
        media_type, body, description = "message/rfc822", original, "Undelivered mail"
    else:
        media_type, description = "text/rfc822-headers", "Header of the mail"
        header = _with_crlf(header).replace(b"\0", b"").rstrip(b"\r\n") + b"\r\n"
        lines = header[:MAX_RETURNED_HEADER].splitlines(keepends=True)
        if len(header) > MAX_RETURNED_HEADER:
            lines = lines[:-1]
        body = b"".join(line for line in lines if len(line) <= MAX_LINE + 2)
    if is_global:
        media_type = "message/global" if media_type == "message/rfc822" else "message/global-headers"
    encoding = "7bit" if body.isascii() else "8bit"
    head = (
        f"Content-Description: {description}\r\n"
        f"Content-Type: {media_type}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    )
    return head.encode() + body


def _with_crlf(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
