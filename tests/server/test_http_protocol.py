"""HTTP clients that send too much, too slowly or nothing at all are let go; honest ones are served."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from postroad.server import http_protocol
from postroad.server.health import Receive, Scope, Send, answer
from postroad.server.web_door import bind_web, web_server


async def length_of_body(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers how much it got."""
    size = 0
    while True:
        message = await receive()
        size += len(message.get("body", b""))
        if message["type"] == "http.disconnect":
            return
        if not message.get("more_body", False):
            break
    await answer(send, 200, str(size).encode())


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    sockets = bind_web("127.0.0.1:0")
    address = sockets[0].getsockname()
    server = web_server(length_of_body, 1)
    serving = asyncio.create_task(server.serve(sockets))
    reader, writer = await asyncio.open_connection(*address)
    async with asyncio.timeout(30):
        yield reader, writer
    writer.close()
    server.should_exit = True
    await serving


async def test_an_honest_request_is_served_twice_on_one_connection() -> None:
    async with connected() as (reader, writer):
        for _ in range(2):
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel")
            writer.write(b"lo")
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            assert await reader.readexactly(1) == b"5"


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * 200_000,
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: " + b"a" * 200_000,
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: " + b"a" * 70_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X-Many: 1\r\n" * 300 + b"\r\n",
    ],
)
async def test_a_head_too_large_is_refused(head: bytes) -> None:
    async with connected() as (reader, writer):
        writer.write(head)
        assert (await reader.read(12)).startswith(b"HTTP/1.1 400")
        await reader.read()


@pytest.mark.parametrize("piece", [b"", b"GET / HT"])
async def test_a_head_that_does_not_come_is_not_waited_for(
    piece: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 0.05)
    async with connected() as (reader, writer):
        writer.write(piece)
        assert await reader.read() == b""


async def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "BODY_IDLE_SECONDS", 0.05)
    async with connected() as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel")
        with pytest.raises(ConnectionResetError):
            await reader.read()
            raise ConnectionResetError  # an end without an answer is as good
