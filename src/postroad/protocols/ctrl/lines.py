"""Lines out of bytes: LF ends one, CRs directly before it are dropped; memory is bounded.

Interface page ctrl-protocol.md, section 1.
"""

from __future__ import annotations


class LineTooLong(Exception):
    """A line longer than the limit; it is thrown away up to its end."""


class Lines:
    """Bytes that came, and the lines in them."""

    __slots__ = ("_data", "_is_skipping", "_searched")

    def __init__(self) -> None:
        self._data = bytearray()
        self._searched = 0  # up to here there is no LF
        self._is_skipping = False

    @property
    def pending(self) -> int:
        """How many bytes wait."""
        return len(self._data)

    def feed(self, data: bytes) -> None:
        """Add what came."""
        self._data += data

    def clear(self) -> None:
        """Forget everything that waits."""
        self._data.clear()
        self._searched = 0
        self._is_skipping = False

    def take(self, limit: int) -> bytes | None:
        """Return the next line without its end; None when it is not there yet. Raises `LineTooLong`.

        It is raised once a line, at its end: what follows is the next line.
        """
        end = self._data.find(b"\n", self._searched)
        if end < 0:
            # CRs at the end may belong to the line end, so a little more than the limit is kept.
            if self._is_skipping or len(self._data.rstrip(b"\r")) > limit or len(self._data) > 2 * limit:
                self._is_skipping = True
                self._data.clear()
            self._searched = len(self._data)
            return None
        line = bytes(self._data[:end]).rstrip(b"\r")
        del self._data[: end + 1]
        self._searched = 0
        if self._is_skipping or len(line) > limit or end > 2 * limit:
            self._is_skipping = False
            raise LineTooLong
        return line
