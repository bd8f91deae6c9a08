"""Real POP3 clients against a running server: poplib, curl, fetchmail, getmail."""

from __future__ import annotations

import os
import poplib
import shutil
import smtplib
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import PASSWORD, RunningServer, reachable_directory, wait_until

pytestmark = pytest.mark.timeout(180)
ANNA = "anna@pop.test"


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with reachable_directory("postroad-pop3-") as directory:
        running = RunningServer(directory, doors=("smtp", "submission", "pop3", "pop3s", "http"))
        running.start(60)
        try:
            running.add_domain("pop.test", "anna", "bert", "curt", "dora")
            yield running
        finally:
            running.stop()


def send(server: RunningServer, to: str, count: int) -> None:
    """Hand in mails, one with lines of dots."""
    with smtplib.SMTP("127.0.0.1", server.ports["smtp"]) as smtp:
        for number in range(count):
            smtp.sendmail(
                "someone@elsewhere.test",
                [to],
                f"From: someone@elsewhere.test\r\nTo: {to}\r\nSubject: Mail {number}\r\n"
                f"Message-ID: <{number}.{to}>\r\n\r\nText {number}\r\n.\r\n..two\r\n",
            )


def unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def opened(server: RunningServer, user: str = ANNA) -> poplib.POP3:
    client = poplib.POP3("127.0.0.1", server.ports["pop3"], timeout=30)
    client.user(user)
    client.pass_(PASSWORD)
    return client


def test_poplib_reads_and_removes_and_only_quit_removes(server: RunningServer) -> None:
    send(server, ANNA, 3)
    client = opened(server)
    assert client.stat()[0] == 3
    unique = client.uidl()[1]
    assert b"\r\n".join(client.retr(1)[1]).endswith(b"Text 0\r\n.\r\n..two")
    assert client.top(2, 1)[1][-2:] == [b"", b"Text 1"]
    client.dele(1)
    client.close()  # without QUIT
    wait_until(lambda: can_open(server), 20, "the lock outlived its session")
    client = opened(server)
    assert client.uidl()[1] == unique
    client.dele(1)
    client.quit()
    client = opened(server)
    assert [line.split()[1] for line in client.uidl()[1]] == [line.split()[1] for line in unique[1:]]
    client.quit()


def can_open(server: RunningServer) -> bool:
    try:
        opened(server).quit()
    except poplib.error_proto:
        return False
    return True


def test_a_maildrop_is_one_sessions_over_all_workers(server: RunningServer) -> None:
    first = opened(server)
    for _ in range(4):
        with pytest.raises(poplib.error_proto, match="IN-USE"):
            opened(server)
    first.quit()
    opened(server).quit()


def test_tls_from_the_first_byte_and_by_stls(server: RunningServer) -> None:
    client = poplib.POP3_SSL("127.0.0.1", server.ports["pop3s"], context=unverified(), timeout=30)
    client.user(ANNA)
    client.pass_(PASSWORD)
    client.quit()
    plain = poplib.POP3("127.0.0.1", server.ports["pop3"], timeout=30)
    assert "STLS" in plain.capa()
    plain.stls(unverified())
    assert "STLS" not in plain.capa()
    plain.utf8()
    plain.user(ANNA)
    with pytest.raises(poplib.error_proto, match="AUTH"):
        plain.pass_("wrong")
    plain.user(ANNA)
    plain.pass_(PASSWORD)
    plain.quit()


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name} on this system")
    return found


def test_curl_lists_and_reads(server: RunningServer) -> None:
    send(server, "bert@pop.test", 2)
    curl = [program("curl"), "--silent", "--show-error", "--insecure", "--user", f"bert@pop.test:{PASSWORD}"]
    listed = subprocess.run(
        [*curl, f"pop3s://127.0.0.1:{server.ports['pop3s']}/"], capture_output=True, check=True, timeout=60
    )
    assert len(listed.stdout.splitlines()) == 2
    read = subprocess.run(
        [*curl, "--ssl-reqd", f"pop3://127.0.0.1:{server.ports['pop3']}/1"],
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert read.stdout.endswith(b"Text 0\r\n.\r\n..two\r\n")


def test_fetchmail_takes_all_and_empties_the_maildrop(server: RunningServer, tmp_path: Path) -> None:
    fetchmail = program("fetchmail")
    send(server, "curt@pop.test", 3)
    settings = tmp_path / "fetchmailrc"
    settings.write_text(
        f'poll 127.0.0.1 protocol POP3 service {server.ports["pop3"]} user "curt@pop.test" '
        f'password "{PASSWORD}" sslproto "" no rewrite fetchall mda "cat >> {tmp_path}/mbox"\n'
    )
    settings.chmod(0o600)
    subprocess.run(
        [fetchmail, "--fetchmailrc", str(settings), "--pidfile", str(tmp_path / "pid"), "--silent"],
        env={**os.environ, "FETCHMAILHOME": str(tmp_path)},
        check=True,
        timeout=90,
        capture_output=True,
    )
    text = (tmp_path / "mbox").read_text()
    assert [text.count(f"Text {number}\n") for number in range(3)] == [1, 1, 1]
    client = opened(server, "curt@pop.test")
    assert client.stat()[0] == 0
    client.quit()


def test_getmail_takes_each_mail_once(server: RunningServer, tmp_path: Path) -> None:
    getmail = program("getmail")
    send(server, "dora@pop.test", 2)
    mbox = tmp_path / "mbox"
    (tmp_path / "getmailrc").write_text(
        f"[retriever]\ntype = SimplePOP3Retriever\nserver = 127.0.0.1\nport = {server.ports['pop3']}\n"
        f"username = dora@pop.test\npassword = {PASSWORD}\n"
        f"[destination]\ntype = MDA_external\npath = /bin/dd\nallow_root_commands = true\n"
        f'arguments = ("of={mbox}", "oflag=append", "conv=notrunc", "status=none")\n'
        "[options]\nread_all = false\ndelete = false\n"
    )
    for _ in range(2):  # the second time it knows them by UIDL
        ran = subprocess.run(
            [getmail, f"--getmaildir={tmp_path}", "--rcfile=getmailrc"], timeout=90, capture_output=True
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
    text = mbox.read_text()
    assert [text.count(f"Text {number}\n") for number in range(2)] == [1, 1]
