"""The compose page: forms to begin with, saving, files, suggestions, sending."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Protocol

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from postroad.mailstore.answered import Answered
from postroad.mailstore.errors import QuotaExceeded
from postroad.message.address import Address
from postroad.message.compose import Attachment
from postroad.message.headers import Mailbox
from postroad.protocols.smtp.envelope import Principal
from postroad.transport.accepting.plan import DraftEntry
from postroad.transport.accepting.submission import NotSent, Submission
from postroad.web.mail.drafts import MAX_ATTACHMENTS, Drafts, Written
from postroad.web.mail.surroundings import Surroundings
from postroad.web.mail.views import ComposeForm
from postroad.web.shell.forms import MAX_FIELDS, MAX_FORM_BYTES, Form, entry_name
from postroad.web.shell.security import COMPOSE_POLICY
from postroad.web.shell.visits import Visit, Visits

MAX_SUGGESTIONS = 8
MODES = ("reply", "reply-all", "forward")
MAX_UPLOADS = 4  # files of one account on their way; the page sends them one after the other
# Drafts being put together: each takes up to six times its files' size while it is read, decoded and encoded.
MAX_AT_ONCE = 3


class Suggested(Protocol):
    """Somebody to write to."""

    @property
    def name(self) -> str:
        """The display name, "" when it is not known."""

    @property
    def address(self) -> str:
        """The mail address."""


class People(Protocol):
    """What the page needs to suggest recipients."""

    async def matching(self, account_id: int, text: str, limit: int) -> Sequence[Suggested]:
        """People one writes with, the likeliest first."""


class Composing:
    """Endpoints of the compose page."""

    def __init__(
        self,
        visits: Visits,
        surroundings: Surroundings,
        drafts: Drafts,
        answered: Answered,
        people: People,
        submission: Submission,
        max_upload_bytes: int,
        clock: Callable[[], datetime],
    ) -> None:
        self._visits = visits
        self._surroundings = surroundings
        self._drafts = drafts
        self._answered = answered
        self._people = people
        self._submission = submission
        self._max_upload_bytes = max_upload_bytes
        self._clock = clock
        self._uploads: Counter[int] = Counter()
        self._turns: dict[int, tuple[asyncio.Lock, int]] = {}
        self._places = asyncio.Semaphore(MAX_AT_ONCE)

    def routes(self) -> list[BaseRoute]:
        """The page and what its script calls."""
        changing = self._visits.changing
        upload_limit = self._max_upload_bytes + MAX_FORM_BYTES
        return [
            Route("/mail/compose", self._visits.reading(self.page), methods=["GET"]),
            Route("/mail/compose/save", changing(self.save), methods=["POST"]),
            Route(
                "/mail/compose/attachments",
                self._visits.uploading(self.upload),
                methods=["POST"],
                max_body_size=upload_limit,
            ),
            Route("/mail/compose/send", changing(self.send), methods=["POST"]),
            Route("/mail/compose/discard", changing(self.discard), methods=["POST"]),
            Route("/mail/suggest", self._visits.reading(self.suggest), methods=["GET"]),
        ]

    async def page(self, visit: Visit) -> Response:
        """A new mail, a draft, an answer or a forward."""
        form = await self._start(visit)
        around = await self._surroundings.around(visit.account_id)
        whole = await self._surroundings.whole(visit, around, None)
        values = {**whole, "form": form, "upload_limit": self._max_upload_bytes}
        page = self._visits.page("compose.html", visit.dates, values)
        page.headers["content-security-policy"] = COMPOSE_POLICY
        return page

    async def _start(self, visit: Visit) -> ComposeForm:
        query = visit.request.query_params
        draft, source = entry_name(query.get("draft", "")), entry_name(query.get("source", ""))
        if draft is not None:
            return await self._drafts.form_of_draft(visit.account_id, draft)
        mode = query.get("mode", "")
        if source is not None and mode in MODES:
            language = visit.dates.language.code
            return await self._drafts.form_of_answer(visit.account_id, _sender(visit), source, mode, language)
        return ComposeForm(
            to=query.get("to", "")[:5000],
            cc=query.get("cc", "")[:5000],
            bcc=query.get("bcc", "")[:5000],
            subject=query.get("subject", "")[:900],
            text=query.get("body", "")[:20_000],
            is_rich="body" not in query,
        )

    # -- keeping

    async def save(self, visit: Visit, form: Form) -> Response:
        """Keep the draft as the form holds it."""
        async with self._turn(visit.account_id):
            return await self._save(visit, form, ())

    async def upload(self, visit: Visit) -> Response:
        """Keep the draft with one more file."""
        account_id = visit.account_id
        if self._uploads[account_id] >= MAX_UPLOADS:
            return JSONResponse({"error": visit.say("wait until the other files are there")}, 429)
        self._uploads[account_id] += 1
        try:
            return await self._upload(visit)
        finally:
            self._uploads[account_id] -= 1
            if not self._uploads[account_id]:
                del self._uploads[account_id]

    async def _upload(self, visit: Visit) -> Response:
        try:
            async with visit.request.form(
                max_files=1, max_fields=MAX_FIELDS, max_part_size=MAX_FORM_BYTES
            ) as sent:
                fields = [(name, value) for name, value in sent.multi_items() if isinstance(value, str)]
                files = [value for _, value in sent.multi_items() if isinstance(value, UploadFile)]
                if len(files) != 1:
                    raise HTTPException(400, "one file was expected")
                name = (files[0].filename or visit.say("file"))[-200:]
                media_type = (files[0].content_type or "application/octet-stream")[:100]
                async with self._turn(visit.account_id):  # until then it lies on the disk
                    attachment = Attachment(name, media_type, await files[0].read())
                    return await self._save(visit, Form(fields), (attachment,))
        except MultiPartException as error:
            raise HTTPException(400, "the upload is malformed") from error

    @asynccontextmanager
    async def _turn(self, account_id: int) -> AsyncIterator[None]:
        """One draft of an account at a time, and few of all: large ones are large in memory."""
        lock, waiting = self._turns.get(account_id, (asyncio.Lock(), 0))
        self._turns[account_id] = (lock, waiting + 1)
        try:
            async with lock, self._places:
                yield
        finally:
            lock, waiting = self._turns[account_id]
            if waiting == 1:
                del self._turns[account_id]
            else:
                self._turns[account_id] = (lock, waiting - 1)

    async def _save(self, visit: Visit, form: Form, uploaded: Sequence[Attachment]) -> Response:
        try:
            written = await self._drafts.written(visit.account_id, _sender(visit), form, uploaded)
        except HTTPException as error:
            if error.status_code != 409:
                raise
            text = visit.say("this draft was sent or thrown away in another window")
            return JSONResponse({"error": text}, 409)
        if (problem := self._too_large(visit, written)) is not None:
            return problem
        content = await self._drafts.content(written, is_draft=True)
        try:
            stored = await self._drafts.keep(visit.account_id, written, content)
        except QuotaExceeded:
            return JSONResponse({"error": visit.say("the mailbox is full")}, 507)
        return JSONResponse(
            {
                "draft": str(stored.name),
                "saved_at": visit.dates.clock(self._clock()),
                "is_whole": not written.bad_recipients,
                "attachments": [
                    {"section": file.section, "name": file.name, "size": file.size_bytes}
                    for file in stored.files()
                ],
            }
        )

    async def discard(self, visit: Visit, form: Form) -> Response:
        """Throw the draft away."""
        name = entry_name(form.get("draft"))
        if name is not None:
            await self._drafts.discard(visit.account_id, name)
        return JSONResponse({"toast": visit.say("The draft was thrown away.")})

    def _too_large(self, visit: Visit, written: Written) -> Response | None:
        if len(written.draft.attachments) > MAX_ATTACHMENTS:
            text = visit.say("a message has at most %(limit)s files", limit=MAX_ATTACHMENTS)
            return JSONResponse({"error": text}, 413)
        total = sum(len(attachment.content) for attachment in written.draft.attachments)
        if total <= self._max_upload_bytes:
            return None
        limit = visit.dates.language.size(self._max_upload_bytes)
        return JSONResponse({"error": visit.say("all files together may have %(limit)s", limit=limit)}, 413)

    # -- sending

    async def send(self, visit: Visit, form: Form) -> Response:
        """Send the mail; then its draft goes, and the mail it answers is marked."""
        async with self._turn(visit.account_id):
            return await self._send(visit, form)

    async def _send(self, visit: Visit, form: Form) -> Response:
        try:
            written = await self._drafts.written(visit.account_id, _sender(visit), form)
        except HTTPException as error:
            if error.status_code != 409:
                raise
            text = visit.say("This draft was sent or thrown away in another window.")
            return JSONResponse({"error": text}, 409)
        draft = written.draft
        people = [*draft.to, *draft.cc, *draft.bcc]
        if written.bad_recipients:
            text = visit.say("“%(address)s” is not a mail address.", address=written.bad_recipients[0][:100])
            return JSONResponse({"error": text, "field": "to"}, 422)
        if not people:
            return JSONResponse(
                {"error": visit.say("Please say who this message is for."), "field": "to"}, 422
            )
        if (problem := self._too_large(visit, written)) is not None:
            return problem
        recipients = list(
            {(one := Address.parse(person.address_text)).key: one for person in people}.values()
        )
        content = await self._drafts.content(written, is_draft=False)
        account = Principal(visit.account_id, visit.session.address)
        kept = written.stored.name if written.stored else None
        entry = DraftEntry(visit.account_id, kept.folder_id, kept.uid) if kept else None
        try:
            await self._submission.send(account, content, recipients, draft=entry)
        except NotSent as refusal:
            return JSONResponse({"error": _explained(visit, refusal)}, 422)
        answered = await self._answered.mark(visit.account_id, draft.in_reply_to, draft.references)
        next_page = f"/mail/message/{answered.folder_id}/{answered.uid}" if answered else "/mail"
        return JSONResponse({"toast": visit.say("Sent."), "next": next_page})

    # -- suggestions

    async def suggest(self, visit: Visit) -> Response:
        """People whose name or address holds what was typed."""
        text = visit.request.query_params.get("q", "")[:100].strip()
        people = await self._people.matching(visit.account_id, text, MAX_SUGGESTIONS) if text else []
        return JSONResponse({"people": [{"name": one.name, "address": one.address} for one in people]})


def _explained(visit: Visit, refusal: NotSent) -> str:
    """Why nothing was sent, and because of whom."""
    reason = refusal.reply.text.splitlines()[0] if refusal.reply.text else str(refusal.reply.code)
    if refusal.refused:
        address = str(refusal.refused[0].recipient.address)
        return visit.say("Not sent because of %(address)s: %(reason)s", address=address, reason=reason)
    if refusal.reply.is_temporary:
        return visit.say("Not sent now, please try again later: %(reason)s", reason=reason)
    return visit.say("Not sent: %(reason)s", reason=reason)


def _sender(visit: Visit) -> Mailbox:
    return Mailbox(visit.session.display_name, str(visit.session.address))
