"""The states of a POP3 session as a table: which command is in order where. Nothing here acts.

RFC 1939 3 (AUTHORIZATION, TRANSACTION, UPDATE), RFC 2449 (CAPA), RFC 2595 4 (STLS), RFC 5034 (AUTH),
RFC 6856 (UTF8).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class State(StrEnum):
    """Where a session stands."""

    AUTHORIZATION = "authorization"
    SIGNING_IN = "signing in"  # the response of an AUTH is awaited
    TRANSACTION = "transaction"
    CLOSED = "closed"


_BEFORE = ("CAPA", "USER", "PASS", "AUTH", "STLS", "UTF8", "NOOP", "QUIT")
_WITHIN = ("CAPA", "STAT", "LIST", "UIDL", "RETR", "TOP", "DELE", "RSET", "NOOP", "QUIT")

COMMANDS: Mapping[State, frozenset[str]] = MappingProxyType(
    {
        State.AUTHORIZATION: frozenset(_BEFORE),
        State.SIGNING_IN: frozenset(),
        State.TRANSACTION: frozenset(_WITHIN),
        State.CLOSED: frozenset(),
    }
)
"""For each state the commands that are in order there."""

KNOWN = frozenset(_BEFORE) | frozenset(_WITHIN)
