"""The server engine's own answers, in one place: what a client can read when nobody but the engine decides.

Those that are only ever sent are kept rendered. They are sent, never raised: a shared exception would gather
tracebacks. RFC 5321 4.2 and 4.3.2 (codes), RFC 3463 and the IANA registry (enhanced status).
"""

from __future__ import annotations

from typing import Final

from postroad.protocols.smtp.auth import MECHANISMS
from postroad.protocols.smtp.replies import SmtpReply

SENDER_OK: Final = SmtpReply(250, "2.1.0", "Sender ok").render()
RECIPIENT_OK: Final = SmtpReply(250, "2.1.5", "Recipient ok").render()
SEND_CONTENT: Final = SmtpReply(354, "", "End data with <CR><LF>.<CR><LF>").render()
OK: Final = SmtpReply(250, "2.0.0", "Ok").render()
SIGNED_IN: Final = SmtpReply(235, "2.7.0", "Authentication successful").render()
TLS_READY: Final = SmtpReply(220, "2.0.0", "Ready to start TLS").render()
BYE: Final = SmtpReply(221, "2.0.0", "Bye").render()
HELP: Final = SmtpReply(
    214, "2.0.0", "Commands: EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP STARTTLS AUTH QUIT"
).render()
# RFC 5321 7.3 and 3.5.3: neither confirms nor denies that an address exists.
VRFY: Final = SmtpReply(252, "2.1.5", "Send some mail, and see").render()

UNKNOWN_COMMAND: Final = SmtpReply(500, "5.5.2", "Command not recognised")
NOT_IMPLEMENTED: Final = SmtpReply(502, "5.5.1", "Command not implemented")
LINE_TOO_LONG: Final = SmtpReply(500, "5.5.6", "Line too long")
BAD_LINE: Final = SmtpReply(500, "5.5.2", "Lines end in CRLF and hold no bare CR, LF or NUL")
NO_ARGUMENT: Final = SmtpReply(501, "5.5.4", "This command takes no argument")
NO_VALID_RECIPIENTS: Final = SmtpReply(554, "5.5.1", "No valid recipients")
TOO_MANY_RECIPIENTS: Final = SmtpReply(452, "4.5.3", "Too many recipients; send the rest in another mail")
SIGN_IN_FIRST: Final = SmtpReply(530, "5.7.0", "Authentication required")
TLS_FIRST: Final = SmtpReply(538, "5.7.11", "Encryption required for authentication; use STARTTLS first")
NO_AUTH: Final = SmtpReply(502, "5.5.1", "Authentication is not offered here")
SIGNED_IN_ALREADY: Final = SmtpReply(503, "5.5.1", "Already authenticated")
BAD_MECHANISM: Final = SmtpReply(504, "5.5.4", f"Mechanisms: {' '.join(MECHANISMS)}")
NO_TLS: Final = SmtpReply(502, "5.5.1", "STARTTLS is not offered here")
TLS_ALREADY: Final = SmtpReply(503, "5.5.1", "TLS is active already")
TOO_MANY_ERRORS: Final = SmtpReply(421, "4.7.0", "Too many errors")
TOO_MUCH_JUNK: Final = SmtpReply(421, "4.7.0", "Too many commands without a mail")
TOO_MANY_FAILED: Final = SmtpReply(421, "4.7.0", "Too many failed recipients")
TOO_MANY_GUESSES: Final = SmtpReply(421, "4.7.0", "Too many failed sign-ins")
TOO_MANY_MAILS: Final = SmtpReply(421, "4.7.0", "Too many mails on one connection; connect again")
WRONG_PROTOCOL: Final = SmtpReply(421, "4.7.0", "This is SMTP")
SHUTTING_DOWN: Final = SmtpReply(421, "4.3.2", "Shutting down; connect again")
