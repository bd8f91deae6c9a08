#!/usr/bin/env python3
"""How fast are pixels and clicks answered, beside the same web server answering a fixed picture?

Both sides are one process with the worker's own web server, and `wrk` asks both in the same way, in turns,
for different recipients each time. Ours reads a sealed token, knows the link and gathers the hit; the other
sends a GIF and nothing else. Then a server is stopped by SIGTERM under load: every hit that was answered
must be in the database afterwards.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import itertools
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import asyncpg
from tests.running import ROOT, RunningServer, free_port, wait_until

from benchmarks.report import Report
from benchmarks.store import describe_disk
from postroad.campaigns.tracking.tokens import Tokens
from postroad.campaigns.tracking.urls import Urls
from postroad.db.cluster import Cluster

RECIPIENTS = 10_000
CONNECTIONS = 20
STOPPING_CLIENTS = 8
AGENT = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"
)

# The peer: our web server, and an application that knows one picture.
PICTURE_SERVER = """
import asyncio, sys
import uvloop
from postroad.server.web_door import bind_web, web_server
from postroad.web.public.application import PIXEL

START = {"type": "http.response.start", "status": 200, "headers": [
    (b"content-type", b"image/gif"), (b"cache-control", b"no-store"), (b"content-length", b"43")]}
BODY = {"type": "http.response.body", "body": PIXEL}

async def picture(scope, receive, send):
    await send(START)
    await send(BODY)

