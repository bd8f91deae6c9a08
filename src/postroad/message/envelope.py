"""The header fields a list view and IMAP's ENVELOPE tell of a mail, read once and kept.

RFC 9051 7.5.2 rules the form: raw values, encoded words intact, groups with their markers. The structs are
msgspec's: as frozen as a dataclass, ten times as fast to make, and their JSON is a plain array.
"""

from __future__ import annotations

import msgspec

from .headers import ListItem, address_items, raw_text

MAX_ENVELOPE_TEXT = 4_096  # characters kept of one text: RFC 5322 2.1.1 lines are 998, a few of them folded

# Bytes to which more fields of one name are joined (RFC 5322 3.6 allows one): each joining copies them.
MAX_JOINED = 16_384

_ADDRESS_FIELDS = frozenset((b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc"))
_TEXT_FIELDS = frozenset((b"date", b"subject", b"in-reply-to", b"message-id"))
_OTHER_FIELDS = frozenset((b"references", b"x-priority", b"importance", b"priority"))
_WANTED = _ADDRESS_FIELDS | _TEXT_FIELDS | _OTHER_FIELDS


class Envelope(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What IMAP answers to ENVELOPE; None is NIL. Sender and Reply-To are From where the mail names none."""

    date: str | None = None
    subject: str | None = None
    from_: list[ListItem] = []
    sender: list[ListItem] = []
    reply_to: list[ListItem] = []
    to: list[ListItem] = []
    cc: list[ListItem] = []
    bcc: list[ListItem] = []
    in_reply_to: str | None = None
    message_id: str | None = None


def keep(values: dict[bytes, bytes], name: bytes, value: bytes) -> None:
    """Note one field, its name in lower case, among the raw values that `envelope_of` reads.

    Of a field that stands several times the first counts; lists of addresses are joined (as Dovecot does).
    """
    if name not in _WANTED:
        return
    if name not in values:
        values[name] = value
    elif name in _ADDRESS_FIELDS and len(values[name]) < MAX_JOINED:
        values[name] = values[name].rstrip() + b", " + value


def _items(values: dict[bytes, bytes], name: bytes) -> list[ListItem]:
    value = values.get(name)
    return address_items(raw_text(value)) if value else []


def _text(values: dict[bytes, bytes], name: bytes) -> str | None:
    value = values.get(name)
    return None if value is None else raw_text(value)[:MAX_ENVELOPE_TEXT]


def envelope_of(values: dict[bytes, bytes]) -> Envelope:
    """Build the envelope from the raw values that `keep` noted."""
    header_from = _items(values, b"from")
    return Envelope(
        date=_text(values, b"date"),
        subject=_text(values, b"subject"),
        from_=header_from,
        # RFC 9051 7.5.2: an absent or empty Sender or Reply-To is told as From
        sender=_items(values, b"sender") or header_from,
        reply_to=_items(values, b"reply-to") or header_from,
        to=_items(values, b"to"),
        cc=_items(values, b"cc"),
        bcc=_items(values, b"bcc"),
        in_reply_to=_text(values, b"in-reply-to"),
        message_id=_text(values, b"message-id"),
    )


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Envelope)


def encode_envelope(envelope: Envelope) -> bytes:
    """Return the JSON an envelope is stored as."""
    return _encoder.encode(envelope)


def decode_envelope(data: bytes) -> Envelope:
    """Read back what `encode_envelope` wrote; raises msgspec.DecodeError on anything else."""
    return _decoder.decode(data)
