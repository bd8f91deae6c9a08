"""Words of the webmail that templates cannot hold: names of everybody's folders, what its scripts say, search
examples.
"""

from __future__ import annotations

from collections.abc import Mapping

from postroad.web.mail.views import FolderItem
from postroad.web.shell.languages import Language
from postroad.web.shell.words import N_, script_strings
from postroad.web.shell.words import SCRIPT_STRINGS as EVERY_PAGE

FOLDER_NAMES = {
    "inbox": N_("Inbox"),
    "sent": N_("Sent"),
    "drafts": N_("Drafts"),
    "trash": N_("Trash"),
    "junk": N_("Junk"),
    "archive": N_("Archive"),
}

SCRIPT_STRINGS = {
    **EVERY_PAGE,
    "gone": N_("This message is no longer here."),
    "undo": N_("Undo"),
    "selected": N_("{count} selected"),
    "delete-one": N_("Delete this for good? It cannot be brought back."),
    "delete-yes": N_("Delete for good"),
    "saving": N_("Saving…"),
    "saved": N_("Draft saved {time}"),
    "not-saved": N_("Not saved: {reason}"),
    "sending": N_("Sending…"),
    "too-large": N_("“{name}” does not fit: all files together may have {limit}."),
    "upload-failed": N_("“{name}” was not attached: {reason}"),
    "remove": N_("Remove {name}"),
    "bad-address": N_("This is not a mail address"),
    "bad-recipient": N_("One of the recipients is not a mail address. It is marked red."),
    "no-recipient": N_("Please say who this message is for."),
    "no-subject": N_("Send it without a subject?"),
    "send-yes": N_("Send"),
    "discard": N_("Throw this draft away?"),
    "discard-yes": N_("Throw away"),
}

SEARCH_EXAMPLES = (
    ("from:", N_("who sent it: a name or an address")),
    ("to:", N_("who it went to")),
    ("subject:", N_("words of the subject")),
    ("has:attachment", N_("with files")),
    ("is:unread", N_("not read yet; also is:flagged, is:answered")),
    ("in:", N_("in a folder: in:sent, in:Projects")),
    ("before:2026-01-31", N_("older than a day; also after:")),
    ('"…"', N_("exactly these words")),
    ("-", N_("without this word: -draft")),
)

SWATCHES = (
    (N_("Automatic"), "inherit"),
    (N_("Red"), "#b3261e"),
    (N_("Blue"), "#2557b8"),
    (N_("Green"), "#1e6b3f"),
    (N_("Amber"), "#8a5a00"),
)


def folder_name(folder: FolderItem, language: Language) -> str:
    """The name shown: translated for the folders everybody has, the person's own words for others."""
    return language.say(FOLDER_NAMES[folder.role]) if folder.role in FOLDER_NAMES else folder.name


def vocabulary(language: Language) -> Mapping[str, object]:
    """What the webmail's templates read beside a page's own values."""

    def name_of(folder: FolderItem) -> str:
        return folder_name(folder, language)

    return {
        "folder_name": name_of,
        "strings": script_strings(language, SCRIPT_STRINGS),
        "search_examples": tuple((example, language.say(text)) for example, text in SEARCH_EXAMPLES),
        "swatches": tuple((language.say(name), value) for name, value in SWATCHES),
    }
