"""The right pane: one mail, its thread, its body in a frame, its files; the mail as bytes, headers, print.

The HTML of a mail is shown by three walls at once: it is sanitised, its frame is sandboxed without scripts,
and its own answer carries a policy that loads nothing (`security.frame_policy`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from postroad.mailstore.entries import Entries, Entry
from postroad.mailstore.flags import Flag, FlagChange
from postroad.mailstore.messages import Description, Messages
from postroad.mailstore.parts import (
    IMAGE_SIGNATURES,
    MessageParts,
    calendar_part,
    eml_name,
    file_name,
    in_thread,
    is_safe_image,
    part_of,
)
from postroad.message.budget import Budget
from postroad.message.charsets import decode, undirected
from postroad.message.envelope import Envelope
from postroad.message.headers import ListItem, decode_text, mailboxes, parse_date
from postroad.message.scan import Part
from postroad.web.mail.bodies import Bodies, files_of
from postroad.web.mail.frame import framed
from postroad.web.mail.invitation import MAX_CHARACTERS, read_invitation
from postroad.web.mail.listing import Listing
from postroad.web.mail.rows import row
from postroad.web.mail.surroundings import Around, Surroundings
from postroad.web.mail.views import EnclosedMail, FolderItem, Reading, Row
from postroad.web.shell.forms import EntryName
from postroad.web.shell.security import FILE_POLICY, PREVIEW_POLICY, frame_policy
from postroad.web.shell.views import Person
from postroad.web.shell.visits import Visit, Visits

MAX_OTHERS = 50  # mails of the conversation that are listed
MAX_HEADER_BYTES = 512 * 1024  # shown of a header
# Types that a browser would run or render: saved as plain bytes, whatever the sender called them.
_ACTIVE = ("html", "xml", "svg", "javascript", "ecmascript", "xhtml")


@dataclass(frozen=True, slots=True)
class Opened:
    """A mail as it was found: its place and what was noted of it when it came."""

    name: EntryName
    entry: Entry
    description: Description

    @property
    def url(self) -> str:
        """The mail's address, under which its parts lie."""
        return f"/mail/message/{self.name.folder_id}/{self.name.uid}"


