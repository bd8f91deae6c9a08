"""What a receiver is told of a mail: the fields of interface page jdmail-api.md, section 2, as JSON or XML.

What was kept when the mail came is told in any case; its text and the list of its files only while it is
there.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from xml.sax.saxutils import escape

import msgspec

from postroad.mailstore.errors import NoSuchMessage
from postroad.mailstore.lexemes import text_end
from postroad.mailstore.messages import Messages
from postroad.message.envelope import Envelope, decode_envelope
from postroad.message.headers import ListItem, mailboxes
from postroad.message.scan import Part, walk
from postroad.message.text import readable_text
from postroad.notifications.lines import Notification

MAX_TEXT = 4000  # characters of the readable text
MAX_READ = 1024 * 1024  # bytes of the mail that the text is looked for in
MAX_PEOPLE = 200  # of one address field
MAX_ATTACHMENTS = 200
KEPT = 500  # texts remembered; 8 MB full
IN_LOOP_BYTES = 64 * 1024  # as when mails are summarised

Document = dict[str, Any]
# What no XML may hold, however it is written (XML 1.0, 2.2).
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Documents:
    """Writes them."""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages
        # Several receivers are told of one mail at about the same time; what a mail says never changes.
        self._kept: OrderedDict[int, tuple[str, list[Document]]] = OrderedDict()

    async def of(self, notification: Notification) -> Document:
        """Return the fields. Raises `BlobsUnavailable`, `DatabaseUnavailable`."""
        facts = notification.facts
        envelope = decode_envelope(notification.envelope) if notification.envelope else Envelope()
        text, attachments = await self._content(notification.message_id)
        return {
            "id": notification.event_id,
            "account": facts.get("account"),
            "folder": facts.get("folder"),
            "received_at": notification.arrived_at.astimezone(UTC).isoformat(),
            "message_id": facts.get("message_id"),
            "date": _utc(facts.get("sent_at")),
            "from": _people(envelope.from_),
            "to": _people(envelope.to),
            "cc": _people(envelope.cc),
            "reply_to": _people(envelope.reply_to),
            "subject": facts.get("subject") or "",
            "size": facts.get("size"),
            "priority": facts.get("priority") or 0,
            "text": text,
            "attachments": attachments,
            "spam_score": None,  # nothing here gives one
            "eml": None,
        }

    async def _content(self, message_id: int) -> tuple[str | None, list[Document]]:
        kept = self._kept.get(message_id)
        if kept is not None:
            return kept
        description = (await self._messages.describe([message_id])).get(message_id)
        if description is None:
            return None, []
        root = description.structure
        end = min(text_end(root), MAX_READ)
        try:
            body = await self._messages.body_range(message_id, 0, end)
        except NoSuchMessage:
            return None, []
        if len(body) <= IN_LOOP_BYTES:
            text = readable_text(body, root, MAX_TEXT)
        else:
            text = await asyncio.to_thread(readable_text, body, root, MAX_TEXT)
        found = text, _attachments(root)
        self._kept[message_id] = found
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return found


def as_json(document: Document) -> bytes:
    """Write a document as JSON."""
    return msgspec.json.encode(document) + b"\n"


def as_xml(document: Document) -> bytes:
    """Write a document as XML: an element a field; people and files are elements in theirs."""
    parts = ['<?xml version="1.0" encoding="UTF-8"?>\n<mail>\n']
    for name, value in document.items():
        if isinstance(value, list):
            inner = "".join(_element("item", each) for each in value)
            parts.append(f"  <{name}>{inner}</{name}>\n")
        elif value is not None:
            parts.append(f"  {_element(name, value)}\n")
    parts.append("</mail>\n")
    return "".join(parts).encode()


def _element(name: str, value: object) -> str:
    if isinstance(value, dict):
        inner = "".join(_element(key, each) for key, each in value.items() if each is not None)
        return f"<{name}>{inner}</{name}>"
    return f"<{name}>{escape(_NOT_XML.sub('', str(value)))}</{name}>"


def _people(items: Sequence[ListItem]) -> list[Document]:
    return [{"name": each.name, "address": each.address_text} for each in mailboxes(list(items))[:MAX_PEOPLE]]


def _attachments(root: Part) -> list[Document]:
    return [
        {"name": part.filename, "content_type": part.media_type, "size": part.size_bytes}
        for _, part in walk(root)
        if part.is_attachment
    ][:MAX_ATTACHMENTS]


def _utc(text: str | None) -> str | None:
    """A time as the database writes it in JSON, in UTC."""
    return None if text is None else datetime.fromisoformat(text).astimezone(UTC).isoformat()
