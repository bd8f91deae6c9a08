"""What a mail from outside must not claim: results of our own checks, and to come from one of us. Pure.

RFC 8601 5: a field Authentication-Results with our own name that somebody else put in is removed, or readers
and programs would believe it. Nothing in RFC 5321 tells that a stranger used an address of ours: such mail
gets a field that says so and goes to the junk folder, or is refused (`smtp.own_domains`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from postroad.message.address import Address, BadAddress
from postroad.message.headers import MAX_HEADER_BYTES, Mailbox, header_section

MAX_AUTHORS = 10  # of a From field that are looked at
WARNING = b"X-Postroad-Warning: an address of ours was used from outside without signing in\r\n"

_FORGED = re.compile(
    rb"^(authentication-results|x-postroad-warning)[ \t]*:[^\n]*(?:\n|\Z)(?:[ \t][^\n]*(?:\n|\Z))*",
    re.IGNORECASE | re.MULTILINE,
)
_NAME = re.compile(rb'"((?:[^"\\\r\n]|\\.)*)"|([^\s;()"]+)')


def without_forged(content: bytes, hostname: str) -> bytes:
    """Return the mail without fields that only we may write: results with our name, and our warnings."""
    header = header_section(content)[:MAX_HEADER_BYTES]  # nobody of ours reads further
    lowered = header.lower()
    if b"authentication-results" not in lowered and b"x-postroad-warning" not in lowered:
        return content
    own = hostname.lower().encode()

    def kept(field: re.Match[bytes]) -> bytes:
        is_results = field[1].lower() == b"authentication-results"
        return field[0] if is_results and _authserv_id(field[0]) != own else b""

    cleaned = _FORGED.sub(kept, header)
    return content if len(cleaned) == len(header) else cleaned + content[len(header) :]


def claimed_authors(authors: Sequence[Sequence[Mailbox]]) -> list[Address]:
    """Return the addresses that From fields name, as far as they are addresses."""
    found: list[Address] = []
    for mailbox in [mailbox for field in authors for mailbox in field][:MAX_AUTHORS]:
        try:
            found.append(Address.parse(mailbox.address_text))
        except BadAddress:
            continue
    return found


def _authserv_id(field: bytes) -> bytes:
    """The name in front (RFC 8601 2.2), in lower case; comments or a quoted string may hide it."""
    value = field.partition(b":")[2]
    name = _NAME.match(value, _after_comments(value))
    if name is None:
        return b""
    text = name[2] if name[1] is None else re.sub(rb"\\(.)", rb"\1", name[1])
    return text.lower().rstrip(b".")


def _after_comments(value: bytes) -> int:
    """Where the first word begins behind blanks and comments, also nested ones (RFC 5322 3.2.2)."""
    depth = at = 0
    while at < len(value):
        sign = value[at : at + 1]
        if sign == b"(":
            depth += 1
        elif depth and sign == b")":
            depth -= 1
        elif depth and sign == b"\\":
            at += 1
        elif not depth and sign not in b" \t\r\n":
            break
        at += 1
    return at
