"""A mail as POP3 sends it: lines that begin with a dot get another, and a lone dot ends it (RFC 1939 3)."""

from __future__ import annotations

import re

_BARE_LF = re.compile(rb"(?<!\r)\n")
_HEADER_END = re.compile(rb"\r?\n\r?\n")


def stuffed(content: bytes) -> bytes:
    """Return content as the lines of a multi-line answer, its final dot included."""
    if b"\n" in content.replace(b"\r\n", b""):
        content = _BARE_LF.sub(b"\r\n", content)
    if content and not content.endswith(b"\r\n"):
        content += b"\r\n"
    content = content.replace(b"\r\n.", b"\r\n..")
    if content.startswith(b"."):
        content = b"." + content
    return content + b".\r\n"


def top(content: bytes, lines: int) -> bytes | None:
    """Return the header and so many lines of the body; None when `content` ends before that.

    Of a mail without a body that is everything: the caller, who knows whether more follows, decides.
    """
    blank = _HEADER_END.search(content)
    if blank is None:
        return None
    position = blank.end()
    for _ in range(lines):
        position = content.find(b"\n", position) + 1
        if position == 0:
            return None
    return content[:position]
