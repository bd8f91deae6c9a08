"""The servers that are measured: Debian's Postfix, and Postroad from this tree, each in its own directory.

Postfix runs with its own main.cf, master.cf and queue, on its defaults except where said; the system's
configuration is neither read nor touched. Both write to one file system, so a flush costs both the same.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.running import ROOT, RunningServer, free_port, wait_until

from benchmarks.load import program, wait_for_port

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

    def __init__(self, directory: Path, relay_port: int | None = None) -> None:
        """Lay out the settings in `directory`; other domains go to `relay_port` on 127.0.0.1."""
        self.workers = os.cpu_count() or 1
        self._server = RunningServer(
            directory,
            hostname="postroad.bench.test",
            doors=("smtp", "http"),
            workers=self.workers,
            sections={
                "smtp": {"relay_networks": ["127.0.0.0/8"]},
                "delivery": {"relay": "" if relay_port is None else f"127.0.0.1:{relay_port}"},
            },
        )
        self.data_dir = self._server.data_dir

    @property
    def server(self) -> str:
        """Where it takes mail, as smtp-source wants it."""
        return f"127.0.0.1:{self._server.ports['smtp']}"

    def add_accounts(self, names: list[str]) -> None:
        """Make the domain and accounts with these local parts."""
        self._server.add_domain(DOMAIN, *names)

    def worker_memory(self) -> list[Memory]:
        """What each worker takes (PostgreSQL apart)."""
        return [memory_of(process_id) for process_id in self._server.workers()]

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server.is_running:
            self._server.stop()


@dataclass(frozen=True, slots=True)
class Memory:
    """A process' memory in bytes: resident, and its fair share of it where pages are shared."""

    resident: int
    proportional: int

    def __str__(self) -> str:
        return f"{self.resident / 2**20:.0f} / {self.proportional / 2**20:.0f}"


def memory_of(process_id: int) -> Memory:
    """Read the kernel's account (proc(5): smaps_rollup)."""
    rollup = Path(f"/proc/{process_id}/smaps_rollup").read_text()
    sizes = {
        line.split(":")[0]: int(line.split()[1]) * 1024
        for line in rollup.splitlines()
        if line.startswith(("Rss:", "Pss:"))
    }
    return Memory(sizes["Rss"], sizes["Pss"])


def install_postfix() -> None:
    """Install Debian's package where it is missing; its own service is not started."""
    try:
        program("postfix")
        pwd.getpwnam("postfix")
    except (FileNotFoundError, KeyError):
        subprocess.run([str(ROOT / "scripts" / "install-system-packages"), "postfix"], check=True)
