"""The servers that are measured: Debian's Postfix, and Postroad from this tree, each in its own directory.

Postfix runs with its own main.cf, master.cf and queue, on its defaults except where said; the system's
configuration is neither read nor touched. Both write to one file system, so a flush costs both the same.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.load import free_port, program, wait_for_port

ROOT = Path(__file__).resolve().parent.parent
DOMAIN = "bench.test"

# In Postfix's favour: no look-up of recipients, no reverse DNS, no limit on connections, no log file.
_MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {directory}/queue
data_directory = {directory}/data
myhostname = postfix.bench.test
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
mydestination = {domain}
local_recipient_maps =
local_transport = discard:
alias_maps =
alias_database =
relayhost = {relayhost}
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
"""

# Debian's master.cf without chroot and without the services that no round uses.
_MASTER_CF = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup   unix n - n 60    1 pickup
cleanup  unix n - n -     0 cleanup
qmgr     unix n - n 300   1 qmgr
tlsmgr   unix - - n 1000? 1 tlsmgr
rewrite  unix - - n -     - trivial-rewrite
bounce   unix - - n -     0 bounce
defer    unix - - n -     0 bounce
trace    unix - - n -     0 bounce
verify   unix - - n -     1 verify
flush    unix n - n 1000? 0 flush
proxymap unix - - n -     - proxymap
smtp     unix - - n -     - smtp
relay    unix - - n -     - smtp
showq    unix n - n -     - showq
error    unix - - n -     - error
retry    unix - - n -     - error
discard  unix - - n -     - discard
anvil    unix - - n -     1 anvil
scache   unix - - n -     1 scache
"""


class Postfix:
    """A Postfix of our own. Needs root, as its master process does."""

    name = "Postfix"

    def __init__(self, directory: Path, relay_port: int | None = None) -> None:
        """Lay out the configuration in `directory`; other domains go to `relay_port` on 127.0.0.1."""
        if os.geteuid() != 0:
            raise PermissionError("Postfix starts only as root: run this benchmark as root")
        install_postfix()
        self.port = free_port()
        self._directory = directory
        self._settings = directory / "etc"
        for part in ("etc", "queue", "data"):
            (directory / part).mkdir(parents=True)
        shutil.chown(directory / "data", "postfix")
        relayhost = "" if relay_port is None else f"[127.0.0.1]:{relay_port}"
        (self._settings / "main.cf").write_text(
            _MAIN_CF.format(directory=directory, domain=DOMAIN, relayhost=relayhost)
        )
        (self._settings / "master.cf").write_text(_MASTER_CF.format(port=self.port))

    @property
    def server(self) -> str:
        """Where it takes mail, as smtp-source wants it."""
        return f"127.0.0.1:{self.port}"

    @property
    def version(self) -> str:
        """Its version number."""
        return self._run("postconf", "-h", "mail_version").strip()

    def _run(self, name: str, *arguments: str) -> str:
        result = subprocess.run(
            [program(name), "-c", str(self._settings), *arguments],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        if result.returncode != 0:
            said = result.stderr.strip() or result.stdout.strip()
            raise RuntimeError(f"{name} {' '.join(arguments)}: {said}")
        return result.stdout

    def wait_idle(self, seconds: float = 120.0) -> None:
        """Return when its queue is empty. Raises `TimeoutError`."""
        wait_until(lambda: self.queued() == 0, seconds, "Postfix did not empty its queue")

    def queued(self) -> int:
        """How many mails it still has to deliver."""
        queue = self._directory / "queue"
        return sum(
            len(files)
            for name in ("maildrop", "incoming", "active", "deferred")
            for _, _, files in os.walk(queue / name)
        )

    def __enter__(self) -> Self:
        self._run("postfix", "start")
        wait_for_port(self.port)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(RuntimeError):
            self._run("postfix", "stop")


class Postroad:
    """`postroad serve` from this tree, in a data directory of its own, with the default durability."""

    name = "Postroad"

    def __init__(self, directory: Path, relay_port: int | None = None, workers: int | None = None) -> None:
        """Lay out the settings in `directory`; other domains go to `relay_port` on 127.0.0.1."""
        self.port = free_port()
        self.http_port = free_port()
        self.data_dir = directory / "data"
        self.workers = workers or os.cpu_count() or 1
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True)
        off = ("submission", "submissions", "imap", "imaps", "pop3", "pop3s", "https", "ctrl", "ctrls")
        relay = "" if relay_port is None else f"127.0.0.1:{relay_port}"
        self.settings_file = directory / "postroad.toml"
        self.settings_file.write_text(
            f'data_dir = "{self.data_dir}"\nhostname = "postroad.bench.test"\nworkers = {self.workers}\n'
            f'[listen]\nsmtp = "127.0.0.1:{self.port}"\nhttp = "127.0.0.1:{self.http_port}"\n'
            + "".join(f'{name} = ""\n' for name in off)
            + f'[smtp]\nrelay_networks = ["127.0.0.0/8"]\n[delivery]\nrelay = "{relay}"\n'
        )

    @property
    def server(self) -> str:
        """Where it takes mail, as smtp-source wants it."""
        return f"127.0.0.1:{self.port}"

    @property
    def process_id(self) -> int:
        """The supervisor's process id."""
        assert self._process is not None
        return self._process.pid

    def command(self, *arguments: str, stdin: str = "") -> str:
        """Run a subcommand of `postroad` on these settings and return what it printed."""
        result = subprocess.run(
            [*postroad_command(), *arguments, "--config", str(self.settings_file)],
            input=stdin,
            capture_output=True,
            text=True,
            env=environment(),
        )
        if result.returncode != 0:
            raise RuntimeError(f"postroad {' '.join(arguments)}: {result.stderr.strip()[-2000:]}")
        return result.stdout

    def add_accounts(self, addresses: list[str]) -> None:
        """Make the domain and the accounts; their password is `benchmark-password`."""
        self.command("domain", "add", DOMAIN)
        for address in addresses:
            self.command("account", "add", address, "--password-stdin", stdin="benchmark-password\n")

    def wait_ready(self, seconds: float = 60.0) -> None:
        """Return when `/readyz` says yes. Raises `TimeoutError`, or `RuntimeError` when the server ended."""

        def is_ready() -> bool:
            if self._process is not None and self._process.poll() is not None:
                tail = (self._directory / "server.log").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"postroad serve ended with {self._process.returncode}: {tail}")
            with suppress(OSError, urllib.error.URLError):
                url = f"http://127.0.0.1:{self.http_port}/readyz"
                with urllib.request.urlopen(url, timeout=2) as answer:
                    return int(answer.status) == 200
            return False

        wait_until(is_ready, seconds, "postroad serve did not become ready")

    def worker_memory(self) -> list[tuple[int, int]]:
        """RSS and PSS in bytes of each worker (PostgreSQL apart)."""
        found = []
        for process_id in children_of(self.process_id):
            with suppress(OSError):
                if Path(f"/proc/{process_id}/comm").read_text().startswith("postgres"):
                    continue
                rollup = Path(f"/proc/{process_id}/smaps_rollup").read_text()
                sizes = {
                    line.split(":")[0]: int(line.split()[1]) * 1024
                    for line in rollup.splitlines()
                    if line.startswith(("Rss:", "Pss:"))
                }
                found.append((sizes["Rss"], sizes["Pss"]))
        return found

    def __enter__(self) -> Self:
        with (self._directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*postroad_command(), "serve", "--config", str(self.settings_file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment(),
            )
        try:
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """SIGTERM, and wait for the drained exit."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def postroad_command() -> list[str]:
    """How this tree's `postroad` is run by the Python that runs us."""
    return [sys.executable, "-c", "from postroad.cli import main; main()"]


def environment() -> dict[str, str]:
    """Our environment without settings of Postroad's, and with this tree's sources first."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("POSTROAD_")}
    return {**kept, "PYTHONPATH": str(ROOT / "src")}


def children_of(process_id: int) -> list[int]:
    """The direct children of a process."""
    path = Path(f"/proc/{process_id}/task/{process_id}/children")
    return [int(child) for child in path.read_text().split()]


def install_postfix() -> None:
    """Install Debian's package where it is missing; its own service is not started."""
    try:
        program("postfix")
        pwd.getpwnam("postfix")
    except (FileNotFoundError, KeyError):
        subprocess.run([str(ROOT / "scripts" / "install-system-packages"), "postfix"], check=True)


def wait_until(condition: Callable[[], bool], seconds: float, complaint: str) -> None:
    """Return when `condition` holds. Raises `TimeoutError` with `complaint`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{complaint} within {seconds:.0f} s")
        time.sleep(0.05)
