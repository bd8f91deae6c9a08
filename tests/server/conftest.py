"""A whole server as a child process, on free ports and a data directory of its own."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from postroad.db.cluster import Cluster
from postroad.db.pool import Database
from postroad.directory.addresses.accounts import Accounts
from postroad.directory.addresses.domains import Domains
from postroad.directory.passwords import PasswordHashing
from postroad.events.outbox import Outbox
from postroad.mailstore.folders import ensure_defaults_in
from postroad.message.address import Address
from postroad.server.doors import OPEN_DOORS

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 80.0  # the machine may be busy with everything else
SERVE = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from postroad.config import load
from postroad.server import serve
sys.exit(serve(load(Path(sys.argv[1]))))
"""
EVERYWHERE_FREE = dict.fromkeys(OPEN_DOORS, "127.0.0.1:0")


def eventually(condition: Callable[[], Any], what: str) -> Any:
    """Wait until `condition` gives something true, and give that."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (result := condition()):
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.02)
    return result


class Server:
    """One server under test."""

    def __init__(self, directory: Path, **settings: object) -> None:
        self.directory = directory
        self.data_dir = directory / "data"
        self.log_file = directory / "server.log"
        self._file = directory / "postroad.toml"
        tables = {"listen": EVERYWHERE_FREE, **{k: v for k, v in settings.items() if isinstance(v, dict)}}
        plain = {
            "data_dir": str(self.data_dir),
            "hostname": "mail.example.com",
            "workers": 2,
            "drain_seconds": 5,
        }
        plain |= {key: value for key, value in settings.items() if not isinstance(value, dict)}
        lines = [f"{key} = {json.dumps(value)}" for key, value in plain.items()]
        for name, table in tables.items():
            lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
        self._file.write_text("\n".join(lines) + "\n")
        self.process: subprocess.Popen[bytes] | None = None

    def launch(self) -> subprocess.Popen[bytes]:
        """Start the process, without waiting."""
        with self.log_file.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", SERVE, str(self._file)],
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src")},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.directory,
            )
        return self.process

    def start(self) -> float:
        """Start it; gives the seconds until it was ready."""
        began = time.monotonic()
        process = self.launch()
        eventually(
            lambda: process.poll() is not None or (self.addresses and self.status("/readyz") == 200),
            "the server is ready",
        )
        assert process.poll() is None, self.log()
        return time.monotonic() - began

    def stop(self, order: int = signal.SIGTERM) -> int:
        """Stop it; gives the exit code."""
        assert self.process is not None
        self.process.send_signal(order)
        return self.process.wait(PATIENCE_SECONDS)

    @property
    def addresses(self) -> dict[str, tuple[str, int]]:
        """Where the doors are, as host and port; empty before it serves."""
        try:
            told = json.loads((self.data_dir / "server.json").read_text())
        except (FileNotFoundError, ValueError):
            return {}
        if self.process is None or told["process_id"] != self.process.pid:
            return {}
        return {
            door: (address.rpartition(":")[0], int(address.rpartition(":")[2]))
            for door, address in told["addresses"].items()
        }

    @property
    def dsn(self) -> str:
        """The embedded database's address."""
        return Cluster(self.data_dir).dsn

    def metric(self, name: str) -> float:
        """The value of one metric, as `name` or `name{label="…"}`; 0 when it is not told."""
        for line in self.get("/metrics")[1].splitlines():
            if line.startswith(f"{name} "):
                return float(line.rpartition(" ")[2])
        return 0.0

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a page; (0, "") when nobody answers."""
        host, port = self.addresses.get("http", ("127.0.0.1", 1))
        try:
            with urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def status(self, path: str) -> int:
        """Status of a page."""
        return self.get(path)[0]

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log's events of that name."""
        return [event for event in self.lines() if event.get("event") == name]

    def lines(self) -> list[dict[str, Any]]:
        """All lines of the log that are JSON (all of them, unless something went wrong)."""
        lines = self.log().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def log(self) -> str:
        """The whole log."""
        return self.log_file.read_text() if self.log_file.exists() else ""

    def workers(self) -> list[int]:
        """Process ids of the living workers."""
        assert self.process is not None
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and b"postroad.server.worker" in (entry / "cmdline").read_bytes():
                    state = (entry / "stat").read_text().rsplit(") ", 1)[1].split()
                    if int(state[1]) == self.process.pid and state[0] != "Z":
                        found.append(int(entry.name))
            except OSError:
                continue
        return found


def add_accounts(dsn: str, *addresses: str, password: str) -> None:
    """Make the domains and accounts."""

    async def add() -> None:
        async with Database(dsn, max_size=2) as database:
            hashing = PasswordHashing()
            accounts = Accounts(database, Outbox(), hashing, ensure_defaults_in)
            domains = Domains(database, accounts, lambda: datetime.now(UTC))
            for name in {address.partition("@")[2] for address in addresses}:
                await domains.add(name)
            for address in addresses:
                await accounts.add(Address.parse(address), password)
            hashing.close()

    asyncio.run(add())


def ask(dsn: str, query: str, *arguments: object) -> Any:
    """One value from a database."""

    async def fetch() -> Any:
        async with Database(dsn, max_size=1) as database:
            return await database.fetchval(query, *arguments)

    return asyncio.run(fetch())


INBOX = """
SELECT count(*) FROM entry
JOIN folder ON folder.id = entry.folder_id JOIN account ON account.id = folder.account_id
WHERE folder.role = 'inbox' AND account.address = $1
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that PostgreSQL's account can pass through (pytest's own are closed to it)."""
    directory = Path(tempfile.mkdtemp(prefix="postroad-server-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def make_server(place: Path) -> Iterator[Callable[..., Server]]:
    """Make servers with settings; whatever still runs at the end is killed."""
    servers: list[Server] = []

    def make(name: str = "one", **settings: object) -> Server:
        directory = place / name
        directory.mkdir(mode=0o755)
        servers.append(Server(directory, **settings))
        return servers[-1]

    yield make
    for server in servers:
        if server.process is not None and server.process.poll() is None:
            server.process.kill()
            server.process.wait()
        Cluster(server.data_dir).stop()
