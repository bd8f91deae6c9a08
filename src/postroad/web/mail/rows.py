"""Entries of the mail store as rows of a list, and the addresses of lists."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

from postroad.mailstore.answered import FORWARDED
from postroad.mailstore.entries import Entry
from postroad.mailstore.flags import Flag
from postroad.web.mail.surroundings import Around
from postroad.web.mail.views import FolderItem, Row
from postroad.web.shell.views import Person

OUTGOING = ("sent", "drafts")  # where a list shows recipients instead of senders


def person(label: str) -> Person:
    """A person of whom only the shown text is known."""
    return Person("", label) if "@" in label and " " not in label else Person(label, "")


def row(entry: Entry, folder: FolderItem | None, context: str, *, names_folder: bool = False) -> Row:
    """One entry as a row. `context` is the list's query string, kept in the mail's address."""
    name = f"{entry.folder_id}.{entry.uid}"
    is_outgoing = folder is not None and folder.role in OUTGOING
    is_draft = folder is not None and folder.role == "drafts"
    url = f"/mail/message/{entry.folder_id}/{entry.uid}" + (f"?{context}" if context else "")
    return Row(
        entry=name,
        url=f"/mail/compose?draft={name}" if is_draft else url,
        person=person(entry.recipients if is_outgoing else entry.sender),
        subject=entry.subject,
        preview=entry.preview,
        received_at=entry.received_at,
        size_bytes=entry.size_bytes,
        is_seen=entry.is_seen,
        is_flagged=entry.is_flagged,
        is_answered=Flag.ANSWERED in entry.flags,
        is_forwarded=FORWARDED in entry.keywords,
        is_draft=is_draft,
        has_attachments=entry.has_attachments,
        is_important=entry.priority == 1,
        folder=folder if names_folder else None,
    )


def rows_of(entries: Sequence[Entry], around: Around, context: str, *, names_folder: bool) -> list[Row]:
    """Entries of one or of several folders as rows."""
    return [
        row(entry, around.by_id(entry.folder_id), context, names_folder=names_folder) for entry in entries
    ]


def address(path: str, **query: object) -> str:
    """A path with the query fields that are not empty."""
    given = {name: value for name, value in query.items() if value not in ("", None)}
    return f"{path}?{urlencode(given)}" if given else path
