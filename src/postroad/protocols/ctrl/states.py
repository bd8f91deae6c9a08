"""The states of a control session as a table: what the next line is taken for. Nothing here acts.

Interface page ctrl-protocol.md, section 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from postroad.protocols.ctrl.wire import MAX_COMMAND_LINE, MAX_DATA_LINE, MAX_LOGIN_LINE


class State(StrEnum):
    """Where a session stands."""

    LOGIN = "login"
    COMMANDS = "commands"
    UPLOAD = "upload"
    CLOSED = "closed"


LINES: Mapping[State, int] = MappingProxyType(
    {State.LOGIN: MAX_LOGIN_LINE, State.COMMANDS: MAX_COMMAND_LINE, State.UPLOAD: MAX_DATA_LINE}
)
"""For each state in which lines come, how many bytes one may have before its end."""
