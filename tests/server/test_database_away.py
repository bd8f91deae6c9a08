"""The database goes and comes back, the disk fills up, two servers share a database: service resumes."""

from __future__ import annotations

import os
import smtplib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from postroad.db.cluster import Cluster
from tests.server.conftest import INBOX, Server, add_accounts, ask, eventually

Make = Callable[..., Server]
TEXT = (
    "Hello Bob, how are you today? Nothing much happens here.\r\n" * 700
)  # 40 KB: below what becomes a blob
MAIL = f"From: x@elsewhere.test\r\nTo: bob@example.com\r\nSubject: hello\r\n\r\n{TEXT}"


@pytest.fixture
def cluster(place: Path) -> Iterator[Cluster]:
    """A database of one's own, from the servers' point of view."""
    cluster = Cluster(place / "database")
    cluster.ensure_running()
    yield cluster
    cluster.ensure_running()
    cluster.leave()


def deliver(server: Server) -> int:
    """Hand in one mail; gives the code of the answer to the recipient or to the content."""
    try:
        with smtplib.SMTP(*server.addresses["smtp"], timeout=60) as client:
            client.sendmail("x@elsewhere.test", ["bob@example.com"], MAIL)
            return 250
    except smtplib.SMTPRecipientsRefused as error:
        return int(error.recipients["bob@example.com"][0])
    except smtplib.SMTPResponseException as error:
        return int(error.smtp_code)


def test_while_the_database_is_away_mail_is_put_off_and_then_taken(
    make_server: Make, cluster: Cluster
) -> None:
    server = make_server(database=cluster.dsn)
    server.start()
    add_accounts(cluster.dsn, "bob@example.com", password="quite-a-Secret-word-7")
    assert deliver(server) == 250
    cluster.stop()
    eventually(lambda: server.status("/readyz") == 503, "not ready")
    assert server.status("/healthz") == 200
    assert 400 <= deliver(server) < 500
    assert server.metric("postroad_database_up") == 0
    workers = server.workers()
    cluster.ensure_running()
    eventually(lambda: server.status("/readyz") == 200, "ready again")
    eventually(lambda: deliver(server) == 250, "mail is taken again")
    assert server.workers() == workers
    assert ask(cluster.dsn, INBOX, "bob@example.com") == 2
    assert server.stop() == 0


def test_a_server_waits_for_a_database_that_is_not_there_yet(make_server: Make, cluster: Cluster) -> None:
    cluster.stop()
    server = make_server(database=cluster.dsn, workers=1)
    process = server.launch()
    eventually(lambda: server.events("database_unavailable"), "it waits")
    cluster.ensure_running()
    eventually(lambda: server.addresses and server.status("/readyz") == 200, "ready")
    assert process.poll() is None
    assert server.stop() == 0


def test_a_server_that_waits_can_be_stopped(make_server: Make, cluster: Cluster) -> None:
    cluster.stop()
    server = make_server(database=cluster.dsn, workers=1)
    server.launch()
    eventually(lambda: server.events("database_unavailable"), "it waits")
    assert server.stop() == 0


def test_two_servers_on_one_database_share_the_work(make_server: Make, cluster: Cluster, place: Path) -> None:
    blobs = str(place / "blobs")
    one = make_server("one", database=cluster.dsn, blobs=blobs, workers=1)
    other = make_server("other", database=cluster.dsn, blobs=blobs, workers=1)
    one.start()
    other.start()
    add_accounts(cluster.dsn, "bob@example.com", password="quite-a-Secret-word-7")
    assert [deliver(one), deliver(other), deliver(one)] == [250] * 3
    assert ask(cluster.dsn, INBOX, "bob@example.com") == 3
    assert one.stop() == 0
    assert deliver(other) == 250
    assert ask(cluster.dsn, INBOX, "bob@example.com") == 4
    assert other.stop() == 0


def test_a_newer_database_is_refused(make_server: Make, cluster: Cluster) -> None:
    server = make_server(database=cluster.dsn, workers=1)
    server.start()
    assert server.stop() == 0
    ask(cluster.dsn, "INSERT INTO schema_migration VALUES (9999, 'later', 'x') RETURNING 1")
    assert server.launch().wait(30) == 1
    [event] = server.events("server_cannot_start")
    assert event["kind"] == "SchemaTooNew"
    assert "newer release" in event["reason"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a small disk")
def test_on_a_full_disk_mail_is_put_off_and_taken_once_there_is_room(make_server: Make, place: Path) -> None:
    disk = place / "disk"
    disk.mkdir()
    if (
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128m,mode=0755", "none", str(disk)]).returncode
        != 0
    ):
        pytest.skip("mounting is not allowed here")
    try:
        server = make_server(data_dir=str(disk / "data"), workers=1)
        server.data_dir = disk / "data"
        server.start()
        add_accounts(server.dsn, "bob@example.com", password="quite-a-Secret-word-7")
        assert deliver(server) == 250
        filler = disk / "filler"
        with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
            while True:
                file.write(bytes(1 << 16))
        # What fits into room that PostgreSQL has already is still taken; then it is 4xx, never 5xx.
        taken = 1
        while (code := deliver(server)) == 250:
            taken += 1
        assert 400 <= code < 500
        filler.unlink()
        eventually(lambda: deliver(server) == 250, "mail is taken again")
        eventually(lambda: server.status("/readyz") == 200, "ready again")
        assert ask(server.dsn, INBOX, "bob@example.com") == taken + 1
        assert server.stop() == 0
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)
