"""The blob store: whether a large mail could be written now."""

from __future__ import annotations

import asyncio

from postroad.cli.checks.finding import Finding
from postroad.config import Settings
from postroad.mailstore.blobs import Blobs
from postroad.mailstore.errors import BlobsUnavailable

SECONDS = 10.0


async def check_blobs(settings: Settings) -> list[Finding]:
    """Try it; nothing is left behind."""
    location = settings.blob_location
    try:
        async with asyncio.timeout(SECONDS):
            await Blobs(location).check()
    except (BlobsUnavailable, TimeoutError) as error:
        facts = {"error": str(error) or f"no answer in {SECONDS:.0f} s"}
        return [Finding("disk", location, "fail", "blobs-not-writable", facts)]
    return [Finding("disk", location, "ok", "blobs-writable")]
