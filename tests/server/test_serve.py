"""One server from start to end: ready in time, healthy, replaced when parts of it die, drained when told."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

from tests.server.conftest import Server, eventually

Make = Callable[..., Server]


def test_it_serves_tells_how_it_is_and_ends_with_exit_code_0(make_server: Make) -> None:
    server = make_server()
    server.start()
    assert server.status("/healthz") == 200
    # A worker answers before it has begun everything it keeps going.
    eventually(lambda: server.get("/readyz")[0] == 200, "a worker is ready")
    eventually(lambda: server.events("server_ready"), "every worker is ready")
    status, body = server.get("/readyz")
    assert (status, json.loads(body)) == (200, {"ready": True, "missing": {}})
    assert len(server.workers()) == 2
    assert server.stop() == 0
    assert not server.addresses
    assert not (server.data_dir / "postgres" / "postmaster.pid").exists()
    # A busy machine holds loops too, and the watchdog says so.
    told = [line for line in server.lines() if line["event"] != "loop_held"]
    assert [line for line in told if line["level"] in ("error", "warning")] == []


def test_a_killed_worker_is_replaced(make_server: Make) -> None:
    server = make_server()
    server.start()
    before = eventually(lambda: len(server.workers()) == 2 and server.workers(), "two workers")
    os.kill(before[0], signal.SIGKILL)
    after = eventually(
        lambda: len(server.workers()) == 2 and before[0] not in server.workers() and server.workers(),
        "the dead worker is replaced",
    )
    assert before[1] in after
    died = eventually(lambda: server.events("worker_died"), "its death is in the log")
    assert died[0]["code"] == -signal.SIGKILL
    assert server.stop() == 0


def test_workers_end_with_their_supervisor_and_the_next_one_starts_at_once(make_server: Make) -> None:
    server = make_server()
    server.start()
    eventually(lambda: server.events("server_ready"), "every worker is ready")
    workers = server.workers()
    server.stop(signal.SIGKILL)
    eventually(
        lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers), "the workers are gone"
    )
    server.start()
    assert server.stop() == 0


def test_postgresql_killed_is_started_again(make_server: Make) -> None:
    server = make_server(workers=1)
    server.start()
    pid_file = server.data_dir / "postgres" / "postmaster.pid"
    first = int(pid_file.read_text().splitlines()[0])
    os.kill(first, signal.SIGKILL)

    def second() -> bool:
        return pid_file.exists() and int(pid_file.read_text().splitlines()[0]) != first

    eventually(second, "a new postmaster")
    eventually(lambda: server.status("/readyz") == 200, "ready again")
    assert server.stop() == 0


def test_clients_are_told_to_come_back(make_server: Make) -> None:
    server = make_server(workers=1)
    server.start()
    with socket.create_connection(server.addresses["smtp"], timeout=20) as client:
        assert client.recv(1000).startswith(b"220 ")
        assert server.stop() == 0
        assert client.recv(1000).startswith(b"421 ")
        assert client.recv(1000) == b""


def test_draining_is_bounded(make_server: Make) -> None:
    server = make_server(workers=1, drain_seconds=1)
    server.start()
    # A client that has sent half a mail and then nothing.
    with socket.create_connection(server.addresses["smtp"]) as client:
        client.sendall(b"EHLO client\r\n")
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 15


def test_two_servers_do_not_share_a_data_directory(make_server: Make) -> None:
    server = make_server()
    server.start()
    other = Server(server.directory)
    assert other.launch().wait(30) == 1
    assert "another server runs on" in server.log()
    assert server.stop() == 0


def test_a_certificate_that_cannot_be_used_is_named(make_server: Make, place: Path) -> None:
    (place / "bad.pem").write_text("no certificate")
    server = make_server(tls={"certificate": str(place / "bad.pem")})
    assert server.launch().wait(30) == 1
    [event] = server.events("server_cannot_start")
    assert event["kind"] == "BadCertificate"
    assert str(place / "bad.pem") in event["reason"]


def test_a_taken_port_is_named(make_server: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = make_server(listen={"smtp": f"127.0.0.1:{port}", "http": "127.0.0.1:0"})
        assert server.launch().wait(30) == 1
    [event] = server.events("server_cannot_start")
    assert f"smtp: another program listens on 127.0.0.1:{port}" in event["reason"]
