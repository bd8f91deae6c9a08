"""The load both sides get: 4 KB business mails sent by Postfix's `smtp-source`, taken in by its `smtp-sink`.

The same program, the same mails and the same number of sessions for every server measured. RFC 5321.
"""

from __future__ import annotations

import base64
import os
import quopri
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

MAIL_BYTES = 4096
SENDER = "lin.wei@customer.bench.test"
SINK_BACKLOG = 256

_CHINESE = (
    "您好，附上本季度的采购清单与报价，请在周五之前确认数量和交货日期。若有调整，请直接在表格中标注，我们会据此更新合同。"
    "仓库预计下周一完成盘点，届时会把实际库存同步给财务部。"
)
_ENGLISH = (
    "Please find below the schedule for the next quarter. The warehouse closes its books on Monday, so any "
    "change to quantities should reach us by Friday noon. Shipping and customs papers follow separately. "
)


@dataclass(frozen=True, slots=True)
class Pour:
    """How much is sent: `messages` over `sessions` connections, spread evenly over `recipients`."""

    messages: int
    sessions: int
    recipients: tuple[str, ...]


def make_mail(number: int) -> bytes:
    """A mail of `MAIL_BYTES`: a Chinese text part, an English HTML part, LF line ends."""
    boundary = f"=_bench_{number:04d}"
    minute = f"{number % 60:02d}"
    name = base64.b64encode("林薇".encode()).decode()
    subject = base64.b64encode(f"第{number}号采购单确认".encode()).decode()
    chinese = base64.encodebytes((_CHINESE * 5).encode()).decode()
    head = (
        f"Received: from gateway.customer.bench.test (gateway.customer.bench.test [192.0.2.{number % 250}])\n"
        f"\tby mx.customer.bench.test with ESMTPS id {number:08x}; Mon, 2 Mar 2026 09:{minute}:00 +0800\n"
        f"From: =?UTF-8?B?{name}?= <{SENDER}>\n"
        f"To: orders@bench.test\n"
        f"Subject: =?UTF-8?B?{subject}?=\n"
        f"Date: Mon, 2 Mar 2026 09:{minute}:00 +0800\n"
        f"Message-ID: <bench.{number}@customer.bench.test>\n"
        f'MIME-Version: 1.0\nContent-Type: multipart/alternative; boundary="{boundary}"\n\n'
        f"--{boundary}\nContent-Type: text/plain; charset=utf-8\n"
        f"Content-Transfer-Encoding: base64\n\n{chinese}"
        f"--{boundary}\nContent-Type: text/html; charset=utf-8\n"
        f"Content-Transfer-Encoding: quoted-printable\n\n"
    )
    tail = f"\n--{boundary}--\n"
    html = f"<html><body><p>{_ENGLISH * 20}</p></body></html>".encode()
    room = MAIL_BYTES - len(head) - len(tail)
    return head.encode() + quopri.encodestring(html)[:room] + tail.encode()


class Mails:
    """The prepared mails on disk, one for each stream of `smtp-source`."""

    def __init__(self, directory: Path, count: int) -> None:
        """Write `count` different mails into `directory`."""
        self.files = [directory / f"mail-{number}.eml" for number in range(count)]
        for number, file in enumerate(self.files):
            file.write_bytes(make_mail(number))


def pour(server: str, what: Pour, mails: Mails) -> float:
    """Send everything and return the seconds from the first connection to the last 250.

    `smtp-source` ends with an error at the first answer that is not a success, so returning at all means
    that every mail was acknowledged. Raises `CalledProcessError` otherwise.
    """
    shares = _shares(what)
    started = time.perf_counter()
    sources = [
        subprocess.Popen(
            [
                program("smtp-source"),
                "-d",  # keep the connection from mail to mail
                *("-s", str(sessions), "-m", str(messages)),
                *("-F", str(mails.files[index % len(mails.files)])),
                *("-f", SENDER, "-t", recipient),
                server,
            ],
            stdin=subprocess.DEVNULL,
        )
        for index, (recipient, messages, sessions) in enumerate(shares)
    ]
    for source in sources:
        if source.wait() != 0:
            for other in sources:
                other.kill()
            raise subprocess.CalledProcessError(source.returncode, source.args)
    return time.perf_counter() - started


def _shares(what: Pour) -> list[tuple[str, int, int]]:
    streams = min(len(what.recipients), what.sessions)
    return [
        (
            recipient,
            what.messages // streams + (index < what.messages % streams),
            what.sessions // streams + (index < what.sessions % streams),
        )
        for index, recipient in enumerate(what.recipients[:streams])
    ]


class Sink:
    """A running `smtp-sink`, and the moments its counter moved."""

    def __init__(self, port: int) -> None:
        """Start it on the loopback address and wait until it listens."""
        as_nobody = ["-u", "nobody"] if os.geteuid() == 0 else []
        self._process = subprocess.Popen(
            [program("smtp-sink"), "-c", *as_nobody, f"127.0.0.1:{port}", str(SINK_BACKLOG)],
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
        )
        self._moved = threading.Condition()
        self._count = 0
        self._first_at = 0.0
        self._last_at = 0.0
        self._reader = threading.Thread(target=self._read, name="sink-counter", daemon=True)
        self._reader.start()
        wait_for_port(port)

    def _read(self) -> None:
        assert self._process.stdout is not None
        begun = b""
        while chunk := os.read(self._process.stdout.fileno(), 65536):
            now = time.perf_counter()
            told, _, begun = (begun + chunk).rpartition(b"\r")
            counts = re.findall(rb"mesg=\s*(\d+)", told)
            if not counts:
                continue
            with self._moved:
                count = int(counts[-1])
                if count > self._count:
                    self._first_at = self._first_at or now
                    self._last_at = now
                    self._count = count
                    self._moved.notify_all()
        with self._moved:
            self._moved.notify_all()

    @property
    def count(self) -> int:
        """How many mails came so far."""
        with self._moved:
            return self._count

    def wait_for(self, count: int, seconds: float) -> tuple[float, float]:
        """Wait until `count` mails came; return when the first and the last did (`perf_counter`)."""
        with self._moved:
            if not self._moved.wait_for(lambda: self._count >= count or self._has_ended(), timeout=seconds):
                raise TimeoutError(f"the sink got {self._count} of {count} mails in {seconds:.0f} s")
            if self._count < count:
                raise RuntimeError(
                    f"smtp-sink ended with {self._process.returncode} after {self._count} mails"
                )
            return self._first_at, self._last_at

    def _has_ended(self) -> bool:
        return self._process.poll() is not None

    def hold(self) -> None:
        """Stop answering: connections are still taken by the kernel, and wait."""
        self._process.send_signal(signal.SIGSTOP)

    def release(self) -> float:
        """Answer again; return the moment (`perf_counter`)."""
        self._process.send_signal(signal.SIGCONT)
        return time.perf_counter()

    def close(self) -> None:
        """End the sink."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def program(name: str) -> str:
    """The path of one of Postfix's programs. Raises `FileNotFoundError`."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise FileNotFoundError(f"{name} is not installed (Debian's postfix package has it)")
    return found


def wait_for_port(port: int, seconds: float = 20.0) -> None:
    """Return when something listens on the loopback port. Raises `TimeoutError`."""
    deadline = time.monotonic() + seconds
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing listens on port {port}")
        time.sleep(0.02)
