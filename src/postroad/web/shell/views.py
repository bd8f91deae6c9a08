"""What every page shows, as values: who is at it, and people with their pictures.

No services, no requests and no HTML in here; an area's own values stand in its own `views.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

from postroad.message.headers import shown_as

HUES = 12  # avatar colours in the style sheet


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody in a header: `name` may be empty, `address` may be what could not be parsed."""

    name: str
    address: str

    @property
    def label(self) -> str:
        """What a list shows: the name, or else the address; both when the name holds another address."""
        return shown_as(self.name, self.address)

    @property
    def initials(self) -> str:
        """One or two letters for the avatar; one character for a Chinese, Japanese or Korean name."""
        words = [word for word in self.label.replace("@", " ").replace(".", " ").split() if word[0].isalnum()]
        if not words:
            return "?"
        if ord(words[0][0]) >= 0x2E80:
            return words[0][0]
        if len(words) == 1 or not self.name or ord(words[-1][0]) >= 0x2E80:
            return words[0][0].upper()
        return (words[0][0] + words[-1][0]).upper()

    @property
    def hue(self) -> int:
        """Which avatar colour: by what is shown, because a list knows no more of a person than that."""
        return crc32(self.label.lower().encode("utf-8", "replace")) % HUES

    @property
    def full(self) -> str:
        """`Name <address>`, or the address alone."""
        return f"{self.name} <{self.address}>" if self.name and self.address else self.label


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose pages these are."""

    account_id: int
    name: str
    address: str
    used_bytes: int = 0
    quota_bytes: int | None = None

    @property
    def person(self) -> Person:
        """For the avatar."""
        return Person(self.name, self.address)

    @property
    def used_percent(self) -> int | None:
        """How full the mailbox is, 0 to 100; None without a limit."""
        if not self.quota_bytes:
            return None
        return min(100, round(100 * self.used_bytes / self.quota_bytes))
