"""A disk that fills up while mail comes in: refused for now, nothing lost, and service resumes by itself."""

from __future__ import annotations

import os
import smtplib
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.faults.pouring import hold_against, mail
from tests.faults.store import embedded_dsn, names_in_inbox, problems
from tests.running import RunningServer, reachable_directory, wait_until

DISK_MEBIBYTES = 320
INBOX = "inbox@faults.test"
PATIENCE = 90.0

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")


@pytest.fixture
def small_disk() -> Iterator[Path]:
    with reachable_directory("postroad-full-") as directory:
        disk = directory / "disk"
        disk.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK_MEBIBYTES}m,mode=755", "postroad-test", str(disk)],
            capture_output=True,
            text=True,
        )
        if mounted.returncode != 0:
            pytest.skip(f"this machine does not let root mount: {mounted.stderr.strip()}")
        try:
            yield disk
        finally:
            subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.timeout(400)
def test_a_full_disk_is_a_later_and_service_resumes(small_disk: Path) -> None:
    server = RunningServer(small_disk.parent / "server", data_dir=small_disk / "data")
    server.add_domain("faults.test", "inbox")
    acknowledged: set[str] = set()
    codes: list[int] = []

    def offer(name: str) -> bool:
        code = send(server.ports["smtp"], name)
        if code == 250:
            acknowledged.add(name)
        else:
            codes.append(code)
        return code == 250

    with server:
        assert offer("before")
        fill(small_disk)
        names = (f"full-{number}" for number in range(10_000))
        wait_until(lambda: not offer(next(names)), PATIENCE, "mail was taken on a full disk")
        for _ in range(3):
            offer(next(names))
        (small_disk / "ballast").unlink()
        later = (f"after-{number}" for number in range(10_000))
        wait_until(
            lambda: offer(next(later)), PATIENCE, f"mail was not taken again, but answered {codes[-5:]}"
        )
        server.wait_ready()
        hold_against(names_in_inbox(embedded_dsn(server.data_dir), INBOX), acknowledged)
        assert not problems(embedded_dsn(server.data_dir), server.data_dir / "blobs")
    refusals = [code for code in codes if code]
    assert refusals, "nobody was told to come again"
    assert all(400 <= code < 500 for code in refusals), codes


def fill(disk: Path) -> None:
    """Leave no byte free."""
    with (disk / "ballast").open("wb", buffering=0) as ballast, suppress(OSError):
        while True:
            ballast.write(b"\0" * 1024 * 1024)
    with (disk / "ballast").open("ab", buffering=0) as ballast, suppress(OSError):
        while True:
            ballast.write(b"\0" * 4096)


def send(port: int, name: str) -> int:
    """The code that the mail was answered with, 0 when nobody answered."""
    body = mail(name, INBOX) + b"ballast, ballast, ballast\r\n" * 1200
    try:
        with smtplib.SMTP("127.0.0.1", port, timeout=70) as server:
            server.sendmail("pour@client.test", [INBOX], body)
            return 250
    except smtplib.SMTPResponseException as error:
        return error.smtp_code
    except smtplib.SMTPRecipientsRefused as error:
        return next(iter(error.recipients.values()))[0]
    except (OSError, smtplib.SMTPException):
        return 0
