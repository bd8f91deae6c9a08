"""The tokens in the mails of a run: who read which mail, sealed, so that nobody makes, guesses or reads one.
Pure.

A token carries the run's id and the email_id: the run (kept in memory) gives customer, shelf and email_base,
and the recipient's row is found by its primary key, number = email_id - email_base. So a hit costs no look-up
of its own. 28 characters of base64url for a pixel; a link with a contact's values in it carries its target
too, which is what makes such a link work after the contact is gone.
"""

from __future__ import annotations

import base64
import binascii
import enum
import re
from collections.abc import Sequence
from typing import NamedTuple

from postroad.campaigns.sealing import MAX_VALUE, Seal, packed, unpacked

TAG_BYTES = 10  # 2^80 guesses; each one is a request
MAX_TARGET = MAX_VALUE - 32  # bytes of a link's own target
MAX_TOKEN = (MAX_VALUE + 1 + TAG_BYTES) * 4 // 3 + 1
_TOKEN = re.compile(rf"[A-Za-z0-9_-]{{15,{MAX_TOKEN}}}\Z")


_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_STANDARD = str.maketrans("-_", "+/")
# What a text may end in, by its length beyond full groups of four (RFC 4648 3.5).
_LAST = {0: _ALPHABET, 2: _ALPHABET[::16], 3: _ALPHABET[::4]}


class Kind(enum.IntEnum):
    """What a token is good for; one kind is never taken for another."""

    PIXEL = 1
    LINK = 2
    UNSUBSCRIBE = 3
    PREFERENCES = 4
    WEB = 5


_KINDS = {int(kind): kind for kind in Kind}


class Token(NamedTuple):
    """What a token says. `target` is where its link leads when a contact's values stand in it.

    A tuple, as it is made for every hit.
    """

    kind: Kind
    run_id: int
    email_id: int
    link_id: int = 0
    target: str = ""


class Tokens:
    """Makes and reads tokens under one key; `older` keys are read too."""

    def __init__(self, key: bytes, older: Sequence[bytes] = ()) -> None:
        self._seal = Seal(key, "tracking token", tag_bytes=TAG_BYTES, older=older)

    def pixel(self, run_id: int, email_id: int) -> str:
        """The picture that tells of an open."""
        return self._made(Kind.PIXEL, run_id, email_id)

    def link(self, run_id: int, email_id: int, link_id: int, target: str = "") -> str:
        """A link of the run. `target`: where it leads for this recipient, at most `MAX_TARGET` bytes."""
        return self._made(Kind.LINK, run_id, email_id, link_id, target)

    def unsubscribe(self, run_id: int, email_id: int) -> str:
        """The way out, for people and for RFC 8058."""
        return self._made(Kind.UNSUBSCRIBE, run_id, email_id)

    def preferences(self, run_id: int, email_id: int) -> str:
        """Which lists the recipient wants."""
        return self._made(Kind.PREFERENCES, run_id, email_id)

    def web(self, run_id: int, email_id: int) -> str:
        """The mail as a page."""
        return self._made(Kind.WEB, run_id, email_id)

    def read(self, text: str) -> Token | None:
        """What the token says; None for every text that we did not make."""
        if not _TOKEN.match(text):
            return None
        # The last character may have bits to spare: only the one spelling that we gave out is ours.
        rest = len(text) % 4
        if rest == 1 or text[-1] not in _LAST[rest]:
            return None
        sealed = binascii.a2b_base64(text.translate(_STANDARD) + "=" * (-rest % 4))
        if (value := self._seal.open(sealed)) is None:
            return None
        kind = _KINDS[value[0]]
        found = unpacked(value[1:], 3 if kind is Kind.LINK else 2)
        assert found is not None, "we sealed it"
        numbers, target = found
        run_id, email_id, *link_id = numbers
        return Token(kind, run_id, email_id, link_id[0] if link_id else 0, target.decode())

    def _made(self, kind: Kind, run_id: int, email_id: int, link_id: int = 0, target: str = "") -> str:
        numbers = (run_id, email_id, link_id) if kind is Kind.LINK else (run_id, email_id)
        return _encoded(self._seal.seal(bytes([kind]) + packed(*numbers) + target.encode()))


def _encoded(sealed: bytes) -> str:
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()
