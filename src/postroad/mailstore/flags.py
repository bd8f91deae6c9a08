"""Flags and keywords of a mail in a folder.

RFC 9051 2.3.2: five system flags are kept (a bit each, as in the `entry` table), and keywords, which have no
backslash, are compared without case and stored in lower case. \\Recent is gone since RFC 9051.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntFlag

from .errors import BadKeyword

MAX_KEYWORD = 64  # characters; Thunderbird's longest is under 30
MAX_KEYWORDS = 100  # different ones in a folder; Dovecot's Maildir has letters for 26

# RFC 9051 9: flag-keyword is an atom: no blanks, controls, wildcards, quotes, brackets.
_KEYWORD = re.compile(r"[!#$&'+,\-./0-9:;<=>?@A-Z^_`a-z|}~]+\Z")


class Flag(IntFlag):
    """System flags, as the bits of `entry.flags`."""

    SEEN = 1
    ANSWERED = 2
    FLAGGED = 4
    DELETED = 8
    DRAFT = 16


NO_FLAGS = Flag(0)
ALL_FLAGS = Flag.SEEN | Flag.ANSWERED | Flag.FLAGGED | Flag.DELETED | Flag.DRAFT


def keyword(text: str) -> str:
    """Return the stored form of a keyword; raise `BadKeyword`."""
    if len(text) > MAX_KEYWORD or not _KEYWORD.match(text):
        raise BadKeyword(f"{text[:MAX_KEYWORD]!r} is not a keyword of 1 to {MAX_KEYWORD} plain characters")
    return text.lower()


def keywords(texts: Iterable[str]) -> tuple[str, ...]:
    """Return stored forms, each once, sorted; raise `BadKeyword` for a bad one or for too many."""
    stored = tuple(sorted({keyword(text) for text in texts}))
    if len(stored) > MAX_KEYWORDS:
        raise BadKeyword(f"more than {MAX_KEYWORDS} keywords")
    return stored


@dataclass(frozen=True, slots=True)
class FlagChange:
    """What happens to flags: first `removed` go, then `added` come.

    `replaces_keywords` clears all keywords first.
    """

    added: Flag = NO_FLAGS
    removed: Flag = NO_FLAGS
    added_keywords: tuple[str, ...] = ()
    removed_keywords: tuple[str, ...] = ()
    replaces_keywords: bool = False

    @classmethod
    def adding(cls, flags: Flag, words: Iterable[str] = ()) -> FlagChange:
        """Set these, leave the others (+FLAGS). Raises `BadKeyword`."""
        return cls(added=flags, added_keywords=keywords(words))

    @classmethod
    def removing(cls, flags: Flag, words: Iterable[str] = ()) -> FlagChange:
        """Clear these, leave the others (-FLAGS). Raises `BadKeyword`."""
        return cls(removed=flags, removed_keywords=keywords(words))

    @classmethod
    def replacing(cls, flags: Flag, words: Iterable[str] = ()) -> FlagChange:
        """Set these and clear all others (FLAGS). Raises `BadKeyword`."""
        return cls(added=flags, removed=ALL_FLAGS, added_keywords=keywords(words), replaces_keywords=True)
