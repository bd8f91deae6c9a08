"""`[api]`: the JSON API."""

from __future__ import annotations

from pydantic import Field

from postroad.config.section import Section


class Api(Section):
    """The JSON API."""

    calls_per_minute: int = Field(
        1200, gt=0
    )  # of one token holder, for each account it acts for; over all workers
    max_streams: int = Field(2000, gt=0)  # live streams of a worker
    max_streams_per_account: int = Field(20, gt=0)  # of those
