"""MAIL and RCPT as the client writes them, with the parameters that a host can take.

Pure functions of an envelope and what EHLO offered. RFC 1870 (SIZE), 6152 (8BITMIME), 6531 (SMTPUTF8),
RFC 3461 (DSN).
"""

from __future__ import annotations

from postroad.protocols.smtp.commands import encode_xtext
from postroad.protocols.smtp.envelope import Envelope, EnvelopeRecipient, Notify
from postroad.protocols.smtp.outcomes import Extensions


def mail_itself_needs_smtputf8(envelope: Envelope, content: bytes) -> bool:
    """Whether the mail, apart from its recipients, can only travel with SMTPUTF8 (RFC 6531 3.2)."""
    sender = envelope.mail_from
    if sender is not None and not sender.is_ascii:
        return True
    if not envelope.smtputf8:
        return False
    # Asked for by the submitter; needed only if the header uses it.
    end = content.find(b"\r\n\r\n")
    return not (content if end < 0 else content[:end]).isascii()


def mail_line(envelope: Envelope, content: bytes, extensions: Extensions) -> bytes:
    """Write the MAIL command of this envelope, CRLF included."""
    sender = envelope.mail_from
    line = f"MAIL FROM:<{sender}>" if sender is not None else "MAIL FROM:<>"
    if extensions.size_bytes is not None:
        line += f" SIZE={len(content)}"
    # Content outside ASCII goes to a host without 8BITMIME as it is, like Exim and qmail send it: such hosts
    # are 8-bit clean in practice, and converting would break every signature (RFC 6376 5.3).
    if extensions.eight_bit and not content.isascii():
        line += " BODY=8BITMIME"
    if extensions.smtputf8 and (
        mail_itself_needs_smtputf8(envelope, content)
        or not all(recipient.address.is_ascii for recipient in envelope.recipients)
    ):
        line += " SMTPUTF8"
    if extensions.dsn:
        if envelope.ret is not None:
            line += f" RET={envelope.ret.value}"
        if envelope.envelope_id:
            line += f" ENVID={encode_xtext(envelope.envelope_id)}"
    return line.encode() + b"\r\n"


def recipient_line(recipient: EnvelopeRecipient, extensions: Extensions) -> bytes:
    """Write the RCPT command of this recipient, CRLF included."""
    line = f"RCPT TO:<{recipient.address}>"
    if extensions.dsn:
        if recipient.notify is not None:
            line += f" NOTIFY={','.join(str(flag.name) for flag in Notify if flag in recipient.notify)}"
        if recipient.original is not None:
            original = recipient.original
            line += f" ORCPT={original.address_type};{encode_xtext(original.address)}"
    return line.encode() + b"\r\n"
