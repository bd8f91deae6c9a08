"""What a mail is found by: the lexemes of its search document. Pure: a mail in, strings out.

A token of any field stands by itself; those of a field stand a second time behind the field's letter and a
colon, which no token can hold. The accounts that have the mail are lexemes as well, so that one index serves
them all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..message.budget import Budget
from ..message.envelope import Envelope
from ..message.headers import ListItem, decode_words, mailboxes
from ..message.scan import Part, walk
from ..message.text import attachment_names, readable_text
from ..message.tokens import search_tokens

MAX_TEXT = 100_000  # characters of text indexed; the tsvector of 100,000 Chinese ones is about 100 KB
MAX_READ = 2 * 1024 * 1024  # bytes of a mail read for that: text parts come before the files
MAX_NAMES = 100  # attachments whose names are indexed

ACCOUNT = "a:"
FROM = "f:"
TO = "r:"
SUBJECT = "s:"
FILE = "n:"


def account_lexeme(account_id: int) -> str:
    """The lexeme of an account's mails."""
    return f"{ACCOUNT}{account_id}"


def text_end(structure: Part) -> int:
    """How many bytes of the body must be read for its text: up to the end of the last text part, bounded."""
    ends = [part.body_end for _, part in walk(structure) if part.content_type in ("text", "message")]
    return min(max(ends, default=0), MAX_READ)


def document_lexemes(
    subject: str, envelope: Envelope, structure: Part, content: bytes, account_ids: Iterable[int]
) -> list[str]:
    """Return the lexemes of a mail. `content` may be cut at `text_end`.

    Never raises for a strange mail's sake.
    """
    budget = Budget()
    found: dict[str, None] = dict.fromkeys(account_lexeme(each) for each in account_ids)
    senders = _people(envelope, ("from_", "sender", "reply_to"), budget)
    recipients = _people(envelope, ("to", "cc", "bcc"), budget)
    names = " \n".join(decode_words(name, budget) for name in attachment_names(structure)[:MAX_NAMES])
    for letter, text in ((SUBJECT, subject), (FROM, senders), (TO, recipients), (FILE, names)):
        for token in search_tokens(text):
            found[token] = None
            found[letter + token] = None
    found.update(dict.fromkeys(search_tokens(readable_text(content, structure, MAX_TEXT))))
    return list(found)


def searched_text(subject: str, envelope: Envelope, structure: Part, content: bytes) -> dict[str, str]:
    """Return what the lexemes were cut from, by field letter ("" is all of it): phrases are looked for in
    here.
    """
    budget = Budget()
    fields = {
        SUBJECT: subject,
        FROM: _people(envelope, ("from_", "sender", "reply_to"), budget),
        TO: _people(envelope, ("to", "cc", "bcc"), budget),
        FILE: " \n".join(decode_words(name, budget) for name in attachment_names(structure)[:MAX_NAMES]),
    }
    fields[""] = "\n".join([*fields.values(), readable_text(content, structure, MAX_TEXT)])
    return fields


def _people(envelope: Envelope, fields: Sequence[str], budget: Budget) -> str:
    lists: list[list[ListItem]] = []
    for field in fields:
        found = getattr(envelope, field) or []
        if found not in lists:  # Sender and Reply-To are From where the mail has none
            lists.append(found)
    return " \n".join(str(each) for found in lists for each in mailboxes(found, budget))