class ReadingPages:
    """Pages of one mail."""

    def __init__(
        self,
        visits: Visits,
        surroundings: Surroundings,
        listing: Listing,
        entries: Entries,
        messages: Messages,
        parts: MessageParts,
    ) -> None:
        self._visits = visits
        self._surroundings = surroundings
        self._listing = listing
        self._entries = entries
        self._messages = messages
        self._parts = parts
        self._bodies = Bodies(parts)

    def routes(self) -> list[BaseRoute]:
        """The mail's page and what lies under its address."""
        base = "/mail/message/{folder:int}/{uid:int}"
        reading = self._visits.reading
        return [
            Route(base, reading(self.page), methods=["GET"]),
            Route(base + "/body/{section:str}", reading(self.body), methods=["GET"]),
            Route(base + "/part/{section:str}", reading(self.part), methods=["GET"]),
            Route(base + "/enclosed/{section:str}", reading(self.enclosed), methods=["GET"]),
            Route(base + "/raw", reading(self.raw), methods=["GET"]),
            Route(base + "/headers", reading(self.headers), methods=["GET"]),
            Route(base + "/print", reading(self.print), methods=["GET"]),
        ]

    # -- pages

    async def page(self, visit: Visit) -> Response:
        """The mail in its pane, or the whole page around it. Opening a mail marks it as read."""
        opened = await self._open(visit)
        # A browser that fetches ahead has shown nobody anything yet.
        if not opened.entry.is_seen and "prefetch" not in visit.request.headers.get("sec-purpose", ""):
            await self._entries.set_flags(
                visit.account_id, opened.name.folder_id, [opened.name.uid], FlagChange.adding(Flag.SEEN)
            )
        around = await self._surroundings.around(visit.account_id)
        reading = await self._reading(visit, opened, around)
        wanted = self._listing.wanted(visit.request, around, opened.name.folder_id)
        list_url = wanted.base_url if wanted else f"/mail/folder/{opened.name.folder_id}"
        subject = reading.subject or visit.say("(no subject)")
        values: dict[str, object] = {
            "reading": reading,
            "list_url": list_url,
            "page_title": f"{subject} · Postroad",
        }
        if visit.is_fragment:
            fragment = self._surroundings.fragment(visit, around, opened.name.folder_id)
            return self._visits.page("reader_page.html", visit.dates, {**fragment, **values})
        whole = await self._surroundings.whole(visit, around, opened.name.folder_id)
        if wanted is not None:
            values["list"] = await self._listing.list_page(visit, around, wanted, open_entry=str(opened.name))
        return self._visits.page("mail.html", visit.dates, {**whole, **values})

    async def print(self, visit: Visit) -> Response:
        """The mail alone, for paper."""
        opened = await self._open(visit)
        around = await self._surroundings.around(visit.account_id)
        reading = await self._reading(visit, opened, around)
        return self._visits.page("print.html", visit.dates, {"reading": reading})

    async def headers(self, visit: Visit) -> Response:
        """The header as it came, trace fields first."""
        opened = await self._open(visit)
        prefix = await self._messages.prefix(opened.entry.message_id)
        end = min(opened.description.structure.body_start, MAX_HEADER_BYTES)
        header = await self._messages.body_range(opened.entry.message_id, 0, end)
        text = await in_thread(end, decode, prefix + header, "utf-8")
        values = {"subject": opened.entry.subject, "headers": text.rstrip()}
        return self._visits.page("headers.html", visit.dates, values)

    # -- what the pages load

    async def body(self, visit: Visit) -> Response:
        """One HTML part for its frame; `images=1` lets its remote pictures load."""
        opened = await self._open(visit)
        part = part_of(opened.description, visit.request.path_params["section"])
        if part is None or part.media_type != "text/html":
            raise HTTPException(404)
        shows_images = visit.request.query_params.get("images") == "1"
        html = await self._parts.text(opened.entry.message_id, part, Budget())
        clean = await in_thread(
            len(html), framed, html, opened.url, opened.description.structure, shows_images=shows_images
        )
        page = self._visits.page("frame.html", visit.dates, {"markup": clean.markup})
        page.headers["content-security-policy"] = frame_policy(shows_images)
        page.headers["x-frame-options"] = "SAMEORIGIN"
        return page

    async def part(self, visit: Visit) -> Response:
        """One part as a file to save; `preview=1` shows it when it is a picture that is one."""
        opened = await self._open(visit)
        part = part_of(opened.description, visit.request.path_params["section"])
        if part is None:
            raise HTTPException(404)
        content = await self._parts.content(opened.entry.message_id, part)
        wants_preview = visit.request.query_params.get("preview") == "1"
        if wants_preview and is_safe_image(part.media_type, content):
            return Response(
                content,
                media_type=part.media_type,
                headers={
                    "content-disposition": "inline",
                    "content-security-policy": PREVIEW_POLICY,
                    "cache-control": "private, max-age=3600",
                },
            )
        if wants_preview and part.media_type in IMAGE_SIGNATURES:
            raise HTTPException(404)
        return _saved(content, _saved_type(part), file_name(part, visit.say("file")))

    async def raw(self, visit: Visit) -> Response:
        """The mail as it lies in the store."""
        opened = await self._open(visit)
        content = await self._messages.content(opened.entry.message_id)
        name = eml_name(undirected(opened.entry.subject), visit.say("message"))
        return _saved(content.prefix + content.body, "message/rfc822", name)

    async def enclosed(self, visit: Visit) -> Response:
        """A mail that this one carries as a file, on a page of its own."""
        opened = await self._open(visit)
        structure = opened.description.structure
        section = visit.request.path_params["section"]
        part = part_of(opened.description, section)
        if part is None or part.message is None or part.envelope is None:
            raise HTTPException(404)
        root = part.message
        shown = await self._bodies.of(
            opened.entry.message_id, opened.url, structure, root, visit.say("Quoted text")
        )
        head = await in_thread(root.body_start - root.header_start, _head, part.envelope)
        mail = EnclosedMail(
            subject=head.subject,
            sender=head.sender,
            to=head.to,
            cc=head.cc,
            sent_at=head.sent_at,
            bodies=shown.bodies,
            attachments=files_of(opened.url, structure, root, shown, visit.say("file")),
            url=f"{opened.url}/part/{section}",
        )
        return self._visits.page("enclosed.html", visit.dates, {"mail": mail})

    # -- reading the store

    async def _open(self, visit: Visit) -> Opened:
        parameters = visit.request.path_params
        name = EntryName(parameters["folder"], parameters["uid"])
        if max(name.folder_id, name.uid) >= 2**63:
            raise HTTPException(404)
        entry = await self._entries.get(visit.account_id, name.folder_id, name.uid)
        described = await self._messages.describe([entry.message_id])
        if entry.message_id not in described:
            raise HTTPException(404)
        return Opened(name, entry, described[entry.message_id])

    async def _reading(self, visit: Visit, opened: Opened, around: Around) -> Reading:
        entry, structure = opened.entry, opened.description.structure
        folder = around.by_id(entry.folder_id)
        if folder is None:
            raise HTTPException(404)
        shown = await self._bodies.of(
            entry.message_id, opened.url, structure, structure, visit.say("Quoted text")
        )
        files = files_of(opened.url, structure, structure, shown, visit.say("file"))
        head = await in_thread(structure.body_start, _head, opened.description.envelope)
        calendar = calendar_part(structure)
        invitation = None
        if calendar is not None:
            text = await self._parts.text(entry.message_id, calendar.part, Budget(), MAX_CHARACTERS)
            file_url = f"{opened.url}/part/{calendar.section}"
            invitation = await in_thread(len(text), read_invitation, text, file_url)
        return Reading(
            entry=str(opened.name),
            url=opened.url,
            folder=folder,
            subject=entry.subject,
            sender=head.sender,
            reply_to=head.reply_to,
            to=head.to,
            cc=head.cc,
            bcc=head.bcc,
            sent_at=head.sent_at or entry.sent_at,
            received_at=entry.received_at,
            size_bytes=entry.size_bytes,
            is_flagged=entry.is_flagged,
            is_answered=Flag.ANSWERED in entry.flags,
            is_draft=Flag.DRAFT in entry.flags,
            is_important=entry.priority == 1,
            bodies=shown.bodies,
            attachments=files,
            invitation=invitation,
            others=await self._others(visit, entry, around),
        )

    async def _others(self, visit: Visit, entry: Entry, around: Around) -> list[Row]:
        found: dict[int, tuple[Entry, FolderItem | None]] = {}
        for other in await self._entries.thread(visit.account_id, entry.thread, MAX_OTHERS):
            folder = around.by_id(other.folder_id)
            if other.message_id != entry.message_id and folder is not None and folder.role != "drafts":
                found.setdefault(other.message_id, (other, folder))
        return [
            row(other, replace(folder, role=None if folder.role == "sent" else folder.role), "")
            for other, folder in found.values()
            if folder is not None
        ]


