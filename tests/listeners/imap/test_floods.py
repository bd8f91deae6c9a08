"""Whatever a client pours in, others are served meanwhile, and what it may ask for has an end."""

from __future__ import annotations

import asyncio
import itertools
import time
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from postroad.listeners.budget import ContentBudget
from postroad.mailstore.folders import MAX_FOLDERS
from postroad.protocols.imap.search_keys import MAX_NEEDLES
from tests.mailstore.conftest import mail

from .conftest import Client, House

HOLD_SECONDS = 0.1  # of the loop that test and server share, by its own processor time
TRIES = 3  # what a flood holds, it holds each time; what a busy machine holds, it does not


class Holds:
    """The longest that the loop was held."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def run(self) -> None:
        while True:
            wall, cpu = time.perf_counter(), time.thread_time()
            await asyncio.sleep(0.005)
            hold = min(time.perf_counter() - wall - 0.005, time.thread_time() - cpu)
            self.longest = max(self.longest, hold)


@asynccontextmanager
async def measured() -> AsyncIterator[Holds]:
    holds = Holds()
    beating = asyncio.create_task(holds.run())
    try:
        yield holds
    finally:
        beating.cancel()


async def poured(client: Client, data: bytes, last: bytes) -> bytes:
    """Pour data in while reading on; everything heard up to the answer that begins with `last`."""
    heard = bytearray()

    async def read() -> None:
        while last not in heard:
            piece = await client.reader.read(65_536)
            if not piece:
                raise EOFError(bytes(heard[-200:]))
            heard.extend(piece)

    reading = asyncio.create_task(read())
    for at in range(0, len(data), 65_536):
        client.writer.write(data[at : at + 65_536])
        await client.writer.drain()
    await reading
    return bytes(heard)


async def test_commands_in_a_row_that_ask_nobody_hold_nobody(house: House) -> None:
    client = await house.client()
    longest = []
    for number in range(TRIES):
        async with measured() as holds:
            heard = await poured(
                client, b"x NOOP\r\n" * 30_000 + b"end%d NOOP\r\n" % number, b"end%d OK" % number
            )
        assert heard.count(b"x OK") == 30_000
        longest.append(holds.longest)
        if holds.longest < HOLD_SECONDS:
            break
    assert min(longest) < HOLD_SECONDS


async def test_a_thousandfold_bomb_in_compressed_input_holds_nobody(house: House) -> None:
    longest = []
    for _ in range(TRIES):
        client = await house.client()
        await client.ok("COMPRESS DEFLATE")
        packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        size = (
            4_000_000  # more than a mail may have, less than what is skipped: it is inflated and thrown away
        )
        bomb = packer.compress(b"b APPEND INBOX {%d+}\r\n" % size + b"\0" * size + b"\r\nend NOOP\r\n")
        bomb += packer.flush(zlib.Z_SYNC_FLUSH)
        assert len(bomb) < size / 500
        async with measured() as holds:
            client.writer.write(bomb)
            heard = b""
            unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
            while b"end OK" not in heard:
                heard += unpacker.decompress(await client.reader.read(65_536))
        assert b"b BAD [TOOBIG]" in heard
        longest.append(holds.longest)
        if holds.longest < HOLD_SECONDS:
            break
    assert min(longest) < HOLD_SECONDS


async def test_as_many_folders_as_there_may_be_are_listed_without_a_hold(house: House) -> None:
    account = await house.store.database.fetchval("SELECT id FROM account")
    client = await house.client()
    await client.ok('LIST "" *')
    await house.store.database.execute(
        "INSERT INTO folder (account_id, name) "
        "SELECT $1, 'f/' || repeat('a', 180) || n FROM generate_series(1, $2) n",
        account,
        MAX_FOLDERS - 6,
    )
    assert (await client.ask("CREATE more"))[1].startswith("NO [LIMIT]")
    hard = "*a" * 400 + "b"
    for asked in ('LIST "" *', f'LIST "" ({hard} %/% *) RETURN (CHILDREN)', f'LSUB "" {hard}'):
        longest = []
        for _ in range(TRIES):
            async with measured() as holds:
                await client.ok(asked)
            longest.append(holds.longest)
            if holds.longest < HOLD_SECONDS:
                break
        assert min(longest) < HOLD_SECONDS, asked[:20]


async def test_a_search_has_an_end(house: House) -> None:
    client = await house.client()
    assert (await client.append("INBOX", mail())).startswith("OK")
    await client.ok("SELECT INBOX")
    ten_kilobytes = " ".join(f"SUBJECT w{number:03}" for number in range(800))
    assert len(ten_kilobytes) > 10_000
    assert (await client.ask(f"SEARCH {ten_kilobytes}"))[1].startswith("NO [LIMIT]")
    texts = " ".join(["NOT TEXT nowhere"] * MAX_NEEDLES)
    assert await client.ok(f"SEARCH {texts}") == ["* SEARCH 1"]
    assert (await client.ask(f"SEARCH {texts} BODY x"))[1].startswith("NO [LIMIT]")
    assert (await client.ask(f"SEARCH BODY {'x' * 1001}"))[1].startswith("NO [LIMIT]")
    assert (await client.ask(f"SEARCH {'(' * 40}ALL{')' * 40}"))[1].startswith("NO [LIMIT]")
    assert await client.ok("SEARCH ALL") == ["* SEARCH 1"]


async def test_sets_of_a_search_are_bounded_together(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postroad.mailstore.exact_search.MAX_NAMED", 10)
    account = await house.store.database.fetchval("SELECT id FROM account")
    await house.store.fill(account, 6)
    client = await house.client(select="INBOX")
    assert len((await client.ok("SEARCH UID 1:*"))[0].split()) == 8
    assert (await client.ask("SEARCH UID 1:* 1:*"))[1].startswith("NO [LIMIT]")


async def test_what_is_looked_for_is_found_across_pieces_of_a_long_text(house: House) -> None:
    client = await house.client()
    lines = b"".join(b"line %d of many that fill a long text\r\n" % number for number in range(5_000))
    wide = "".join(itertools.repeat("很长的一行没有换行", 9_000)).encode()
    for body in (lines, wide):
        content = b"Subject: x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + body + b"\r\nThe End\r\n"
        assert (await client.append("INBOX", content)).startswith("OK")
    await client.ok("SELECT INBOX")
    assert await client.ok('SEARCH BODY "line 2500 of many that fill a long text"') == ["* SEARCH 1"]
    assert await client.ok('SEARCH BODY "the end"') == ["* SEARCH 1 2"]
    needle = ("很长的一行没有换行" * 30).encode()
    found = await client.ok(b"SEARCH CHARSET UTF-8 BODY {%d+}\r\n" % len(needle) + needle)
    assert found == ["* SEARCH 2"]
    assert await client.ok('SEARCH BODY "line 5000 of"') == ["* SEARCH"]


async def test_only_what_has_come_counts_as_held_and_the_idle_give_it_up(
    house: House, budget: ContentBudget
) -> None:
    async def are_held(size: int) -> None:
        while budget.held < size:  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.001)

    clients = [await house.client() for _ in range(3)]
    for number, client in enumerate(clients, 1):
        client.writer.write(b"a APPEND INBOX {900000+}\r\n" + b"x" * 300_000)
        await are_held(number * 300_000)
    assert budget.held < 1_000_000  # of 2,700,000 announced
    late = await house.client()
    late.writer.write(b"b APPEND INBOX {700000+}\r\n" + mail() + b"x" * (700_000 - len(mail())) + b"\r\n")
    assert (await late.line()).startswith(b"b OK")
    assert (await clients[0].line()).startswith(b"* BYE [LIMIT]")
