"""Killed at random moments while mail pours in: a worker, then PostgreSQL, then the supervisor, five rounds.

Whatever was acknowledged is in the store exactly once afterwards, and the store holds to its own rules.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.faults.pouring import Pouring, hold_against
from tests.faults.store import embedded_dsn, names_in_inbox, problems
from tests.running import RunningServer, reachable_directory, wait_until

MAILS = 2000
ROUNDS = 5
PATIENCE = 120.0
INBOX = "inbox@faults.test"


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with reachable_directory("postroad-killed-") as directory:
        running = RunningServer(directory)
        running.add_domain("faults.test", "inbox")
        with running:
            yield running


@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", range(ROUNDS))
def test_every_acknowledged_mail_survives_once(server: RunningServer, number: int) -> None:
    seed = random.randrange(2**32)
    print(f"seed of round {number}: {seed}")
    chance = random.Random(seed)
    before = names_in_inbox(embedded_dsn(server.data_dir), INBOX).keys()
    pouring = Pouring(server.ports["smtp"], INBOX, MAILS, prefix=f"{number}.")
    moments = sorted(chance.randrange(MAILS // 20, MAILS * 9 // 10) for _ in range(3))

    pouring.start()
    pouring.wait_for(moments[0], PATIENCE)
    kill(chance.choice(server.workers()))
    pouring.wait_for(moments[1], PATIENCE)
    kill(server.postmaster())
    pouring.wait_for(moments[2], PATIENCE)
    server.kill()
    server.start()
    pouring.finish(PATIENCE)
    wait_until(lambda: len(server.workers()) == 2, PATIENCE, "the workers did not come back")

    found = names_in_inbox(embedded_dsn(server.data_dir), INBOX)
    mine = {name: copies for name, copies in found.items() if name not in before}
    hold_against(mine, pouring.acknowledged)
    assert len(pouring.acknowledged) == MAILS
    assert all(400 <= code < 500 for code in pouring.refused), set(pouring.refused)
    assert not problems(embedded_dsn(server.data_dir), server.data_dir / "blobs")


def kill(process_id: int) -> None:
    """SIGKILL; a process that has just gone is as dead as wanted."""
    with suppress(ProcessLookupError):
        os.kill(process_id, signal.SIGKILL)
