"""Mail as JSON: what the operations on folders and messages take and give."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from postroad.api.operations import Id, Model, Text
from postroad.mailstore.entries import Entry
from postroad.mailstore.flags import Flag
from postroad.mailstore.folders import Folder as StoredFolder
from postroad.mailstore.parts import FoundPart, decoded_size, file_name
from postroad.message.headers import Mailbox
from postroad.message.scan import Part

MAX_UIDS = 1000  # of one batch
MAX_LIMIT = 200
MAX_RECIPIENTS = 1000
MAX_ATTACHMENTS = 200
MAX_TEXT = 2_000_000

Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT)]
Cursor = Annotated[Text, StringConstraints(max_length=200)]
FolderName = Annotated[Text, StringConstraints(min_length=1, max_length=1000)]
Uids = Annotated[list[Id], Field(min_length=1, max_length=MAX_UIDS)]
FlagName = Literal["read", "answered", "flagged", "deleted", "draft"]
Keyword = Annotated[Text, StringConstraints(min_length=1, max_length=64)]
FLAGS: dict[FlagName, Flag] = {
    "read": Flag.SEEN,
    "answered": Flag.ANSWERED,
    "flagged": Flag.FLAGGED,
    "deleted": Flag.DELETED,
    "draft": Flag.DRAFT,
}


class Person(Model):
    """Somebody with a mail address."""

    name: Annotated[Text, StringConstraints(max_length=200)] = ""
    address: Annotated[Text, StringConstraints(max_length=320)]

    @classmethod
    def of(cls, one: Mailbox) -> Person:
        """As a header has it; nothing is checked, since a stranger wrote it."""
        return cls.model_construct(name=one.name, address=one.address_text)


class Folder(Model):
    """A folder with its counts. `version` rises with every change in it."""

    id: int
    name: str
    role: Literal["inbox", "sent", "drafts", "trash", "junk", "archive"] | None
    messages: int
    unread: int
    size_bytes: int
    is_subscribed: bool
    version: int

    @classmethod
    def of(cls, folder: StoredFolder) -> Folder:
        """As the store has it."""
        return cls(
            id=folder.id,
            name=folder.name,
            role=folder.role.value if folder.role is not None else None,
            messages=folder.message_count,
            unread=folder.unseen_count,
            size_bytes=folder.size_bytes,
            is_subscribed=folder.is_subscribed,
            version=folder.mod_sequence,
        )


class FolderList(Model):
    """All folders: those with a role first, then by name."""

    folders: list[Folder]


class NewFolder(Model):
    """A folder to be made; missing ones above it are made as well. Levels are parted by `/`."""

    name: FolderName


class FolderChange(Model):
    """What is to become of a folder: another path, or another subscription."""

    name: FolderName | None = None
    is_subscribed: bool | None = None


class MessageRow(Model):
    """A message as a list shows it. It is named by its folder and its `uid` there."""

    folder: int
    uid: int
    version: int
    thread: str
    subject: str
    sender: str
    recipients: str
    preview: str
    sent_at: datetime | None
    received_at: datetime
    size_bytes: int
    is_read: bool
    is_answered: bool
    is_flagged: bool
    is_draft: bool
    is_urgent: bool
    has_attachments: bool
    keywords: list[str]

    @classmethod
    def of(cls, entry: Entry) -> MessageRow:
        """As the store has it."""
        return cls(**row_fields(entry))


def row_fields(entry: Entry) -> dict[str, Any]:
    """The fields of a row."""
    return {
        "folder": entry.folder_id,
        "uid": entry.uid,
        "version": entry.mod_sequence,
        "thread": str(entry.thread),  # 63 bits: more than JavaScript's numbers hold
        "subject": entry.subject,
        "sender": entry.sender,
        "recipients": entry.recipients,
        "preview": entry.preview,
        "sent_at": entry.sent_at,
        "received_at": entry.received_at,
        "size_bytes": entry.size_bytes,
        "is_read": entry.is_seen,
        "is_answered": Flag.ANSWERED in entry.flags,
        "is_flagged": entry.is_flagged,
        "is_draft": Flag.DRAFT in entry.flags,
        "is_urgent": entry.priority == 1,
        "has_attachments": entry.has_attachments,
        "keywords": list(entry.keywords),
    }


class MessagePage(Model):
    """Messages, newest first. `next` is the cursor of the following page, null at the end."""

    messages: list[MessageRow]
    next: str | None


class ListQuery(Model):
    """Which messages of a folder."""

    limit: Limit = 50
    cursor: Cursor | None = None
    only: Literal["unread", "flagged", "attachments"] | None = None


class SearchQuery(Model):
    """What is searched for, in the webmail's own language (`from:`, `is:unread`, `has:attachment`, …)."""

    q: Annotated[Text, StringConstraints(min_length=1, max_length=1000)]
    folder: Id | None = None
    limit: Limit = 50
    cursor: Cursor | None = None


class Attachment(Model):
    """A file of a message; `section` names it."""

    section: str
    name: str
    content_type: str
    size_bytes: int
    content_id: str | None

    @classmethod
    def of(cls, found: FoundPart) -> Attachment:
        """As the structure has it."""
        part: Part = found.part
        return cls(
            section=found.section,
            name=file_name(part, "file"),
            content_type=part.media_type,
            size_bytes=decoded_size(part),
            content_id=part.content_id,
        )


