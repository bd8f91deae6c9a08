"""A mail being written, between its form and its stored draft. The draft in the folder is the truth: each
save replaces it whole, with its files; nothing is kept beside it.

Files are named by the section of their part; one that still lies in the forwarded mail has an `s` before it.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from starlette.exceptions import HTTPException

from postroad.mailstore.append import Append
from postroad.mailstore.entries import Entries, Entry
from postroad.mailstore.errors import NoSuchMessage
from postroad.mailstore.flags import Flag
from postroad.mailstore.folders import Folders, Role
from postroad.mailstore.messages import Messages
from postroad.mailstore.parts import decoded_size, file_name, file_parts, in_thread
from postroad.message.address import Address, BadAddress
from postroad.message.answers import Original, forward, reply
from postroad.message.compose import Attachment, Draft, compose
from postroad.message.headers import Mailbox, header_fields, parse_addresses
from postroad.message.scan import find_part
from postroad.message.summary import MessageSummary, summarise
from postroad.message.text import decoded, html_body, readable_text, text_body
from postroad.web.mail.frame import quotable
from postroad.web.mail.views import ComposeForm, DraftAttachment
from postroad.web.shell.forms import EntryName, Form, entry_name

MAX_ADDRESSES = 100_000  # characters of one recipient field: 1,000 recipients and their names
MAX_SUBJECT = 900
MAX_TEXT = 2_000_000
MAX_QUOTED = 200_000
MAX_ATTACHMENTS = 200
FROM_SOURCE = "s"

# One recipient of a field: commas and semicolons part them, outside quotes and angle brackets.
_SEPARATED = re.compile(r'(?:"(?:[^"\\]|\\.)*"|<[^<>]*>|[^,;，；\n"<]|["<])+')


@dataclass(frozen=True, slots=True)
class Stored:
    """A mail read back for writing on: its bytes and what they hold."""

    name: EntryName
    entry: Entry
    content: bytes
    summary: MessageSummary

    def attachment(self, section: str) -> Attachment | None:
        """One of its files, decoded."""
        part = find_part(self.summary.structure, section)
        if part is None or part.children:
            return None
        return Attachment(file_name(part, "file"), part.media_type, decoded(self.content, part))

    def files(self, prefix: str = "") -> list[DraftAttachment]:
        """Its files as the form lists them."""
        return [
            DraftAttachment(prefix + found.section, file_name(found.part, "file"), decoded_size(found.part))
            for found in file_parts(self.summary.structure)
        ]


@dataclass(frozen=True, slots=True)
class Written:
    """What the form holds, read: the mail, and recipients that are no addresses."""

    draft: Draft
    bad_recipients: Sequence[str]
    message_id: str
    stored: Stored | None


class Drafts:
    """Reads forms into mails and keeps them in the Drafts folder."""

    def __init__(
        self,
        folders: Folders,
        entries: Entries,
        messages: Messages,
        append: Append,
        clock: Callable[[], datetime],
    ) -> None:
        self._folders = folders
        self._entries = entries
        self._messages = messages
        self._append = append
        self._clock = clock

    async def read(self, account_id: int, name: EntryName) -> Stored:
        """Read a mail whole. Raises `NoSuchMessage`."""
        entry = await self._entries.get(account_id, name.folder_id, name.uid)
        content = (await self._messages.content(entry.message_id)).body
        return Stored(name, entry, content, await in_thread(len(content), summarise, content))

    # -- a form to begin with

    async def form_of_draft(self, account_id: int, name: EntryName) -> ComposeForm:
        """The form of a draft that is written on. Raises `NoSuchMessage` when it is none."""
        stored = await self.read(account_id, name)
        if Flag.DRAFT not in stored.entry.flags:
            raise NoSuchMessage("this mail is not a draft")
        html, text, fields = await in_thread(len(stored.content), _written_before, stored)
        return ComposeForm(
            draft=str(name),
            mode="reply" if stored.summary.in_reply_to else "new",
            to=written_list(stored.summary.to),
            cc=written_list(stored.summary.cc),
            bcc=written_list(stored.summary.bcc),
            subject=stored.summary.subject,
            html=html or "",
            text=(text or "") if html is None else "",
            is_rich=html is not None or not text,
            is_important=stored.summary.priority == 1,
            wants_receipt="disposition-notification-to" in fields,
            attachments=stored.files(),
        )

    async def form_of_answer(
        self, account_id: int, sender: Mailbox, name: EntryName, mode: str, language: str
    ) -> ComposeForm:
        """The form of an answer ("reply", "reply-all") or a forward ("forward"). Raises `NoSuchMessage`."""
        source = await self.read(account_id, name)
        draft = await in_thread(len(source.content), _answer, source, sender, mode, language)
        return ComposeForm(
            source=str(name),
            mode=mode,
            to=written_list(draft.to),
            cc=written_list(draft.cc),
            subject=draft.subject,
            html=f"<div><br></div>{draft.html or ''}",
            attachments=source.files(FROM_SOURCE) if mode == "forward" else (),
        )

    # -- from the form to the folder

    async def written(
        self, account_id: int, sender: Mailbox, form: Form, uploaded: Sequence[Attachment] = ()
    ) -> Written:
        """Read what the form holds. Raises HTTP 409 when its stored draft is gone, 400 for bad fields."""
        stored = source = None
        name = entry_name(form.get("draft"))
        if name is not None:
            try:
                stored = await self.read(account_id, name)
            except NoSuchMessage as error:
                raise HTTPException(409, "draft-gone") from error
        source_name = entry_name(form.get("source"))
        if source_name is not None and stored is None:
            try:
                source = await self.read(account_id, source_name)
            except NoSuchMessage:
                source = None  # deleted meanwhile: the answer is sent without its thread
        bad: list[str] = []
        to, cc, bcc = (_recipients(form.get(field, MAX_ADDRESSES), bad) for field in ("to", "cc", "bcc"))
        held = sum(len(each.content) for each in (stored, source) if each)
        kept = await in_thread(held, _kept, form.all("keep")[: MAX_ATTACHMENTS + 1], stored, source)
        is_rich = form.get("is_rich") == "1"
        html = form.get("html", MAX_TEXT)
        text = form.get("text", MAX_TEXT).replace("\r\n", "\n")
        draft = Draft(
            sender=sender,
            to=to,
            cc=cc,
            bcc=bcc,
            subject=" ".join(form.get("subject", MAX_SUBJECT).split()),
            text=None if is_rich else text,
            html=await in_thread(len(html), quotable, html) if is_rich else None,
            attachments=(*kept, *uploaded),
            is_urgent=form.get("is_important") == "1",
            wants_receipt=form.get("wants_receipt") == "1",
        )
        if stored is not None:
            draft = replace(
                draft,
                in_reply_to=next(iter(stored.summary.in_reply_to), None),
                references=tuple(stored.summary.references),
            )
        elif source is not None:
            mode = form.get("mode")
            answered = await in_thread(len(source.content), _answer, source, sender, mode, "en")
            draft = replace(draft, in_reply_to=answered.in_reply_to, references=answered.references)
        message_id = stored.summary.message_id if stored is not None else None
        if message_id is None:
            domain = sender.address_text.rpartition("@")[2]
            message_id = f"{secrets.token_hex(16)}@{domain}"
        return Written(draft, bad, message_id, stored)

    async def keep(self, account_id: int, written: Written, content: bytes) -> Stored:
        """Store the draft in the place of the one before. Raises `QuotaExceeded`."""
        flags = Flag.SEEN | Flag.DRAFT
        summary = await in_thread(len(content), summarise, content)
        if written.stored is None:
            folder = await self._folders.get_by_role(account_id, Role.DRAFTS)
            placed = await self._append.put(account_id, folder.id, content, flags, summary=summary)
        else:
            before = written.stored.name
            placed = await self._append.replace(
                account_id, before.folder_id, before.uid, content, flags, summary=summary
            )
        name = EntryName(placed.folder_id, placed.uid)
        return Stored(name, await self._entries.get(account_id, name.folder_id, name.uid), content, summary)

    async def discard(self, account_id: int, name: EntryName) -> None:
        """Remove a draft for good; one that has gone is no error, a mail that is none stays."""
        try:
            entry = await self._entries.get(account_id, name.folder_id, name.uid)
        except NoSuchMessage:
            return
        if Flag.DRAFT in entry.flags:
            await self._entries.expunge(account_id, name.folder_id, [name.uid])

    async def content(self, written: Written, *, is_draft: bool) -> bytes:
        """The mail as bytes; Bcc stands only in a draft. Raises `BadAddress`."""
        size = sum(len(attachment.content) for attachment in written.draft.attachments)
        return await in_thread(
            size,
            compose,
            written.draft,
            now=self._clock(),
            message_id=written.message_id,
            with_bcc=is_draft,
        )


def written_list(people: Sequence[Mailbox]) -> str:
    """Recipients as they stand in a form's field: names quoted, so that a comma in one parts nothing."""
    return ", ".join(
        '"{}" <{}>'.format(one.name.replace("\\", "\\\\").replace('"', '\\"'), one.address_text)
        if one.name
        else one.address_text
        for one in people
    )


