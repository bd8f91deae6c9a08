"""What is too much is refused before it costs much: by stated size, by real size, by number of headers."""

from __future__ import annotations

import smtplib
import socket
from collections.abc import Iterator

import pytest

from tests.running import RunningServer, reachable_directory

INBOX = "inbox@bounds.test"


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with reachable_directory("postroad-bounds-") as directory:
        running = RunningServer(directory, workers=1)
        running.add_domain("bounds.test", "inbox")
        with running:
            yield running


def test_a_mail_over_the_limit_is_refused_by_its_stated_size(server: RunningServer) -> None:
    with smtplib.SMTP("127.0.0.1", server.ports["smtp"], timeout=30) as client:
        client.ehlo()
        assert int(client.esmtp_features["size"]) == 50 * 1024 * 1024
        code, text = client.mail("big@client.test", [f"SIZE={50 * 1024 * 1024 + 1}"])
    assert code == 552
    assert text.startswith(b"5.3.4")


def test_a_mail_that_grows_over_the_limit_is_refused_and_nothing_of_it_kept(server: RunningServer) -> None:
    resident = peak_memory(server)
    with socket.create_connection(("127.0.0.1", server.ports["smtp"]), timeout=60) as client:
        lines = client.makefile("rb")
        lines.readline()
        for command in ("HELO client.test", "MAIL FROM:<big@client.test>", f"RCPT TO:<{INBOX}>", "DATA"):
            client.sendall(command.encode() + b"\r\n")
            assert lines.readline()[:1] in b"23"
        block = (b"x" * 76 + b"\r\n") * 13_000  # about a megabyte
        for _ in range(70):
            client.sendall(block)
        client.sendall(b".\r\n")
        assert lines.readline().startswith(b"552 5.3.4")
    assert peak_memory(server) - resident < 120 * 1024 * 1024
    assert server.http_status("/readyz") == 200


def test_a_hundred_thousand_headers_are_bounded(server: RunningServer) -> None:
    content = b"".join(b"X-Header-%d: value\r\n" % number for number in range(100_000)) + b"\r\nbody\r\n"
    with smtplib.SMTP("127.0.0.1", server.ports["smtp"], timeout=60) as client:
        with pytest.raises(smtplib.SMTPDataError) as refused:
            client.sendmail("many@client.test", [INBOX], content)
        assert refused.value.smtp_code in range(500, 560)
        client.sendmail("many@client.test", [INBOX], b"Subject: after\r\n\r\nstill here\r\n")
    assert server.http_status("/readyz") == 200


def peak_memory(server: RunningServer) -> int:
    """The most memory that any worker has held, in bytes (proc(5): VmHWM)."""
    peaks = []
    for process_id in server.workers():
        with open(f"/proc/{process_id}/status") as status:
            peaks += [int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:")]
    return max(peaks)
