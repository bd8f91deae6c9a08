"""What people do to mails and folders: one form for mails, a few for folders. Answers are JSON for scripts.

Deleting moves to the trash; only what lies in the trash or among the junk is removed for good.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from postroad.mailstore.entries import Entries
from postroad.mailstore.errors import MailStoreError, NoSuchFolder
from postroad.mailstore.flags import Flag, FlagChange
from postroad.mailstore.folders import Folders, Role
from postroad.web.mail.surroundings import Around, Surroundings
from postroad.web.mail.words import folder_name
from postroad.web.shell.forms import EntryName, Form
from postroad.web.shell.visits import Visit, Visits
from postroad.web.shell.words import N_, NN_

FLAGS: Mapping[str, FlagChange] = {
    "seen": FlagChange.adding(Flag.SEEN),
    "unseen": FlagChange.removing(Flag.SEEN),
    "flag": FlagChange.adding(Flag.FLAGGED),
    "unflag": FlagChange.removing(Flag.FLAGGED),
}
MOVES: Mapping[str, Role] = {
    "archive": Role.ARCHIVE,
    "trash": Role.TRASH,
    "junk": Role.JUNK,
    "not-junk": Role.INBOX,
}
FOR_GOOD = ("trash", "junk")  # roles of the folders that are emptied and deleted from
MAX_FOLDER_NAME = 1000

_MOVED = NN_("%(num)s message moved to %(folder)s", "%(num)s messages moved to %(folder)s")
_DELETED = NN_("%(num)s message deleted for good", "%(num)s messages deleted for good")


class Actions:
    """Endpoints that change mails and folders."""

    def __init__(
        self, visits: Visits, surroundings: Surroundings, folders: Folders, entries: Entries
    ) -> None:
        self._visits = visits
        self._surroundings = surroundings
        self._folders = folders
        self._entries = entries

    def routes(self) -> list[BaseRoute]:
        """One for mails, four for folders."""
        changing = self._visits.changing
        return [
            Route("/mail/actions", changing(self.act), methods=["POST"]),
            Route("/mail/folders", changing(self.create), methods=["POST"]),
            Route("/mail/folders/rename", changing(self.rename), methods=["POST"]),
            Route("/mail/folders/delete", changing(self.delete), methods=["POST"]),
            Route("/mail/folders/empty", changing(self.empty), methods=["POST"]),
        ]

    # -- mails

    async def act(self, visit: Visit, form: Form) -> Response:
        """Do `action` to every `entry`; `target` is the folder of a move."""
        action = form.get("action")
        by_folder: dict[int, list[int]] = {}
        for name in form.entries():
            by_folder.setdefault(name.folder_id, []).append(name.uid)
        if action in FLAGS:
            for folder_id, uids in sorted(by_folder.items()):
                await self._entries.set_flags(visit.account_id, folder_id, uids, FLAGS[action])
            return JSONResponse({"toast": ""})
        around = await self._surroundings.around(visit.account_id)
        if action == "delete":
            return await self._delete(visit, around, by_folder)
        if action in MOVES:
            return await self._move(visit, around, by_folder, around.by_role(MOVES[action]).id)
        if action == "move":
            return await self._move(visit, around, by_folder, form.number("target"))
        raise HTTPException(400, visit.say("That did not work. Please try again."))

    async def _move(
        self, visit: Visit, around: Around, by_folder: Mapping[int, Sequence[int]], target_id: int
    ) -> Response:
        target = around.by_id(target_id)
        if target is None:
            raise NoSuchFolder("there is no such folder")
        moved: list[EntryName] = []
        for folder_id, uids in sorted(by_folder.items()):
            done = await self._entries.move(visit.account_id, folder_id, uids, target_id)
            moved += [EntryName(target_id, new) for _, new in done.uids]
        if not moved:
            return JSONResponse({"toast": ""})
        language = visit.dates.language
        answer: dict[str, object] = {
            "toast": language.say_count(*_MOVED, len(moved), folder=folder_name(target, language))
        }
        if len(by_folder) == 1:
            answer["undo"] = {
                "action": "move",
                "entries": [str(name) for name in moved],
                "target": str(next(iter(by_folder))),
            }
        return JSONResponse(answer)

    async def _delete(self, visit: Visit, around: Around, by_folder: Mapping[int, Sequence[int]]) -> Response:
        removed = 0
        for folder_id, uids in sorted(by_folder.items()):
            folder = around.by_id(folder_id)
            if folder is None or folder.role not in FOR_GOOD:
                raise HTTPException(
                    409, visit.say("Only the trash and the junk folder are deleted from for good.")
                )
            removed += len(await self._entries.expunge(visit.account_id, folder_id, uids))
        return JSONResponse({"toast": visit.dates.language.say_count(*_DELETED, removed)})

    # -- folders

    async def create(self, visit: Visit, form: Form) -> Response:
        """Make a folder, and the missing ones above it."""
        try:
            await self._folders.create(visit.account_id, form.get("name", MAX_FOLDER_NAME).strip())
        except MailStoreError as error:
            return _refused(visit, error)
        return JSONResponse({"toast": visit.say("The folder was made.")})

    async def rename(self, visit: Visit, form: Form) -> Response:
        """Give a folder another path."""
        name = form.get("name", MAX_FOLDER_NAME).strip()
        try:
            await self._folders.rename(visit.account_id, form.number("folder"), name)
        except MailStoreError as error:
            return _refused(visit, error)
        return JSONResponse({"toast": visit.say("The folder was renamed.")})

    async def delete(self, visit: Visit, form: Form) -> Response:
        """Delete a folder and those below it; their mails go to the trash."""
        around = await self._surroundings.around(visit.account_id)
        folder = around.by_id(form.number("folder"))
        if folder is None:
            raise NoSuchFolder("there is no such folder")
        doomed = [each for each in around.folders if f"{each.path}/".startswith(f"{folder.path}/")]
        if any(each.role for each in doomed):
            raise HTTPException(409, visit.say("This folder belongs to every mailbox and stays."))
        trash = around.by_role(Role.TRASH)
        try:
            for each in doomed:
                await self._entries.move(visit.account_id, each.id, None, trash.id)
            await self._folders.delete_tree(visit.account_id, folder.id)
        except MailStoreError as error:
            return _refused(visit, error)
        leave = [str(each.id) for each in doomed]
        return JSONResponse({"toast": visit.say("The folder was deleted."), "next": "/mail", "leave": leave})

    async def empty(self, visit: Visit, form: Form) -> Response:
        """Remove everything in the trash or the junk folder."""
        around = await self._surroundings.around(visit.account_id)
        folder = around.by_id(form.number("folder"))
        if folder is None or folder.role not in FOR_GOOD:
            raise HTTPException(
                409, visit.say("Only the trash and the junk folder are deleted from for good.")
            )
        removed = await self._entries.empty(visit.account_id, folder.id)
        language = visit.dates.language
        return JSONResponse(
            {
                "toast": language.say_count(*_DELETED, removed),
                "next": f"/mail/folder/{folder.id}",
                "leave": [str(folder.id)],
            }
        )


def _refused(visit: Visit, error: MailStoreError) -> Response:
    reasons = {
        "BadFolderName": N_("This name cannot be a folder's: %(reason)s"),
        "FolderExists": N_("There is a folder of that name already."),
        "FolderProtected": N_("This folder belongs to every mailbox and stays."),
        "TooManyFolders": N_("There are as many folders as a mailbox may have."),
        "NoSuchFolder": N_("This folder is no longer there."),
        "QuotaExceeded": N_("The mailbox is full."),
    }
    message = reasons.get(type(error).__name__, N_("That did not work. Please try again."))
    return JSONResponse({"error": visit.say(message, reason=error), "field": "name"}, 409)
