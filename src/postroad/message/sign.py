"""DKIM signatures: keys, their DNS records, and the fields that vouch for a mail.

RFC 6376 rules them, RFC 8301 the key sizes, RFC 8463 Ed25519. Always relaxed/relaxed: relays fold headers and
trim blanks. One body hash serves all keys of a mail; a signature needs no more than the mail's bytes. Pure,
and safe in threads: `cryptography` releases the lock while it signs.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from .address import canonical_domain
from .headers import FIELD
from .scan import header_end

Algorithm = Literal["rsa-2048", "ed25519"]

RSA_BITS = 2048  # RFC 8301 3.2: at least 2048 should be used; a longer key does not fit one UDP answer
_PUBLIC_EXPONENT = 65_537
_TXT_STRING = 255  # bytes of one character-string in a TXT record, RFC 1035 3.3.14

# Signed where they stand, the last ones first (RFC 6376 5.4.2), …
SIGNED = (
    *(
        "from",
        "sender",
        "reply-to",
        "subject",
        "date",
        "message-id",
        "to",
        "cc",
        "mime-version",
        "content-type",
    ),
    *(
        "content-transfer-encoding",
        "content-id",
        "content-description",
        "in-reply-to",
        "references",
        "list-id",
    ),
    *("list-help", "list-unsubscribe", "list-unsubscribe-post", "list-subscribe", "list-post", "list-owner"),
    *("list-archive", "resent-from", "resent-to", "resent-date", "resent-message-id", "auto-submitted"),
    *("disposition-notification-to", "importance", "x-priority"),
)
# … and once more than they stand, so that nobody can add another one (RFC 6376 5.4 and 8.15).
OVERSIGNED = frozenset(
    (
        *("from", "sender", "reply-to", "subject", "date", "message-id", "to", "cc", "mime-version"),
        *("content-type", "content-transfer-encoding", "in-reply-to", "references"),
    )
)

_BLANKS = re.compile(rb"[ \t]+")
_BARE_LINE_END = re.compile(rb"\r\n|\r|\n")
_SELECTOR = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*\Z")
_RECORD_STRING = re.compile(f".{{1,{_TXT_STRING}}}")


class BadKey(ValueError):
    """A key, selector or domain that cannot sign; the message says why."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key of one domain, published under one selector."""

    domain: str
    selector: str
    private_key: RSAPrivateKey | Ed25519PrivateKey

    @classmethod
    def load(cls, domain: str, selector: str, pem: bytes) -> SigningKey:
        """Return the key of a PKCS #8 PEM without password; raise `BadKey` or `BadAddress`."""
        if not _SELECTOR.match(selector):
            raise BadKey(f"{selector!r} is not a selector: lower-case letters, digits, hyphens, dots")
        try:
            private_key = serialization.load_pem_private_key(pem, None)
        except (ValueError, TypeError) as error:
            raise BadKey("the key is not an unencrypted PEM private key") from error
        if not isinstance(private_key, (RSAPrivateKey, Ed25519PrivateKey)):
            raise BadKey("only RSA and Ed25519 keys sign mails")
        if isinstance(private_key, RSAPrivateKey) and private_key.key_size < 1024:
            raise BadKey("an RSA key needs at least 1024 bits, better 2048")  # RFC 8301 3.2
        return cls(canonical_domain(domain), selector, private_key)

    @property
    def algorithm(self) -> str:
        """The name of the signature algorithm in the field: `rsa-sha256` or `ed25519-sha256`."""
        return "rsa-sha256" if isinstance(self.private_key, RSAPrivateKey) else "ed25519-sha256"

    @property
    def record_name(self) -> str:
        """The DNS name its TXT record stands under."""
        return f"{self.selector}._domainkey.{self.domain}"


def generate_key(algorithm: Algorithm) -> bytes:
    """Return a new private key as PKCS #8 PEM, unencrypted."""
    private_key: RSAPrivateKey | Ed25519PrivateKey
    if algorithm == "ed25519":
        private_key = Ed25519PrivateKey.generate()
    else:
        private_key = generate_private_key(_PUBLIC_EXPONENT, RSA_BITS)
    return private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def dns_record(key: SigningKey) -> tuple[str, ...]:
    """Return the strings of a TXT record, in order, each to be quoted in a zone file (RFC 6376 3.6.2.2)."""
    public_key = key.private_key.public_key()
    if isinstance(key.private_key, Ed25519PrivateKey):
        # RFC 8463 4: the bare 32 bytes, not a SubjectPublicKeyInfo
        kind = "ed25519"
        data = public_key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    else:
        kind = "rsa"
        data = public_key.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    value = f"v=DKIM1; k={kind}; p={base64.b64encode(data).decode()}"
    return tuple(_RECORD_STRING.findall(value))


