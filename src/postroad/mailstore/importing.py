"""Mails of other stores taken in: a Maildir, an mbox file, or a directory of mbox files; of any size.

What was taken is noted in the same transaction, so a run that was interrupted is simply run again. Bad mails
are reported and passed over. Quotas are not asked: the operator decides.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import asyncpg

from ..db.pool import Connection, Database
from .changes import ChangeSink, FolderChanged
from .delivery import Delivered, Delivery, deliver_in
from .errors import BadFolderName, BadKeyword, FolderExists, MailStoreError, NoSuchFolder
from .folder_names import INBOX, MAX_DEPTH, SEPARATOR, folder_name
from .folders import Folders, Role
from .maildir import is_maildir, maildir_folders, maildir_mails, maildir_size
from .mbox import is_mbox, mbox_mails
from .messages import Messages, NewMail
from .source import BadMail, SourceMail
from .summaries import summarised

BATCH = 200  # mails a transaction
BATCH_BYTES = 8 * 1024 * 1024
MAX_REPORTED = 1000  # bad mails listed; more are counted

# What others call the folders with a role.
_ROLES = {
    Role.SENT: (
        "sent",
        "sent items",
        "sent messages",
        "sent mail",
        "sent-mail",
        "outbox",
        "已发送",
        "已发送邮件",
        "发件箱",
    ),
    Role.DRAFTS: ("drafts", "draft", "草稿", "草稿箱", "草稿夹"),
    Role.TRASH: ("trash", "deleted", "deleted items", "deleted messages", "已删除", "已删除邮件", "垃圾箱"),
    Role.JUNK: ("junk", "spam", "junk e-mail", "junk email", "bulk mail", "垃圾邮件"),
    Role.ARCHIVE: ("archive", "archives", "归档"),
}
_ROLE_OF = {name: role for role, names in _ROLES.items() for name in names}


class NothingToImport(MailStoreError):
    """The path is neither a Maildir nor an mbox, nor a directory that holds such."""


@dataclass(slots=True)
class ImportReport:
    """What an import did. `known` were taken by an earlier run."""

    imported: int = 0
    known: int = 0
    bad_count: int = 0
    bad: list[BadMail] = field(default_factory=list)

    def refuse(self, mail: BadMail) -> None:
        """Note a mail that was passed over."""
        self.bad_count += 1
        if len(self.bad) < MAX_REPORTED:
            self.bad.append(mail)


@dataclass(frozen=True, slots=True)
class ImportProgress:
    """How far an import is."""

    mails: int
    done_bytes: int
    total_bytes: int


class Import:
    """Takes mails into accounts."""

    def __init__(
        self,
        database: Database,
        messages: Messages,
        folders: Folders,
        changes: ChangeSink,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._messages = messages
        self._folders = folders
        self._changes = changes
        self._clock = clock

    async def run(
        self,
        account_id: int,
        path: Path,
        folder: str = INBOX,
        progress: Callable[[ImportProgress], None] = lambda _: None,
    ) -> ImportReport:
        """Take in everything at `path`; a single mbox file goes into `folder`.

        Raises `NothingToImport`, `NoSuchFolder` (no such account), `BlobsFull`, `BlobsUnavailable`,
        `OSError`.
        """
        source, total = await asyncio.to_thread(_open, path, folder)
        run = _Run(self, account_id, total, progress)
        while batch := await asyncio.to_thread(_take, source):
            await run.take(batch)
        return run.report

    async def target(self, account_id: int, name: str) -> int:
        """Return the id of the folder for a name, made if need be."""
        wanted = clean_folder_name(name)
        role = _ROLE_OF.get(wanted.casefold())
        if role is not None:
            return (await self._folders.get_by_role(account_id, role)).id
        try:
            return (await self._folders.get_by_name(account_id, wanted)).id
        except NoSuchFolder:
            try:
                return (await self._folders.create(account_id, wanted)).id
            except FolderExists:
                return (await self._folders.get_by_name(account_id, wanted)).id

    async def store(self, account_id: int, folder_id: int, batch: Sequence[tuple[bytes, SourceMail]]) -> int:
        """Store mails of one folder with their keys, those that are not known; returns how many that were."""
        keys = [key for key, _ in batch]
        known = {
            row["source"]
            for row in await self._database.fetch(
                "SELECT source FROM import_journal WHERE account_id = $1 AND source = ANY($2::bytea[])",
                account_id,
                keys,
            )
        }
        fresh = [(key, mail, await self._prepared(mail)) for key, mail in batch if key not in known]
        if not fresh:
            return 0

        async def work(connection: Connection) -> tuple[int, list[Delivered | None]]:
            # Another import of the same source may run beside this one: what it notes first is its.
            rows = await connection.fetch(
                "INSERT INTO import_journal (account_id, source) SELECT $1, unnest($2::bytea[]) "
                "ON CONFLICT DO NOTHING RETURNING source",
                account_id,
                sorted(key for key, _, _ in fresh),
            )
            mine = {row["source"] for row in rows}
            taken = [(mail, new) for key, mail, new in fresh if key in mine]
            await self._messages.store_in(connection, [new for _, new in taken])
            placed = await deliver_in(
                connection, [self._delivery(account_id, folder_id, mail, new) for mail, new in taken]
            )
            return len(taken), placed

        count, placed = await self._database.commit(work)
        self._changes.announce(
            [FolderChanged(each.account_id, each.folder_id, each.mod_sequence) for each in placed if each]
        )
        return count

    async def _prepared(self, mail: SourceMail) -> NewMail:
        await asyncio.sleep(0)
        return await self._messages.prepare(mail.body, await summarised(mail.body))

    def _delivery(self, account_id: int, folder_id: int, mail: SourceMail, new: NewMail) -> Delivery:
        received_at = mail.received_at or new.summary.date
        if received_at is None or not 1970 < received_at.year < 9999:
            received_at = self._clock()
        return Delivery.of(
            new, account_id, received_at, folder_id=folder_id, flags=mail.flags, keywords=mail.keywords
        )


class _Run:
    """One import under way."""

    def __init__(
        self, parent: Import, account_id: int, total: int, progress: Callable[[ImportProgress], None]
    ) -> None:
        self.report = ImportReport()
        self._parent = parent
        self._account_id = account_id
        self._total = total
        self._progress = progress
        self._done_bytes = 0
        self._folders: dict[str, int] = {}
        # How often equal mails came, by folder: the second of two equal ones is a mail of its own. Eight
        # bytes of the hash are enough to count; only those that came before are kept.
        self._seen: dict[int, int] = {}

    async def take(self, batch: Sequence[SourceMail | BadMail]) -> None:
        """Import a batch of a source."""
        by_folder: dict[str, list[tuple[bytes, SourceMail]]] = {}
        for mail in batch:
            self._done_bytes += mail.source_bytes
            if isinstance(mail, BadMail):
                self.report.refuse(mail)
            else:
                by_folder.setdefault(mail.folder, []).append((self._key(mail), mail))
        for folder, mails in by_folder.items():
            await self._store(await self._target(folder), mails)
        self._progress(
            ImportProgress(
                self.report.imported + self.report.known + self.report.bad_count,
                self._done_bytes,
                self._total,
            )
        )

    async def _target(self, folder: str) -> int:
        if folder not in self._folders:
            self._folders[folder] = await self._parent.target(self._account_id, folder)
        return self._folders[folder]

    async def _store(self, folder_id: int, mails: Sequence[tuple[bytes, SourceMail]]) -> None:
        try:
            stored = await self._parent.store(self._account_id, folder_id, mails)
        except (BadKeyword, asyncpg.DataError) as error:
            if len(mails) > 1:  # which one it is shows when each comes alone
                for each in mails:
                    await self._store(folder_id, [each])
                return
            ((key, mail),) = mails
            if isinstance(error, BadKeyword) and mail.keywords:
                await self._store(folder_id, [(key, replace(mail, keywords=()))])
            else:
                self.report.refuse(BadMail(mail.where, str(error)))
            return
        self.report.imported += stored
        self.report.known += len(mails) - stored

    def _key(self, mail: SourceMail) -> bytes:
        digest = hashlib.sha256(mail.folder.encode("utf-8", "surrogateescape") + b"\0" + mail.body).digest()
        short = int.from_bytes(digest[:8], "big")
        occurrence = self._seen.get(short, 0)
        self._seen[short] = occurrence + 1
        return digest[:16] + occurrence.to_bytes(4, "big")


def clean_folder_name(name: str) -> str:
    """Return a name that can be a folder's, as near to `name` as possible."""
    try:
        return folder_name(name)
    except BadFolderName:
        levels = []
        for level in name.split(SEPARATOR)[:MAX_DEPTH]:
            kept = "".join(c if c.isprintable() and c not in "*%" else "_" for c in level).strip()
            while len(kept.encode("utf-8", "replace")) > 200:
                kept = kept[:-1]
            if kept.strip():
                levels.append(kept.strip())
        try:
            return folder_name(SEPARATOR.join(levels)[:300] or "Imported")
        except BadFolderName:
            return "Imported"


