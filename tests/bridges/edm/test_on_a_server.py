"""The bulk-mail API of a whole `postroad serve`: real sockets, jobs beside it, nothing secret in the log."""

from __future__ import annotations

import base64
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import RunningServer, reachable_directory

SECRET = "correct horse 9"
PAIR = base64.b64encode(f"lin:{SECRET}".encode()).decode()


def curl(server: RunningServer, path: str, *arguments: str) -> str:
    """Call with curl as the document's PHP samples do."""
    done = subprocess.run(
        [
            "curl",
            "--silent",
            "--show-error",
            "--max-time",
            "60",
            "-u",
            f"lin:{SECRET}",
            *arguments,
            f"{server.web}{path}",
        ],
        capture_output=True,
        check=True,
    )
    return done.stdout.decode()


def raw(server: RunningServer, head: str) -> bytes:
    """Send a request as it stands and read until the server closes."""
    with socket.create_connection(("127.0.0.1", server.ports["http"]), timeout=60) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode())
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    return answer


def data(answer: str) -> str:
    """The data of an answer that says success."""
    found = re.search(
        r"<status>success</status>(?:<id>\d+</id>)?<data>(?:<!\[CDATA\[)?(.*?)(?:\]\]>)?</data>", answer
    )
    assert found, answer
    return found[1]


def until(server: RunningServer, path: str, wanted: str) -> str:
    """Ask until the answer holds what is wanted."""
    deadline = time.monotonic() + 90
    while wanted not in (answer := curl(server, path)):
        assert time.monotonic() < deadline, answer
        time.sleep(0.5)
    return answer


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with reachable_directory("edm-") as directory:
        server = RunningServer(directory, doors=("http",), sections={"log": {"level": "debug"}})
        server.start(240)  # on a busy machine it takes a while to make a database
        yield server
        server.stop()


@pytest.mark.timeout(500)
def test_a_nightly_job(server: RunningServer, tmp_path: Path) -> None:
    base = "/mm-ms/apinew"
    server.command("customer", "add", "lin", "--password-stdin", "--volume", "100", stdin=f"{SECRET}\n")
    server.command("customer", "domain", "lin", "shop.example", "--verified")
    server.command("customer", "mailbox", "lin", "news@shop.example", "--password-stdin", stdin=f"{SECRET}\n")
    # HTTP/1.0, and a target with the whole URL (A.3 of our page).
    for target, version in (
        (f"{base}/account.php?do=customer-info", "1.0"),
        (f"{server.web}/api/account.php?do=customer-info", "1.0"),
    ):
        answer = raw(server, f"GET {target} HTTP/{version}\nAuthorization: Basic {PAIR}\n\n")
        assert answer.startswith(b"HTTP/1."), answer
        assert b"<username>lin</username>" in answer
    made = data(
        curl(
            server,
            f"{base}/mloperate.php?do=maillist-add",
            "-d",
            "subject=readers",
            "-d",
            "status=enabled",
        )
    )
    file = tmp_path / "address.txt"
    file.write_text(
        "".join(f"reader{number}@example.com;读者{number}\n" for number in range(5000)), "gb18030"
    )
    job = data(
        curl(server, f"{base}/mloperate.php?do=ml-addr-add-file&list_id={made}", "-F", f"file=@{file}")
    )
    told = until(
        server, f"{base}/mloperate.php?do=ml-addr-add-file-query&id={job}", "<status>success</status>"
    )
    assert "添加 5000" in told
    exported = curl(server, f"{base}/mloperate.php?do=subscription-export&id={made}")
    assert exported.splitlines()[4999] == "reader4999@example.com\t读者4999"
    everybody = curl(server, f"{base}/mloperate.php?do=ml-addr-list&list_id={made}")
    assert everybody.count("<addr>") == 5000
    template = data(
        curl(
            server,
            f"{base}/template.php?do=add-tpl",
            "-F",
            "name=n",
            "-F",
            "subject=s",
            "--form-string",
            "content=<p>Dear {{ name }}, hello.</p>",
        )
    )
    until(server, f"{base}/template.php?do=get-tpl-status&tpl_id={template}", "<colour>green</colour>")
    task = (
        f"{base}/task.php?do=add-task&tpl_id={template}&send_domain=all&send_account=all&send_fullname=n"
        f"&maillist_id={made}&send_qty=50&time=2099-11-24+10%3A38%3A40&username=lin&password=of-nobody"
    )
    assert "<status>success</status><id>" in curl(server, task)
    log = server.log()
    assert "edm_call_failed" not in log
    for secret in (SECRET, "of-nobody", PAIR):
        assert secret not in log
