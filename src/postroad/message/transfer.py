"""A body's transfer encoding undone: base64, quoted-printable, and uuencode of old.

RFC 2045 6 rules. Decoding is lenient: what cannot be decoded is skipped or stays, nothing raises.
"""

from __future__ import annotations

import binascii
import re

from .headers import lenient_base64
from .scan import Part

_UU_BEGIN = re.compile(rb"^begin[ \t][^\n]*\n", re.MULTILINE)


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
        body = binascii.a2b_qp(body)
    elif encoding in ("x-uuencode", "uuencode", "x-uue", "uue"):
        body = uudecoded(body)
    return body if limit is None else body[:limit]


def _base64(body: bytes) -> bytes:
    try:
        # The strict path is the fast one and fits nearly every mail: lines of clean letters, padding at the
        # end.
        return binascii.a2b_base64(body.translate(None, b"\r\n \t"), strict_mode=True)
    except binascii.Error:
        return lenient_base64(body)


def uudecoded(body: bytes) -> bytes:
    """Decode uuencoded lines between `begin` and `end` (POSIX uuencode); lines that do not decode are
    skipped.
    """
    begin = _UU_BEGIN.search(body)
    lines = body[begin.end() if begin else 0 :].splitlines()
    pieces = []
    for line in lines:
        if line == b"end":
            break
        if not line:
            continue
        try:
            pieces.append(binascii.a2b_uu(line))
        except binascii.Error:
            # Some encoders count the padding wrong: take the length the first letter promises.
            length = (((line[0] - 32) & 63) * 4 + 5) // 3
            try:
                pieces.append(binascii.a2b_uu(line[:length]))
            except binascii.Error:
                continue
    return b"".join(pieces)
