"""What the webmail's pages show, as values: everything a template reads, already decided, formatted by nobody
else.

No services, no requests and no HTML in here. Route modules build these from what services return; templates
and `shell/languages.py` turn them into words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from markupsafe import Markup

from postroad.web.shell.views import Person


@dataclass(frozen=True, slots=True)
class FolderItem:
    """One line of the folder tree. `name` is the last level of `path`; `depth` counts the levels above it."""

    id: int
    path: str
    name: str
    role: str | None
    depth: int
    unread: int
    total: int

    @property
    def icon(self) -> str:
        """The icon's name in the sprite."""
        return self.role or "folder"

    @property
    def badge(self) -> int:
        """The number beside the name: drafts are counted whole, sent and trash not at all."""
        if self.role == "drafts":
            return self.total
        return 0 if self.role in ("sent", "trash") else self.unread


@dataclass(frozen=True, slots=True)
class Row:
    """One mail in a list. `entry` is `folder.uid`, the mail's name in every form and address."""

    entry: str
    url: str
    person: Person
    subject: str
    preview: str
    received_at: datetime
    size_bytes: int
    is_seen: bool
    is_flagged: bool = False
    is_answered: bool = False
    is_forwarded: bool = False
    is_draft: bool = False
    has_attachments: bool = False
    is_important: bool = False
    folder: FolderItem | None = None  # named in search results only


@dataclass(frozen=True, slots=True)
class ListPage:
    """The middle pane. `more_url` fetches the rows after the last; `refresh_url` the same rows anew."""

    title: str
    rows: Sequence[Row]
    base_url: str
    refresh_url: str
    more_url: str | None = None
    folder: FolderItem | None = None  # None: search results over all folders
    shown_filter: str = ""  # "", "unread", "flagged" or "attachments"
    filter_urls: dict[str, str] = field(default_factory=dict)
    query: str = ""
    query_error: str = ""
    open_entry: str = ""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file of a mail. `preview_url` is set for images of kinds that are safe to show."""

    name: str
    content_type: str
    size_bytes: int
    url: str
    preview_url: str | None = None
    open_url: str | None = None  # an enclosed mail's own page

    @property
    def kind(self) -> str:
        """The word the style sheet colours the file's tile by."""
        main, _, sub = self.content_type.partition("/")
        ending = self.name.rpartition(".")[2].lower()
        if main in ("image", "audio", "video"):
            return main
        if sub == "pdf" or ending == "pdf":
            return "pdf"
        if ending in ("doc", "docx", "odt", "rtf", "wps", "pages"):
            return "document"
        if ending in ("xls", "xlsx", "ods", "csv", "et", "numbers"):
            return "sheet"
        if ending in ("ppt", "pptx", "odp", "dps", "key"):
            return "slides"
        if ending in ("zip", "rar", "7z", "gz", "tar", "xz", "bz2"):
            return "archive"
        return "file"

    @property
    def ending(self) -> str:
        """The name's ending in capitals for the tile, at most four characters."""
        stem, dot, ending = self.name.rpartition(".")
        return ending.upper() if dot and stem and len(ending) <= 4 else ""


@dataclass(frozen=True, slots=True)
class HtmlBody:
    """A body shown in the sandboxed frame at `url`."""

    url: str
    has_remote: bool  # pictures from elsewhere, left out until asked for
    show_images_url: str
    whole_url: str = ""  # where the whole is saved from, when only its beginning is shown


@dataclass(frozen=True, slots=True)
class TextBody:
    """A plain body, already made into safe markup with links and folded quotes."""

    markup: Markup
    whole_url: str = ""  # as of `HtmlBody`


@dataclass(frozen=True, slots=True)
class Invitation:
    """A calendar invitation's first event. `all_day` ones lie at midnight UTC and end exclusively."""

    method: str
    summary: str
    starts_at: datetime | None
    ends_at: datetime | None
    all_day: bool
    location: str
    organiser: Person | None
    attendees: Sequence[Person]
    repeats: bool
    file_url: str


@dataclass(frozen=True, slots=True)
class Reading:
    """The right pane: one open mail."""

    entry: str
    url: str
    folder: FolderItem
    subject: str
    sender: Person
    reply_to: Sequence[Person]
    to: Sequence[Person]
    cc: Sequence[Person]
    bcc: Sequence[Person]
    sent_at: datetime | None
    received_at: datetime
    size_bytes: int
    is_flagged: bool
    is_answered: bool
    is_draft: bool
    is_important: bool
    bodies: Sequence[HtmlBody | TextBody]
    attachments: Sequence[Attachment]
    invitation: Invitation | None
    others: Sequence[Row]  # of the same thread, oldest first, without this one

    @property
    def recipients(self) -> Sequence[Person]:
        """Everybody the header names as a recipient, To first."""
        return [*self.to, *self.cc, *self.bcc]


@dataclass(frozen=True, slots=True)
class EnclosedMail:
    """A mail that another one carries as a file, on a page of its own. `url` saves it."""

    subject: str
    sender: Person
    to: Sequence[Person]
    cc: Sequence[Person]
    sent_at: datetime | None
    bodies: Sequence[HtmlBody | TextBody]
    attachments: Sequence[Attachment]
    url: str


@dataclass(frozen=True, slots=True)
class DraftAttachment:
    """A file that a draft carries. `section` is its part's number in the stored draft."""

    section: str
    name: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ComposeForm:
    """What the compose page starts from. `draft` is the stored draft's `folder.uid`, "" before that."""

    draft: str = ""
    source: str = ""  # the mail answered or forwarded
    mode: str = "new"  # "new", "reply", "reply-all" or "forward"
    to: str = ""
    cc: str = ""
    bcc: str = ""
    subject: str = ""
    html: str = ""
    text: str = ""
    is_rich: bool = True
    is_important: bool = False
    wants_receipt: bool = False
    attachments: Sequence[DraftAttachment] = ()
