"""The charset of a file: UTF-8 with or without BOM, UTF-16 with BOM, else GB18030 (M.1 of our page). Pure.

Found out in one pass over the whole file, since the first Chinese name may stand in its last line.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
LONGEST_MARK = 3  # bytes


@dataclass(frozen=True, slots=True)
class Charset:
    """A codec, and whether the whole file is valid in it."""

    name: str
    is_certain: bool


def charset_of(pieces: Iterable[bytes]) -> Charset:
    """Look at a whole file."""
    utf8 = codecs.getincrementaldecoder("utf-8")()
    gb18030 = codecs.getincrementaldecoder("gb18030")()
    is_utf8 = is_gb18030 = is_ascii = True
    beginning = b""
    for piece in pieces:
        if len(beginning) < LONGEST_MARK:
            beginning += piece[:LONGEST_MARK]
            for mark, name in _MARKS:
                if beginning.startswith(mark):
                    return Charset(name, True)
        if is_utf8:
            is_utf8 = _takes(utf8, piece)
        # Once a sign has begun, ASCII digits may belong to it (GB18030's four-byte form).
        is_ascii = is_ascii and piece.isascii()
        if is_gb18030 and not is_ascii:
            is_gb18030 = _takes(gb18030, piece)
        if not is_utf8 and not is_gb18030:
            break
    if is_utf8 and _takes(utf8, b"", final=True):
        return Charset("utf-8", True)
    return Charset("gb18030", is_gb18030)


def decoded(pieces: Iterable[bytes], charset: str) -> Iterator[tuple[str, int]]:
    """The text in pieces, each with how many bytes were read until its end; what is not text is marked so."""
    decoder = codecs.getincrementaldecoder(charset)("replace")
    count = 0
    for piece in pieces:
        count += len(piece)
        yield decoder.decode(piece), count
    yield decoder.decode(b"", final=True), count


def _takes(decoder: codecs.IncrementalDecoder, piece: bytes, *, final: bool = False) -> bool:
    try:
        decoder.decode(piece, final)
    except UnicodeDecodeError:
        return False
    return True
