"""Workers that are killed with mail in flight: their leases end with them, and others deliver it."""

from __future__ import annotations

import asyncio
import os
import signal
import smtplib
from contextlib import suppress

import asyncpg
import pytest

from tests.faults.pouring import mail
from tests.faults.store import embedded_dsn, problems
from tests.running import RunningServer, reachable_directory, wait_until
from tests.sink import Sink, running

MAILS = 30
PATIENCE = 200.0


@pytest.mark.timeout(500)
async def test_mail_in_flight_of_killed_workers_is_delivered_by_others() -> None:
    with reachable_directory("postroad-leases-") as directory:
        async with running(Sink(hold=asyncio.Event())) as sink:
            server = RunningServer(
                directory,
                doors=("smtp", "http"),
                sections={
                    "delivery": {"relay": f"127.0.0.1:{sink.port}"},
                    "smtp": {"relay_networks": ["127.0.0.0/8"]},
                },
            )
            await asyncio.to_thread(server.start)
            try:
                await kill_with_mail_in_flight(server, sink)
            finally:
                await asyncio.to_thread(server.stop)
            assert set(sink.recipients) == {f"to{number}@there.test" for number in range(MAILS)}


async def kill_with_mail_in_flight(server: RunningServer, sink: Sink) -> None:
    dsn = embedded_dsn(server.data_dir)
    await asyncio.to_thread(send, server.ports["smtp"])
    await asyncio.to_thread(wait_until, lambda: leased(dsn) == MAILS, PATIENCE, "not all are in flight")
    for worker in server.workers():
        with suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
    assert sink.hold is not None
    sink.hold.set()
    sink.hold = None
    await asyncio.to_thread(wait_until, lambda: queued(dsn) == 0, PATIENCE, "mail of the dead is stuck")
    found = await asyncio.to_thread(problems, dsn, server.data_dir / "blobs")
    assert not found


def send(port: int) -> None:
    """Hand in mails for elsewhere, each for one recipient."""
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
        for number in range(MAILS):
            client.sendmail(
                "pour@client.test", [f"to{number}@there.test"], mail(str(number), "to@there.test")
            )


def leased(dsn: str) -> int:
    """How many recipients some worker has leased."""
    return asyncio.run(_ask(dsn, "SELECT count(lease_owner) FROM queue_recipient"))


def queued(dsn: str) -> int:
    """How many recipients are in the queue."""
    return asyncio.run(_ask(dsn, "SELECT count(*) FROM queue_recipient"))


async def _ask(dsn: str, query: str) -> int:
    connection = await asyncpg.connect(dsn)
    try:
        return int(await connection.fetchval(query))
    finally:
        await connection.close()
