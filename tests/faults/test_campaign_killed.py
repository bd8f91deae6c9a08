"""Killed at random moments while a campaign goes out: a worker, PostgreSQL, the supervisor; paused and
resumed meanwhile.

At the end every recipient is in exactly one final state and nobody is missing at the sink. Twice is there
at most who was in the window between a server's 250 and our commit when something died: each of them is
marked in the ledger. The number is printed. POSTROAD_CAMPAIGN_RECIPIENTS=20000 walks the long one.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest

from tests.faults.store import embedded_dsn
from tests.running import RunningServer, reachable_directory, wait_until
from tests.sink import Sink, running

RECIPIENTS = int(os.environ.get("POSTROAD_CAMPAIGN_RECIPIENTS", "2000"))
PATIENCE = 150.0 + RECIPIENTS / 100
PASSWORD = "correct horse 9"


@pytest.mark.timeout(900)
async def test_every_recipient_is_accounted_for_whatever_dies() -> None:
    seed = random.randrange(2**32)
    print(f"seed: {seed}")
    with reachable_directory("postroad-campaign-") as directory:
        sink = Sink(delay_seconds=0.005)  # slow enough that there is a middle to die in
        async with running(sink):
            await walk(directory, sink, random.Random(seed))


async def walk(directory: Path, sink: Sink, chance: random.Random) -> None:
    """One campaign, and everything that happens to it."""
    server = RunningServer(
        directory,
        doors=("http",),
        sections={"delivery": {"relay": f"127.0.0.1:{sink.port}"}},
    )
    await asyncio.to_thread(server.start)
    try:
        task = await asyncio.to_thread(ask, server, directory)
        moments = sorted(chance.randrange(RECIPIENTS // 20, RECIPIENTS * 6 // 10) for _ in range(4))
        for moment, act in zip(moments, (kill_worker, pause, kill_database, kill_all), strict=True):
            await reached(sink, moment)
            await asyncio.to_thread(act, server, task, chance)

        def is_over() -> bool:
            return bool(server.command("task", "show", "lin", str(task))["task"]["state"] == 3)

        await asyncio.to_thread(wait_until, is_over, PATIENCE, "the task is finished")
        connection = await asyncpg.connect(embedded_dsn(server.data_dir))
        rows = await connection.fetch("SELECT address, state, doubts FROM recipient")
        left = await connection.fetchval("SELECT count(*) FROM ledger_chunk")
        await connection.close()
    finally:
        if server.is_running:
            await asyncio.to_thread(server.stop)
    counts = Counter(sink.recipients)
    wanted = {f"to{number}@there{number % 5}.test" for number in range(RECIPIENTS)}
    assert Counter(row["address"] for row in rows) == Counter(wanted)
    assert Counter(row["state"] for row in rows) == {2: RECIPIENTS}
    assert not left
    assert set(counts) == wanted, "nobody is missing"
    twice = {address for address, count in counts.items() if count > 1}
    doubted = {row["address"] for row in rows if row["doubts"]}
    print(f"of {RECIPIENTS}: {len(doubted)} were in hand when something died, {len(twice)} got it twice")
    assert twice <= doubted, "whoever may have got it twice is marked"


def ask(server: RunningServer, directory: Path) -> int:
    """Make a customer with contacts, and a task that begins at once; returns its id."""
    secret = f"{PASSWORD}\n"
    server.command("customer", "add", "lin", "--password-stdin", "--volume", "1000000", stdin=secret)
    server.command("customer", "domain", "lin", "shop.test", "--verified")
    server.command("customer", "mailbox", "lin", "news@shop.test", "--password-stdin", stdin=secret)
    readers = server.command("contact", "add-list", "lin", "readers")["list"]["id"]
    file = directory / "readers.csv"
    file.write_text("".join(f"to{number}@there{number % 5}.test;R{number}\n" for number in range(RECIPIENTS)))
    server.command("contact", "import", "lin", str(readers), str(file), "--rows")
    page = directory / "letter.html"
    page.write_text("<p>Dear {{ name }}, a letter from all of us.</p>")
    template = server.command("template", "add", "lin", "letter", str(page), "--subject", "Hello {{ name }}")
    made = server.command(
        *("task", "add", "lin", "--template", str(template["template"]["id"])),
        *("--list", str(readers), "--sender", "news@shop.test"),
    )
    return int(made["task"]["id"])


async def reached(sink: Sink, count: int) -> None:
    """Wait until so many mails have arrived."""
    async with asyncio.timeout(PATIENCE):
        while len(sink.mails) < count:
            sink.arrived.clear()
            await sink.arrived.wait()


def kill_worker(server: RunningServer, _task: int, chance: random.Random) -> None:
    """SIGKILL to one of the workers."""
    with suppress(ProcessLookupError):
        os.kill(chance.choice(server.workers()), signal.SIGKILL)


def pause(server: RunningServer, task: int, _chance: random.Random) -> None:
    """Pause, and resume; a run that is over by then is neither."""
    server.run("task", "pause", "lin", str(task))
    server.run("task", "resume", "lin", str(task))


def kill_database(server: RunningServer, _task: int, _chance: random.Random) -> None:
    """SIGKILL to PostgreSQL."""
    with suppress(ProcessLookupError):
        os.kill(server.postmaster(), signal.SIGKILL)


def kill_all(server: RunningServer, _task: int, _chance: random.Random) -> None:
    """SIGKILL to the supervisor, and start again."""
    server.kill()
    server.start()
