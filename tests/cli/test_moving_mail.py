"""Mail and whole installations out of the house and in again, from the command line."""

from __future__ import annotations

import mailbox
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from postroad.db.cluster import Cluster
from tests.cli.conftest import Command

MAIL = (
    b"From: li@far.test\nTo: wang@example.com\nSubject: =?utf-8?b?5L2g5aW9?=\n"
    b"Message-ID: <%d@far.test>\n\nbody %d\n"
)


@pytest.fixture
def house(postroad: Command) -> Command:
    postroad("domain", "add", "example.com")
    postroad("account", "add", "wang@example.com", "--password-stdin", stdin="correct horse\n")
    return postroad


@pytest.fixture
def mbox(tmp_path: Path) -> Path:
    path = tmp_path / "old.mbox"
    with_mails = mailbox.mbox(path)
    for number in range(25):
        with_mails.add(MAIL % (number, number))
    with_mails.close()
    return path


def test_mail_goes_in_once_and_out_whole(house: Command, mbox: Path, tmp_path: Path) -> None:
    first = house("import", "wang@example.com", str(mbox), "--folder", "Old", "--json")
    assert (first.code, first.data["imported"], first.data["known"]) == (0, 25, 0)
    again = house("import", "wang@example.com", str(mbox), "--folder", "Old")
    assert (again.code, again.output) == (0, "0 mails taken in, 25 were taken before.\n")
    out = tmp_path / "out"
    exported = house("export", "wang@example.com", str(out), "--json").data
    assert (exported["written"], exported["kept"], exported["skipped"]) == (25, 0, [])
    assert house("export", "wang@example.com", str(out), "--json").data["kept"] == 25
    bodies = {path.read_bytes().rpartition(b"\r\n\r\n")[2] for path in out.rglob("cur/*")}
    bodies |= {path.read_bytes().rpartition(b"\r\n\r\n")[2] for path in out.rglob("new/*")}
    assert bodies == {b"body %d\r\n" % number for number in range(25)}
    assert house("verify").code == 0


def test_what_cannot_be_moved_is_told(house: Command, tmp_path: Path) -> None:
    nobody = house("export", "nobody@example.com", str(tmp_path / "out"), "--json")
    assert (nobody.code, nobody.data["error"]["code"]) == (1, "unknown-account")
    nothing = house("import", "wang@example.com", str(tmp_path / "none"), "--json")
    assert nothing.data["error"]["code"] == "nothing-to-import"
    (tmp_path / "file").write_text("x")
    blocked = house("export", "wang@example.com", str(tmp_path / "file"), "--json")
    assert (blocked.code, blocked.data["error"]["code"]) == (1, "file-trouble")


@pytest.fixture
def homes() -> Iterator[Path]:
    """A place that a root user's database account can reach."""
    with tempfile.TemporaryDirectory(prefix="postroad-cli-") as name:
        path = Path(name)
        path.chmod(0o755)
        for home in ("one", "two"):
            (path / home).mkdir(mode=0o755)
            (path / home / "postroad.toml").write_text('hostname = "mail.example.com"\ndata_dir = "data"\n')
        # Kept running, so that each command joins it instead of starting it anew.
        clusters = [Cluster(path / home / "data") for home in ("one", "two")]
        for cluster in clusters:
            cluster.ensure_running()
        try:
            yield path
        finally:
            for cluster in clusters:
                cluster.leave()


def call(home: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    source = str(Path(__file__).resolve().parents[2] / "src")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG"))}
    return subprocess.run(
        [sys.executable, "-m", "postroad.cli", *arguments, "--config", str(home / "postroad.toml"), "--json"],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        env={**environment, "PYTHONPATH": source},
    )


def test_an_installation_moves_to_another_place(homes: Path, mbox: Path) -> None:
    one, two = homes / "one", homes / "two"
    assert call(one, "domain", "add", "example.com").returncode == 0
    added = call(one, "account", "add", "wang@example.com", "--password-stdin", stdin="correct horse\n")
    assert added.returncode == 0, added
    assert '"imported": 25' in call(one, "import", "wang@example.com", str(mbox)).stdout
    saved = call(one, "backup", str(homes / "saved.tar"))
    assert saved.returncode == 0, saved
    assert '"code": "file-trouble"' in call(one, "backup", str(homes / "saved.tar")).stdout
    restored = call(two, "restore", str(homes / "saved.tar"))
    assert restored.returncode == 0, restored
    assert '"written": 25' in call(two, "export", "wang@example.com", str(homes / "out")).stdout
    assert call(two, "verify").returncode == 0
    refused = call(two, "restore", str(homes / "saved.tar"))
    assert '"code": "not-empty"' in refused.stdout, refused
    assert '"code": "bad-archive"' in call(two, "restore", str(mbox)).stdout
    assert call(two, "restore", str(homes / "saved.tar"), "--force").returncode == 0
