"""Folders of an account: made, renamed, deleted, listed, with their counters.

Counters (`uid_next`, `mod_sequence`, counts, sizes) are kept by whoever writes entries, under the folder's
row lock; here they are only read. Ruled by RFC 9051 6.3 (CREATE, DELETE, RENAME, SUBSCRIBE) and RFC 6154
(roles).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import asyncpg

from ..db.pool import Connection, Database
from .changes import ChangeSink, FolderChanged
from .errors import BadFolderName, FolderExists, FolderProtected, NoSuchFolder, TooManyFolders
from .folder_names import INBOX, folder_name, is_below, superiors

MAX_FOLDERS = 2000  # an account; Gmail allows 10,000 labels, and warns above 500


class Role(StrEnum):
    """What a folder is for (RFC 6154 2, and INBOX)."""

    INBOX = "inbox"
    SENT = "sent"
    DRAFTS = "drafts"
    TRASH = "trash"
    JUNK = "junk"
    ARCHIVE = "archive"


# The names clients know; the pages translate them by role.
DEFAULT_NAMES = {
    Role.INBOX: INBOX,
    Role.SENT: "Sent",
    Role.DRAFTS: "Drafts",
    Role.TRASH: "Trash",
    Role.JUNK: "Junk",
    Role.ARCHIVE: "Archive",
}
_ORDER = {role.value: place for place, role in enumerate(DEFAULT_NAMES)}

_COLUMNS = (
    "id, account_id, name, role, uid_validity, uid_next, mod_sequence, message_count, unseen_count, "
    "size_bytes, "
    "is_subscribed, keywords, expunged_floor"
)


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder as it was when read. `mod_sequence` is the highest given out, `uid_next` the next UID."""

    id: int
    account_id: int
    name: str
    role: Role | None
    uid_validity: int
    uid_next: int
    mod_sequence: int
    message_count: int
    unseen_count: int
    size_bytes: int
    is_subscribed: bool
    keywords: tuple[str, ...]
    expunged_floor: int


