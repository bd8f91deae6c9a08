"""A selected folder as one client sees it: which UID stands at which number, until it is told otherwise.

RFC 9051 2.3.1: sequence numbers change only by what the client was told, so a mail that is gone from the
store keeps its number here until an EXPUNGE or VANISHED says so. Eight bytes a mail.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence

from postroad.protocols.imap.errors import ImapBad
from postroad.protocols.imap.sequences import SequenceSet


class View:
    """UIDs in the order of their sequence numbers."""

    __slots__ = ("saved", "uids")

    def __init__(self, uids: Iterable[int] = ()) -> None:
        self.uids = array("q", uids)
        self.saved: tuple[int, ...] = ()  # the result of the last SEARCH RETURN (SAVE): RFC 5182

    def __len__(self) -> int:
        return len(self.uids)

    @property
    def last_uid(self) -> int:
        """The highest UID, 0 of an empty folder."""
        return self.uids[-1] if self.uids else 0

    def sequence(self, uid: int) -> int | None:
        """The sequence number of a UID, None when the client does not know it."""
        place = bisect_left(self.uids, uid)
        return place + 1 if place < len(self.uids) and self.uids[place] == uid else None

    def by_sequence(self, wanted: SequenceSet) -> list[int]:
        """The UIDs at sequence numbers. Raises `ImapBad` for numbers beyond the end (RFC 9051 6.4.8)."""
        if wanted.is_saved:
            return self.still_there(self.saved)
        found: list[int] = []
        for low, high in wanted.spans(len(self.uids)):
            if high > len(self.uids):
                raise ImapBad("There is no message of that number")
            found.extend(self.uids[low - 1 : high])
        return found

    def by_uid(self, wanted: SequenceSet) -> list[int]:
        """The UIDs of a set that are there; others are passed over without a word."""
        if wanted.is_saved:
            return self.still_there(self.saved)
        found: list[int] = []
        for low, high in wanted.spans(self.last_uid):
            found.extend(self.uids[bisect_left(self.uids, low) : bisect_right(self.uids, high)])
        return found

    def still_there(self, uids: Iterable[int]) -> list[int]:
        """Those of some UIDs that the client still sees."""
        return [uid for uid in uids if self.sequence(uid) is not None]

    def add(self, uids: Iterable[int]) -> int:
        """Number new mails; returns how many were new."""
        last = self.last_uid
        fresh = [uid for uid in uids if uid > last]
        self.uids.extend(fresh)
        return len(fresh)

    def remove(self, uids: Sequence[int]) -> list[int]:
        """Take UIDs out; returns what EXPUNGE has to say, one after the other: the highest numbers first.

        From the end to the beginning, so that no number told changes one told before it.
        """
        numbers = sorted(
            (number for number in map(self.sequence, set(uids)) if number is not None), reverse=True
        )
        if len(numbers) > 100:
            gone = set(uids)
            self.uids = array("q", (uid for uid in self.uids if uid not in gone))
        else:
            for number in numbers:
                del self.uids[number - 1]
        return numbers
