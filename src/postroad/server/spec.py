"""What the supervisor tells a worker at its start, and the few words they exchange.

The spec travels over the worker's standard input (it may hold a relay's password, which must not stand in the
environment or the command line); the pipe stays open, and its end is the supervisor's death.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from postroad.config import Settings

READY = b"ready\n"  # a worker's word, on standard output, once its doors are open


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """Everything a worker needs. `addresses` are the doors with their real ports."""

    number: int
    supervisor: int
    settings: Settings
    dsn: str
    addresses: dict[str, str]
    certificate: Path
    private_key: Path
    metrics_directory: Path

    def to_bytes(self) -> bytes:
        """One line of JSON."""
        return (
            msgspec.json.encode(
                {
                    "number": self.number,
                    "supervisor": self.supervisor,
                    "settings": self.settings.model_dump(mode="json"),
                    "dsn": self.dsn,
                    "addresses": self.addresses,
                    "certificate": str(self.certificate),
                    "private_key": str(self.private_key),
                    "metrics_directory": str(self.metrics_directory),
                }
            )
            + b"\n"
        )

    @classmethod
    def from_bytes(cls, line: bytes) -> WorkerSpec:
        """Undo `to_bytes`."""
        told: dict[str, Any] = msgspec.json.decode(line)
        return cls(
            number=told["number"],
            supervisor=told["supervisor"],
            # Complete, so nothing is taken from the environment again.
            settings=Settings(**told["settings"]),
            dsn=told["dsn"],
            addresses=told["addresses"],
            certificate=Path(told["certificate"]),
            private_key=Path(told["private_key"]),
            metrics_directory=Path(told["metrics_directory"]),
        )
