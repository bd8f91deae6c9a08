"""Whatever a client sends, it hears BAD, NO or BYE, and the next client is served."""

from __future__ import annotations

import asyncio
import random

import pytest

from postroad.listeners.imap_session import MAX_ERRORS_OF_NOBODY

from .conftest import Client, House

WORDS = [
    b"FETCH",
    b"UID",
    b"1:*",
    b"(FLAGS)",
    b"BODY[1.2.MIME]<0.5>",
    b"STORE",
    b"+FLAGS",
    b"(\\Seen x)",
    b"SEARCH",
    b"OR NOT ALL",
    b'TEXT "a"',
    b"$",
    b"COPY",
    b"Archive",
    b"RETURN (ALL)",
    b"SORT",
    b"(DATE)",
    b"UTF-8",
    b"LIST",
    b'""',
    b"{3+}\r\nabc",
    b"{99999+}\r\n",
    b"\xff\xfe",
    b"\0",
    b"(" * 50,
    b'"',
    b"THREAD REFERENCES",
    b"ALL",
    b"NOOP",
    b"ENABLE QRESYNC",
    b"SELECT INBOX",
    b"EXPUNGE",
    b"MOVE",
    b"*",
    b"4294967296",
    b"APPEND",
    b"INBOX",
    b"~{1+}\r\n\0",
]


async def hear_out(client: Client) -> bytes:
    """Everything said up to the end of the connection."""
    client.writer.write_eof()
    async with asyncio.timeout(30):
        return await client.reader.read()


@pytest.mark.parametrize("seed", range(3))
async def test_random_words_are_answered_and_harm_nobody(house: House, seed: int) -> None:
    chance = random.Random(seed)
    account = await house.store.database.fetchval("SELECT min(id) FROM account")
    await house.store.fill(account, 2)
    client = await house.client(select="INBOX")
    for number in range(30):
        words = [chance.choice(WORDS) for _ in range(chance.randrange(1, 7))]
        client.writer.write(b"g%d " % number + b" ".join(words) + b"\r\n")
    said = await hear_out(client)
    lines = said.split(b"\r\n")
    tagged = [line for line in lines if line.startswith(b"g")]
    assert tagged
    assert all(line.split(b" ", 2)[1] in (b"OK", b"NO", b"BAD") for line in tagged)
    assert b"SERVERBUG" not in said
    other = await house.client(select="INBOX")
    await other.ok("NOOP")


async def test_bytes_that_are_no_protocol_end_in_a_bye(house: House) -> None:
    chance = random.Random(7)
    client = await house.connect()
    for _ in range(MAX_ERRORS_OF_NOBODY):
        client.writer.write(chance.randbytes(40).replace(b"\n", b" ") + b"\r\n")
        assert (await client.line()).split(b" ", 2)[1] == b"BAD"
    assert await client.line() == b"* BYE Too many errors"


async def test_a_line_without_end_is_refused_and_not_kept(house: House) -> None:
    client = await house.client()
    client.writer.write(b"a NOOP " + b"x" * 3_000_000 + b"\r\nb NOOP\r\n")
    assert (await client.line()).startswith(b"a BAD [TOOBIG]")
    assert (await client.line()).startswith(b"b OK")
