"""Bodies under way share budgets: forms in memory, uploads on the disk; who holds most gives way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from postroad.listeners.budget import ContentBudget
from postroad.server.bodies import FREE_BYTES, BoundedBodies, LetGo
from postroad.server.health import Message

PIECE = b"x" * FREE_BYTES
Send = Callable[[Message], Awaitable[None]]


class Client:
    """A request whose body comes piece by piece."""

    def __init__(self, app: BoundedBodies, address: str, kind: bytes = b"text/plain") -> None:
        self.pieces: asyncio.Queue[Message] = asyncio.Queue()
        self.status = 0
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/",
            "raw_path": b"/",
            "query_string": b"",
            "headers": [(b"content-type", kind)],
            "client": (address, 1),
        }
        self.task = asyncio.ensure_future(app(scope, self.pieces.get, self.hear))

    async def hear(self, message: Message) -> None:
        """Note the status."""
        self.status = message.get("status", self.status)

    def say(self, piece: bytes = PIECE, *, is_last: bool = False) -> None:
        """Send a piece."""
        self.pieces.put_nowait({"type": "http.request", "body": piece, "more_body": not is_last})


async def count(request: Request) -> PlainTextResponse:
    size = 0
    async for piece in request.stream():
        size += len(piece)
    return PlainTextResponse(str(size))


def bounded(memory: ContentBudget, disk: ContentBudget) -> BoundedBodies:
    app = Starlette(routes=[Route("/", count, methods=["POST"])])
    return BoundedBodies(app, memory, disk, asyncio.get_running_loop().time)


async def taken(budget: ContentBudget, size: int) -> None:
    while budget.held != size:  # noqa: ASYNC110 - nobody announces it
        await asyncio.sleep(0.001)


async def test_the_idlest_body_of_the_fullest_client_gives_way() -> None:
    memory, disk = ContentBudget(9 * FREE_BYTES), ContentBudget()
    app = bounded(memory, disk)
    slow = [Client(app, "192.0.2.1") for _ in range(2)]
    for number, client in enumerate(slow, 1):
        for _ in range(4):
            client.say()
        await taken(memory, number * 4 * FREE_BYTES)
    other = Client(app, "192.0.2.2")
    other.say()
    other.say()
    await asyncio.wait_for(slow[0].task, 10)
    assert slow[0].status == 503
    other.say(is_last=True)
    slow[1].say(is_last=True)
    await asyncio.wait_for(asyncio.gather(other.task, slow[1].task), 10)
    assert (other.status, slow[1].status) == (200, 200)
    assert (memory.held, disk.held) == (0, 0)


async def test_uploads_have_a_budget_of_their_own_and_small_bodies_none() -> None:
    memory, disk = ContentBudget(1), ContentBudget(3 * FREE_BYTES)
    app = bounded(memory, disk)
    small = Client(app, "192.0.2.1")
    small.say(is_last=True)
    upload = Client(app, "192.0.2.1", b"Multipart/form-data; boundary=x")
    upload.say()
    upload.say()
    await taken(disk, 2 * FREE_BYTES)
    upload.say(is_last=True)
    await asyncio.wait_for(asyncio.gather(small.task, upload.task), 10)
    assert (small.status, upload.status) == (200, 200)
    assert (memory.held, disk.held) == (0, 0)


async def test_a_body_alone_beyond_the_budget_is_refused() -> None:
    app = bounded(ContentBudget(FREE_BYTES), ContentBudget())
    client = Client(app, "192.0.2.1")
    client.say()
    client.say()
    await asyncio.wait_for(client.task, 10)
    assert client.status == 503


pytestmark = pytest.mark.timeout(60)


async def test_an_answer_counts_until_its_reader_has_taken_it_and_a_slow_one_gives_way() -> None:
    large = PIECE * 5

    async def page(_: Request) -> PlainTextResponse:
        return PlainTextResponse(large)

    memory = ContentBudget(9 * FREE_BYTES)
    app = BoundedBodies(
        Starlette(routes=[Route("/", page)]), memory, ContentBudget(), asyncio.get_running_loop().time
    )

    async def nothing() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def read(address: str, pieces: list[bytes], is_slow: bool) -> int:
        status = 0

        async def hear(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            pieces.append(message.get("body", b""))
            if is_slow and len(pieces) > 2:
                await asyncio.Event().wait()

        scope = {
            "type": "http",
            "method": "GET",
            "path": "/",
            "raw_path": b"/",
            "query_string": b"",
            "headers": [],
            "client": (address, 1),
        }
        await app(scope, nothing, hear)
        return status

    slow = asyncio.ensure_future(read("192.0.2.1", [], True))
    await taken(memory, 5 * FREE_BYTES)
    heard: list[bytes] = []
    async with asyncio.timeout(20):
        assert await read("192.0.2.2", heard, False) == 200
    assert b"".join(heard) == large
    assert max(map(len, heard)) == FREE_BYTES
    with pytest.raises(LetGo):
        await slow
    assert memory.held == 0
