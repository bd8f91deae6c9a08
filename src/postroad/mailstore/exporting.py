"""An account written out as a Maildir: every mail, its flags, keywords, folder and time of arrival.

Running it again into the same directory continues: files that are there already are kept, and renamed where
flags changed. Mails are written as they are downloaded, with the line ends of the wire, so signatures stay
valid.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..db.pool import Database
from .entries import OWN_FOLDER
from .errors import BlobMissing, NoSuchMessage
from .flags import Flag
from .folders import Folder, Folders
from .maildir import (
    KEYWORDS_FILE,
    MAX_KEYWORDS,
    NAME_FILE,
    directory_name,
    folder_of_directory,
    info,
    keywords_file,
)
from .messages import Messages

ENTRIES_AT_ONCE = 100
MAX_REPORTED = 1000  # problems listed; more are counted


@dataclass(slots=True)
class ExportReport:
    """What an export did.

    `skipped` names mails whose content is missing, `dropped_keywords` what has no letter.
    """

    folders: int = 0
    written: int = 0
    kept: int = 0
    skipped_count: int = 0
    skipped: list[str] = field(default_factory=list)
    dropped_keywords: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class ExportProgress:
    """How far an export is."""

    done: int
    total: int


class Export:
    """Writes accounts to Maildirs."""

    def __init__(self, database: Database, messages: Messages, folders: Folders) -> None:
        self._database = database
        self._messages = messages
        self._folders = folders

    async def run(
        self, account_id: int, directory: Path, progress: Callable[[ExportProgress], None] = lambda _: None
    ) -> ExportReport:
        """Write all mails of an account below `directory`. Raises `OSError`, `BlobsUnavailable`."""
        report = ExportReport()
        folders = await self._folders.list(account_id)
        total = sum(folder.message_count for folder in folders)
        for folder in folders:
            await self._folder(
                account_id, folder, directory / directory_name(folder.name), report, total, progress
            )
            report.folders += 1
        return report

    async def _folder(
        self,
        account_id: int,
        folder: Folder,
        directory: Path,
        report: ExportReport,
        total: int,
        progress: Callable[[ExportProgress], None],
    ) -> None:
        letters = {word: chr(ord("a") + place) for place, word in enumerate(folder.keywords[:MAX_KEYWORDS])}
        report.dropped_keywords.update(folder.keywords[MAX_KEYWORDS:])
        present = await asyncio.to_thread(_prepare, directory, folder, letters)
        last = 0
        while True:
            rows = await self._database.fetch(
                "SELECT uid, message_id, flags, keywords, received_at, size_bytes FROM entry "
                f"WHERE folder_id = {OWN_FOLDER} AND uid > $3 ORDER BY uid LIMIT {ENTRIES_AT_ONCE}",
                folder.id,
                account_id,
                last,
            )
            for row in rows:
                await self._mail(folder, directory, row, letters, present, report)
            progress(ExportProgress(report.written + report.kept + report.skipped_count, total))
            if len(rows) < ENTRIES_AT_ONCE:
                return
            last = rows[-1]["uid"]

    async def _mail(
        self,
        folder: Folder,
        directory: Path,
        row: Any,
        letters: dict[str, str],
        present: dict[str, str],
        report: ExportReport,
    ) -> None:
        seconds = row["received_at"].timestamp()
        # Unique and the same every time: what names a mail for ever is folder, UIDVALIDITY and UID.
        base = f"{int(seconds)}.V{folder.uid_validity}U{row['uid']}.postroad,S={row['size_bytes']}"
        name = base + info(Flag(row["flags"]), row["keywords"], letters)
        known = present.get(base)
        if known is not None:
            if known != name:
                await asyncio.to_thread(os.rename, directory / "cur" / known, directory / "cur" / name)
            report.kept += 1
            return
        try:
            content = await self._messages.content(row["message_id"])
        except (NoSuchMessage, BlobMissing) as error:
            report.skipped_count += 1
            if len(report.skipped) < MAX_REPORTED:
                report.skipped.append(f"{folder.name}, UID {row['uid']}: {error}")
            return
        await asyncio.to_thread(_write, directory, base, name, content.prefix, content.body, seconds)
        report.written += 1


def _prepare(directory: Path, folder: Folder, letters: dict[str, str]) -> dict[str, str]:
    """Make a folder's directories; return the mails it holds already, by the unique part of their names."""
    for name in ("cur", "new", "tmp"):
        (directory / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    if letters:
        (directory / KEYWORDS_FILE).write_text(keywords_file(letters), "utf-8")
    if directory_name(folder.name):
        (directory / "maildirfolder").touch()  # Maildir++: how delivery agents know a folder
        if folder_of_directory(directory.name) != folder.name:
            (directory / NAME_FILE).write_text(folder.name, "utf-8")
    return {file.name.partition(":")[0]: file.name for file in (directory / "cur").iterdir()}


def _write(directory: Path, base: str, name: str, prefix: bytes, body: bytes, seconds: float) -> None:
    partial = directory / "tmp" / base
    with partial.open("wb") as file:
        file.write(prefix)
        file.write(body)
    os.utime(partial, (seconds, seconds))
    partial.rename(directory / "cur" / name)
