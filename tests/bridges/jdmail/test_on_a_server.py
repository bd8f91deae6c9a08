"""A whole server: an account made by `ctrlclnt` gets mail, reads it, and others are told of it."""

from __future__ import annotations

import imaplib
import json
import smtplib
import subprocess
import sys

import pytest

from tests.running import RunningServer, environment, reachable_directory, wait_until

SECRET = "control-Secret-9"


def ctrlclnt(server: RunningServer, *command: str, native: bool = False) -> subprocess.CompletedProcess[str]:
    port = server.ports["ctrls" if native else "ctrl"]
    flags = ["-L"] if native else []
    return subprocess.run(
        [sys.executable, "-m", "postroad.bridges.jdmail.ctrlclnt", "-s", f"127.0.0.1:{port}", "-u", "oa",
         "-p", SECRET, *flags, *command],
        capture_output=True, text=True, env=environment(), check=False,
    )  # fmt: skip


@pytest.mark.timeout(400)
def test_an_account_made_by_ctrlclnt_lives() -> None:
    doors = ("smtp", "imap", "http", "ctrl", "ctrls")
    with reachable_directory("ctrl-") as directory:
        told = directory / "told"
        told.mkdir()
        told.chmod(0o777)
        with RunningServer(directory / "house", doors=doors) as server:
            server.command("control-account", "add", "oa", "--password-stdin", stdin=f"{SECRET}\n")
            assert ctrlclnt(server, "domainadd", "d1.test").returncode == 0
            made = ctrlclnt(server, "useradd", "d1.test", "wang", "123456", "U", native=True)
            assert (made.returncode, made.stdout, made.stderr) == (0, "", "")
            server.command("notify", "add-files", str(told), "--domain", "d1.test")
            with smtplib.SMTP("127.0.0.1", server.ports["smtp"]) as smtp:
                smtp.sendmail("a@elsewhere.test", ["wang@d1.test"], "Subject: hello\r\n\r\nText\r\n")
            with imaplib.IMAP4("127.0.0.1", server.ports["imap"]) as imap:
                imap.login("wang@d1.test", "123456")
                assert imap.select()[1] == [b"1"]
            wait_until(lambda: bool(list(told.glob("*.json"))), 60, f"no file: {server.log(3000)}")
            (document,) = told.glob("*.json")
            assert json.loads(document.read_bytes())["subject"] == "hello"
            wait_until(
                lambda: server.command("notify", "list")["receivers"][0]["waiting"] == 0, 60, "still waiting"
            )
            (receiver,) = server.command("notify", "list")["receivers"]
            assert receiver["last_error"] is None
            assert server.command("notify", "test", str(receiver["id"]))["said"] == "written"
            (attempt,) = server.command("notify", "log", str(receiver["id"]))["attempts"]
            assert (attempt["account"], attempt["outcome"]) == ("wang@d1.test", "delivered")
            listed = ctrlclnt(server, "userlist", "d1.test")
            assert listed.stdout == '"d1.test"\t"wang"\t""\t"U"\n'
