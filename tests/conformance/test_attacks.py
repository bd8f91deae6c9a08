"""Attacks on a running server that need its own process: memory, TLS, sessions that outlive their
password."""

from __future__ import annotations

import imaplib
import poplib
import shutil
import smtplib
import socket
import subprocess
from collections.abc import Iterator

import pytest

from tests.conformance.test_bounds import peak_memory
from tests.running import PASSWORD, RunningServer, reachable_directory

pytestmark = pytest.mark.timeout(180)
MEBIBYTE = 1024 * 1024
SENDERS, HALF = 300, 512 * 1024  # 150 MiB of half mails


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with reachable_directory("postroad-attacks-") as directory:
        running = RunningServer(
            directory,
            workers=1,
            doors=("smtp", "submission", "imap", "pop3", "http", "https"),
            top={"content_bytes": 64 * MEBIBYTE},
            sections={"smtp": {"max_size_bytes": 8 * MEBIBYTE}},
        )
        running.add_domain("attacked.test", "anna", "bert")
        with running:
            yield running


def told(client: socket.socket) -> bytes:
    """The next line."""
    line = b""
    while not line.endswith(b"\n"):
        piece = client.recv(1)
        if not piece:
            break
        line += piece
    return line


def test_hundreds_of_half_mails_stay_within_the_budget(server: RunningServer) -> None:
    resident = peak_memory(server)
    half = b"x" * 76 + b"\r\n"
    half *= HALF // len(half)
    clients = []
    for _ in range(SENDERS):
        client = socket.create_connection(("127.0.0.1", server.ports["smtp"]), timeout=60)
        clients.append(client)
        assert told(client).startswith(b"220")
        for command in (
            b"HELO slow.test",
            b"MAIL FROM:<slow@slow.test>",
            b"RCPT TO:<anna@attacked.test>",
            b"DATA",
        ):
            client.sendall(command + b"\r\n")
            assert told(client)[:1] in b"23"
        client.sendall(b"Subject: half\r\n\r\n" + half)
    # 64 MiB of contents, what 300 sessions take beside, and what the allocator keeps of what was given back.
    assert peak_memory(server) - resident < 130 * MEBIBYTE
    with smtplib.SMTP("127.0.0.1", server.ports["smtp"], timeout=60) as whole:
        whole.sendmail("quick@quick.test", ["anna@attacked.test"], b"Subject: whole\r\n\r\n" + half)
    answers = []
    for client in clients:
        client.sendall(b".\r\n")
        answers.append(told(client)[:3])
        client.close()
    assert set(answers) == {b"250", b"452"}  # nobody was cut off, and some had to come again
    assert server.http_status("/readyz") == 200


def test_a_new_password_ends_what_the_old_one_opened(server: RunningServer) -> None:
    ports = server.ports
    imap = imaplib.IMAP4("127.0.0.1", ports["imap"], timeout=60)
    imap.login("anna@attacked.test", PASSWORD)
    idle = imaplib.IMAP4("127.0.0.1", ports["imap"], timeout=60)
    idle.login("anna@attacked.test", PASSWORD)
    idle.select()
    idle.send(b"i IDLE\r\n")
    assert idle.readline().startswith(b"+")
    other = imaplib.IMAP4("127.0.0.1", ports["imap"], timeout=60)
    other.login("bert@attacked.test", PASSWORD)
    pop = poplib.POP3("127.0.0.1", ports["pop3"], timeout=60)
    pop.user("anna@attacked.test")
    pop.pass_(PASSWORD)
    smtp = smtplib.SMTP("127.0.0.1", ports["smtp"], timeout=60)
    smtp.login("anna@attacked.test", PASSWORD)
    server.command(
        "account", "password", "anna@attacked.test", "--password-stdin", stdin="another-password-77\n"
    )
    assert imap.readline().startswith(b"* BYE [EXPIRED]")
    assert idle.readline().startswith(b"* BYE [EXPIRED]")
    assert pop._getline()[0].startswith(b"-ERR [AUTH]")  # type: ignore[attr-defined]
    assert smtp.getreply()[0] == 421
    assert other.noop()[0] == "OK"
    server.command("account", "disable", "bert@attacked.test")
    assert other.readline().startswith(b"* BYE [EXPIRED]")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_tls_is_not_negotiated_anew(server: RunningServer) -> None:
    client = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{server.ports['https']}", "-tls1_2"],
        input=b"R\nR\nR\n",
        capture_output=True,
        timeout=60,
    )
    assert b"RENEGOTIATING" in client.stdout + client.stderr
    assert b"no renegotiation" in client.stderr
    assert server.http_status("/readyz") == 200
