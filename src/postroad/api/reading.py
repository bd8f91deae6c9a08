"""One message: what it says, safe to show; its parts as files; the mail as bytes, and its header.

What a stranger wrote is sanitised here as for the webmail; bytes go out under a policy that lets a browser do
nothing with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any
from urllib.parse import quote

from postroad.api.mail_models import Attachment, Message, Person, ReadQuery, row_fields
from postroad.api.operations import Answer, Call, Operation
from postroad.api.problems import Problem
from postroad.directory.identity.tokens import Scope
from postroad.mailstore.entries import Entries, Entry
from postroad.mailstore.messages import Description, Messages
from postroad.mailstore.parts import (
    MessageParts,
    eml_name,
    file_name,
    file_parts,
    in_thread,
    is_safe_image,
    part_of,
    shown_parts,
)
from postroad.message.budget import Budget
from postroad.message.charsets import decode
from postroad.message.envelope import Envelope
from postroad.message.headers import ListItem, Mailbox, mailboxes
from postroad.message.html_bounds import MAX_HTML
from postroad.message.html_text import html_to_text
from postroad.message.sanitise import sanitise_html
from postroad.message.scan import Part, walk

MAX_BODIES = 20  # told of one message
MAX_HEADER_BYTES = 512 * 1024
HTML_DOCUMENT = 20_000  # characters that a document counts for beside its own
FILE_POLICY = "default-src 'none'; sandbox; frame-ancestors 'none'"
# Content never changes: what was fetched once need not be fetched again, but by who may no longer.
KEPT = {"cache-control": "private, no-cache", "content-security-policy": FILE_POLICY}
_ACTIVE = ("html", "xml", "svg", "javascript", "ecmascript")


class ReadingCalls:
    """Operations on one message."""

    def __init__(self, entries: Entries, messages: Messages, parts: MessageParts) -> None:
        self._entries = entries
        self._messages = messages
        self._parts = parts

    def operations(self) -> Sequence[Operation]:
        """What can be asked for."""
        one, read = "/folders/{folder}/messages/{uid}", Scope.MAIL_READ
        return [
            Operation(
                method="GET",
                path=one,
                name="readMessage",
                summary="A message: its header, text, safe HTML and files. It is not marked as read by this",
                tag="messages",
                handler=self.read,
                scope=read,
                query=ReadQuery,
                answer=Message,
            ),
            Operation(
                method="GET",
                path=one + "/raw",
                name="rawMessage",
                summary="The mail as it lies in the store",
                tag="messages",
                handler=self.raw,
                scope=read,
                media_type="message/rfc822",
            ),
            Operation(
                method="GET",
                path=one + "/headers",
                name="messageHeaders",
                summary="The header as it came, trace fields first",
                tag="messages",
                handler=self.headers,
                scope=read,
                media_type="text/plain",
            ),
            Operation(
                method="GET",
                path=one + "/parts/{section}",
                name="messagePart",
                summary="One part, decoded",
                tag="messages",
                handler=self.part,
                scope=read,
                media_type="application/octet-stream",
            ),
        ]

    async def read(self, call: Call) -> Answer:
        """The message."""
        query: ReadQuery = call.query
        entry, description = await self._open(call)
        structure = description.structure
        text, html, has_remote, is_whole = None, None, False, True
        shown_ids: frozenset[str] = frozenset()
        if query.body in ("both", "text"):
            text, is_whole = await self._text(entry.message_id, structure)
        if query.body in ("both", "html"):
            html, has_remote, html_is_whole, shown_ids = await self._html(entry.message_id, structure, query)
            is_whole = is_whole and html_is_whole
        head = await in_thread(structure.body_start, _people, description.envelope)
        value = Message.model_construct(
            **row_fields(entry),
            message_id=description.message_id,
            **head,
            text=text,
            html=html,
            has_remote_pictures=has_remote,
            is_whole=is_whole,
            attachments=[Attachment.of(found) for found in file_parts(structure, shown_ids)],
        )
        details = f"{query.body}.{query.images:d}.{quote(query.pictures or '', safe='')}"
        return Answer(value, etag=f'"{entry.message_id}.{entry.mod_sequence}.{details}"')

    async def raw(self, call: Call) -> Answer:
        """All of it."""
        entry, _ = await self._open(call)
        content = await self._messages.content(entry.message_id)
        return Answer(
            content=content.prefix + content.body,
            media_type="message/rfc822",
            etag=f'"{entry.message_id}.raw"',
            headers={**KEPT, "content-disposition": _saved_as(eml_name(entry.subject, "message"))},
        )

    async def headers(self, call: Call) -> Answer:
        """Its header."""
        entry, description = await self._open(call)
        prefix = await self._messages.prefix(entry.message_id)
        end = min(description.structure.body_start, MAX_HEADER_BYTES)
        header = await self._messages.body_range(entry.message_id, 0, end)
        text = await in_thread(end, decode, prefix + header, "utf-8")
        return Answer(
            content=text.encode("utf-8", "replace"), media_type="text/plain; charset=utf-8", headers=KEPT
        )

    async def part(self, call: Call) -> Answer:
        """One part: a picture that is one as such, everything else to be saved."""
        entry, description = await self._open(call)
        part = part_of(description, call.path["section"])
        if part is None:
            raise Problem("not-found")
        content = await self._parts.content(entry.message_id, part)
        if is_safe_image(part.media_type, content):
            media_type, disposition = part.media_type, "inline"
        else:
            media_type, disposition = _saved_type(part), _saved_as(file_name(part, "file"))
        return Answer(
            content=content,
            media_type=media_type,
            etag=f'"{entry.message_id}.{call.path["section"]}"',
            headers={**KEPT, "content-disposition": disposition},
        )

    async def _open(self, call: Call) -> tuple[Entry, Description]:
        entry = await self._entries.get(call.account.id, call.number("folder"), call.number("uid"))
        described = await self._messages.describe([entry.message_id])
        if entry.message_id not in described:
            raise Problem("no-such-message")
        return entry, described[entry.message_id]

    async def _text(self, message_id: int, structure: Part) -> tuple[str, bool]:
        """What the message says as text, made of its HTML where there is nothing else."""
        budget = Budget()
        pieces: list[str] = []
        is_whole = True
        for found in shown_parts(structure, preferred="plain")[:MAX_BODIES]:
            room = budget.characters
            if room <= 0:
                is_whole = False
                break
            text = await self._parts.text(message_id, found.part, budget, room + 1)
            if found.part.subtype == "html":
                text = await in_thread(len(text), html_to_text, text)
            budget.characters -= len(text)
            is_whole = is_whole and len(text) <= room
            pieces.append(text[:room])
        return "\n".join(pieces), is_whole

    async def _html(
        self, message_id: int, structure: Part, query: ReadQuery
    ) -> tuple[str | None, bool, bool, frozenset[str]]:
        """The message as one safe document; None when it has no HTML."""
        leaves = shown_parts(structure)
        if not any(found.part.subtype == "html" for found in leaves):
            return None, False, True, frozenset()
        sections = {part.content_id: section for section, part in walk(structure) if part.content_id}
        shown: set[str] = set()

        def address_of(content_id: str) -> str | None:
            section = sections.get(content_id)
            if section is None or query.pictures is None:
                return None
            shown.add(content_id)
            return query.pictures + section

        budget = Budget()
        room, pieces, has_remote, is_whole = MAX_HTML, list[str](), False, len(leaves) <= MAX_BODIES
        for found in leaves[:MAX_BODIES]:
            if room <= 0:
                is_whole = False
                break
            text = await self._parts.text(message_id, found.part, budget, room + 1)
            is_whole = is_whole and len(text) <= room
            room -= len(text) + HTML_DOCUMENT
            if found.part.subtype == "html":
                clean = await in_thread(
                    len(text), sanitise_html, text, allow_remote=query.images, cid_url=address_of
                )
                has_remote = has_remote or clean.has_remote
                pieces.append(clean.html)
            else:
                pieces.append(f'<div style="white-space:pre-wrap">{escape(text)}</div>')
        return "<hr>".join(pieces), has_remote, is_whole, frozenset(shown)


def _people(envelope: Envelope) -> dict[str, Any]:
    budget = Budget()

    def people(items: list[ListItem]) -> list[Person]:
        found: list[Mailbox] = mailboxes(items, budget)
        return [Person.of(one) for one in found]

    return {
        "header_from": people(envelope.from_),
        "reply_to": people(envelope.reply_to) if envelope.reply_to != envelope.from_ else [],
        "to": people(envelope.to),
        "cc": people(envelope.cc),
        "bcc": people(envelope.bcc),
    }


def _saved_type(part: Part) -> str:
    media_type = part.media_type
    is_plain = media_type.isascii() and media_type.isprintable() and len(media_type) <= 100
    if not is_plain or any(word in part.subtype for word in _ACTIVE):
        return "application/octet-stream"
    return media_type


def _saved_as(name: str) -> str:
    # RFC 6266 4.3 and appendix D: a plain name for old programs, the true one in UTF-8.
    clean = "".join(sign for sign in name if sign.isprintable())
    plain = "".join(sign if sign.isascii() and sign not in '"\\%' else "_" for sign in clean)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(clean, safe='')}"
