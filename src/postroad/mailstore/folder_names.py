"""Names of folders: paths of levels parted by '/', in Unicode.

RFC 9051 5.1: INBOX means one folder in any case; names are Net-Unicode (RFC 5198), here in NFC. The wildcards
of LIST and control characters are refused, because RFC 9051 5.1 warns that clients cannot ask for them.
"""

from __future__ import annotations

import unicodedata

from .errors import BadFolderName

SEPARATOR = "/"
INBOX = "INBOX"
MAX_NAME = 1000  # bytes of the whole path; a directory name in Dovecot's Maildir++ may have 255
MAX_LEVEL = 200  # bytes of one level: fits a file name after export, in UTF-7 as well
MAX_DEPTH = 20  # Exchange allows 300, people use 5

_REFUSED = frozenset("*%\u2028\u2029\ufeff")
_REFUSED_CATEGORIES = frozenset(("Cc", "Cs", "Co", "Cn"))


def folder_name(text: str) -> str:
    """Return the stored form of a folder's path; raise `BadFolderName`."""
    if len(text) > MAX_NAME:
        raise BadFolderName(f"a folder's name has at most {MAX_NAME} bytes")
    name = unicodedata.normalize("NFC", text)
    bad = next((c for c in name if c in _REFUSED or unicodedata.category(c) in _REFUSED_CATEGORIES), None)
    if bad is not None:
        raise BadFolderName(f"a folder's name cannot hold the character U+{ord(bad):04X}")
    if len(name.encode()) > MAX_NAME:
        raise BadFolderName(f"a folder's name has at most {MAX_NAME} bytes")
    levels = name.split(SEPARATOR)
    if len(levels) > MAX_DEPTH:
        raise BadFolderName(f"folders lie at most {MAX_DEPTH} deep")
    for level in levels:
        if not level.strip():
            raise BadFolderName("a level of a folder's name is empty")
        if level != level.strip():
            raise BadFolderName("a folder's name neither begins nor ends with a blank")
        if len(level.encode()) > MAX_LEVEL:
            raise BadFolderName(f"one level of a folder's name has at most {MAX_LEVEL} bytes")
    if levels[0].upper() == INBOX:
        levels[0] = INBOX
    return SEPARATOR.join(levels)


def superiors(name: str) -> list[str]:
    """Return the folders above a path, outermost first: `a/b/c` has `a` and `a/b`."""
    levels = name.split(SEPARATOR)
    return [SEPARATOR.join(levels[:depth]) for depth in range(1, len(levels))]


def is_below(name: str, other: str) -> bool:
    """Whether `name` lies inside the folder `other`."""
    return name.startswith(other + SEPARATOR)
