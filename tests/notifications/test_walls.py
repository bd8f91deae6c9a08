"""Where webhooks may go, how they are signed, and what a strange peer can do to a call."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.dns.answers import Answer, NameNotFound
from postroad.notifications.calling import Caller, CallFailed
from postroad.notifications.receivers import BadReceiver, check_url, new_secret
from postroad.notifications.signing import signed_headers
from postroad.notifications.walls import may_go_to

LOOPBACK = (ip_network("127.0.0.0/8"),)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
        "255.255.255.255", "224.0.0.1", "240.0.0.1", "192.0.2.1", "::1", "::", "fe80::1", "fe80::1%eth0",
        "fd00::1", "fc00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::7f00:1", "2002:7f00:1::",
        "2002:a00:1::1",
        "64:ff9b::7f00:1", "64:ff9b::10.0.0.1", "2001:db8::1", "localhost", "",
    ],
)  # fmt: skip
def test_no_way_leads_inside(address: str) -> None:
    assert not may_go_to(address, ())


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"])
def test_the_outside_is_open(address: str) -> None:
    assert may_go_to(address, ())


def test_what_an_operator_names_is_open() -> None:
    allowed = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    assert may_go_to("10.1.2.3", allowed)
    assert may_go_to("fd00::1", allowed)
    assert not may_go_to("127.0.0.1", allowed)


@given(st.ip_addresses(v=4))
def test_an_address_in_other_clothes_is_the_same(address: object) -> None:
    assert may_go_to(f"::ffff:{address}", ()) == may_go_to(str(address), ())
    assert may_go_to(f"64:ff9b::{address}", ()) == may_go_to(str(address), ())


@pytest.mark.parametrize(
    "url",
    ["ftp://h/", "https://", "https://user:pw@h/", "https://h/#x", "https://h/a b", "https://h:99999/", "h/x",
     "https://\u4f8b\u5b50/", "https://h/\r\nX: y", "https://h/" + "x" * 3000],
)  # fmt: skip
def test_what_is_no_url_of_a_webhook(url: str) -> None:
    with pytest.raises(BadReceiver):
        check_url(url)


def test_every_secret_signs() -> None:
    old, new = new_secret(), new_secret()
    headers = signed_headers("mail_1_2", 1700000000, b"{}", [new, old])
    signatures = headers["webhook-signature"].split(" ")
    for secret, signature in zip([new, old], signatures, strict=True):
        key = base64.b64decode(secret.removeprefix("whsec_"))
        expected = hmac.new(key, b"mail_1_2.1700000000.{}", hashlib.sha256).digest()
        assert signature == "v1," + base64.b64encode(expected).decode()


class Names:
    """A DNS that changes its mind: the first answer is good, what follows leads inside."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def addresses(self, host: str) -> Answer[str]:
        self.asked += 1
        if not self.answers:
            raise NameNotFound(host)
        return Answer(tuple(self.answers.pop(0)), False, 60)


@asynccontextmanager
async def answering(said: bytes, *, reads: bool = True) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that reads a request and says something."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if reads:
            heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(said)
        if not said:
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], heard


async def test_the_address_that_was_judged_is_the_one_that_is_called() -> None:
    async with answering(b"HTTP/1.1 204 No Content\r\n\r\n") as (port, heard):
        names = Names(["127.0.0.1"], ["10.0.0.1"])
        reply = await Caller(names, LOOPBACK, 10).post(
            f"http://hook.test:{port}/a?b=c", {"X-A": "b"}, b"body"
        )
        assert reply.is_success
        assert names.asked == 1
        head = heard[0].decode()
        assert head.startswith("POST /a?b=c HTTP/1.1\r\n")
        assert f"Host: hook.test:{port}\r\n" in head and "X-A: b\r\n" in head
        with pytest.raises(CallFailed, match="may not go"):
            await Caller(names, LOOPBACK, 10).post(f"http://hook.test:{port}/", {}, b"")
        assert len(heard) == 1


async def test_one_address_that_leads_inside_closes_the_name() -> None:
    with pytest.raises(CallFailed, match=r"169\.254\.169\.254"):
        await Caller(Names(["8.8.8.8", "169.254.169.254"]), (), 10).post("http://hook.test/", {}, b"")
    with pytest.raises(CallFailed, match="may not go"):
        await Caller(Names(), (), 10).post("http://[::1]:80/", {}, b"")
    with pytest.raises(CallFailed, match="no address"):
        await Caller(Names(), (), 10).post("http://hook.test/", {}, b"")


async def test_a_redirect_is_a_refusal() -> None:
    said = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\nelsewhere"
    async with answering(said) as (port, _):
        reply = await Caller(Names(), LOOPBACK, 10).post(f"http://127.0.0.1:{port}/", {}, b"")
        assert (reply.is_success, reply.status, reply.beginning) == (False, 302, "elsewhere")


@pytest.mark.parametrize(
    "said",
    [
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200",
        b"x" * 100_000,
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
)
async def test_a_peer_that_speaks_nonsense_fails(said: bytes) -> None:
    async with answering(said) as (port, _):
        with pytest.raises(CallFailed):
            await Caller(Names(), LOOPBACK, 10).post(f"http://127.0.0.1:{port}/", {}, b"")


async def test_a_peer_that_hangs_fails_in_time() -> None:
    async with answering(b"") as (port, _):
        with pytest.raises(CallFailed, match="no answer"):
            await Caller(Names(), LOOPBACK, 0.05).post(f"http://127.0.0.1:{port}/", {}, b"")
