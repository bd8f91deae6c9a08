"""What stands in a local part: subaddresses and the names every domain must answer to.

Pure. Subaddressing as RFC 5233 describes it, with `+` as separator; required names by RFC 5321 4.5.1 and
RFC 2142. Everything here works on keys (`Address.key`): lower case, domain canonical.
"""

from __future__ import annotations

import unicodedata

SEPARATOR = "+"
REQUIRED_NAMES = frozenset({"postmaster", "abuse"})  # RFC 5321 4.5.1; RFC 2142 section 4
MAX_DISPLAY_NAME = 200  # characters; a header line is 998 bytes (RFC 5322 2.1.1), UTF-8 takes up to 4 each


def split_key(key: str) -> tuple[str, str]:
    """Part a key into local part and domain."""
    local_part, _, domain = key.rpartition("@")
    return local_part, domain


def base_of(local_part: str) -> str:
    """Return the local part without its subaddress: `wang+news` is `wang`; a quoted one is left alone."""
    if local_part.startswith('"'):
        return local_part
    base, separator, _ = local_part.partition(SEPARATOR)
    return base if separator and base else local_part


def clean_display_name(text: str) -> str | None:
    """Return a name fit for a header and a page (NFC, spaces folded), or None when it cannot be one."""
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if len(name) > MAX_DISPLAY_NAME or any(
        unicodedata.category(character) in ("Cc", "Cs") for character in name
    ):
        return None
    return name
