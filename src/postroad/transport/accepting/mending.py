"""What is mended in a mail that one of our own people hands in, before it goes anywhere.

Pure: bytes in, bytes out. RFC 6409 section 8 (Date 8.2, Message-ID 8.3), RFC 5322 3.6.3 (Bcc never leaves).
Relayed mail of strangers is never touched.
"""

from __future__ import annotations

import re
from datetime import datetime

from postroad.message.address import Address
from postroad.message.headers import Mailbox, address_items, header_section, mailboxes, raw_text
from postroad.transport.accepting.trace import begins_with_field, format_date

_BCC = re.compile(rb"(?:(?<=\n)|\A)(?:resent-)?bcc[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*", re.IGNORECASE)
_DATE = re.compile(rb"(?:(?<=\n)|\A)date[ \t]*:", re.IGNORECASE)
_MESSAGE_ID = re.compile(rb"(?:(?<=\n)|\A)message-id[ \t]*:", re.IGNORECASE)
_FROM = re.compile(rb"(?:(?<=\n)|\A)from[ \t]*:([^\n]*\n(?:[ \t][^\n]*\n)*)", re.IGNORECASE)


def authors(content: bytes) -> list[list[Mailbox]]:
    """Return who wrote a mail, a list for each From field.

    RFC 5322 3.6 allows exactly one field; readers disagree which of two they show.
    """
    return [mailboxes(address_items(raw_text(value))) for value in _FROM.findall(header_section(content))]


def prepare(content: bytes, sender: Address | None, hostname: str, unique: str, now: datetime) -> bytes:
    """Return the content with what a submission may lack added, and Bcc taken out.

    `sender` fills in a missing From (old programs leave it out); `unique` makes the Message-ID, and is the
    caller's promise that no other mail gets the same.
    """
    header = header_section(content)
    cleaned = _BCC.sub(b"", header)
    added = b""
    if not _DATE.search(cleaned):
        added += f"Date: {format_date(now)}\r\n".encode()
    if not _FROM.search(cleaned) and sender is not None:
        added += f"From: {sender}\r\n".encode()
    if not _MESSAGE_ID.search(cleaned):
        added += f"Message-ID: <{unique}@{hostname}>\r\n".encode()
    if not added and len(cleaned) == len(header):
        return content
    rest = content[len(header) :]
    if not cleaned and not header:
        return added + content
    if cleaned and not begins_with_field(cleaned):  # no header at all: the body starts at once
        return added + b"\r\n" + content
    return added + cleaned + rest
