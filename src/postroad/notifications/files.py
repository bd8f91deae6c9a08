"""New-mail files: one a mail and account, whole from the moment it has its name.

Interface page jdmail-api.md, section 2. Names sort by arrival and are unique over all servers. A directory
that hangs (a network file system) holds one thread of its own and nobody else.
"""

from __future__ import annotations

import asyncio
import os
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

MAX_NAME = 100  # characters of the account in a file's name; a name may have 255 bytes
_UNSAFE = re.compile(r"[^A-Za-z0-9@._+-]")


class NotWritten(Exception):
    """The files could not be written; the message says why."""


def stem_of(arrived_at: datetime, account: str, event_id: int) -> str:
    """The name of a mail's files without their ends: `20261121T093015.123456Z-li@example.com-17`."""
    safe = _UNSAFE.sub("_", account)[:MAX_NAME]
    return f"{arrived_at.astimezone(UTC):%Y%m%dT%H%M%S.%f}Z-{safe}-{event_id}"


def write_files(directory: Path, files: dict[str, bytes]) -> None:
    """Write files so that each is there as a whole or not at all, in this order, and survives a power cut.

    A file of that name is written anew. Raises `OSError`.
    """
    for name, content in files.items():
        part = directory / f".{name}.part"
        try:
            with part.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(directory / name)
        except OSError:
            with suppress(OSError):
                part.unlink()
            raise
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Aside:
    """Runs blocking work on one directory in a thread of its own, one piece at a time."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._is_busy = False

    async def run(self, work: Callable[[], None], seconds: float) -> None:
        """Do it when the piece before is done, within so many seconds. Raises `NotWritten`."""
        async with self._turn:
            if self._is_busy:
                raise NotWritten("the directory still does not answer")
            await self._run(work, seconds)

    async def _run(self, work: Callable[[], None], seconds: float) -> None:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def finish(error: BaseException | None) -> None:
            self._is_busy = False
            if done.done():
                return
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)

        def body() -> None:
            error: BaseException | None = None
            try:
                work()
            except BaseException as raised:
                error = raised
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(finish, error)

        self._is_busy = True
        # Not an executor's: those are waited for when the process ends, and this one may hang for ever.
        threading.Thread(target=body, name="new-mail files", daemon=True).start()
        try:
            async with asyncio.timeout(seconds):
                await done
        except TimeoutError:
            raise NotWritten(f"the directory did not answer within {seconds:.0f} seconds") from None
        except OSError as error:
            raise NotWritten(f"{error.filename or ''}: {error.strerror or error}".lstrip(": ")) from error
