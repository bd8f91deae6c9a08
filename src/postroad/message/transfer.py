"""A body's transfer encoding undone: base64, quoted-printable, and uuencode of old.

RFC 2045 6 rules. Decoding is lenient: what cannot be decoded is skipped or stays, nothing raises.
"""

from __future__ import annotations

import binascii
import re
from itertools import islice

from .headers import lenient_base64
from .scan import Part

MAX_UU_LINES = 1_500_000  # of 45 bytes each: a file of 64 MB

_UU_BEGIN = re.compile(rb"^begin[ \t][^\n]*+\n", re.MULTILINE)
_PADDED_BREAK = re.compile(rb"=[ \t]++\r?(?:\n|\Z)")
_LINE = re.compile(rb"[^\r\n]+")
_PIECE = 1024 * 1024  # bytes that one call of C decodes


def decoded(content: bytes, part: Part, limit: int | None = None) -> bytes:
    """Return the body of `part` as it was before it was encoded; with `limit`, at most so many bytes of it.

    `content` is the mail that `part` was scanned from. With a limit only the needed beginning is decoded.
    """
    start, end = part.body_start, part.body_end
    encoding = part.encoding
    if limit is None:
        body = content[start:end]
    elif encoding == "quoted-printable":
        body = content[start : min(end, start + limit * 3 + limit // 8)]
    else:
        # base64 in lines of 76 takes 1.37 bytes for one, uuencode 1.4
        body = content[start : min(end, start + limit * 3 // 2 + 4)]
    if encoding == "base64":
        body = _base64(body)
    elif encoding == "quoted-printable":
        body = _quoted_printable(body)
    elif encoding in ("x-uuencode", "uuencode", "x-uue", "uue"):
        body = uudecoded(body)
    return body if limit is None else body[:limit]


def _base64(body: bytes) -> bytes:
    # A piece at a time, a multiple of four letters: one call for 50 MB would hold every other thread.
    letters = b"".join(
        body[at : at + _PIECE].translate(None, b"\r\n \t") for at in range(0, len(body), _PIECE)
    )
    try:
        # The strict path is the fast one and fits nearly every mail: lines of clean letters, padding at the
        # end.
        return b"".join(
            binascii.a2b_base64(letters[at : at + _PIECE], strict_mode=True)
            for at in range(0, len(letters), _PIECE)
        )
    except binascii.Error:
        return lenient_base64(body)


def _quoted_printable(body: bytes) -> bytes:
    """Undo quoted-printable; blanks behind a soft line break vanish with it (RFC 2045 6.7 rule 3)."""
    pieces = []
    position = 0
    while position < len(body):
        end = len(body)
        if end - position > _PIECE:  # cut behind a line end, so that no `=41` is torn
            cut = body.rfind(b"\n", position, position + _PIECE) + 1
            end = cut if cut > position else position + _PIECE
            torn = body.rfind(b"=", end - 2, end)
            end = torn if torn > position else end
        pieces.append(binascii.a2b_qp(_PADDED_BREAK.sub(b"=\n", body[position:end])))
        position = end
    return b"".join(pieces)


def uudecoded(body: bytes) -> bytes:
    """Decode uuencoded lines between `begin` and `end` (POSIX uuencode); lines that do not decode are
    skipped.
    """
    begin = _UU_BEGIN.search(body)
    pieces = []
    for match in islice(_LINE.finditer(body, begin.end() if begin else 0), MAX_UU_LINES):
        line = match[0]
        if line == b"end":
            break
        # A line that promises more than it holds is filled up with zeros: not here, or two bytes become 32.
        held = len(line) * 3 // 4
        try:
            pieces.append(binascii.a2b_uu(line)[:held])
        except binascii.Error:
            # Some encoders count the padding wrong: take the length the first letter promises.
            length = (((line[0] - 32) & 63) * 4 + 5) // 3
            try:
                pieces.append(binascii.a2b_uu(line[:length])[:held])
            except binascii.Error:
                continue
    return b"".join(pieces)