class ReadQuery(Model):
    """What is told of a message's text.

    `images` lets pictures from elsewhere stay in the HTML. Pictures of the message itself get the address
    `pictures` with their section behind it; without it they are left out.
    """

    body: Literal["both", "text", "html", "none"] = "both"
    images: bool = False
    pictures: (
        Annotated[str, StringConstraints(max_length=300, pattern=r"^[A-Za-z0-9._~:/?=&%-]*$")] | None
    ) = None


class Message(MessageRow):
    """A message. `html` is safe to show; `is_whole` is false when the text was too long to tell all of it."""

    message_id: str | None
    header_from: list[Person]
    reply_to: list[Person]
    to: list[Person]
    cc: list[Person]
    bcc: list[Person]
    text: str | None
    html: str | None
    has_remote_pictures: bool
    is_whole: bool
    attachments: list[Attachment]


class FlagsChange(Model):
    """Flags and keywords of several messages. `if_version`: those changed later are left, and told."""

    uids: Uids
    add: Annotated[list[FlagName], Field(max_length=5, default_factory=list)]
    remove: Annotated[list[FlagName], Field(max_length=5, default_factory=list)]
    add_keywords: Annotated[list[Keyword], Field(max_length=50, default_factory=list)]
    remove_keywords: Annotated[list[Keyword], Field(max_length=50, default_factory=list)]
    if_version: Annotated[int, Field(ge=0, le=2**62)] | None = None

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if not (self.add or self.remove or self.add_keywords or self.remove_keywords):
            raise ValueError("nothing to change")
        return self


class FlagsChanged(Model):
    """The messages that changed, and those left because they had changed since."""

    changed: list[int]
    left: list[int]
    version: int


class Transfer(Model):
    """Messages that go to another folder of the account."""

    uids: Uids
    to: Id


class Moved(Model):
    """A message's old and new uid."""

    uid: int
    new_uid: int


class Transferred(Model):
    """Where messages lie now. Those that were not there are not told."""

    to: int
    messages: list[Moved]


class Deletion(Model):
    """Messages to be deleted: into the trash, or for good when they lie there or `for_good` says so."""

    uids: Uids
    for_good: bool = False


class Deleted(Model):
    """The messages that are gone, and where they lie now; `to` null: nowhere."""

    uids: list[int]
    to: int | None


class MessageName(Model):
    """A message of the account."""

    folder: Id
    uid: Id


class NewFile(Model):
    """A file that travels along, in base64. With `content_id` a picture that the HTML names `cid:…`."""

    name: Annotated[Text, StringConstraints(min_length=1, max_length=200)]
    content_type: Annotated[
        str, StringConstraints(max_length=100, pattern=r"^[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+$")
    ] = "application/octet-stream"
    content: bytes
    content_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._@+-]{1,100}$")] | None = None


class KeptFile(Model):
    """A file of a message that is here already: of the draft, or of what is forwarded."""

    folder: Id
    uid: Id
    section: Annotated[str, StringConstraints(max_length=100, pattern=r"^[0-9.]+$")]


People = Annotated[list[Person], Field(max_length=MAX_RECIPIENTS, default_factory=list)]


class Answering(Model):
    """The message that is answered or forwarded: it is marked so, and the conversation goes on."""

    folder: Id
    uid: Id
    how: Literal["reply", "forward"] = "reply"


class Writing(Model):
    """A message as a person writes it. Where only `html` is given, the text is made from it."""

    to: People
    cc: People
    bcc: People
    subject: Annotated[Text, StringConstraints(max_length=900)] = ""
    text: Annotated[Text, StringConstraints(max_length=MAX_TEXT)] | None = None
    html: Annotated[Text, StringConstraints(max_length=MAX_TEXT)] | None = None
    files: Annotated[list[NewFile], Field(max_length=MAX_ATTACHMENTS, default_factory=list)]
    kept_files: Annotated[list[KeptFile], Field(max_length=MAX_ATTACHMENTS, default_factory=list)]
    is_urgent: bool = False
    wants_receipt: bool = False
    answers: Answering | None = None


class Sending(Writing):
    """A message to be sent, now. `draft` names the one it was made of, which goes away."""

    draft: MessageName | None = None
    send_as: Annotated[Text, StringConstraints(max_length=320)] | None = None
    saves_to_sent: bool = True


class Sent(Model):
    """The message is on its way. `id` is its id in the queue and the logs."""

    id: str
    message_id: str


class Written(Model):
    """Where a draft lies."""

    folder: int
    uid: int
    message_id: str


class PeopleQuery(Model):
    """The beginning of a name or an address."""

    q: Annotated[Text, StringConstraints(min_length=1, max_length=100)]
    limit: Annotated[int, Field(ge=1, le=50)] = 8


class FoundPeople(Model):
    """People one writes with, the likeliest first."""

    people: list[Person]


class Me(Model):
    """Who calls, for whom, and what the token is good for."""

    kind: str
    name: str
    scopes: list[str]
    account: Person | None
    used_bytes: int | None
    quota_bytes: int | None


class Day(Model):
    """What came into a folder on one day (UTC)."""

    day: str
    messages: int
    unread: int
    size_bytes: int


class FolderStatistics(Model):
    """A folder's counts, and its newest days."""

    folder: int
    role: str | None
    name: str
    messages: int
    unread: int
    size_bytes: int
    days: list[Day]


class Statistics(Model):
    """What an account holds. `is_whole` is false where a folder has more than its days are counted from."""

    messages: int
    unread: int
    size_bytes: int
    is_whole: bool
    folders: list[FolderStatistics]


class StatisticsQuery(Model):
    """How many days back."""

    days: Annotated[int, Field(ge=0, le=366)] = 30
