"""What stands around every page of the mailbox: the folder tree, the account, how full it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from postroad.mailstore.folders import Folder, Folders, Role
from postroad.mailstore.quota import Quota
from postroad.web.mail.views import FolderItem
from postroad.web.shell.visits import Visit

# What one looks at most stands first.
_ORDER: tuple[Role | None, ...] = (
    Role.INBOX,
    Role.DRAFTS,
    Role.SENT,
    Role.ARCHIVE,
    Role.JUNK,
    Role.TRASH,
)


def folder_item(folder: Folder) -> FolderItem:
    """A folder as the tree shows it."""
    return FolderItem(
        folder.id,
        folder.name,
        folder.name.rpartition("/")[2],
        folder.role.value if folder.role else None,
        0 if folder.role else folder.name.count("/"),
        folder.unseen_count,
        folder.message_count,
    )


def in_tree_order(folders: Sequence[Folder]) -> list[Folder]:
    """Folders with a role first, then the others, each below the folder it lies in."""
    with_role = sorted((each for each in folders if each.role), key=lambda each: _ORDER.index(each.role))
    others = [folder for folder in folders if not folder.role]
    return with_role + sorted(others, key=lambda each: [level.casefold() for level in each.name.split("/")])


@dataclass(frozen=True, slots=True)
class Around:
    """The folders of an account for one page."""

    folders: Sequence[FolderItem]

    def by_id(self, folder_id: int) -> FolderItem | None:
        """The folder of an id, if the account has it."""
        return next((each for each in self.folders if each.id == folder_id), None)

    def by_role(self, role: Role) -> FolderItem:
        """The folder of a role; every account has one of each."""
        return next(each for each in self.folders if each.role == role.value)


class Surroundings:
    """Reads what stands around a page."""

    def __init__(self, folders: Folders, quota: Quota) -> None:
        self._folders = folders
        self._quota = quota

    async def around(self, account_id: int) -> Around:
        """The folder tree, with its counts as they are now."""
        folders = await self._folders.list(account_id)
        return Around([folder_item(folder) for folder in in_tree_order(folders)])

    def fragment(self, visit: Visit, around: Around, current: int | None) -> dict[str, object]:
        """What a part of a page reads."""
        return {
            "csrf": visit.session.csrf_token,
            "here": "/mail",
            "folders": around.folders,
            "current_folder": current,
            "unread": around.by_role(Role.INBOX).unread,
            "reading": None,
        }

    async def whole(self, visit: Visit, around: Around, current: int | None) -> dict[str, object]:
        """What a whole page reads."""
        usage = await self._quota.usage(visit.account_id)
        owner = replace(visit.owner, used_bytes=usage.used_bytes, quota_bytes=usage.quota_bytes)
        url = visit.request.url
        here = url.path + (f"?{url.query}" if url.query else "")
        return {**self.fragment(visit, around, current), "owner": owner, "here": here}
