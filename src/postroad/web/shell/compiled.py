"""Templates compiled once a version, not once a start: kept beside our own bytecode, in `__pycache__`.

Every start of every worker compiled them all, a quarter of a second of its processor's time. Where nothing
can be written there, they are compiled as before.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

import jinja2
from jinja2.bccache import Bucket, FileSystemBytecodeCache

PLACE = Path(__file__).parent / "__pycache__"


class CompiledTemplates(FileSystemBytecodeCache):
    """The cache. `settings` is what else than a template's text decides what it is compiled to."""

    def __init__(self, settings: str, place: Path = PLACE) -> None:
        version = hashlib.sha256(f"{jinja2.__version__} {settings}".encode()).hexdigest()[:12]
        super().__init__(str(place), f"template-{version}-%s.cache")
        with suppress(OSError):
            place.mkdir(exist_ok=True)

    def load_bytecode(self, bucket: Bucket) -> None:
        """Read what is kept; whatever cannot be read is compiled anew."""
        try:
            super().load_bytecode(bucket)
        except Exception:  # damage shows as errors of several kinds
            bucket.reset()

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep it, where that is possible."""
        with suppress(OSError):
            super().dump_bytecode(bucket)
