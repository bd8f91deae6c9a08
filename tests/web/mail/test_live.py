"""The live stream: a page learns of a change at once, and the stream ends when it must."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from starlette.types import Message

from postroad.config import Web
from postroad.db.pool import Database
from postroad.message.address import Address
from postroad.web.mail.live import MAX_STREAMS_EACH
from tests.web.client import Visitor
from tests.web.conftest import LIN, Lin
from tests.web.house import House, open_house
from tests.web.mails import mail


async def test_an_arriving_mail_is_told_within_a_second(house: House, lin: Lin) -> None:
    async with lin.visitor.stream("/mail/events") as pieces:
        async with asyncio.timeout(5):
            assert b"retry:" in await pieces.get()
        await house.deliver(lin.id, mail())
        async with asyncio.timeout(5):
            piece = b""
            while b"event: change" not in piece:
                piece = await pieces.get()
        assert f"data: {lin.inbox}".encode() in piece


async def test_anothers_mail_is_not_told(house: House, lin: Lin) -> None:
    other = await house.account("eve@demo.example", "Eve")
    async with lin.visitor.stream("/mail/events") as pieces:
        async with asyncio.timeout(5):
            await pieces.get()
        await house.deliver(other, mail())
        await house.deliver(lin.id, mail(message_id="2@x.example"))
        async with asyncio.timeout(5):
            assert f"data: {lin.inbox}\n".encode() in await pieces.get()
        assert pieces.empty()


async def test_streams_end_when_the_process_begins_to_leave(house: House, lin: Lin) -> None:
    async with lin.visitor.stream("/mail/events") as pieces:
        async with asyncio.timeout(5):
            await pieces.get()
            house.app.stop()
            while await pieces.get():
                pass


async def test_an_account_has_so_many_streams_also_when_all_come_at_once(house: House, lin: Lin) -> None:
    statuses: list[int] = []
    all_answered = asyncio.Event()

    async def hear(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])
            if len(statuses) == MAX_STREAMS_EACH + 10:
                all_answered.set()

    async def wait() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    scope = lin.visitor.scope("GET", "/mail/events", {}, 0)
    asking = [asyncio.ensure_future(house.app(dict(scope), wait, hear)) for _ in range(MAX_STREAMS_EACH + 10)]
    async with asyncio.timeout(20):
        await all_answered.wait()
    assert statuses.count(429) == 10
    house.app.stop()
    async with asyncio.timeout(20):
        await asyncio.gather(*asking)


async def test_when_the_house_is_full_whoever_has_most_gives_up_the_oldest(
    database: Database, tmp_path: Path
) -> None:
    async with open_house(database, tmp_path, Web(max_streams=3)) as house:
        visitors = []
        for name in ("lin@demo.example", "eve@demo.example"):
            await house.account(name)
            visitors.append(Visitor(house.app))
            await visitors[-1].sign_in(name)
        lin, eve = visitors
        async with AsyncExitStack() as stack:
            own = []
            for _ in range(3):
                own.append(await stack.enter_async_context(lin.stream("/mail/events")))
                async with asyncio.timeout(10):
                    await own[-1].get()
            assert (await lin.get("/mail/events")).status == 429  # nobody has more to give than who asks
            async with eve.stream("/mail/events") as pieces, asyncio.timeout(10):
                assert b"retry:" in await pieces.get()
                assert await own[0].get() == b""  # its end
                assert own[1].empty()


async def test_a_new_password_ends_the_stream_at_once(house: House, lin: Lin) -> None:
    async with lin.visitor.stream("/mail/events") as pieces, asyncio.timeout(10):
        assert b"retry:" in await pieces.get()
        await house.accounts.set_password(Address.parse(LIN), "another horse 42")
        while await pieces.get():
            pass
