"""A database that goes away: mail is answered with a 4xx, pages say so, and all resumes when it is back."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from postroad.db.cluster import Cluster
from tests.faults.pouring import hold_against
from tests.faults.store import names_in_inbox
from tests.faults.test_full_disk import INBOX, PATIENCE, send
from tests.running import RunningServer, reachable_directory, wait_until


@pytest.mark.timeout(300)
def test_a_stopped_database_is_a_later_and_service_resumes() -> None:
    with reachable_directory("postroad-stopped-") as directory:
        cluster = Cluster(directory / "elsewhere")
        dsn = cluster.ensure_running()
        try:
            pour_over_an_outage(directory, cluster, dsn)
        finally:
            cluster.stop()
            cluster.leave()


def pour_over_an_outage(directory: Path, cluster: Cluster, dsn: str) -> None:
    """Mail before, while and after the database is away."""
    server = RunningServer(directory / "server", database=dsn)
    server.add_domain("faults.test", "inbox")
    with server:
        assert send(server.ports["smtp"], "before") == 250
        cluster.stop()
        assert 400 <= send(server.ports["smtp"], "while") < 500
        wait_until(lambda: server.http_status("/readyz") == 503, PATIENCE, "readyz still says yes")
        assert server.http_status("/healthz") == 200, "nothing is gained by restarting the workers"
        cluster.ensure_running()
        names = (f"after-{number}" for number in itertools.count())
        taken: set[str] = set()
        wait_until(lambda: offer(server, next(names), taken), PATIENCE, "mail was not taken again")
        server.wait_ready()
        hold_against(names_in_inbox(dsn, INBOX), {"before", *taken})


def offer(server: RunningServer, name: str, taken: set[str]) -> bool:
    """Send one mail; whether it was acknowledged, and then noted in `taken`."""
    is_taken = send(server.ports["smtp"], name) == 250
    if is_taken:
        taken.add(name)
    return is_taken
