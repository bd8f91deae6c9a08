"""What the sending engine is told of tasks that people change; `sending/halting.py` obeys."""

from __future__ import annotations

from typing import Protocol


class Orders(Protocol):
    """How it is told."""

    async def halt(self, run_id: int) -> None:
        """Return when no worker begins anything of the run any more."""
        ...

    def look(self) -> None:
        """Something may be due, or over."""
        ...


class _Nobody:
    """Where no engine runs, nothing need be halted."""

    async def halt(self, run_id: int) -> None:
        """Do nothing."""

    def look(self) -> None:
        """Do nothing."""


NOBODY: Orders = _Nobody()
