"""`[log]`: How events are logged."""

from __future__ import annotations

from typing import Literal

from postroad.config.section import Section


class Log(Section):
    """One line an event, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] = "json"
