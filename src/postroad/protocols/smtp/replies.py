"""SMTP replies: code, enhanced status, text, and their wire form.

A reply is also an exception: whoever judges a command raises the reply the client shall read, and it is
rendered in one place. RFC 5321 4.2, RFC 2034 and RFC 3463 (enhanced status codes).
"""

from __future__ import annotations

import re

MAX_REPLY_LINE = 512  # RFC 5321 4.5.3.1.5, CRLF included

_UNPRINTABLE = re.compile(r"[^\x20-\x7e]+")
_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}\Z")


class SmtpReply(Exception):
    """One reply. `status` is the enhanced status (`5.1.1`), empty where RFC 2034 has none (220, 334, 354).

    Line breaks in `text` make a multi-line reply; every other control or non-ASCII character is replaced,
    since a reply is ASCII unless the client asked otherwise (RFC 6531 3.7.4.2).
    """

    def __init__(self, code: int, status: str, text: str) -> None:
        if not 200 <= code <= 599 or (status and not (_STATUS.match(status) and status[0] == str(code)[0])):
            raise ValueError(f"no such SMTP reply: {code} {status}")
        super().__init__(code, status, text)
        self.code = code
        self.status = status
        self.text = text

    @property
    def is_positive(self) -> bool:
        """Whether the command was obeyed so far (2xx, 3xx)."""
        return self.code < 400

    @property
    def is_temporary(self) -> bool:
        """Whether the client should come back with the same command later (4xx)."""
        return 400 <= self.code < 500

    def render(self) -> bytes:
        """Return the reply as it travels, with CRLF; a line too long for RFC 5321 is cut."""
        lines = [_UNPRINTABLE.sub("?", line) for line in self.text.split("\n")]
        last = len(lines) - 1
        status = f"{self.status} " if self.status else ""
        return b"".join(
            f"{self.code}{' ' if index == last else '-'}{status}{line}".rstrip()[: MAX_REPLY_LINE - 2].encode(
                "ascii"
            )
            + b"\r\n"
            for index, line in enumerate(lines)
        )

    def __str__(self) -> str:
        return f"{self.code} {self.status} {self.text}" if self.status else f"{self.code} {self.text}"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SmtpReply):
            return NotImplemented
        return (self.code, self.status, self.text) == (other.code, other.status, other.text)

    def __hash__(self) -> int:
        return hash((self.code, self.status, self.text))
