"""The states of a task and who may change which (part C.2 and 6.3, 6.4 of our page). Pure tables."""

from __future__ import annotations

from enum import IntEnum


class State(IntEnum):
    """What a task is doing."""

    PREPARING = -5  # due; its recipients are being written
    CANNOT_RUN = -4
    CANCELLED = -3
    PAUSED = -2
    NOT_NOW = -1
    WAITING = 1
    SENDING = 2
    FINISHED = 3
    STOPPED = 4  # by an administrator


# What a customer may ask for when the task is made or changed: wait, not now, at once.
WISHES = frozenset({State.WAITING, State.NOT_NOW, State.SENDING})
EDITABLE = frozenset({State.NOT_NOW, State.WAITING, State.PAUSED})
CAN_PAUSE = CAN_CANCEL = frozenset({State.WAITING, State.SENDING, State.PAUSED})
ENDED = frozenset({State.CANNOT_RUN, State.CANCELLED, State.FINISHED, State.STOPPED})
CANNOT_DELETE = frozenset({State.SENDING, State.PREPARING})
# Removed in one of these, a task is cancelled: nothing may begin that nobody can see.
CANCELLED_BY_REMOVAL = frozenset({State.WAITING, State.NOT_NOW, State.PAUSED})


def state_of_wish(wish: State, *, is_expanded: bool) -> State:
    """The state that a wish leads to: "at once" goes by the list's expansion unless that is done."""
    if wish is State.SENDING and not is_expanded:
        return State.PREPARING
    return wish