def _open(path: Path, folder: str) -> tuple[Iterator[SourceMail | BadMail], int]:
    if path.is_file():
        if not is_mbox(path) and path.stat().st_size:
            raise NothingToImport(f"{path} is not an mbox file: it does not begin with a line 'From …'")
        return mbox_mails(path, folder), path.stat().st_size
    if not path.is_dir():
        raise NothingToImport(f"{path} does not exist")
    if is_maildir(path) or maildir_folders(path):
        return maildir_mails(path), maildir_size(path)
    files = [(file, _folder_of_file(path, file)) for file in sorted(path.rglob("*")) if is_mbox(file)]
    if not files:
        raise NothingToImport(f"{path} holds neither Maildir folders nor mbox files")
    return _chained(files), sum(file.stat().st_size for file, _ in files)


def _chained(files: Sequence[tuple[Path, str]]) -> Iterator[SourceMail | BadMail]:
    for file, folder in files:
        yield from mbox_mails(file, folder)


def _folder_of_file(root: Path, file: Path) -> str:
    """`Work.sbd/2024` (Thunderbird) is Work/2024, `Sent.mbox` is Sent."""
    levels = [part.removesuffix(".sbd").removesuffix(".mbox") for part in file.relative_to(root).parts]
    if levels[-1] == "mbox" and len(levels) > 1:  # Apple Mail: Sent.mbox/mbox
        levels.pop()
    return SEPARATOR.join(levels)


def _take(source: Iterator[SourceMail | BadMail]) -> list[SourceMail | BadMail]:
    batch: list[SourceMail | BadMail] = []
    size = 0
    for mail in source:
        batch.append(mail)
        size += mail.source_bytes
        if len(batch) >= BATCH or size >= BATCH_BYTES:
            break
    return batch
