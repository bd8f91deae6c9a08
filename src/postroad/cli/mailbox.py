"""`postroad export` and `postroad import`: an account's mail out of the house and into it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from postroad.cli.arguments import DeskArgument, address_of
from postroad.cli.desk import Desk
from postroad.cli.output import Answer
from postroad.cli.progress import progress_bar
from postroad.db.notify import Announcer, Listener
from postroad.db.pool import Database
from postroad.directory.errors import UnknownAccount
from postroad.mailstore.blobs import Blobs
from postroad.mailstore.changes import Changes
from postroad.mailstore.exporting import Export
from postroad.mailstore.folders import Folders
from postroad.mailstore.importing import Import
from postroad.mailstore.messages import Messages
from postroad.message.address import Address


@dataclass(frozen=True, slots=True)
class _Mail:
    """What moves mail in and out."""

    database: Database
    messages: Messages
    folders: Folders
    changes: Changes


@asynccontextmanager
async def _mail(desk: Desk) -> AsyncIterator[_Mail]:
    async with (
        desk.database() as database,
        Announcer(database) as announcer,
        Listener(database.dsn) as listener,
        Changes(database, announcer, listener) as changes,
    ):
        blobs = Blobs(desk.settings.blob_location)
        messages = Messages(database, blobs, desk.settings.storage.inline_bytes)
        yield _Mail(database, messages, Folders(database, changes), changes)


async def _account_id(database: Database, address: Address) -> int:
    account_id: int | None = await database.fetchval("SELECT id FROM account WHERE address = $1", address.key)
    if account_id is None:
        raise UnknownAccount(address.key)
    return account_id


async def export(
    address: str,
    directory: Annotated[Path, Parameter(help="Made if need be; an earlier export there is continued.")],
    /,
    *,
    desk: DeskArgument,
) -> Answer:
    """Write an account's mail into a Maildir: flags, keywords, folders and times kept."""
    parsed = address_of(address)
    async with _mail(desk) as mail:
        account_id = await _account_id(mail.database, parsed)
        with progress_bar(is_json=desk.options.is_json) as show:
            report = await Export(mail.database, mail.messages, mail.folders).run(
                account_id, directory, lambda progress: show(parsed.key, progress.done, progress.total)
            )
    data = {
        "address": parsed,
        "directory": directory,
        "folders": report.folders,
        "written": report.written,
        "kept": report.kept,
        "skipped_count": report.skipped_count,
        "skipped": report.skipped,
        "dropped_keywords": sorted(report.dropped_keywords),
    }
    lines = [
        desk.say("exported", written=report.written, kept=report.kept, folders=report.folders),
        *report.skipped,
    ]
    if report.dropped_keywords:
        lines.append(desk.say("keywords-dropped", keywords=", ".join(sorted(report.dropped_keywords))))
    if report.skipped_count:
        lines.append(desk.say("mails-skipped", count=report.skipped_count))
    return Answer(data, lines, is_failure=report.skipped_count > 0)


async def import_mail(
    address: str,
    path: Annotated[Path, Parameter(help="A Maildir, an mbox file, or a directory of mbox files.")],
    /,
    *,
    folder: Annotated[str, Parameter(help="Where a single mbox file goes.")] = "INBOX",
    desk: DeskArgument,
) -> Answer:
    """Take in a Maildir or mbox of any size; run again, it continues where it stopped."""
    parsed = address_of(address)
    async with _mail(desk) as mail:
        account_id = await _account_id(mail.database, parsed)
        with progress_bar(is_json=desk.options.is_json, in_bytes=True) as show:
            report = await Import(mail.database, mail.messages, mail.folders, mail.changes, desk.clock).run(
                account_id,
                path,
                folder,
                lambda progress: show(parsed.key, progress.done_bytes, progress.total_bytes),
            )
    data = {
        "address": parsed,
        "imported": report.imported,
        "known": report.known,
        "bad_count": report.bad_count,
        "bad": [{"where": mail.where, "reason": mail.reason} for mail in report.bad],
    }
    lines = [
        desk.say("imported", imported=report.imported, known=report.known),
        *(f"{mail.where}: {mail.reason}" for mail in report.bad),
    ]
    if report.bad_count:
        lines.append(desk.say("mails-skipped", count=report.bad_count))
    return Answer(data, lines, is_failure=report.bad_count > 0)
