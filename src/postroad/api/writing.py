"""Messages written: sent at once, or kept as drafts; with files, new ones and those that are here already.

A call with an idempotency key gives its message an id made of that key. So a call that is repeated after
nobody knows what can look whether the message is there, and never sends it twice.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from postroad.api.mail_models import Answering, KeptFile, Person, Sending, Sent, Writing, Written
from postroad.api.operations import Answer, Call, Operation
from postroad.api.problems import Problem
from postroad.api.service import BASE
from postroad.directory.identity.tokens import Scope
from postroad.mailstore.answered import Answered
from postroad.mailstore.append import Append
from postroad.mailstore.entries import Entries, Entry
from postroad.mailstore.errors import NoSuchMessage
from postroad.mailstore.flags import Flag
from postroad.mailstore.folders import Folders, Role
from postroad.mailstore.messages import Messages
from postroad.mailstore.parts import MessageParts, file_name, in_thread, part_of
from postroad.mailstore.summaries import summarised
from postroad.message.address import Address, BadAddress
from postroad.message.answers import references_after
from postroad.message.compose import Attachment, Draft, compose
from postroad.message.headers import Mailbox
from postroad.protocols.smtp.envelope import Principal
from postroad.transport.accepting.plan import DraftEntry
from postroad.transport.accepting.submission import Submission
from postroad.transport.queue.mail_ids import mail_id_text


class WritingCalls:
    """Operations that write mail."""

    def __init__(
        self,
        folders: Folders,
        entries: Entries,
        messages: Messages,
        append: Append,
        submission: Submission,
        max_upload_bytes: int,
        clock: Callable[[], datetime],
    ) -> None:
        self._folders = folders
        self._entries = entries
        self._messages = messages
        self._append = append
        self._submission = submission
        self._parts = MessageParts(messages)
        self._answered = Answered(entries, messages)
        self._max_upload_bytes = max_upload_bytes
        self._clock = clock

    def operations(self) -> Sequence[Operation]:
        """What can be asked for."""
        return [
            Operation(
                method="POST",
                path="/messages",
                name="sendMessage",
                summary="Send a message",
                tag="writing",
                handler=self.send,
                scope=Scope.MAIL_SEND,
                body=Sending,
                answer=Sent,
                status=202,
                creates=True,
                is_large=True,
            ),
            Operation(
                method="POST",
                path="/drafts",
                name="createDraft",
                summary="Keep a draft",
                tag="writing",
                handler=self.create_draft,
                scope=Scope.MAIL_WRITE,
                body=Writing,
                answer=Written,
                status=201,
                creates=True,
                is_large=True,
            ),
            Operation(
                method="PUT",
                path="/drafts/{uid}",
                name="replaceDraft",
                summary="Keep a draft in the place of another, which goes away; it gets a new uid",
                tag="writing",
                handler=self.replace_draft,
                scope=Scope.MAIL_WRITE,
                body=Writing,
                answer=Written,
                creates=True,
                is_large=True,
            ),
            Operation(
                method="DELETE",
                path="/drafts/{uid}",
                name="deleteDraft",
                summary="Throw a draft away for good",
                tag="writing",
                handler=self.delete_draft,
                scope=Scope.MAIL_WRITE,
                status=204,
            ),
        ]

    async def send(self, call: Call) -> Answer:
        """Send; then the draft goes, and the message that was answered is marked."""
        body: Sending = call.body
        draft = await self._draft(call, body)
        recipients = {one.key: one for one in map(_address, [*body.to, *body.cc, *body.bcc])}
        if not recipients:
            raise Problem("invalid", errors=[("body.to", "too_short")])
        sender = call.account.address
        if body.send_as is not None:
            sender = _parsed(body.send_as)
            draft = replace(draft, sender=Mailbox(call.account.display_name, str(sender)))
        message_id = self._message_id(call)
        if call.repeats:
            sent = await self._sent_before(call, message_id, draft)
            if sent is not None:
                return Answer(Sent(id=mail_id_text(sent.message_id), message_id=message_id))
            if not body.saves_to_sent:
                raise Problem("outcome-unknown")
        entry = None
        if body.draft is not None:
            found = await self._entries.get(call.account.id, body.draft.folder, body.draft.uid)
            if Flag.DRAFT not in found.flags:
                raise NoSuchMessage("this mail is not a draft")
            entry = DraftEntry(call.account.id, found.folder_id, found.uid)
        done = await self._submission.send(
            Principal(call.account.id, call.account.address),
            await self._composed(draft, message_id, is_draft=False),
            list(recipients.values()),
            sender=sender,
            saves_to_sent=body.saves_to_sent,
            draft=entry,
        )
        await self._answered.mark(call.account.id, draft.in_reply_to, draft.references)
        return Answer(Sent(id=done.id, message_id=message_id))

    async def create_draft(self, call: Call) -> Answer:
        """Keep one. Begun before with the same key, it may be here already."""
        body: Writing = call.body
        draft = await self._draft(call, body)
        message_id = self._message_id(call)
        folder = await self._folders.get_by_role(call.account.id, Role.DRAFTS)
        if call.repeats:
            root = draft.references[0] if draft.references else message_id
            for entry in await self._answered.find(call.account.id, message_id, root):
                if Flag.DRAFT in entry.flags:
                    return _written(entry.folder_id, entry.uid, message_id)
        content = await self._composed(draft, message_id, is_draft=True)
        placed = await self._append.put(
            call.account.id,
            folder.id,
            content,
            Flag.SEEN | Flag.DRAFT,
            summary=await summarised(content),
        )
        return _written(placed.folder_id, placed.uid, message_id)

    async def replace_draft(self, call: Call) -> Answer:
        """Keep it in the place of another, both or neither."""
        body: Writing = call.body
        draft = await self._draft(call, body)
        old = await self._drafted(call)
        described = (await self._messages.describe([old.message_id])).get(old.message_id)
        # A draft stays the same message through all its forms.
        message_id = described.message_id if described is not None else None
        message_id = message_id or self._message_id(call)
        content = await self._composed(draft, message_id, is_draft=True)
        placed = await self._append.replace(
            call.account.id,
            old.folder_id,
            old.uid,
            content,
            Flag.SEEN | Flag.DRAFT,
            summary=await summarised(content),
        )
        return _written(placed.folder_id, placed.uid, message_id)

    async def delete_draft(self, call: Call) -> Answer:
        """Throw it away."""
        old = await self._drafted(call)
        await self._entries.expunge(call.account.id, old.folder_id, [old.uid])
        return Answer()

    # -- what is written

    async def _drafted(self, call: Call) -> Entry:
        folder = await self._folders.get_by_role(call.account.id, Role.DRAFTS)
        entry = await self._entries.get(call.account.id, folder.id, call.number("uid"))
        if Flag.DRAFT not in entry.flags:
            raise NoSuchMessage("this mail is not a draft")
        return entry

    async def _draft(self, call: Call, body: Writing) -> Draft:
        files = [Attachment(one.name, one.content_type, one.content, one.content_id) for one in body.files]
        room = self._max_upload_bytes - sum(len(one.content) for one in files)
        for kept in body.kept_files:
            if room < 0:
                break
            found = await self._kept(call, kept)
            room -= len(found.content)
            files.append(found)
        if room < 0:
            raise Problem("too-large")
        in_reply_to, references = await self._thread(call, body.answers)
        return Draft(
            sender=Mailbox(call.account.display_name, str(call.account.address)),
            to=_mailboxes(body.to),
            cc=_mailboxes(body.cc),
            bcc=_mailboxes(body.bcc),
            subject=" ".join(body.subject.split()),
            text=None if body.text is None and body.html is not None else (body.text or ""),
            html=body.html,
            attachments=tuple(files),
            in_reply_to=in_reply_to,
            references=references,
            is_urgent=body.is_urgent,
            wants_receipt=body.wants_receipt,
        )

    async def _kept(self, call: Call, kept: KeptFile) -> Attachment:
        entry = await self._entries.get(call.account.id, kept.folder, kept.uid)
        described = (await self._messages.describe([entry.message_id])).get(entry.message_id)
        part = None if described is None else part_of(described, kept.section)
        if part is None:
            raise Problem("invalid", errors=[("body.kept_files", "")])
        if part.size_bytes > 2 * self._max_upload_bytes:
            raise Problem("too-large")
        content = await self._parts.content(entry.message_id, part)
        return Attachment(file_name(part, "file"), part.media_type, content)

    async def _thread(self, call: Call, answers: Answering | None) -> tuple[str | None, tuple[str, ...]]:
        """In-Reply-To and References of what goes on with a message (RFC 5322 3.6.4)."""
        if answers is None:
            return None, ()
        entry = await self._entries.get(call.account.id, answers.folder, answers.uid)
        content = await self._messages.content(entry.message_id)
        summary = await summarised(content.body)
        in_reply_to = summary.message_id if answers.how == "reply" else None
        return in_reply_to, references_after(summary)

    def _message_id(self, call: Call) -> str:
        if call.key is None:
            name = secrets.token_hex(16)
        else:
            whose = f"{call.bearer.principal} {call.account.id} {call.key}"
            name = hashlib.sha256(f"postroad api {whose}".encode()).hexdigest()[:32]
        return f"{name}@{call.account.address.domain}"

    async def _sent_before(self, call: Call, message_id: str, draft: Draft) -> Entry | None:
        root = draft.references[0] if draft.references else message_id
        found = await self._answered.find(call.account.id, message_id, root)
        return next((entry for entry in found if Flag.DRAFT not in entry.flags), None)

    async def _composed(self, draft: Draft, message_id: str, *, is_draft: bool) -> bytes:
        size = (
            sum(len(one.content) for one in draft.attachments) + len(draft.html or "") + len(draft.text or "")
        )
        return await in_thread(
            size, compose, draft, now=self._clock(), message_id=message_id, with_bcc=is_draft
        )


def _written(folder_id: int, uid: int, message_id: str) -> Answer:
    return Answer(
        Written(folder=folder_id, uid=uid, message_id=message_id),
        location=f"{BASE}/folders/{folder_id}/messages/{uid}",
    )


def _parsed(text: str) -> Address:
    try:
        return Address.parse(text.strip())
    except BadAddress as error:
        raise Problem("bad-address", {"address": text}) from error


def _address(person: Person) -> Address:
    return _parsed(person.address)


def _mailboxes(people: Sequence[Person]) -> tuple[Mailbox, ...]:
    return tuple(Mailbox(" ".join(one.name.split()), str(_address(one))) for one in people)
