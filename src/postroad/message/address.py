"""Mail addresses: parsing, canonical form, and the two spellings of a domain.

An `Address` is an envelope address, valid from birth (RFC 5321 4.1.2, RFC 6531 3.3): what stands in
MAIL and RCPT, in the directory and in the queue. Header addresses with display names are `headers.Mailbox`.
Rules: the local part keeps its case on the wire and is compared without case here, as every large provider
does; a domain is lower case and held as A-labels (IDNA 2008, UTS 46), so that one domain has one key.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import idna

MAX_LOCAL_PART = 64  # RFC 5321 4.5.3.1.1
MAX_DOMAIN = 255  # RFC 5321 4.5.3.1.2
MAX_ADDRESS = 254  # RFC 5321 4.5.3.1.3: a path is 256 with its angle brackets

_ATOM = re.compile(
    r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~\u0080-\U0010ffff]+(?:\.[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~\u0080-\U0010ffff]+)*\Z"
)
# Dots anywhere: outside the grammar, but Japanese carriers gave such addresses out. In quotes they are right.
_DOTS = re.compile(r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~.\u0080-\U0010ffff]+\Z")
_ESCAPED = re.compile(r"\\(.)")
_QUOTED = re.compile(r'"(?:[\x20-\x21\x23-\x5b\x5d-\x7e\u0080-\U0010ffff]|\\[\x20-\x7e])*"\Z')
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\Z")
_LITERAL = re.compile(r"\[(?:\d{1,3}(?:\.\d{1,3}){3}|IPv6:[0-9A-Fa-f:.]{2,45})\]\Z", re.IGNORECASE)
_UNSAFE = re.compile("[\u0000-\u001f\u007f-\u009f\u2028\u2029\ud800-\udfff]")


class BadAddress(ValueError):
    """A text that is not an address; the message says what is wrong with it."""


def canonical_domain(text: str) -> str:
    """Return the one spelling of a domain: lower case, A-labels (`例子.cn` → `xn--fsqu00a.cn`), no final dot.

    Address literals (`[192.0.2.1]`) are returned in lower case. Raises `BadAddress`.
    """
    name = text.strip().rstrip(".") if not text.startswith("[") else text
    if _LITERAL.match(name):
        return name.lower()
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True, transitional=False).decode("ascii")
        except idna.IDNAError as error:
            raise BadAddress(f"the domain {text!r} is not a valid internationalised name") from error
    name = name.lower()
    if not name or len(name) > MAX_DOMAIN or not all(_LABEL.match(label) for label in name.split(".")):
        raise BadAddress(f"{text!r} is not a domain name")
    return name


def display_domain(domain: str) -> str:
    """Return the domain as people write it: A-labels decoded where they decode, otherwise unchanged."""
    if "xn--" not in domain:
        return domain
    try:
        return idna.decode(domain)
    except idna.IDNAError:
        return domain


def _canonical_local_part(text: str) -> str:
    if _ATOM.match(text):
        return text
    if _DOTS.match(text):
        return f'"{text}"'
    if not _QUOTED.match(text):
        raise BadAddress(f"{text!r} is not a valid name before an @")
    inner = _ESCAPED.sub(r"\1", text[1:-1])
    if _ATOM.match(inner):
        return inner
    escaped = inner.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@dataclass(frozen=True, slots=True)
class Address:
    """One envelope address: `local_part` in the case it was written in, `domain` canonical."""

    local_part: str
    domain: str

    @classmethod
    def parse(cls, text: str) -> Address:
        """Parse `local@domain`, quoted local parts and U-labels included; raise `BadAddress`.

        A local part has one spelling (RFC 5321 4.1.2): without quotes where it needs none, else in quotes, as
        `"a..b"`, which is taken without them, too.
        """
        local_part, at, domain = text.rpartition("@")
        if not at or not local_part or not domain:
            raise BadAddress(f"{text!r} is not of the form name@domain")
        if _UNSAFE.search(text):
            raise BadAddress("an address holds no control characters")
        name = _canonical_local_part(local_part) if len(local_part) <= MAX_LOCAL_PART else local_part
        # What is stored is read again: quotes and lower case may take more bytes than what was written.
        if max(len(each.encode()) for each in (local_part, name, name.lower())) > MAX_LOCAL_PART:
            raise BadAddress(f"the part before the @ is longer than {MAX_LOCAL_PART} bytes")
        address = cls(name, canonical_domain(domain))
        if len(str(address).encode()) > MAX_ADDRESS:
            raise BadAddress(f"the address is longer than {MAX_ADDRESS} bytes")
        return address

    @property
    def key(self) -> str:
        """The form addresses are compared and stored in: all lower case, domain canonical."""
        return f"{self.local_part.lower()}@{self.domain}"

    @property
    def is_ascii(self) -> bool:
        """Whether the address can travel without SMTPUTF8 (RFC 6531)."""
        return self.local_part.isascii()

    def __str__(self) -> str:
        return f"{self.local_part}@{self.domain}"
