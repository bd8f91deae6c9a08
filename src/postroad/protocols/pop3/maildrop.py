"""A maildrop as one session sees it: numbers, sizes and marks, frozen when it was opened (RFC 1939 4).

Sixteen bytes and a bit a mail: a hundred thousand of them take under two megabytes.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator


class Maildrop:
    """The mails of an inbox, numbered from 1."""

    __slots__ = ("_deleted", "_sizes", "_uids", "count", "octets", "uid_validity")

    def __init__(self, uid_validity: int) -> None:
        self.uid_validity = uid_validity
        self._uids = array("q")
        self._sizes = array("q")
        self._deleted: set[int] = set()
        self.count = 0  # of mails that are not marked
        self.octets = 0

    def add(self, uid: int, size_bytes: int) -> None:
        """Number one more mail."""
        self._uids.append(uid)
        self._sizes.append(size_bytes)
        self.count += 1
        self.octets += size_bytes

    def has(self, number: int) -> bool:
        """Whether the number names a mail that is not marked as deleted."""
        return 0 < number <= len(self._uids) and number not in self._deleted

    def uid(self, number: int) -> int:
        """The UID in the store."""
        return self._uids[number - 1]

    def size(self, number: int) -> int:
        """Bytes of a mail."""
        return self._sizes[number - 1]

    def unique_id(self, number: int) -> str:
        """What UIDL tells: the same for ever, and never another mail's (RFC 1939 7)."""
        return f"{self.uid_validity:08x}{self._uids[number - 1]:08x}"

    def mark(self, number: int) -> None:
        """Mark as deleted; it goes when the session ends by QUIT."""
        self._deleted.add(number)
        self.count -= 1
        self.octets -= self._sizes[number - 1]

    def unmark_all(self) -> None:
        """Take all marks back."""
        self._deleted.clear()
        self.count = len(self._uids)
        self.octets = sum(self._sizes)

    def numbers(self) -> Iterator[int]:
        """The numbers of mails that are not marked."""
        deleted = self._deleted
        if not deleted:
            return iter(range(1, len(self._uids) + 1))
        return (number for number in range(1, len(self._uids) + 1) if number not in deleted)

    def marked_uids(self) -> list[int]:
        """The UIDs of what was marked."""
        return [self._uids[number - 1] for number in sorted(self._deleted)]
