"""Folders and lists: who calls, folders with their counts, messages page by page, search, statistics."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from postroad.api.mail_models import (
    Day,
    Folder,
    FolderChange,
    FolderList,
    FolderStatistics,
    FoundPeople,
    ListQuery,
    Me,
    MessagePage,
    MessageRow,
    NewFolder,
    PeopleQuery,
    Person,
    SearchQuery,
    Statistics,
    StatisticsQuery,
)
from postroad.api.operations import Answer, Call, Operation
from postroad.api.problems import Problem
from postroad.api.service import BASE
from postroad.directory.identity.tokens import Scope
from postroad.mailstore.correspondents import Correspondents
from postroad.mailstore.entries import Entries, Only
from postroad.mailstore.errors import FolderExists
from postroad.mailstore.folders import Folders
from postroad.mailstore.quota import Quota
from postroad.mailstore.search import Search, SearchKey
from postroad.mailstore.statistics import LOOKED_AT, MailStatistics

_ONLY = {"unread": Only.UNSEEN, "flagged": Only.FLAGGED, "attachments": Only.WITH_ATTACHMENTS}


class FolderCalls:
    """Operations on folders."""

    def __init__(
        self,
        folders: Folders,
        entries: Entries,
        search: Search,
        quota: Quota,
        people: Correspondents,
        statistics: MailStatistics,
    ) -> None:
        self._folders = folders
        self._entries = entries
        self._search = search
        self._quota = quota
        self._people = people
        self._statistics = statistics

    def operations(self) -> Sequence[Operation]:
        """What can be asked for."""
        one, read, write = "/folders/{folder}", Scope.MAIL_READ, Scope.MAIL_WRITE
        return [
            Operation(
                method="GET",
                path="/me",
                name="whoAmI",
                summary="Who calls, and what the token is good for",
                tag="account",
                handler=self.me,
                scope=None,
                of_account=False,
                answer=Me,
            ),
            Operation(
                method="GET",
                path="/folders",
                name="listFolders",
                summary="All folders with their counts",
                tag="folders",
                handler=self.list,
                scope=read,
                answer=FolderList,
            ),
            Operation(
                method="POST",
                path="/folders",
                name="createFolder",
                summary="Make a folder",
                tag="folders",
                handler=self.create,
                scope=write,
                body=NewFolder,
                answer=Folder,
                status=201,
                creates=True,
            ),
            Operation(
                method="GET",
                path=one,
                name="getFolder",
                summary="One folder",
                tag="folders",
                handler=self.get,
                scope=read,
                answer=Folder,
            ),
            Operation(
                method="PATCH",
                path=one,
                name="changeFolder",
                summary="Rename a folder with all below it, or (un)subscribe it",
                tag="folders",
                handler=self.change,
                scope=write,
                body=FolderChange,
                answer=Folder,
            ),
            Operation(
                method="DELETE",
                path=one,
                name="deleteFolder",
                summary="Delete a folder with its messages",
                tag="folders",
                handler=self.delete,
                scope=write,
                status=204,
            ),
            Operation(
                method="GET",
                path=one + "/messages",
                name="listMessages",
                summary="Messages of a folder, newest first",
                tag="messages",
                handler=self.messages,
                scope=read,
                query=ListQuery,
                answer=MessagePage,
            ),
            Operation(
                method="GET",
                path="/search",
                name="search",
                summary="Search all folders, or one",
                tag="messages",
                handler=self.search,
                scope=read,
                query=SearchQuery,
                answer=MessagePage,
            ),
            Operation(
                method="GET",
                path="/people",
                name="suggestPeople",
                summary="People one writes with, by the beginning of a name or an address",
                tag="account",
                handler=self.people,
                scope=read,
                query=PeopleQuery,
                answer=FoundPeople,
            ),
            Operation(
                method="GET",
                path="/statistics",
                name="statistics",
                summary="Counts and sizes by folder and day",
                tag="account",
                handler=self.statistics,
                scope=read,
                query=StatisticsQuery,
                answer=Statistics,
            ),
        ]

    async def me(self, call: Call) -> Answer:
        """Who calls; the sizes only with the right to read mail."""
        bearer = call.bearer
        account = None if bearer.mailbox is None else _person(bearer.display_name, str(bearer.mailbox))
        usage = None
        if account is not None and Scope.MAIL_READ in bearer.scopes:
            usage = await self._quota.usage(bearer.principal.id)
        return Answer(
            Me(
                kind=bearer.principal.kind,
                name=bearer.name,
                scopes=sorted(bearer.scopes),
                account=account,
                used_bytes=None if usage is None else usage.used_bytes,
                quota_bytes=None if usage is None else usage.quota_bytes,
            )
        )

    async def list(self, call: Call) -> Answer:
        """All folders."""
        value = FolderList(folders=[Folder.of(one) for one in await self._folders.list(call.account.id)])
        digest = hashlib.sha256(value.model_dump_json().encode()).hexdigest()[:32]
        return Answer(value, etag=f'"{digest}"')

    async def create(self, call: Call) -> Answer:
        """Make one. Begun before with the same key, it may be here already."""
        body: NewFolder = call.body
        try:
            folder = await self._folders.create(call.account.id, body.name)
        except FolderExists:
            if not call.repeats:
                raise
            folder = await self._folders.get_by_name(call.account.id, body.name)
        return Answer(Folder.of(folder), location=f"{BASE}/folders/{folder.id}")

    async def get(self, call: Call) -> Answer:
        """One folder."""
        return Answer(Folder.of(await self._folders.get(call.account.id, call.number("folder"))))

    async def change(self, call: Call) -> Answer:
        """Rename or subscribe."""
        body: FolderChange = call.body
        account_id, folder_id = call.account.id, call.number("folder")
        if body.name is not None:
            await self._folders.rename(account_id, folder_id, body.name)
        if body.is_subscribed is not None:
            await self._folders.set_subscribed(account_id, folder_id, body.is_subscribed)
        return await self.get(call)

    async def delete(self, call: Call) -> Answer:
        """Delete with its messages."""
        await self._folders.delete(call.account.id, call.number("folder"))
        return Answer()

    async def messages(self, call: Call) -> Answer:
        """A page by UID."""
        query: ListQuery = call.query
        folder = await self._folders.get(call.account.id, call.number("folder"))
        before = None
        if query.cursor is not None:
            if not (query.cursor.isascii() and query.cursor.isdigit() and len(query.cursor) < 19):
                raise Problem("invalid", errors=[("query.cursor", "")])
            before = int(query.cursor)
        only = None if query.only is None else _ONLY[query.only]
        # One more than asked for: whether there is a next page is known, and no page is empty.
        found = await self._entries.page(call.account.id, folder.id, before, query.limit + 1, only)
        shown = found[: query.limit]
        return Answer(
            MessagePage(
                messages=[MessageRow.of(one) for one in shown],
                next=str(shown[-1].uid) if len(found) > query.limit else None,
            ),
            etag=f'"{folder.uid_validity}.{folder.mod_sequence}.{_of_query(query)}"',
        )

    async def search(self, call: Call) -> Answer:
        """A page of what was found."""
        query: SearchQuery = call.query
        before = None
        if query.cursor is not None and (before := SearchKey.parse(query.cursor)) is None:
            raise Problem("invalid", errors=[("query.cursor", "")])
        if query.folder is not None:
            await self._folders.get(call.account.id, query.folder)
        found = await self._search.search(call.account.id, query.q, query.folder, before, query.limit)
        return Answer(
            MessagePage(
                messages=[MessageRow.of(one) for one in found.entries],
                next=None if found.next is None else str(found.next),
            )
        )

    async def people(self, call: Call) -> Answer:
        """Suggestions."""
        query: PeopleQuery = call.query
        found = await self._people.matching(call.account.id, query.q, query.limit)
        return Answer(FoundPeople(people=[_person(one.name, one.address) for one in found]))

    async def statistics(self, call: Call) -> Answer:
        """By folder and day."""
        query: StatisticsQuery = call.query
        folders = await self._folders.list(call.account.id)
        days: dict[int, list[Day]] = {}
        if query.days:
            for one in await self._statistics.by_day(call.account.id, query.days):
                days.setdefault(one.folder_id, []).append(
                    Day(
                        day=one.day.isoformat(),
                        messages=one.messages,
                        unread=one.unseen,
                        size_bytes=one.size_bytes,
                    )
                )
        return Answer(
            Statistics(
                messages=sum(one.message_count for one in folders),
                unread=sum(one.unseen_count for one in folders),
                size_bytes=sum(one.size_bytes for one in folders),
                is_whole=all(one.message_count <= LOOKED_AT for one in folders),
                folders=[
                    FolderStatistics(
                        folder=one.id,
                        role=None if one.role is None else one.role.value,
                        name=one.name,
                        messages=one.message_count,
                        unread=one.unseen_count,
                        size_bytes=one.size_bytes,
                        days=days.get(one.id, []),
                    )
                    for one in folders
                ],
            )
        )


def _person(name: str, address: str) -> Person:
    return Person.model_construct(name=name, address=address)


def _of_query(query: ListQuery) -> str:
    return f"{query.only or 'all'}.{query.limit}.{query.cursor or ''}"
