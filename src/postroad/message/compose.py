"""Building mails: what a person wrote, as bytes ready to be signed and sent.

RFC 5322 rules the header, RFC 2045 to 2049 the body, RFC 2387 inline pictures, RFC 8098 receipts. Lines end
in CRLF, are folded at 78 and never longer than 998 bytes. Answers and forwards are prepared in
`answers.py`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, replace
from datetime import datetime
from email.utils import format_datetime

from .fields import address_field, ids_field, is_message_id, one_line, parametrised_field, text_field
from .headers import Mailbox
from .html_text import html_to_text
from .parameters import is_token

MAX_LINE = 998  # RFC 5322 2.1.1
_LINE_END = re.compile("\r\n|\r|\n")
_LINE_BYTES = re.compile(rb"\r\n|\r|\n")
_PATH = re.compile(r"[/\\]+")


class BadDraft(ValueError):
    """A draft that cannot become a mail; the message says why."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that travels along: its name as people see it, its media type, its bytes.

    With `content_id` it is a picture inside the HTML, which names it as `cid:…`.
    """

    filename: str
    content_type: str
    content: bytes
    content_id: str | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """A mail as a person wrote it. Where only `html` is given, the text alternative is made from it."""

    sender: Mailbox
    to: tuple[Mailbox, ...] = ()
    cc: tuple[Mailbox, ...] = ()
    bcc: tuple[Mailbox, ...] = ()
    reply_to: tuple[Mailbox, ...] = ()
    subject: str = ""
    text: str | None = None
    html: str | None = None
    attachments: tuple[Attachment, ...] = ()
    in_reply_to: str | None = None
    references: tuple[str, ...] = ()
    is_urgent: bool = False
    wants_receipt: bool = False


def compose(draft: Draft, *, now: datetime, message_id: str, with_bcc: bool = False) -> bytes:
    """Return the mail of `draft`, dated `now` (aware), called `message_id` (without brackets).

    Bcc is written only `with_bcc`, for a draft that is kept. Raises `BadAddress` for an address that is
    none, and `BadDraft` for an unusable message-id.
    """
    if not is_message_id(message_id):
        raise BadDraft(f"{message_id!r} cannot be a message-id")
    return _header(draft, now, message_id, with_bcc=with_bcc) + _content(draft, message_id)


def _header(draft: Draft, now: datetime, message_id: str, *, with_bcc: bool) -> bytes:
    fields = [
        address_field("From", [draft.sender]),
        text_field("Date", format_datetime(now)),
        text_field("Subject", draft.subject),
    ]
    if draft.reply_to:
        fields.append(address_field("Reply-To", draft.reply_to))
    if draft.to:
        fields.append(address_field("To", draft.to))
    elif not draft.cc and not with_bcc:
        fields.append(b"To: undisclosed-recipients:;\r\n")
    if draft.cc:
        fields.append(address_field("Cc", draft.cc))
    if with_bcc and draft.bcc:
        fields.append(address_field("Bcc", draft.bcc))
    fields.append(ids_field("Message-ID", [message_id]))
    if draft.in_reply_to is not None and is_message_id(draft.in_reply_to):
        fields.append(ids_field("In-Reply-To", [draft.in_reply_to]))
    if any(map(is_message_id, draft.references)):
        fields.append(ids_field("References", draft.references))
    if draft.is_urgent:
        fields += [b"X-Priority: 1 (Highest)\r\n", b"Importance: high\r\n"]
    if draft.wants_receipt:
        fields.append(address_field("Disposition-Notification-To", [draft.sender]))
    fields.append(b"MIME-Version: 1.0\r\n")
    return b"".join(fields)


def _content(draft: Draft, message_id: str) -> bytes:
    """Return the body with the fields that describe it.

    Text, alternatives, pictures, files, as many as there are.
    """
    pictures = [one for one in draft.attachments if one.content_id and draft.html is not None]
    files = [one for one in draft.attachments if one not in pictures]
    if draft.html is None:
        body = text_part("plain", draft.text or "")
    else:
        html = text_part("html", draft.html)
        if pictures:
            html = multipart("related", [html, *map(attachment_part, pictures)], message_id)
        text = draft.text if draft.text is not None else html_to_text(draft.html, with_links=True)
        body = multipart("alternative", [text_part("plain", text), html], message_id)
    if files:
        body = multipart(
            "mixed", [body, *(attachment_part(replace(one, content_id=None)) for one in files)], message_id
        )
    return body


def text_part(subtype: str, text: str) -> bytes:
    """Return a text part in the encoding that suits it: as it is, quoted-printable, or base64 (Chinese)."""
    data = _LINE_END.sub("\r\n", text.replace("\0", "")).encode("utf-8", "replace")
    if data and not data.endswith(b"\r\n"):
        data += b"\r\n"
    charset = "us-ascii" if data.isascii() else "utf-8"
    encoding, body = _transfer_encoded(data)
    head = f"Content-Type: text/{subtype}; charset={charset}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    return head.encode() + body


def _transfer_encoded(data: bytes) -> tuple[str, bytes]:
    """Choose: 7bit for short ASCII lines, quoted-printable up to a sixth of other bytes, else base64."""
    if data.isascii() and max(map(len, data.split(b"\r\n"))) <= MAX_LINE - 2:
        return "7bit", data
    foreign = len(data) - len(data.translate(None, bytes(range(128, 256))))
    if foreign * 6 <= len(data):
        return "quoted-printable", binascii.b2a_qp(data, istext=True)
    return "base64", _base64_lines(data)


def _base64_lines(data: bytes) -> bytes:
    return base64.encodebytes(data).replace(b"\n", b"\r\n")


def attachment_part(attachment: Attachment) -> bytes:
    """Return a part that carries a file, or a picture named by its Content-ID."""
    filename = _PATH.sub("_", one_line(attachment.filename)) or "attachment"
    content_type = attachment.content_type.strip().lower()
    main, _, subtype = content_type.partition("/")
    if not is_token(main) or not is_token(subtype) or main == "multipart":
        content_type = "application/octet-stream"
    encoding, body = "base64", _base64_lines(attachment.content)
    if content_type == "message/rfc822":
        # RFC 2046 5.2.1: an enclosed mail is not encoded; one whose lines cannot travel goes as a plain file
        lines = _LINE_BYTES.sub(b"\r\n", attachment.content)
        if b"\0" in lines or max(map(len, lines.split(b"\r\n"))) > MAX_LINE:
            content_type = "application/octet-stream"
        else:
            encoding, body = ("7bit" if lines.isascii() else "8bit"), lines
    fields = [
        parametrised_field("Content-Type", content_type, [("name", filename)]),
        f"Content-Transfer-Encoding: {encoding}\r\n".encode(),
    ]
    if attachment.content_id:
        fields.append(ids_field("Content-ID", [attachment.content_id]))
    disposition = "inline" if attachment.content_id else "attachment"
    fields.append(parametrised_field("Content-Disposition", disposition, [("filename", filename)]))
    return b"".join(fields) + b"\r\n" + body


def multipart(subtype: str, parts: list[bytes], seed: str, parameters: str = "") -> bytes:
    """Return a multipart of whole parts (RFC 2046 5.1) with a boundary that stands in none of them.

    `seed` makes the boundary; the same seed and parts give the same bytes. `parameters` are further ones of
    the type, as written.
    """
    for attempt in range(1000):
        digest = hashlib.sha256(f"{seed} {subtype} {attempt}".encode("utf-8", "replace")).hexdigest()
        # "=_" can stand neither in base64 nor in quoted-printable (RFC 2045 6.7).
        boundary = f"=_{subtype[:3]}_{digest[:32]}"
        delimiter = b"--" + boundary.encode()
        if not any(delimiter in part for part in parts):
            break
    more = f" {parameters};" if parameters else ""
    head = f'Content-Type: multipart/{subtype};{more}\r\n boundary="{boundary}"\r\n\r\n'
    pieces = [head.encode()]
    for part in parts:
        pieces += [delimiter, b"\r\n", part, b"\r\n"]
    pieces += [delimiter, b"--\r\n"]
    return b"".join(pieces)