def sign(content: bytes, keys: Sequence[SigningKey], *, now: datetime, header_prefix: bytes = b"") -> bytes:
    """Return one DKIM-Signature field for each key, to stand in front of the mail.

    `header_prefix` are fields that will stand in front of `content` and are signed with it. `content` is read
    as it travels, with CRLF line ends; bare ones count as CRLF. `now` (aware) is the time of signing.
    """
    body_start = header_end(content, 0, len(content))
    fields = _fields(header_prefix + content[:body_start])
    signed, canonical = _signed_headers(fields)
    body_hash = base64.b64encode(hashlib.sha256(canonical_body(content[body_start:])).digest()).decode()
    return b"".join(_signature(key, int(now.timestamp()), signed, canonical, body_hash) for key in keys)


def canonical_body(body: bytes) -> bytes:
    """Return the body in relaxed form (RFC 6376 3.4.4): runs of blanks one, none at line ends, no empty last
    lines.
    """
    if body.count(b"\n") != body.count(b"\r\n") or body.count(b"\r") != body.count(b"\r\n"):
        body = _BARE_LINE_END.sub(b"\r\n", body)
    # Plain replacements: each halves the runs that are left, and a regex takes ten times as long.
    body = body.replace(b"\t", b" ")
    while b"  " in body:
        body = body.replace(b"  ", b" ")
    body = body.replace(b" \r\n", b"\r\n")
    body = body.rstrip(b"\r\n")
    body = body.removesuffix(b" ").rstrip(b"\r\n") if body.endswith(b" ") else body
    return body + b"\r\n" if body else b""


def canonical_field(name: bytes, value: bytes) -> bytes:
    """Return a field in relaxed form without its line end (RFC 6376 3.4.2)."""
    value = value.replace(b"\r", b"").replace(b"\n", b"")
    return name.lower() + b":" + _BLANKS.sub(b" ", value).strip(b" \t")


def _fields(header: bytes) -> dict[str, list[bytes]]:
    """Return the canonical fields by name, in the order they stand."""
    fields: dict[str, list[bytes]] = {}
    for match in FIELD.finditer(header):
        name = match[1].decode("ascii").lower()
        if name in _WANTED:
            fields.setdefault(name, []).append(canonical_field(match[1], match[2]))
    return fields


_WANTED = frozenset(SIGNED)


def _signed_headers(fields: dict[str, list[bytes]]) -> tuple[str, bytes]:
    """Return the names for h= and the canonical fields they stand for, each with its line end."""
    names: list[str] = []
    canonical: list[bytes] = []
    for name in SIGNED:
        present = fields.get(name, [])
        names += [name] * len(present)
        # RFC 6376 5.4.2: several fields of one name are signed from the bottom up
        canonical += reversed(present)
        if name in OVERSIGNED:
            names.append(name)
    return ":".join(names), b"".join(field + b"\r\n" for field in canonical)


def _signature(key: SigningKey, timestamp: int, signed: str, canonical: bytes, body_hash: str) -> bytes:
    field = (
        f"DKIM-Signature: v=1; a={key.algorithm}; c=relaxed/relaxed; d={key.domain};\r\n"
        f"\ts={key.selector}; t={timestamp};\r\n"
        f"\th={_folded(signed, ':')};\r\n"
        f"\tbh={body_hash};\r\n\tb="
    )
    name, _, value = field.encode("ascii").partition(b":")
    data = canonical + canonical_field(name, value)
    if isinstance(key.private_key, RSAPrivateKey):
        signature = key.private_key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    else:
        # RFC 8463 3: what is signed is the SHA-256 of the data
        signature = key.private_key.sign(hashlib.sha256(data).digest())
    text = base64.b64encode(signature).decode()
    lines = [text[at : at + 72] for at in range(0, len(text), 72)]
    return (field + "\r\n\t ".join(lines) + "\r\n").encode("ascii")


def _folded(text: str, mark: str) -> str:
    """Fold a list behind its marks, so that lines stay under 78."""
    lines = [""]
    for item in text.split(mark):
        if len(lines[-1]) + len(item) > 68:
            lines.append("")
        lines[-1] += item + mark
    return "\r\n\t ".join(lines).removesuffix(mark)