class Folders:
    """The folders of all accounts.

    Every method takes the account, so nobody reaches another's folder by its id.
    """

    def __init__(self, database: Database, changes: ChangeSink) -> None:
        self._database = database
        self._changes = changes

    async def ensure_defaults_in(self, connection: Connection, account_id: int) -> None:
        """Make the folders with a role that the account lacks."""
        await ensure_defaults_in(connection, [account_id])

    async def list(self, account_id: int) -> list[Folder]:
        """Return the account's folders: those with a role first, then by name.

        Makes the default ones if need be.
        """
        rows = await self._database.fetch(f"SELECT {_COLUMNS} FROM folder WHERE account_id = $1", account_id)
        if len({row["role"] for row in rows} - {None}) < len(Role):
            rows = await self._database.commit(
                lambda connection: _with_defaults(
                    connection, account_id, f"SELECT {_COLUMNS} FROM folder WHERE account_id = $1"
                )
            )
        found = [_folder(row) for row in rows]
        return sorted(
            found, key=lambda each: (_ORDER.get(each.role or "", len(_ORDER)), each.name.casefold())
        )

    async def get(self, account_id: int, folder_id: int) -> Folder:
        """Return one folder. Raises `NoSuchFolder`."""
        row = await self._database.fetchrow(
            f"SELECT {_COLUMNS} FROM folder WHERE id = $2 AND account_id = $1", account_id, folder_id
        )
        return _found(row)

    async def get_by_name(self, account_id: int, name: str) -> Folder:
        """Return the folder of a path. Raises `NoSuchFolder`, `BadFolderName`."""
        row = await self._database.fetchrow(
            f"SELECT {_COLUMNS} FROM folder WHERE account_id = $1 AND name = $2",
            account_id,
            folder_name(name),
        )
        return _found(row)

    async def get_by_role(self, account_id: int, role: Role) -> Folder:
        """Return the folder of a role, made if the account lacks it.

        Raises `NoSuchFolder` without the account.
        """
        query = f"SELECT {_COLUMNS} FROM folder WHERE account_id = $1 AND role = $2"
        rows = await self._database.fetch(query, account_id, role)
        if not rows:
            rows = await self._database.commit(
                lambda connection: _with_defaults(connection, account_id, query, role)
            )
        return _found(rows[0] if rows else None)

    async def create(self, account_id: int, name: str) -> Folder:
        """Make a folder and the missing ones above it (RFC 9051 6.3.4).

        Raises `BadFolderName`, `FolderExists`, `TooManyFolders`, `NoSuchFolder` (no such account).
        """
        path = folder_name(name)

        async def work(connection: Connection) -> Folder:
            await self._lock_account(connection, account_id)
            await self._insert(connection, account_id, [*superiors(path), path], path)
            row = await connection.fetchrow(
                f"SELECT {_COLUMNS} FROM folder WHERE account_id = $1 AND name = $2", account_id, path
            )
            return _found(row)

        folder = await self._database.commit(work)
        self._changes.announce([FolderChanged(account_id, folder.id, folder.mod_sequence)])
        return folder

    async def rename(self, account_id: int, folder_id: int, name: str) -> Folder:
        """Give a folder another path; everything below it moves along (RFC 9051 6.3.6). UIDs stay.

        Raises `NoSuchFolder`, `BadFolderName`, `FolderExists`, `TooManyFolders`, `FolderProtected` (INBOX).
        """
        path = folder_name(name)

        async def work(connection: Connection) -> Sequence[Folder]:
            await self._lock_account(connection, account_id)
            old = _found(
                await connection.fetchrow(
                    f"SELECT {_COLUMNS} FROM folder WHERE id = $2 AND account_id = $1", account_id, folder_id
                )
            )
            if old.role is Role.INBOX:
                raise FolderProtected("the inbox keeps its name")
            if is_below(path, old.name):
                raise BadFolderName("a folder cannot move into itself")
            if path == old.name:
                return [old]
            await self._check_subtree(connection, old, path)
            await self._insert(connection, account_id, superiors(path), None)
            # Locked in the order of ids first, as every writer of entries does. The mod-sequence rises, so
            # that who only looks now and then sees that something happened.
            moving = await connection.fetch(
                "SELECT id FROM folder WHERE account_id = $1 AND (name = $2 OR starts_with(name, $2 || '/')) "
                "ORDER BY id FOR NO KEY UPDATE",
                account_id,
                old.name,
            )
            try:
                rows = await connection.fetch(
                    "UPDATE folder SET name = $3 || substr(name, length($2) + 1), "
                    f"mod_sequence = mod_sequence + 1 WHERE id = ANY($1::bigint[]) RETURNING {_COLUMNS}",
                    [row["id"] for row in moving],
                    old.name,
                    path,
                )
            except asyncpg.UniqueViolationError as error:
                raise FolderExists(f"there is a folder {path} already") from error
            return [_folder(row) for row in rows]

        renamed = await self._database.commit(work)
        self._changes.announce([FolderChanged(account_id, each.id, each.mod_sequence) for each in renamed])
        return next(each for each in renamed if each.id == folder_id)

    async def delete(self, account_id: int, folder_id: int) -> None:
        """Delete a folder with its mails.

        Raises `NoSuchFolder`, `FolderProtected` (a role, or folders below it).
        """
        await self._delete(account_id, folder_id, allow_below=False)

    async def delete_tree(self, account_id: int, folder_id: int) -> None:
        """Delete a folder and all below it.

        Raises `NoSuchFolder`, `FolderProtected` (one of them has a role).
        """
        await self._delete(account_id, folder_id, allow_below=True)

    async def set_subscribed(self, account_id: int, folder_id: int, is_subscribed: bool) -> None:
        """Subscribe or unsubscribe (RFC 9051 6.3.7). Raises `NoSuchFolder`."""
        row = await self._database.fetchrow(
            "UPDATE folder SET mod_sequence = mod_sequence + (is_subscribed <> $3)::int, is_subscribed = $3 "
            f"WHERE id = $2 AND account_id = $1 RETURNING {_COLUMNS}",
            account_id,
            folder_id,
            is_subscribed,
        )
        folder = _found(row)
        self._changes.announce([FolderChanged(account_id, folder.id, folder.mod_sequence)])

    async def _delete(self, account_id: int, folder_id: int, allow_below: bool) -> None:
        async def work(connection: Connection) -> Sequence[Folder]:
            await self._lock_account(connection, account_id)
            # Locked in the order of ids, as every writer of entries does; the entries go by the folder's
            # trigger.
            rows = await connection.fetch(
                f"SELECT {_COLUMNS} FROM folder WHERE account_id = $1 AND (id = $2 OR starts_with(name, "
                "(SELECT name || '/' FROM folder WHERE id = $2 AND account_id = $1))) ORDER BY id FOR UPDATE",
                account_id,
                folder_id,
            )
            doomed = [_folder(row) for row in rows]
            if not doomed:
                raise NoSuchFolder("there is no such folder")
            if len(doomed) > 1 and not allow_below:
                raise FolderProtected("the folder has folders below it")
            if any(each.role is not None for each in doomed):
                raise FolderProtected("this folder belongs to every account and stays")
            await connection.execute(
                "DELETE FROM folder WHERE id = ANY($1::bigint[])", [each.id for each in doomed]
            )
            return doomed

        doomed = await self._database.commit(work)
        self._changes.announce([FolderChanged(account_id, each.id, each.mod_sequence) for each in doomed])

    async def _lock_account(self, connection: Connection, account_id: int) -> None:
        # One change to the list of an account's folders at a time: counting and renaming see a list that
        # holds still.
        found = await connection.fetchval(
            "SELECT id FROM account WHERE id = $1 FOR NO KEY UPDATE", account_id
        )
        if found is None:
            raise NoSuchFolder("there is no such account")

    async def _insert(
        self, connection: Connection, account_id: int, paths: Sequence[str], new: str | None
    ) -> None:
        made = await connection.fetch(
            "INSERT INTO folder (account_id, name) SELECT $1, path FROM unnest($2::text[]) AS path "
            "ON CONFLICT DO NOTHING RETURNING name",
            account_id,
            list(paths),
        )
        if new is not None and new not in {row["name"] for row in made}:
            raise FolderExists(f"there is a folder {new} already")
        count = await connection.fetchval("SELECT count(*) FROM folder WHERE account_id = $1", account_id)
        if made and count > MAX_FOLDERS:
            raise TooManyFolders(f"an account has at most {MAX_FOLDERS} folders")

    async def _check_subtree(self, connection: Connection, old: Folder, path: str) -> None:
        rows = await connection.fetch(
            "SELECT name FROM folder WHERE account_id = $1 AND starts_with(name, $2 || '/')",
            old.account_id,
            old.name,
        )
        for row in rows:
            folder_name(path + row["name"][len(old.name) :])


