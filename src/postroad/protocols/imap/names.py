"""Folder names on the wire: modified UTF-7 for old clients, UTF-8 for new ones; the patterns of LIST.

RFC 3501 5.1.3 (modified UTF-7), RFC 9051 5.1 (UTF-8), RFC 9051 6.3.9 (wildcards).
"""

from __future__ import annotations

import binascii
import re

SEPARATOR = "/"
MAX_PATTERN = 1000  # characters; a name has no more


def encode_utf7(name: str) -> str:
    """Return a name in modified UTF-7."""
    if name.isascii() and "&" not in name and name.isprintable():
        return name
    pieces: list[str] = []
    wide = ""
    for character in name:
        if " " <= character <= "~":
            if wide:
                pieces.append(_shifted(wide))
                wide = ""
            pieces.append("&-" if character == "&" else character)
        else:
            wide += character
    if wide:
        pieces.append(_shifted(wide))
    return "".join(pieces)


def _shifted(wide: str) -> str:
    encoded = binascii.b2a_base64(wide.encode("utf-16-be", "surrogatepass"), newline=False).decode()
    return f"&{encoded.rstrip('=').replace('/', ',')}-"


def decode_utf7(name: str) -> str:
    """Return the name that modified UTF-7 stands for; what is none stays as it is (clients mix both)."""
    if "&" not in name:
        return name
    pieces: list[str] = []
    position = 0
    while True:
        start = name.find("&", position)
        if start < 0:
            pieces.append(name[position:])
            return "".join(pieces)
        end = name.find("-", start)
        if end < 0:
            return name
        pieces.append(name[position:start])
        inner = name[start + 1 : end]
        if not inner:
            pieces.append("&")
        else:
            try:
                data = binascii.a2b_base64(
                    inner.replace(",", "/").encode("ascii") + b"=" * (-len(inner) % 4), strict_mode=True
                )
                pieces.append(data.decode("utf-16-be"))
            except (binascii.Error, UnicodeError):
                return name
        position = end + 1


def canonical(name: str) -> str:
    """Return a name with INBOX, which is one folder in any case, in capitals (RFC 9051 5.1)."""
    head, slash, rest = name.partition(SEPARATOR)
    return f"INBOX{slash}{rest}" if head.upper() == "INBOX" else name


class Pattern:
    """A pattern of LIST: `*` is anything, `%` anything within a level. INBOX fits in any case.

    Matched by keeping all places where the pattern may stand, as the bits of one number: a regular expression
    would try their combinations, and `*a*a*a*a` would take for ever on a name of many a.
    """

    __slots__ = ("_end", "_marks", "_stars", "_wild")

    def __init__(self, text: str) -> None:
        wild = re.sub(r"[*%]+", lambda match: "*" if "*" in match[0] else "%", text[:MAX_PATTERN])
        self._marks: dict[str, int] = {}  # where each letter of the pattern stands
        for place, mark in enumerate(canonical(wild)):
            self._marks[mark] = self._marks.get(mark, 0) | 1 << place
        self._stars = self._marks.pop("*", 0)
        self._wild = self._stars | self._marks.pop("%", 0)
        self._end = 1 << len(wild)

    def matches(self, name: str) -> bool:
        """Whether a whole name fits."""
        places = self._closed(1)
        for letter in name:
            stays = self._stars if letter == SEPARATOR else self._wild
            places = self._closed(places & stays | (places & self._marks.get(letter, 0)) << 1)
            if not places:
                return False
        return bool(places & self._end)

    def _closed(self, places: int) -> int:
        """A wildcard may stand for nothing; no two of them stand together."""
        return places | (places & self._wild) << 1
