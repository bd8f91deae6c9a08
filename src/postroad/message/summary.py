"""What the store keeps of a mail beside its bytes, computed once when it is accepted.

Everything here is storable text or JSON; nothing is looked at twice. On the accept path: 4 KB take well under
100 µs, which is why the structs are msgspec's and the preview reads only the first bytes of one part.
"""

from __future__ import annotations

import re
from datetime import datetime
from html import unescape

import msgspec

from .budget import Budget
from .charsets import decode_line, storable
from .envelope import Envelope, decode_envelope, encode_envelope, envelope_of
from .headers import Mailbox, decode_words, mailboxes, parse_date, parse_message_ids, raw_text
from .scan import Part, decode_structure, encode_structure, scan_with_fields
from .transfer import decoded

MAX_SUBJECT = 1_000  # characters kept of a subject for lists; RFC 5322 2.1.1 lines are 998
PREVIEW_LENGTH = 200  # characters; Gmail and Apple Mail show 100 to 140 of them
_PREVIEW_BYTES = 1_600  # decoded bytes a preview is made from: 200 Chinese characters and room for quoting
_PREVIEW_HTML_BYTES = (
    3_000,
    24_000,
)  # the same of HTML; a second look is for those that begin with long styles

_SIGNATURES = frozenset(("pgp-signature", "pkcs7-signature", "x-pkcs7-signature"))
_HTML_SILENT = re.compile(
    r"<(style|script|title|head)\b[^>]*+(?:>|\Z).*?(?:</\1[^>]*+>|\Z)|<!--.*?(?:-->|\Z)", re.S | re.I
)
_HTML_SILENT_BEGIN = re.compile(r"<(?:style|script|title|head|!--)", re.I)
_INVISIBLE = re.compile("[\u00ad\u034f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]+")


class MessageSummary(msgspec.Struct, frozen=True, gc=False):
    """What is kept of one mail. Texts are decoded and storable; `envelope` and `structure` have JSON forms.

    `message_id`, `in_reply_to` and `references` are without angle brackets. `thread_root` is the message-id
    the conversation began with: the first of References, else of In-Reply-To, else the mail's own. `priority`
    is 1 for urgent mails.
    """

    size_bytes: int
    subject: str
    header_from: list[Mailbox]
    sender: list[Mailbox]
    reply_to: list[Mailbox]
    to: list[Mailbox]
    cc: list[Mailbox]
    bcc: list[Mailbox]
    date: datetime | None
    message_id: str | None
    in_reply_to: list[str]
    references: list[str]
    thread_root: str | None
    priority: int
    has_attachments: bool
    preview: str
    envelope: Envelope
    structure: Part

    @property
    def envelope_json(self) -> bytes:
        """The envelope as it is stored."""
        return encode_envelope(self.envelope)

    @property
    def structure_json(self) -> bytes:
        """The structure as it is stored."""
        return encode_structure(self.structure)


def summarise(content: bytes) -> MessageSummary:
    """Read one mail and return what is kept of it. Never raises, whatever the bytes are."""
    budget = Budget()
    root, values = scan_with_fields(content, budget)
    envelope = envelope_of(values)
    header_from = mailboxes(envelope.from_, budget)
    subject = envelope.subject or ""
    if "=?" in subject:
        subject = decode_words(raw_text(values[b"subject"]), budget)
    message_ids = parse_message_ids(values[b"message-id"]) if b"message-id" in values else []
    in_reply_to = parse_message_ids(values[b"in-reply-to"]) if b"in-reply-to" in values else []
    references = parse_message_ids(values[b"references"]) if b"references" in values else []
    message_id = message_ids[0] if message_ids else None
    roots = references or in_reply_to or message_ids
    return MessageSummary(
        size_bytes=len(content),
        subject=fold_blanks(subject)[:MAX_SUBJECT],
        header_from=header_from,
        sender=mailboxes(envelope.sender, budget) if b"sender" in values else [],
        reply_to=mailboxes(envelope.reply_to, budget) if b"reply-to" in values else [],
        to=mailboxes(envelope.to, budget),
        cc=mailboxes(envelope.cc, budget),
        bcc=mailboxes(envelope.bcc, budget),
        date=parse_date(values[b"date"]) if b"date" in values else None,
        message_id=message_id,
        in_reply_to=in_reply_to,
        references=references,
        thread_root=roots[0] if roots else None,
        priority=_priority(values),
        has_attachments=has_attachments(root),
        preview=preview(content, root, budget),
        envelope=envelope,
        structure=root,
    )


