"""The states of an IMAP session as a table: which command is in order where. Nothing here acts.

RFC 9051 3. A command that is known and out of order is answered BAD, as one that is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType


class State(Enum):
    """Where a session stands."""

    NOBODY = "not authenticated"
    SIGNED_IN = "authenticated"
    SELECTED = "selected"
    ENDED = "logout"


_ANYWHERE = frozenset(("CAPABILITY", "NOOP", "LOGOUT", "ID"))
_NOBODY = frozenset(("STARTTLS", "AUTHENTICATE", "LOGIN"))
_SIGNED_IN = frozenset(
    ("ENABLE", "SELECT", "EXAMINE", "CREATE", "DELETE", "RENAME", "SUBSCRIBE", "UNSUBSCRIBE", "LIST", "LSUB",
     "NAMESPACE", "STATUS", "APPEND", "IDLE", "GETQUOTA", "GETQUOTAROOT", "COMPRESS")
)  # fmt: skip
_SELECTED = frozenset(
    ("CLOSE", "UNSELECT", "EXPUNGE", "SEARCH", "FETCH", "STORE", "COPY", "MOVE", "CHECK", "SORT", "THREAD",
     "REPLACE", "UID EXPUNGE", "UID SEARCH", "UID FETCH", "UID STORE", "UID COPY", "UID MOVE", "UID SORT",
     "UID THREAD", "UID REPLACE")
)  # fmt: skip

COMMANDS: Mapping[State, frozenset[str]] = MappingProxyType(
    {
        State.NOBODY: _ANYWHERE | _NOBODY,
        State.SIGNED_IN: _ANYWHERE | _SIGNED_IN,
        State.SELECTED: _ANYWHERE | _SIGNED_IN | _SELECTED,
        State.ENDED: frozenset(),
    }
)
"""For each state the commands that are in order there."""

KNOWN = frozenset().union(*COMMANDS.values())

# RFC 9051 7.5.1: while one of these is answered, no EXPUNGE may be told: its numbers would shift under it.
BY_NUMBER = frozenset(("FETCH", "STORE", "SEARCH", "SORT", "THREAD", "REPLACE"))
# RFC 9586 3: these number mails, so they end with UIDONLY.
NUMBERING = BY_NUMBER | {"COPY", "MOVE"}
