"""Mails that were answered or forwarded, marked as such: found by their message-id, wherever they lie."""

from __future__ import annotations

from collections.abc import Sequence

from .entries import Entries, Entry
from .flags import Flag, FlagChange
from .messages import Messages, thread_of

FORWARDED = "$forwarded"  # keyword: draft-ietf-mailmaint-messageflag-mailboxattribute, and every mail program
MAX_THREAD = 200  # mails of a conversation among which the answered one is looked for


class Answered:
    """Finds and marks."""

    def __init__(self, entries: Entries, messages: Messages) -> None:
        self._entries = entries
        self._messages = messages

    async def mark(
        self, account_id: int, in_reply_to: str | None, references: Sequence[str] = ()
    ) -> Entry | None:
        """Mark what a mail with these fields answers (or, without `in_reply_to`, forwards).

        Returns the first entry marked, None when the mail is not here.
        """
        wanted = in_reply_to or next(reversed(references), None)
        if wanted is None:
            return None
        change = FlagChange.adding(Flag.ANSWERED) if in_reply_to else FlagChange.adding(Flag(0), [FORWARDED])
        found = await self.find(account_id, wanted, references[0] if references else wanted)
        for entry in found:
            await self._entries.set_flags(account_id, entry.folder_id, [entry.uid], change)
        return found[0] if found else None

    async def find(self, account_id: int, message_id: str, thread_root: str) -> list[Entry]:
        """The entries of an account that bear a message-id, in a conversation that began with another."""
        thread = await self._entries.thread(account_id, thread_of(thread_root), MAX_THREAD)
        described = await self._messages.describe([entry.message_id for entry in thread])
        return [
            entry
            for entry in thread
            if (about := described.get(entry.message_id)) is not None and about.message_id == message_id
        ]
