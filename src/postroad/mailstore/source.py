"""What readers of other stores hand to the import: mails one by one, and the ones that could not be read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from .flags import NO_FLAGS, Flag

MAX_MAIL = 256 * 1024 * 1024  # bytes; no server accepts more than 150 MB, and one is held in memory

_BARE_LF = re.compile(rb"(?<!\r)\n")


@dataclass(frozen=True, slots=True)
class SourceMail:
    """A mail of another store. `where` names it for people, `source_bytes` is what was read for it."""

    where: str
    folder: str
    body: bytes
    flags: Flag = NO_FLAGS
    keywords: tuple[str, ...] = ()
    received_at: datetime | None = None
    source_bytes: int = 0


@dataclass(frozen=True, slots=True)
class BadMail:
    """A mail that could not be read, and why."""

    where: str
    reason: str
    source_bytes: int = 0


def crlf(data: bytes) -> bytes:
    """Return a mail with the line ends of the wire (RFC 5322 2.1); those that have them already are left."""
    return _BARE_LF.sub(b"\r\n", data)
