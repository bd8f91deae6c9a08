"""A whole `postroad serve` as its own process tree, for tests and benchmarks that look at it from outside.

Everything goes through the doors an operator has: the settings file, the command line, ports, signals, HTTP.
Waiting is always for a condition with a deadline.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parent.parent
DOORS = (
    *("smtp", "submission", "submissions", "imap", "imaps", "pop3", "pop3s"),
    *("http", "https", "ctrl", "ctrls"),
)
PASSWORD = "running-server-password"


@contextmanager
def reachable_directory(prefix: str, parent: Path = Path("/var/tmp")) -> Iterator[Path]:
    """A directory that PostgreSQL's account can get to when root runs us, as pytest's own are not."""
    directory = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


class RunningServer:
    """One server with settings and a data directory of its own. `start` it, or use it as a context."""

    def __init__(
        self,
        directory: Path,
        *,
        hostname: str = "mail.running.test",
        doors: tuple[str, ...] = ("smtp", "submission", "http"),
        workers: int = 2,
        database: str = "embedded",
        data_dir: Path | None = None,
        sections: Mapping[str, Mapping[str, object]] | None = None,
        top: Mapping[str, object] | None = None,
    ) -> None:
        """Write the settings into `directory`; `doors` get free ports on 127.0.0.1, others stay shut."""
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.data_dir = data_dir or directory / "data"
        self.ports = {door: free_port() for door in doors}
        self.log_file = directory / "server.log"
        self.settings_file = directory / "postroad.toml"
        listen = {door: f"127.0.0.1:{self.ports[door]}" if door in self.ports else "" for door in DOORS}
        settings: dict[str, object] = {
            "data_dir": str(self.data_dir),
            "hostname": hostname,
            "database": database,
            "workers": workers,
            **(top or {}),
        }
        lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
        for section, values in {"listen": listen, **(sections or {})}.items():
            lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
        self.settings_file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    # -- its life

    def start(self, seconds: float = 60.0, *options: str) -> float:
        """Start it and wait until it serves; return the seconds that took. `options` follow `serve`."""
        began = time.monotonic()
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [*postroad_command(), "serve", *options, "--config", str(self.settings_file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment(),
                cwd=self.directory,
            )
        try:
            self.wait_ready(seconds)
        except BaseException:
            self.stop()
            raise
        return time.monotonic() - began

    def stop(self) -> int:
        """SIGTERM, and its exit code once it has drained."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise

    def kill(self) -> None:
        """SIGKILL to the supervisor."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    @property
    def is_running(self) -> bool:
        """Whether the supervisor lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def process_id(self) -> int:
        """The supervisor's process id."""
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.is_running:
            self.stop()

    # -- looking at it

    def is_ready(self) -> bool:
        """Whether `/readyz` says yes. Raises `RuntimeError` when the server has ended."""
        if self._process is not None and self._process.poll() is not None:
            raise RuntimeError(f"postroad serve ended with {self._process.returncode}:\n{self.log(3000)}")
        return self.http_status("/readyz") == 200

    def http_status(self, path: str) -> int:
        """The status of a page, 0 when nobody answers."""
        try:
            with urllib.request.urlopen(f"{self.web}{path}", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def wait_ready(self, seconds: float = 60.0) -> None:
        """Return when it serves. Raises `TimeoutError`."""
        wait_until(self.is_ready, seconds, f"postroad serve did not become ready:\n{self.log(3000)}")

    @property
    def web(self) -> str:
        """The address of its pages."""
        return f"http://127.0.0.1:{self.ports['http']}"

    def log(self, last: int = 1_000_000) -> str:
        """The end of what it said."""
        with suppress(FileNotFoundError):
            return self.log_file.read_text(encoding="utf-8", errors="replace")[-last:]
        return ""

    def workers(self) -> list[int]:
        """Process ids of the workers."""
        return [child for child in children_of(self.process_id) if not comm_of(child).startswith("postgres")]

    def postmaster(self) -> int:
        """The process id of the embedded PostgreSQL. Raises `FileNotFoundError` when it never ran."""
        return int((self.data_dir / "postgres" / "postmaster.pid").read_text().split("\n", 1)[0])

    # -- working with it

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a subcommand of `postroad` on these settings."""
        return subprocess.run(
            [*postroad_command(), *arguments, "--config", str(self.settings_file)],
            input=stdin,
            capture_output=True,
            text=True,
            env=environment(),
            cwd=self.directory,
        )

    def command(self, *arguments: str, stdin: str = "") -> Any:
        """The JSON that a subcommand answers. Raises `RuntimeError` with what it said when it failed."""
        result = self.run(*arguments, "--json", stdin=stdin)
        if result.returncode != 0:
            said = (result.stdout + result.stderr).strip()[-3000:]
            raise RuntimeError(f"postroad {' '.join(arguments)}: {said}")
        return json.loads(result.stdout.strip().splitlines()[-1])

    def add_domain(self, domain: str, *names: str) -> None:
        """Make a domain with accounts, all with the same `PASSWORD`."""
        self.command("domain", "add", domain)
        for name in names:
            self.command("account", "add", f"{name}@{domain}", "--password-stdin", stdin=f"{PASSWORD}\n")


def postroad_command() -> list[str]:
    """How this tree's `postroad` is run by the Python that runs us."""
    return [sys.executable, "-m", "postroad.cli"]


def environment() -> dict[str, str]:
    """Our environment without settings of Postroad's, and with this tree's sources first."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("POSTROAD_")}
    return {**kept, "PYTHONPATH": str(ROOT / "src")}


def children_of(process_id: int) -> list[int]:
    """The direct children of a process."""
    try:
        children = Path(f"/proc/{process_id}/task/{process_id}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in children.split()]


def comm_of(process_id: int) -> str:
    """The name of a process, empty when it has gone."""
    with suppress(OSError):
        return Path(f"/proc/{process_id}/comm").read_text()
    return ""


def free_port() -> int:
    """A port on the loopback address that nobody listens on.

    Below those that the kernel gives to outgoing connections (32768 and up), so that none of them takes it
    before it is used.
    """
    while True:
        port = random.randrange(10_000, 32_768)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def wait_until(condition: Callable[[], bool], seconds: float, complaint: str) -> None:
    """Return when `condition` holds. Raises `TimeoutError` with `complaint`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {seconds:.0f} s: {complaint}")
        time.sleep(0.02)
