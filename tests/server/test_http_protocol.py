"""HTTP clients that send too much, too slowly or nothing at all are let go; honest ones are served."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from postroad.listeners.limits import Connections
from postroad.listeners.tls import ServerTls
from postroad.server import http_protocol
from postroad.server.health import Receive, Scope, Send, answer
from postroad.server.web_door import bind_web, web_server
from tests.listeners.conftest import write_certificate


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
async def serving(
    places: Connections | None = None, tls: ServerTls | None = None
) -> AsyncIterator[tuple[str, int]]:
    sockets = bind_web("127.0.0.1:0")
    address = sockets[0].getsockname()
    server = web_server(length_of_body, 1, tls, places)
    task = asyncio.create_task(server.serve(sockets))
    async with asyncio.timeout(30):
        yield address
    server.should_exit = True
    await task


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    async with serving() as address:
        reader, writer = await asyncio.open_connection(*address)
        yield reader, writer
        writer.close()


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


REQUEST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"


async def ask(address: tuple[str, int], client: str, tls: ssl.SSLContext | None = None) -> bytes:
    """The status line that a client at this address gets."""
    reader, writer = await asyncio.open_connection(*address, local_addr=(client, 0), ssl=tls)
    writer.write(REQUEST)
    line = await reader.readline()
    writer.close()
    return line


@pytest.mark.parametrize("half", [b"", b"GET / HT", REQUEST[:-1]], ids=["silent", "head", "body"])
async def test_half_requests_of_one_client_keep_nobody_out(half: bytes) -> None:
    places = Connections(10, 1000, replaces_own=True)
    async with serving(places) as address:
        crowd = []
        for _ in range(40):  # as often as they are opened again
            _, writer = await asyncio.open_connection(*address, local_addr=("127.0.0.2", 0))
            writer.write(half)
            crowd.append(writer)
        for _ in range(20):
            assert (await ask(address, "127.0.0.3")).startswith(b"HTTP/1.1 200")
        assert places.open <= 10
        assert places.gave_way >= 30
        for writer in crowd:
            writer.close()
        while places.open:  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.01)


async def test_a_client_at_its_limit_loses_its_idlest_connection() -> None:
    async with serving(Connections(100, 2, replaces_own=True)) as address:
        first, _ = await asyncio.open_connection(*address)
        second, writer = await asyncio.open_connection(*address)
        assert (await ask(address, "127.0.0.1")).startswith(b"HTTP/1.1 200")
        with suppress(ConnectionResetError):
            assert await first.read() == b""
        writer.write(REQUEST)
        assert (await second.readline()).startswith(b"HTTP/1.1 200")


async def test_who_is_turned_away_is_told() -> None:
    async with serving(Connections(100, 0)) as address:
        reader, _ = await asyncio.open_connection(*address)
        answer_ = await reader.read()
        assert answer_.startswith(b"HTTP/1.1 503")
        head, _, body = answer_.partition(b"\r\n\r\n")
        assert f"content-length: {len(body)}".encode() in head


async def test_handshakes_that_do_not_come_count_too(tmp_path: Path) -> None:
    write_certificate(tmp_path / "cert.pem", tmp_path / "key.pem", "web.example.com")
    tls = ServerTls(tmp_path / "cert.pem", tmp_path / "key.pem")
    trusting = ssl.create_default_context()
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    places = Connections(100, 5)
    async with serving(places, tls) as address:
        silent = [await asyncio.open_connection(*address, local_addr=("127.0.0.2", 0)) for _ in range(9)]
        while places.open < 5:  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.01)
        with pytest.raises((ConnectionError, ssl.SSLError)):
            await ask(address, "127.0.0.2", trusting)
        assert (await ask(address, "127.0.0.3", trusting)).startswith(b"HTTP/1.1 200")
        for _, writer in silent:
            writer.close()
        while places.open:  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.01)
        assert (await ask(address, "127.0.0.2", trusting)).startswith(b"HTTP/1.1 200")
