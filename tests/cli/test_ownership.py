"""Root's commands and root's server act as the owner of the data directory, and leave nothing of root's
there."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import smtplib
import subprocess
import sys
import sysconfig
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from postroad.db.ownership import NotTheOwner, act_as_owner
from tests import running
from tests.running import RunningServer, reachable_directory, wait_until

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.timeout(180),
]
OWNER = "nobody"


def reachable_python() -> str | None:
    """A Python that others than root may run, with our packages; root's own is often below /root."""
    for candidate in (sys.executable, "/usr/bin/python3"):
        program = Path(candidate).resolve()
        if not program.is_file() or not all(
            each.stat().st_mode & 0o001 for each in (program, *program.parents)
        ):
            continue
        asked = [candidate, "-c", "import uvloop, asyncpg, msgspec, pydantic_core"]
        if subprocess.run(asked, env=environment(), capture_output=True).returncode == 0:
            return candidate
    return None


def environment() -> dict[str, str]:
    """The usual one, with the packages of the Python that runs us."""
    usual = running.environment()
    return {**usual, "PYTHONPATH": f"{usual['PYTHONPATH']}:{sysconfig.get_path('platlib')}"}


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningServer]:
    """A house whose data directory is not root's, while every command is."""
    python = reachable_python()
    if python is None:
        pytest.skip("no Python here that others than root may run")
    with_packages = environment()
    monkeypatch.setattr(running, "postroad_command", lambda: [python, "-m", "postroad.cli"])
    monkeypatch.setattr(running, "environment", lambda: with_packages)
    with reachable_directory("postroad-owned-") as directory:
        data_dir = directory / "data"
        data_dir.mkdir(mode=0o711)
        owner = pwd.getpwnam(OWNER)
        os.chown(data_dir, owner.pw_uid, owner.pw_gid)
        yield RunningServer(directory, workers=1, doors=("smtp", "http"))


def strangers(data_dir: Path) -> list[Path]:
    """What is not the owner's."""
    owner = pwd.getpwnam(OWNER).pw_uid
    return [each for each in (data_dir, *data_dir.rglob("*")) if each.lstat().st_uid != owner]


def user_of(process_id: int) -> int:
    """Its effective user (proc(5))."""
    status = Path(f"/proc/{process_id}/status").read_text()
    return next(int(line.split()[2]) for line in status.splitlines() if line.startswith("Uid:"))


def test_roots_commands_and_server_leave_nothing_of_roots(house: RunningServer) -> None:
    house.add_domain("owned.test", "anna")  # before the first start: it makes the database
    assert strangers(house.data_dir) == []
    closed = house.directory / "closed"  # what only root can read is read all the same
    closed.mkdir(mode=0o700)
    (closed / "mail.mbox").write_bytes(
        b"From a@b.test Fri Jan  2 03:04:05 2026\nSubject: large\n\n" + b"x" * 70 + b"\n" * 100_000
    )
    house.command("import", "anna@owned.test", str(closed / "mail.mbox"))
    assert (house.data_dir / "blobs").is_dir()
    assert strangers(house.data_dir) == []
    with house:
        owner = pwd.getpwnam(OWNER).pw_uid
        assert [user_of(each) for each in (house.process_id, *house.workers())] == [owner] * 2
        with smtplib.SMTP("127.0.0.1", house.ports["smtp"], timeout=60) as client:
            client.sendmail(
                "a@b.test", ["anna@owned.test"], b"Subject: x\r\n\r\n" + b"y" * 70 + b"\r\n" * 100_000
            )
        house.command("account", "add", "bert@owned.test", "--password-stdin", stdin="a-good-password-7\n")
        assert house.http_status("/readyz") == 200
        backup = closed / "backup"
        house.command("backup", str(backup))
        assert backup.exists()
    assert strangers(house.data_dir) == []


def test_a_blob_store_that_cannot_be_written_is_noticed(
    house: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.add_domain("owned.test", "anna")
    blobs = house.data_dir / "blobs"
    blobs.mkdir(mode=0o700)
    shutil.chown(blobs, "root")
    told = json.loads(house.run("doctor", "--json").stdout.strip().splitlines()[-1])
    assert "blobs-not-writable" in {check["code"] for check in told["checks"]}

    def is_noticed() -> bool:
        try:
            urllib.request.urlopen(f"{house.web}/readyz", timeout=5)
        except urllib.error.HTTPError as answer:
            return "nothing can be written" in json.load(answer)["missing"].get("blobs", "")
        except OSError:
            return False
        return False

    monkeypatch.setattr(house, "wait_ready", lambda seconds: wait_until(is_noticed, seconds, house.log(3000)))
    with house:
        assert house.http_status("/healthz") == 200


def test_somebody_else_is_told_whose_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o555)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(NotTheOwner, match=r"belongs to root: run this as root$"):
        act_as_owner(tmp_path, ())