def fold_blanks(text: str) -> str:
    """Return `text` on one line: runs of blanks as one space, none at the ends, nothing invisible."""
    text = " ".join(text.split())
    return text if text.isprintable() else " ".join(_INVISIBLE.sub("", storable(text)).split())


def _priority(values: dict[bytes, bytes]) -> int:
    """Return 1 for a mail its sender called urgent (RFC 2156 Importance and Priority, X-Priority 1 or 2)."""
    if values.get(b"importance", b"").strip().lower() == b"high":
        return 1
    if values.get(b"priority", b"").strip().lower() == b"urgent":
        return 1
    return 1 if values.get(b"x-priority", b"").strip()[:1] in (b"1", b"2") else 0


def has_attachments(root: Part) -> bool:
    """Whether a paper clip is shown: some part is a file to people, signatures and delivery reports apart."""
    if not root.children:
        return root.is_attachment and not is_body(root)
    return any(map(_holds_file, root.children)) if root.subtype != "report" else False


def _holds_file(part: Part) -> bool:
    if part.children:
        return any(map(_holds_file, part.children))
    return part.is_attachment and part.subtype not in _SIGNATURES


def is_body(root: Part) -> bool:
    """Whether a mail of one part is its own text: a name alone does not make it a file then."""
    return root.content_type == "text" and root.disposition != "attachment"


def text_leaf(root: Part, subtype: str) -> Part | None:
    """Return the first text part of a subtype that is not a file, in the order people read, or None."""
    if not root.children:
        return root if root.subtype == subtype and is_body(root) else None
    return _leaf(root, subtype)


def _leaf(root: Part, subtype: str) -> Part | None:
    if root.children:
        for child in root.children:
            found = _leaf(child, subtype)
            if found is not None:
                return found
        return None
    if root.content_type == "text" and root.subtype == subtype and not root.is_attachment:
        return root
    return None


def preview(content: bytes, root: Part, budget: Budget) -> str:
    """Return the first `PREVIEW_LENGTH` characters people would read: of the plain text, else of the HTML."""
    plain = text_leaf(root, "plain")
    if plain is not None:
        text = _beginning(content, plain, _PREVIEW_BYTES, budget)
        text = fold_blanks(text[: PREVIEW_LENGTH * 3])[:PREVIEW_LENGTH].rstrip()
        if text:
            return text
    html = text_leaf(root, "html")
    if html is None:
        return ""
    for size_bytes in _PREVIEW_HTML_BYTES:
        text = _without_tags(_beginning(content, html, size_bytes, budget))
        text = fold_blanks(unescape(text[: PREVIEW_LENGTH * 20]))[:PREVIEW_LENGTH].rstrip()
        if len(text) > PREVIEW_LENGTH // 2 or html.size_bytes <= size_bytes:
            break
    return text


def _without_tags(html: str) -> str:
    """Return the text between tags, roughly: a preview is no place for a parser."""
    body = html.find("<body")
    if body > 0:
        html = html[body:]
    if _HTML_SILENT_BEGIN.search(html):
        html = _HTML_SILENT.sub(" ", html)
    text, *tagged = html.split("<")
    return " ".join([text, *(piece.partition(">")[2] for piece in tagged)])


def _beginning(content: bytes, part: Part, size_bytes: int, budget: Budget) -> str:
    """Return the text of a part's first bytes; the cut may tear the last character, which is dropped then."""
    data = decoded(content, part, size_bytes)
    text = decode_line(data, part.charset, budget)
    return text.rstrip("\ufffd") if len(data) == size_bytes else text


__all__ = [
    "MessageSummary",
    "decode_envelope",
    "decode_structure",
    "encode_envelope",
    "encode_structure",
    "fold_blanks",
    "has_attachments",
    "preview",
    "summarise",
    "text_leaf",
]
