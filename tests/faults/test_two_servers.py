"""Two servers, two data directories, one database: they share the work, and deliver once."""

from __future__ import annotations

import asyncio
import smtplib
from collections import Counter
from pathlib import Path

import pytest

from postroad.db.cluster import Cluster
from tests.faults.pouring import Pouring, hold_against, mail
from tests.faults.store import names_in_inbox
from tests.running import RunningServer, reachable_directory, wait_until
from tests.sink import Sink, running

MAILS = 400
INBOX = "inbox@faults.test"
PATIENCE = 90.0


def server_on(directory: Path, name: str, dsn: str, sink_port: int) -> RunningServer:
    """A server that shares the database and the blobs, and relays through the sink."""
    return RunningServer(
        directory / name,
        hostname=f"{name}.faults.test",
        database=dsn,
        top={"blobs": str(directory / "blobs")},
        sections={
            "smtp": {"relay_networks": ["127.0.0.0/8"]},
            "delivery": {"relay": f"127.0.0.1:{sink_port}", "max_connections_per_destination": 40},
        },
        workers=1,
    )


@pytest.mark.timeout(300)
async def test_two_servers_share_the_work_and_deliver_once() -> None:
    with reachable_directory("postroad-two-") as directory:
        cluster = Cluster(directory / "database")
        dsn = await asyncio.to_thread(cluster.ensure_running)
        try:
            await share(directory, dsn)
        finally:
            await asyncio.to_thread(cluster.stop)
            cluster.leave()


async def share(directory: Path, dsn: str) -> None:
    """Mail in through both at once, then mail out, taken in by one alone and sent by both."""
    sink = Sink()
    async with running(sink):
        await share_with(sink, directory, dsn)


async def share_with(sink: Sink, directory: Path, dsn: str) -> None:
    """The same, with a sink whose port is known."""
    one, two = (server_on(directory, name, dsn, sink.port) for name in ("one", "two"))
    await asyncio.to_thread(one.add_domain, "faults.test", "inbox")
    await asyncio.gather(asyncio.to_thread(one.start), asyncio.to_thread(two.start))
    try:
        pourings = [
            Pouring(server.ports["smtp"], INBOX, MAILS, prefix=f"{name}.", sessions=5)
            for name, server in (("one", one), ("two", two))
        ]
        for pouring in pourings:
            pouring.start()
        for pouring in pourings:
            await asyncio.to_thread(pouring.finish, PATIENCE)
        hold_against(names_in_inbox_of(dsn), pourings[0].acknowledged | pourings[1].acknowledged)

        sink.disconnects["connect"] = 10**9  # nobody gets in yet: all of it is put off
        await asyncio.to_thread(submit, one, MAILS)
        await asyncio.to_thread(wait_until, lambda: sink.seen["connect"] > 0, PATIENCE, "nobody came")
        sink.disconnects.clear()
        sink.hold = asyncio.Event()  # until both have come, so that none can do it all alone
        await asyncio.to_thread(two.command, "queue", "retry", "--all")
        both = {"one.faults.test", "two.faults.test"}
        await asyncio.to_thread(
            wait_until, lambda: sink.clients.keys() == both, PATIENCE, f"only {sink.clients} deliver"
        )
        sink.hold.set()
        await sink.wait_for(MAILS, PATIENCE)
        await asyncio.to_thread(wait_for_empty_queue, two)
        copies = Counter(sink.recipients)
        assert copies == Counter({f"reader{number}@foreign.test": 1 for number in range(MAILS)})
    finally:
        for server in (one, two):
            if server.is_running:
                await asyncio.to_thread(server.stop)


def names_in_inbox_of(dsn: str) -> dict[str, int]:
    """What lies in the inbox, looked up in a thread of its own since a loop runs here."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(names_in_inbox, dsn, INBOX).result()


def submit(server: RunningServer, count: int) -> None:
    """Hand in mails for elsewhere, each for a reader of its own."""
    with smtplib.SMTP("127.0.0.1", server.ports["smtp"], timeout=30) as client:
        for number in range(count):
            reader = f"reader{number}@foreign.test"
            client.sendmail("pour@client.test", [reader], mail(f"out.{number}", reader))


def wait_for_empty_queue(server: RunningServer) -> None:
    """Return when nothing is queued any more."""
    wait_until(lambda: not server.command("queue", "list")["recipients"], PATIENCE, "the queue is not empty")
