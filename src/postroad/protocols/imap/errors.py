"""What a command can meet: each error knows the answer it becomes. RFC 9051 7.1, RFC 5530 (codes)."""

from __future__ import annotations


class ImapRefusal(Exception):
    """A tagged NO or BAD: `code` is a response code without brackets, or empty."""

    status = "NO"

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.code = code

    def line(self, tag: str) -> bytes:
        """The tagged answer."""
        code = f"[{self.code}] " if self.code else ""
        return f"{tag} {self.status} {code}{self.text}\r\n".encode()


class ImapNo(ImapRefusal):
    """The command was understood and cannot be done."""


class ImapBad(ImapRefusal):
    """The command was not understood, or is out of order."""

    status = "BAD"
