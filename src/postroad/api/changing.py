"""Many messages at once: flags, moving, copying, deleting. Those that are not there are passed over."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from postroad.api.mail_models import (
    FLAGS,
    Deleted,
    Deletion,
    FlagName,
    FlagsChange,
    FlagsChanged,
    Moved,
    Transfer,
    Transferred,
)
from postroad.api.operations import Answer, Call, Operation
from postroad.directory.identity.tokens import Scope
from postroad.mailstore import filing
from postroad.mailstore.entries import Entries
from postroad.mailstore.flags import NO_FLAGS, Flag, FlagChange, keywords
from postroad.mailstore.folders import Folders, Role


class ChangingCalls:
    """Operations on several messages of a folder."""

    def __init__(self, folders: Folders, entries: Entries) -> None:
        self._folders = folders
        self._entries = entries

    def operations(self) -> Sequence[Operation]:
        """What can be asked for."""
        base, write = "/folders/{folder}/messages", Scope.MAIL_WRITE
        return [
            Operation(
                method="POST",
                path=base + "/flags",
                name="changeFlags",
                summary="Set and clear flags and keywords",
                tag="messages",
                handler=self.flags,
                scope=write,
                body=FlagsChange,
                answer=FlagsChanged,
            ),
            Operation(
                method="POST",
                path=base + "/move",
                name="moveMessages",
                summary="Move messages to another folder",
                tag="messages",
                handler=self.move,
                scope=write,
                body=Transfer,
                answer=Transferred,
            ),
            Operation(
                method="POST",
                path=base + "/copy",
                name="copyMessages",
                summary="Copy messages to another folder",
                tag="messages",
                handler=self.copy,
                scope=write,
                body=Transfer,
                answer=Transferred,
                creates=True,
            ),
            Operation(
                method="POST",
                path=base + "/delete",
                name="deleteMessages",
                summary="Delete messages: into the trash, or for good",
                tag="messages",
                handler=self.delete,
                scope=write,
                body=Deletion,
                answer=Deleted,
            ),
        ]

    async def flags(self, call: Call) -> Answer:
        """Set and clear."""
        body: FlagsChange = call.body
        change = FlagChange(
            added=_flags(body.add),
            removed=_flags(body.remove),
            added_keywords=keywords(body.add_keywords),
            removed_keywords=keywords(body.remove_keywords),
        )
        done = await self._entries.set_flags(
            call.account.id, call.number("folder"), body.uids, change, body.if_version
        )
        return Answer(
            FlagsChanged(
                changed=[one.uid for one in done.changed], left=list(done.refused), version=done.mod_sequence
            )
        )

    async def move(self, call: Call) -> Answer:
        """Move."""
        body: Transfer = call.body
        done = await self._entries.move(call.account.id, call.number("folder"), body.uids, body.to)
        return Answer(_transferred(done, body.to))

    async def copy(self, call: Call) -> Answer:
        """Copy."""
        body: Transfer = call.body
        done = await self._entries.copy(call.account.id, call.number("folder"), body.uids, body.to)
        return Answer(_transferred(done, body.to))

    async def delete(self, call: Call) -> Answer:
        """Into the trash; from there, and where it is wanted, for good."""
        body: Deletion = call.body
        account_id, folder_id = call.account.id, call.number("folder")
        trash = await self._folders.get_by_role(account_id, Role.TRASH)
        if body.for_good or folder_id == trash.id:
            gone = await self._entries.expunge(account_id, folder_id, body.uids)
            return Answer(Deleted(uids=gone, to=None))
        done = await self._entries.move(account_id, folder_id, body.uids, trash.id)
        return Answer(Deleted(uids=[old for old, _ in done.uids], to=trash.id))


def _flags(names: Iterable[FlagName]) -> Flag:
    flags = NO_FLAGS
    for name in names:
        flags |= FLAGS[name]
    return flags


def _transferred(done: filing.Transferred, to: int) -> Transferred:
    return Transferred(to=to, messages=[Moved(uid=old, new_uid=new) for old, new in done.uids])
