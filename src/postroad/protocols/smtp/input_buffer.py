"""What came from the client and is not yet used: lines and counted octets are taken from its front.

Only CRLF ends a line (RFC 5321 2.3.8). Memory is bounded: an overlong line is thrown away while it comes.
"""

from __future__ import annotations


class LineTooLong(Exception):
    """A line longer than the limit has come to its end; it is gone."""


class InputBuffer:
    """Bytes with a position. `data` and `position` are open to whoever searches for the end of a mail."""

    __slots__ = ("_is_skipping", "data", "position")

    def __init__(self) -> None:
        self.data = b""
        self.position = 0
        self._is_skipping = False  # an overlong line is being thrown away up to its end

    @property
    def pending(self) -> int:
        """How many bytes wait."""
        return len(self.data) - self.position

    def feed(self, data: bytes) -> None:
        """Add what came."""
        self.data = self.data[self.position :] + data if self.position < len(self.data) else data
        self.position = 0

    def clear(self) -> None:
        """Forget everything that waits."""
        self.data = b""
        self.position = 0
        self._is_skipping = False

    def begins_with(self, word: bytes) -> bool:
        """Whether the next bytes are this word, in any case; `word` is upper case."""
        return self.data[self.position : self.position + len(word)].upper() == word

    def take_line(self, limit: int) -> bytes | None:
        """Return the next line without its CRLF, None when it is not there yet; raise `LineTooLong`."""
        start = self.position
        end = self.data.find(b"\r\n", start)
        length = (end if end >= 0 else len(self.data)) - start
        if end < 0:
            if self._is_skipping or length > limit:
                # Keep one byte of it, which may be the CR of its line end.
                self._is_skipping = True
                self.position = max(start, len(self.data) - 1)
            return None
        self.position = end + 2
        if self._is_skipping or length > limit:
            self._is_skipping = False
            raise LineTooLong
        return self.data[start:end]

    def take(self, most: int) -> bytes:
        """Return up to `most` of the bytes that wait."""
        taken = self.data[self.position : self.position + most]
        self.position += len(taken)
        return taken