uvloop.run(web_server(picture, 5.0).serve(bind_web(sys.argv[1])))
"""
# wrk asks for the paths of a file, in turn.
SCRIPT = """
local paths = {}
for line in io.lines("%(file)s") do paths[#paths + 1] = line end
local at = 0
request = function()
  at = at %% #paths + 1
  return wrk.format("GET", paths[at], { ["User-Agent"] = "%(agent)s" })
end
"""


class HitsLost(Exception):
    """Hits were answered that are not in the database, or some are there twice."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    rounds: int
    seconds: int
    stopping_seconds: float


FULL_PLAN = Plan(rounds=5, seconds=10, stopping_seconds=5.0)
QUICK_PLAN = Plan(rounds=2, seconds=3, stopping_seconds=2.0)


@dataclass(frozen=True, slots=True)
class Sent:
    """A run of mails that were delivered, and the paths in them."""

    run_id: int
    pixels: Sequence[str]
    links: Sequence[str]


def main() -> int:
    """Measure and print; 0 when no hit was lost."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: within a minute")
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"), help="disk to measure on")
    arguments = parser.parse_args()
    plan = QUICK_PLAN if arguments.quick else FULL_PLAN
    subprocess.run([str(ROOT / "scripts" / "install-system-packages"), "wrk"], check=True)
    with tempfile.TemporaryDirectory(prefix="postroad-tracking-", dir=arguments.directory) as name:
        directory = Path(name)
        directory.chmod(0o755)  # PostgreSQL's own account must get through
        report = measure(directory, plan)
    report.publish(with_json=arguments.json)
    return 0


def measure(directory: Path, plan: Plan) -> Report:
    """Run both servers in turn in `directory`."""
    report = Report("tracking: pixels and clicks, answered by one process")
    report.notes = [
        f"load: wrk, {CONNECTIONS} connections kept alive; {os.cpu_count()} cores,"
        f" {describe_disk(directory)}; medians of {plan.rounds} interleaved rounds of {plan.seconds} s"
        " (lowest-highest)",
        "ours opens a token and gathers a hit, which is written while the load goes on",
    ]
    server = RunningServer(directory / "postroad", doors=("http",), workers=1)
    with server:
        sent = asyncio.run(_send(server.data_dir, "measured"))
        files = {name: directory / f"{name}.txt" for name in ("pixels", "links")}
        files["pixels"].write_text("\n".join(sent.pixels) + "\n")
        files["links"].write_text("\n".join(sent.links) + "\n")
        peer_port = free_port()
        peer = subprocess.Popen(
            [sys.executable, "-c", PICTURE_SERVER, f"127.0.0.1:{peer_port}"], cwd=directory
        )
        try:
            wait_until(lambda: _answers(peer_port), 30, "the picture server did not start")
            pixels = report.compare("tracking, pixels", "a fixed GIF", "requests/s", 0.7)
            clicks = report.compare("tracking, clicks", "a fixed GIF", "requests/s", 0.7)
            for comparison, file in ((pixels, files["pixels"]), (clicks, files["links"])):
                _load(server.ports["http"], file, 1)
                for _ in range(plan.rounds):
                    comparison.peers.add(_load(peer_port, file, plan.seconds))
                    comparison.ours.add(_load(server.ports["http"], file, plan.seconds))
        finally:
            peer.terminate()
            peer.wait()
        last = asyncio.run(_send(server.data_dir, "stopped"))
        answered, asked = _stopped_under_load(server, last, plan.stopping_seconds)
    there = asyncio.run(_count(server.data_dir, last.run_id))
    if not answered <= there <= asked:
        raise HitsLost(f"{answered} hits were answered and {asked} asked for, {there} are in the database")
    report.figures["stopped by SIGTERM: hits answered / in the database"] = f"{answered:,} / {there:,}"
    return report


def _load(port: int, file: Path, seconds: int) -> float:
    """Requests a second."""
    script = file.with_suffix(".lua")
    script.write_text(SCRIPT % {"file": file, "agent": AGENT})
    done = subprocess.run(
        [
            *("wrk", "--threads", "1", "--connections", str(CONNECTIONS), "--duration", f"{seconds}s"),
            *("--script", str(script), f"http://127.0.0.1:{port}"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise HitsLost(f"not every request was answered:\n{done.stdout}")
    found = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    assert found, done.stdout
    return float(found[1])


def _answers(port: int) -> bool:
    with suppress(OSError):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    return False


def _stopped_under_load(server: RunningServer, sent: Sent, seconds: float) -> tuple[int, int]:
    """Stop the server while clients ask; gives how many were answered and how many were asked for."""
    answered, asked = [0] * STOPPING_CLIENTS, [0] * STOPPING_CLIENTS

    def ask(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.ports["http"], timeout=30)
        with suppress(OSError, http.client.HTTPException):
            for path in itertools.islice(itertools.cycle(sent.pixels), number, None):
                asked[number] += 1
                connection.request("GET", path, headers={"user-agent": AGENT})
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    break
                answered[number] += 1

    clients = [threading.Thread(target=ask, args=(number,)) for number in range(STOPPING_CLIENTS)]
    for client in clients:
        client.start()
    time.sleep(seconds)
    os.kill(server.process_id, signal.SIGTERM)
    for client in clients:
        client.join()
    server.stop()
    return sum(answered), sum(asked)


async def _send(data_dir: Path, customer_name: str) -> Sent:
    """Write a run whose mails were delivered yesterday."""
    connection = await asyncpg.connect(Cluster(data_dir).ensure_running())
    try:
        customer = await connection.fetchval(
            "INSERT INTO customer (username) VALUES ($1) RETURNING id", customer_name
        )
        base = await connection.fetchval(
            "UPDATE email_id SET next = next + $1 RETURNING next - $1", RECIPIENTS
        )
        run_id = await connection.fetchval(
            "INSERT INTO run (customer_id, email_base, recipients, expanded_at) VALUES ($1, $3, $2, now()) "
            "RETURNING id",
            customer,
            RECIPIENTS,
            base,
        )
        await connection.execute(
            "UPDATE run SET shelf = ledger_shelf($1, $2) WHERE id = $1", run_id, RECIPIENTS
        )
        await connection.execute(
            "INSERT INTO recipient "
            "(customer_id, run_id, shelf, contact_id, number, address, state, changed_at) "
            "SELECT r.customer_id, r.id, r.shelf, 0, n, 'r' || n || '@example.com', 2, "
            "now() - interval '1 day' "
            "FROM run r, generate_series(1, $2::integer) AS n WHERE r.id = $1",
            run_id,
            RECIPIENTS,
        )
        link = await connection.fetchval(
            "INSERT INTO link (customer_id, run_id, url) VALUES ($1, $2, 'https://example.com/') "
            "RETURNING id",
            customer,
            run_id,
        )
        urls = Urls(
            Tokens(await connection.fetchval("SELECT key FROM sealing_key ORDER BY id DESC")), "http://x"
        )
    finally:
        await connection.close()
    numbers = range(base + 1, base + RECIPIENTS + 1)
    return Sent(
        run_id,
        [urls.pixel(run_id, number).removeprefix("http://x") for number in numbers],
        [urls.link(run_id, number, link).removeprefix("http://x") for number in numbers],
    )


async def _count(data_dir: Path, run_id: int) -> int:
    """The run's hits that are written."""
    cluster = Cluster(data_dir)
    connection = await asyncpg.connect(cluster.ensure_running())
    try:
        return int(await connection.fetchval("SELECT count(*) FROM hit WHERE run_id = $1", run_id))
    finally:
        await connection.close()
        cluster.leave()


if __name__ == "__main__":
    raise SystemExit(main())