@dataclass(frozen=True, slots=True)
class _Head:
    """What a header says, decoded."""

    subject: str
    sender: Person
    reply_to: Sequence[Person]  # empty when it is the sender
    to: Sequence[Person]
    cc: Sequence[Person]
    bcc: Sequence[Person]
    sent_at: datetime | None


def _head(envelope: Envelope) -> _Head:
    budget = Budget()

    def people(items: list[ListItem]) -> list[Person]:
        return [Person(one.name, one.address_text) for one in mailboxes(items, budget)]

    senders = people(envelope.from_)
    reply_to = people(envelope.reply_to) if envelope.reply_to != envelope.from_ else []
    return _Head(
        subject=decode_text((envelope.subject or "").encode("utf-8", "replace"), budget),
        sender=senders[0] if senders else Person("", ""),
        reply_to=reply_to if {one.address for one in reply_to} != {one.address for one in senders} else [],
        to=people(envelope.to),
        cc=people(envelope.cc),
        bcc=people(envelope.bcc),
        sent_at=parse_date((envelope.date or "").encode("utf-8", "replace")),
    )


def _saved_type(part: Part) -> str:
    media_type = part.media_type
    if any(word in part.subtype for word in _ACTIVE) or not media_type.isascii() or len(media_type) > 100:
        return "application/octet-stream"
    return media_type


def _saved(content: bytes, media_type: str, name: str) -> Response:
    # RFC 6266 4.3 and appendix D: a plain name for old programs, the true one in UTF-8.
    plain = "".join(
        sign if sign.isascii() and sign.isprintable() and sign not in '"\\%' else "_" for sign in name
    )
    clean = "".join(sign for sign in name if sign.isprintable())
    encoded = quote(clean, safe="")
    return Response(
        content,
        headers={
            "content-type": media_type,
            "content-disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}",
            "content-security-policy": FILE_POLICY,
        },
    )
