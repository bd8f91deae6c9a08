"""The trace a mail gathers on its way: Received, Return-Path, Delivered-To; and reading it to find loops.

Pure. RFC 5321 4.4 (trace information), 6.3 (loop detection); RFC 9228 (Delivered-To); RFC 3848.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from postroad.message.address import Address
from postroad.protocols.smtp.envelope import Envelope, SessionInfo

MAX_RECEIVED = 50  # Postfix's hopcount_limit; RFC 5321 6.3 asks for at least 100 or something sensible
MAX_DELIVERED_TO = 50

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_UNSAFE_IN_COMMENT = re.compile(r"[^\x21-\x27\x2a-\x5b\x5d-\x7e]")
_DELIVERED_TO = re.compile(rb"(?:\A|\n)delivered-to:[ \t]*([^\r\n]{1,320})", re.IGNORECASE)
_FIELD = re.compile(rb"[!-9;-~]{1,200}[ \t]*:")


def begins_with_field(content: bytes) -> bool:
    """Whether the content starts with a header field, and not with text somebody forgot to set apart."""
    return _FIELD.match(content) is not None


def format_date(moment: datetime) -> str:
    """Write a time the way RFC 5322 3.3 does (`Fri, 21 Nov 1997 09:55:06 +0000`), in its own offset."""
    offset = "+0000" if moment.tzinfo is UTC else moment.strftime("%z")[:5] or "+0000"
    return (
        f"{_DAYS[moment.weekday()]}, {moment.day} {_MONTHS[moment.month - 1]} {moment.year} "
        f"{moment.hour:02}:{moment.minute:02}:{moment.second:02} {offset}"
    )


def received(session: SessionInfo, envelope: Envelope, hostname: str, mail_id: str, now: datetime) -> bytes:
    """Return the Received field of a mail that came by SMTP (RFC 5321 4.4).

    `for` is written for a single recipient only: with more it would tell each of them about the others.
    """
    helo = _UNSAFE_IN_COMMENT.sub("?", session.helo)[:255] or "unknown"
    literal = f"IPv6:{session.client_address}" if ":" in session.client_address else session.client_address
    tls = (
        f"\r\n\t(using {session.tls_version} with cipher {session.tls_cipher})" if session.tls_version else ""
    )
    only = f"\r\n\tfor <{envelope.recipients[0].address}>" if len(envelope.recipients) == 1 else ""
    return (
        f"Received: from {helo} ([{literal}]){tls}\r\n"
        f"\tby {hostname} with {session.protocol_word(envelope.smtputf8)} id {mail_id}{only};\r\n"
        f"\t{format_date(now)}\r\n"
    ).encode()


def received_locally(hostname: str, how: str, mail_id: str, now: datetime) -> bytes:
    """Return the Received field of a mail made in this house; `how` is `HTTP` or `LOCAL`."""
    return f"Received: by {hostname} with {how} id {mail_id};\r\n\t{format_date(now)}\r\n".encode()


def return_path(sender: Address | None) -> bytes:
    """Return the Return-Path field of final delivery (RFC 5321 4.4)."""
    return f"Return-Path: <{sender if sender is not None else ''}>\r\n".encode()


def delivered_to(address: str) -> bytes:
    """Return the mark that a mail has passed this address once (RFC 9228)."""
    return f"Delivered-To: {address}\r\n".encode()


def count_received(header: bytes) -> int:
    """Count the hosts a mail has passed, without regard to case."""
    lowered = header.lower()
    return lowered.count(b"\nreceived:") + lowered.startswith(b"received:")


def marks(header: bytes) -> frozenset[str]:
    """Return the addresses that a mail has already passed, in canonical case; at most the first 50."""
    found: set[str] = set()
    for match in _DELIVERED_TO.finditer(header):
        found.add(match[1].strip(b" \t<>").decode("utf-8", "replace").lower())
        if len(found) >= MAX_DELIVERED_TO:
            break
    return frozenset(found)
