"""The envelope sender of each mail of a run: what bounces to it tells which recipient it was. Pure.

Variable envelope return paths, as qmail brought them; but sealed, so that nobody can make a bounce for a
recipient he never got a mail for, and in letters that survive a server which lower-cases the local part
(RFC 5321 2.4 forbids it; several do it). No `+`, which old servers take for something else.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence

from postroad.campaigns.sealing import Seal, packed, unpacked
from postroad.message.address import MAX_LOCAL_PART, Address

TAG_BYTES = 9
PREFIX = "b-"
_LOCAL_PART = re.compile(rf"b-([a-z2-7]{{16,{MAX_LOCAL_PART - len(PREFIX)}}})\Z")


class Verp:
    """Makes and reads such addresses; `older` keys are read too."""

    def __init__(self, key: bytes, older: Sequence[bytes] = ()) -> None:
        self._seal = Seal(key, "verp", tag_bytes=TAG_BYTES, older=older)

    def address(self, email_id: int, domain: str) -> Address:
        """The envelope sender for one recipient. `domain` is one that we take mail for, canonical."""
        return Address(PREFIX + _encoded(self._seal.seal(packed(email_id))), domain)

    def read(self, local_part: str) -> int | None:
        """The email_id of an envelope sender's local part in whatever case; None for all others."""
        match = _LOCAL_PART.match(local_part.lower())
        if match is None:
            return None
        text = match[1]
        try:
            sealed = base64.b32decode(text.upper() + "=" * (-len(text) % 8))
        except binascii.Error:
            return None
        # The last letter has bits to spare: only the one spelling that we gave out is ours.
        if _encoded(sealed) != text or (value := self._seal.open(sealed)) is None:
            return None
        found = unpacked(value, 1)
        return found[0][0] if found is not None else None


def _encoded(sealed: bytes) -> str:
    return base64.b32encode(sealed).rstrip(b"=").decode().lower()