def _recipients(text: str, bad: list[str]) -> tuple[Mailbox, ...]:
    """Read a recipient field, strictly: what is not an address is told, never joined to its neighbour."""
    good = []
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
    return tuple(good)


def _written_before(stored: Stored) -> tuple[str | None, str | None, set[str]]:
    """Return a draft's HTML, safe to write on, its text, and the names of its header fields."""
    root = stored.summary.structure
    html = html_body(stored.content, root)
    return (
        quotable(html) if html is not None else None,
        text_body(stored.content, root),
        {field.name for field in header_fields(stored.content, 0, root.body_start)},
    )


def _answer(source: Stored, sender: Mailbox, mode: str, language: str) -> Draft:
    html = html_body(source.content, source.summary.structure)
    text = readable_text(source.content, source.summary.structure, MAX_QUOTED)
    original = Original(source.summary, text, quotable(html[:MAX_TEXT]) if html is not None else None)
    if mode == "forward":
        return forward(original, sender=sender, language=language)
    return reply(original, sender=sender, to_all=mode == "reply-all", language=language)


def _kept(sections: Sequence[str], stored: Stored | None, source: Stored | None) -> list[Attachment]:
    found = []
    for section in sections:
        holder = source if section.startswith(FROM_SOURCE) else stored
        attachment = holder.attachment(section.removeprefix(FROM_SOURCE)) if holder else None
        if attachment is not None:
            found.append(attachment)
    return found
