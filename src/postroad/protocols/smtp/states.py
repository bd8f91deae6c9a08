"""The states of an SMTP server session, as tables: which command is in order where, and what leads where.

Nothing here acts. The engine looks its next state up and has no other way to change it; a test walks both
tables exhaustively. RFC 5321 4.1.4 (order of commands), RFC 3030 (BDAT), RFC 3207 (STARTTLS), RFC 4954
(AUTH).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType

from postroad.protocols.smtp.replies import SmtpReply


class State(enum.IntEnum):
    """Where a session stands. IntEnum: looked up several times a command, and hashed in C."""

    CONNECTED = 0  # the banner is not yet sent
    START = 1  # HELO or EHLO is wanted
    READY = 2  # greeted, no transaction
    SENDER = 3  # MAIL accepted, no recipient yet
    RECIPIENTS = 4  # at least one recipient accepted
    CONTENT = 5  # DATA was answered 354: content until the lone dot
    CHUNK = 6  # the octets of a BDAT
    CHUNKS = 7  # between two BDATs
    SIGNING_IN = 8  # lines of an AUTH exchange
    HANDSHAKE = 9  # STARTTLS was answered 220
    CLOSED = 10


class Step(enum.IntEnum):
    """What happened to a session."""

    BANNER = 0
    GREETED = 1
    SENDER_ACCEPTED = 2
    RECIPIENT_ACCEPTED = 3
    CONTENT_BEGUN = 4
    CHUNK_BEGUN = 5
    CHUNK_ENDED = 6
    TRANSACTION_ENDED = 7  # accepted or refused: the client starts anew
    RESET = 8
    SIGN_IN_BEGUN = 9
    SIGN_IN_ENDED = 10
    TLS_BEGUN = 11
    TLS_ESTABLISHED = 12
    CLOSED = 13


class Verb(enum.StrEnum):
    """The commands that are known."""

    HELO = "HELO"
    EHLO = "EHLO"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    BDAT = "BDAT"
    RSET = "RSET"
    NOOP = "NOOP"
    VRFY = "VRFY"
    HELP = "HELP"
    QUIT = "QUIT"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"


COMMAND_STATES = (State.START, State.READY, State.SENDER, State.RECIPIENTS, State.CHUNKS)
"""The states in which a line is a command."""

_GREET_FIRST = SmtpReply(503, "5.5.1", "Send HELO or EHLO first")
_MAIL_FIRST = SmtpReply(503, "5.5.1", "Send MAIL first")
_RCPT_FIRST = SmtpReply(503, "5.5.1", "Send RCPT first")
_NESTED_MAIL = SmtpReply(503, "5.5.1", "A sender was given already; send RSET to start again")
_CHUNKS_BEGUN = SmtpReply(503, "5.5.1", "BDAT has begun; only BDAT, RSET and QUIT continue it")
_IN_TRANSACTION = SmtpReply(503, "5.5.1", "Not during a mail transaction")

OUT_OF_ORDER: Mapping[State, Mapping[Verb, SmtpReply]] = MappingProxyType(
    {
        State.START: dict.fromkeys(
            (Verb.MAIL, Verb.RCPT, Verb.DATA, Verb.BDAT, Verb.STARTTLS, Verb.AUTH), _GREET_FIRST
        ),
        State.READY: {Verb.RCPT: _MAIL_FIRST, Verb.DATA: _MAIL_FIRST, Verb.BDAT: _MAIL_FIRST},
        State.SENDER: {
            Verb.MAIL: _NESTED_MAIL,
            Verb.DATA: _RCPT_FIRST,
            Verb.BDAT: _RCPT_FIRST,
            Verb.STARTTLS: _IN_TRANSACTION,
            Verb.AUTH: _IN_TRANSACTION,  # RFC 4954 4: AUTH during a transaction is answered 503
        },
        State.RECIPIENTS: {
            Verb.MAIL: _NESTED_MAIL,
            Verb.STARTTLS: _IN_TRANSACTION,
            Verb.AUTH: _IN_TRANSACTION,
        },
        # RFC 3030 2: DATA and BDAT cannot be mixed, and nothing changes the envelope between chunks.
        State.CHUNKS: dict.fromkeys(
            (Verb.MAIL, Verb.RCPT, Verb.DATA, Verb.STARTTLS, Verb.AUTH), _CHUNKS_BEGUN
        ),
    }
)
"""For each state the commands that are out of order there, with the answer; every other command is in
order.
"""

_COMMON: Mapping[Step, State] = {
    Step.GREETED: State.READY,
    Step.RESET: State.READY,
    Step.CLOSED: State.CLOSED,
}

TRANSITIONS: Mapping[State, Mapping[Step, State]] = MappingProxyType(
    {
        State.CONNECTED: {Step.BANNER: State.START, Step.CLOSED: State.CLOSED},
        State.START: {**_COMMON, Step.RESET: State.START},
        State.READY: {
            **_COMMON,
            Step.SENDER_ACCEPTED: State.SENDER,
            Step.SIGN_IN_BEGUN: State.SIGNING_IN,
            Step.TLS_BEGUN: State.HANDSHAKE,
        },
        State.SENDER: {**_COMMON, Step.RECIPIENT_ACCEPTED: State.RECIPIENTS},
        State.RECIPIENTS: {
            **_COMMON,
            Step.RECIPIENT_ACCEPTED: State.RECIPIENTS,
            Step.CONTENT_BEGUN: State.CONTENT,
            Step.CHUNK_BEGUN: State.CHUNK,
            Step.TRANSACTION_ENDED: State.READY,
        },
        State.CONTENT: {Step.TRANSACTION_ENDED: State.READY, Step.CLOSED: State.CLOSED},
        State.CHUNK: {
            Step.CHUNK_ENDED: State.CHUNKS,
            Step.TRANSACTION_ENDED: State.READY,
            Step.CLOSED: State.CLOSED,
        },
        State.CHUNKS: {**_COMMON, Step.CHUNK_BEGUN: State.CHUNK, Step.TRANSACTION_ENDED: State.READY},
        State.SIGNING_IN: {Step.SIGN_IN_ENDED: State.READY, Step.CLOSED: State.CLOSED},
        # RFC 3207 4.2: after the handshake the client starts from the beginning, without a second banner.
        State.HANDSHAKE: {Step.TLS_ESTABLISHED: State.START, Step.CLOSED: State.CLOSED},
        State.CLOSED: {},
    }
)
"""For each state, what may happen in it and where that leads."""
