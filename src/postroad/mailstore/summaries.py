"""Summaries of mails in the worker's loop, without holding it: what is large is read in a thread.

Threads share the interpreter's lock; that the loop stays alive beside them is the scanner's merit, which
never stays long in one call (tests/faults/test_bombs.py measures it).
"""

from __future__ import annotations

import asyncio

from ..message.summary import MessageSummary, summarise

IN_LOOP_BYTES = 16 * 1024  # read within the loop: 25 ms for the worst of bombs, under 0.1 ms for a letter


async def summarised(content: bytes) -> MessageSummary:
    """Read one mail and return what is kept of it."""
    if len(content) <= IN_LOOP_BYTES:
        return summarise(content)
    return await asyncio.to_thread(summarise, content)
