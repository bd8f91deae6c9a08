"""The live stream: what happens is told on every worker, and nothing is missed after a broken connection."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.api.events import Position, read_position, write_position
from postroad.config import Api as Limits
from postroad.db.pool import Database
from postroad.directory.identity.tokens import MAIL_SCOPES
from postroad.directory.principals import Kind
from postroad.mailstore.flags import Flag, FlagChange
from postroad.mailstore.folders import Role, renew_uid_validity_in
from tests.api.conftest import LIN, ApiHouse, open_api_house
from tests.api.test_mail import mail
from tests.web.house import until

PATIENCE = 100.0


@dataclass
class Told:
    """One event."""

    kind: str
    id: str
    value: Any


class Stream:
    """A reader of the stream."""

    def __init__(self, pieces: asyncio.Queue[bytes]) -> None:
        self._pieces = pieces
        self.last_id = ""

    async def next(self) -> Told:
        """The next event; comments are passed over."""
        while True:
            async with asyncio.timeout(PATIENCE):
                piece = (await self._pieces.get()).decode()
            fields = dict(
                line.split(": ", 1) for line in piece.splitlines() if ": " in line and line[0] != ":"
            )
            self.last_id = fields.get("id", self.last_id)
            if "event" in fields:
                return Told(fields["event"], self.last_id, json.loads(fields["data"]))

    async def until(self, kind: str) -> list[Told]:
        """Events up to the first of a kind."""
        told = [await self.next()]
        while told[-1].kind != kind:
            told.append(await self.next())
        return told


@asynccontextmanager
async def following(api: ApiHouse, token: str, last_id: str = "") -> AsyncIterator[Stream]:
    """Follow Lin's stream on one worker."""
    headers = {"authorization": f"Bearer {token}", **({"last-event-id": last_id} if last_id else {})}
    async with api.caller().visitor.stream("/api/v1/events", headers) as pieces:
        yield Stream(pieces)


async def lasting(api: ApiHouse) -> str:
    """A token of Lin's."""
    return (await api.tokens.add(Kind.ACCOUNT, LIN, "x", MAIL_SCOPES))[1]


async def test_mail_and_counts_are_told_on_another_worker_and_nothing_is_missed(
    database: Database, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with (
        open_api_house(database, tmp_path_factory.mktemp("a")) as here,
        open_api_house(database, tmp_path_factory.mktemp("b")) as there,
    ):
        lin = await here.house.account(LIN, "林晓")
        token = await lasting(here)
        inbox, trash = await here.house.folder(lin), await here.house.folder(lin, Role.TRASH)
        async with following(there, token) as stream:
            hello = await stream.next()
            assert hello.kind == "hello" and len(hello.value["folders"]) == 6
            uid = await here.house.deliver(lin, mail("first"))
            told = await stream.until("folder")
            assert [(one.kind, one.value.get("subject")) for one in told[:-1]] == [("message", "first")]
            assert (told[-1].value["id"], told[-1].value["unread"]) == (inbox, 1)
            await here.house.entries.set_flags(lin, inbox, [uid], FlagChange.adding(Flag.SEEN))
            told = await stream.until("folder")
            assert (told[0].kind, told[0].value["is_read"], told[-1].value["unread"]) == ("changed", True, 0)
            last_id = stream.last_id
        # While nobody listens: mail comes in a batch, one goes, a folder is made, another is removed.
        made = await here.house.folders.create(lin, "New")
        for number in range(5):
            await here.house.deliver(lin, mail(f"missed {number}"))
        await here.house.entries.move(lin, inbox, [uid], trash)
        await here.house.folders.create(lin, "Short")
        async with following(here, token, last_id) as stream:
            told = []
            while len({one.value["id"] for one in told if one.kind == "folder"}) < 4:
                told.append(await stream.next())
            new = [
                one.value["subject"] for one in told if one.kind == "message" and one.value["folder"] == inbox
            ]
            assert new == [f"missed {number}" for number in range(5)]
            assert [one.value for one in told if one.kind == "removed"] == [{"folder": inbox, "uids": [uid]}]
            counts = {one.value["id"]: one.value["unread"] for one in told if one.kind == "folder"}
            assert counts[inbox] == 5 and made.id in counts and trash in counts
            await there.house.folders.delete(lin, made.id)
            assert (await stream.until("folder-removed"))[-1].value == {"folder": made.id}
        # Whoever goes on from the end is told nothing again.
        async with following(there, token, stream.last_id) as later:
            await here.house.deliver(lin, mail("last"))
            told = await later.until("folder")
            assert [one.value.get("subject") for one in told[:-1]] == ["last"]


async def test_a_thousand_mails_missed_are_told_each(api: ApiHouse) -> None:
    token = await lasting(api)
    async with following(api, token) as stream:
        await stream.next()
        start = stream.last_id
    uids = [await api.house.deliver(api.lin_id, mail(f"n {number}")) for number in range(450)]
    async with following(api, token, start) as stream:
        told = await stream.until("folder")
        assert [one.value["uid"] for one in told[:-1]] == uids
        # No position before all of a folder is told: broken in the middle, a reader gets all of it again.
        assert {one.id for one in told[:-1]} == {""} and told[-1].id not in ("", start)


async def test_after_a_restore_a_reader_is_told_to_begin_anew(api: ApiHouse) -> None:
    token = await lasting(api)
    inbox = await api.house.folder(api.lin_id)
    async with following(api, token) as stream:
        await stream.next()
        before = stream.last_id
    await api.house.deliver(api.lin_id, mail("other than before"))
    async with api.house.database.transaction() as connection:
        await renew_uid_validity_in(connection)
    async with following(api, token, before) as stream:
        told = [await stream.next() for _ in range(6)]
        assert {one.kind for one in told} == {"folder-reset"}
        assert inbox in {one.value["id"] for one in told}


async def test_who_only_asks_whether_there_is_a_stream_begins_none(api: ApiHouse) -> None:
    head = await api.caller(await lasting(api))("HEAD", "/events")
    assert head.headers["content-type"] == "text/event-stream" and head.body == b""


async def test_streams_are_bounded_and_end_when_the_process_drains(
    database: Database, tmp_path_factory: pytest.TempPathFactory
) -> None:
    limits = Limits(max_streams=2, max_streams_per_account=1)
    async with open_api_house(database, tmp_path_factory.mktemp("a"), limits) as api:
        await api.house.account(LIN, "林晓")
        token = await lasting(api)
        async with following(api, token) as stream:
            await stream.next()
            refused = await api.caller(token)("GET", "/events")
            assert (refused.status, refused.json()["code"]) == (429, "too-many-streams")
            api.api.stop()

        async def is_over() -> bool:
            return (await api.caller(token)("GET", "/events")).status == 200

        await until(is_over, PATIENCE)


@given(
    st.dictionaries(
        st.integers(1, 10**17),
        st.tuples(st.integers(0, 10**17), st.integers(1, 10**17), st.integers(1, 2**32 - 1)),
        min_size=1,
        max_size=30,
    )
)
def test_a_position_comes_back_as_it_went(position: Position) -> None:
    assert read_position(write_position(position)) == position


@given(st.text(max_size=60))
def test_a_position_that_is_none_is_none_or_reads(text: str) -> None:
    found = read_position(text)
    assert found is None or write_position(found)
