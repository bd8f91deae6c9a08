"""`[storage]`: Where the bytes of mails rest."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from postroad.config.section import Section


class Storage(Section):
    """Where the bytes of mails rest."""

    inline_bytes: int = Field(64 * 1024, ge=0)  # larger bodies go to the blob store
    durability: Literal["flushed", "written"] = "flushed"  # "written": a power cut loses the last half second
