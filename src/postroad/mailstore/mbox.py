"""The mbox format: one file, mails parted by lines that begin with `From `. Read as a stream, of any size.

RFC 4155 and its relatives mboxrd and mboxo: `>From ` inside a mail loses one `>`. A separator stands behind
an empty line and bears a time, which keeps unescaped prose ("From here on …") inside its mail. Flags are read
from the fields that mailers leave: Status and X-Status, X-Mozilla-Status, X-Gmail-Labels.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from ..message.headers import decode_text, first, header_fields, parse_date
from ..message.scan import header_end
from .flags import NO_FLAGS, Flag
from .source import MAX_MAIL, BadMail, SourceMail, crlf

MAX_LINE = 1024 * 1024  # bytes read at once: a line without an end does not fill the memory

_SEPARATOR = re.compile(rb"From .*\d{1,2}:\d{2}.*\r?\n?\Z", re.DOTALL)
_ESCAPED = re.compile(rb">+From ")
_TIME = re.compile(
    rb"(?P<month>[A-Z][a-z]{2})\s+(?P<day>\d{1,2})\s+(?P<time>\d{1,2}:\d{2}(?::\d{2})?)\s+"
    rb"(?:[A-Z]{3,4}\s+)?(?P<zone>[+-]\d{4}\s+)?(?P<year>\d{4})(?P<late_zone>\s+[+-]\d{4})?"
)


class NotAnMbox(ValueError):
    """The file does not begin like an mbox."""


def is_mbox(path: Path) -> bool:
    """Whether a file begins like an mbox."""
    try:
        with path.open("rb") as file:
            return _SEPARATOR.match(file.readline(1000)) is not None
    except OSError:
        return False


def mbox_mails(path: Path, folder: str) -> Iterator[SourceMail | BadMail]:
    """Read all mails of an mbox file in order. An empty file holds none. Raises `NotAnMbox`."""
    with path.open("rb") as file:
        yield from split_mbox(file, str(path), folder)


def split_mbox(
    file: BinaryIO, name: str, folder: str, max_mail: int = MAX_MAIL
) -> Iterator[SourceMail | BadMail]:
    """Split a stream; `name` names it for people. Raises `NotAnMbox`."""
    separator = file.readline(MAX_LINE)
    if not separator:
        return
    if not _SEPARATOR.match(separator):
        raise NotAnMbox(
            f"{name} does not begin with a line like 'From name@example.com Thu Jan  1 00:00:00 2026'"
        )
    start, position, number = 0, len(separator), 1
    pieces: list[bytes] = []
    size = 0
    is_line_start, is_after_blank = True, False
    while True:
        piece = file.readline(MAX_LINE)
        ends = not piece or (is_line_start and is_after_blank and _SEPARATOR.match(piece) is not None)
        if ends:
            where = f"{name}, mail {number} at byte {start}"
            source_bytes = position - start
            if size > max_mail:
                yield BadMail(where, f"the mail is larger than {max_mail} bytes", source_bytes)
            else:
                if is_after_blank and pieces:
                    pieces.pop()  # the empty line that belongs to the separator
                yield _mail(where, folder, crlf(b"".join(pieces)), separator, source_bytes)
            if not piece:
                return
            separator, start, number = piece, position, number + 1
            pieces, size = [], 0
            is_line_start, is_after_blank = True, False
            position += len(piece)
            continue
        position += len(piece)
        is_after_blank = is_line_start and piece in (b"\n", b"\r\n")
        if is_line_start and _ESCAPED.match(piece):
            piece = piece[1:]
        is_line_start = piece.endswith(b"\n")
        size += len(piece)
        if size <= max_mail:
            pieces.append(piece)
        else:
            pieces.clear()


def _mail(where: str, folder: str, body: bytes, separator: bytes, source_bytes: int) -> SourceMail:
    return SourceMail(where, folder, body, _flags(body), (), _separator_time(separator), source_bytes)


def _separator_time(separator: bytes) -> datetime | None:
    """The time of arrival as the separator tells it: asctime's form, in UTC unless it names a zone (RFC
    4155).
    """
    match = _TIME.search(separator)
    if match is None:
        return None
    zone = (match["zone"] or match["late_zone"] or b"+0000").strip()
    text = b"%s %s %s %s %s" % (match["day"], match["month"], match["year"], match["time"], zone)
    moment = parse_date(text)
    return moment.astimezone(UTC) if moment is not None else None


def _flags(body: bytes) -> Flag:
    fields = header_fields(body, 0, header_end(body, 0, len(body)))
    status = (first(fields, "status") or b"") + (first(fields, "x-status") or b"")
    flags = NO_FLAGS
    for letter, flag in ((b"R", Flag.SEEN), (b"A", Flag.ANSWERED), (b"F", Flag.FLAGGED), (b"T", Flag.DRAFT)):
        if letter in status:
            flags |= flag
    # nsMsgMessageFlags of Thunderbird: 1 read, 2 replied, 4 marked.
    mozilla = first(fields, "x-mozilla-status")
    if mozilla is not None and re.fullmatch(rb"\s*[0-9A-Fa-f]{1,8}\s*", mozilla):
        bits = int(mozilla, 16)
        for bit, flag in ((1, Flag.SEEN), (2, Flag.ANSWERED), (4, Flag.FLAGGED)):
            if bits & bit:
                flags |= flag
    labels = first(fields, "x-gmail-labels")
    if labels is not None:
        names = {name.strip().lower() for name in decode_text(labels).split(",")}
        if not names & {"unread", "未读"}:
            flags |= Flag.SEEN
        if names & {"starred", "已加星标"}:
            flags |= Flag.FLAGGED
    return flags