async def _with_defaults(
    connection: Connection, account_id: int, query: str, *arguments: object
) -> list[asyncpg.Record]:
    """Make the default folders of an account, then ask for folders of its."""
    await ensure_defaults_in(connection, [account_id])
    return await connection.fetch(query, account_id, *arguments)


async def ensure_defaults_in(connection: Connection, account_ids: Sequence[int]) -> None:
    """Make the folders with a role that these accounts lack; accounts that do not exist are passed over.

    The rows are written in one order everywhere, so two that make the same folders wait in a line. Call it
    before any folder is locked in the same transaction.
    """
    names = [DEFAULT_NAMES[role] for role in Role]
    await connection.execute(
        "INSERT INTO folder (account_id, name, role) SELECT a.id, d.name, d.role "
        "FROM account a CROSS JOIN unnest($2::text[], $3::text[]) AS d(name, role) WHERE a.id = "
        "ANY($1::bigint[]) "
        "AND NOT EXISTS (SELECT FROM folder f WHERE f.account_id = a.id AND f.role = d.role) "
        "ORDER BY a.id, d.name ON CONFLICT DO NOTHING",
        list(account_ids),
        names,
        [role.value for role in Role],
    )
    # A folder of that name without the role was there already: it takes the role.
    await connection.execute(
        "WITH plain AS MATERIALIZED (SELECT id, account_id, name FROM folder "
        "WHERE account_id = ANY($1::bigint[]) AND name = ANY($2::text[]) AND role IS NULL "
        "ORDER BY id FOR NO KEY UPDATE) "
        "UPDATE folder f SET role = d.role FROM plain, unnest($2::text[], $3::text[]) AS d(name, role) "
        "WHERE f.id = plain.id AND plain.name = d.name "
        "AND NOT EXISTS (SELECT FROM folder o WHERE o.account_id = plain.account_id AND o.role = d.role)",
        list(account_ids),
        names,
        [role.value for role in Role],
    )


async def renew_uid_validity_in(connection: Connection) -> None:
    """Give every folder a new UIDVALIDITY: after a restore, UIDs may come to mean other mails (RFC 9051
    2.3.1.1).
    """
    await connection.execute(
        "SELECT setval('uid_validity_seq', GREATEST((SELECT last_value + 1 FROM uid_validity_seq), "
        "extract(epoch FROM now())::bigint))"
    )
    await connection.execute("UPDATE folder SET uid_validity = nextval('uid_validity_seq')")


def _folder(row: Any) -> Folder:
    role, keywords = row["role"], tuple(row["keywords"])
    values = {**dict(row), "role": Role(role) if role else None, "keywords": keywords}
    return Folder(**values)


def _found(row: Any) -> Folder:
    if row is None:
        raise NoSuchFolder("there is no such folder")
    return _folder(row)
