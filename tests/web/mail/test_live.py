"""The live stream: a page learns of a change at once, and the stream ends when it must."""

from __future__ import annotations

import asyncio

from tests.web.conftest import Lin
from tests.web.house import House
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
