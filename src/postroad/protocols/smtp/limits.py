"""How much one SMTP session may ask for: sizes, counts and times, each with its precedent.

The engines count sizes and numbers; times are the listener's to keep, since an engine has no clock.
"""

from __future__ import annotations

from dataclasses import dataclass

MEBIBYTE = 1024 * 1024

# RFC 5321 4.5.3.1.4 asks for 512 and lets extensions add to it: DSN alone adds over 600 (RFC 3461 5.4).
# Postfix takes 2048 (line_length_limit).
COMMAND_LINE = 2048
AUTH_LINE = 12288  # RFC 4954 4: a base64 line of an AUTH exchange
# RFC 5321 4.5.3.1.6 has 1000 and asks for as much more as possible (4.5.3.1). Exim's bound of 998 refuses
# mail of programs that write a whole HTML body as one line; this one only keeps a line from being the whole
# mail. A line beyond it is refused, never folded: folding would break signatures.
CONTENT_LINE = MEBIBYTE
HEADER = 256 * 1024  # Exchange: MaxHeaderSize of a receive connector, 256 KB
MESSAGE = 50 * MEBIBYTE  # Exchange Online sends up to 150, Gmail receives 50
RECIPIENTS = 1000  # Postfix smtpd_recipient_limit; RFC 5321 4.5.3.1.8 asks for at least 100
RECIPIENTS_OVERSHOOT = 1000  # Postfix smtpd_recipient_overshoot_limit: 452s before they count as errors
MAILS = 10_000  # KumoMTA max_messages_per_connection
ERRORS = 20  # Postfix smtpd_hard_error_limit
JUNK_COMMANDS = 100  # Postfix smtpd_junk_command_limit
FAILED_RECIPIENTS = (
    100  # a directory harvest; Postfix stops one at 20 errors, real lists carry dead addresses
)
FAILED_SIGN_INS = 5  # guesses a connection; the limits over connections are the directory's

IDLE_SECONDS = 300.0  # RFC 5321 4.5.3.2.7: at least 5 minutes
SESSION_SECONDS = 3600.0  # without any accepted mail; 50 MB within it need 14 KB/s
HANDSHAKE_SECONDS = 60.0  # asyncio's own default for a TLS handshake, nginx' too
# Time for the acceptor. RFC 5321 4.5.3.2.6 gives the client 10 minutes, but old clients wait as long as PHP's
# default_socket_timeout: 60 s. What is not durable by then is answered 451, and the client comes again.
SAVING_SECONDS = 55.0


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """The limits of one listener's sessions. Sizes are bytes, times seconds."""

    command_line: int = COMMAND_LINE
    auth_line: int = AUTH_LINE
    content_line: int = CONTENT_LINE
    header: int = HEADER
    message: int = MESSAGE
    recipients: int = RECIPIENTS
    recipients_overshoot: int = RECIPIENTS_OVERSHOOT
    mails: int = MAILS
    errors: int = ERRORS
    junk_commands: int = JUNK_COMMANDS
    failed_recipients: int = FAILED_RECIPIENTS
    failed_sign_ins: int = FAILED_SIGN_INS
    idle_seconds: float = IDLE_SECONDS
    session_seconds: float = SESSION_SECONDS
    handshake_seconds: float = HANDSHAKE_SECONDS
    saving_seconds: float = SAVING_SECONDS
