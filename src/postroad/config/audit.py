"""`[audit]`: The log of who changed what."""

from __future__ import annotations

from pydantic import Field

from postroad.config.section import Section


class AuditLog(Section):
    """What administrators and the command line did."""

    days: int = Field(400, gt=0)  # how long entries are kept: a year and a month to look at it
