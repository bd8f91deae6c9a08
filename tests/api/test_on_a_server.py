"""A whole server with several workers: a messenger's view of an account, from outside."""

from __future__ import annotations

import json
import os
import signal
import smtplib
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.running import PASSWORD, RunningServer, reachable_directory, wait_until

LIN = "lin@im.test"
PATIENCE = 100.0


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with reachable_directory("api-") as directory, RunningServer(directory, workers=2) as running:
        running.add_domain("im.test", "lin")
        yield running


class Stream:
    """The live stream over one connection, which is one worker's."""

    def __init__(self, server: RunningServer, token: str, last_id: str = "") -> None:
        headers = {"Authorization": f"Bearer {token}", **({"Last-Event-ID": last_id} if last_id else {})}
        request = urllib.request.Request(f"{server.web}/api/v1/events", headers=headers)
        self._answer = urllib.request.urlopen(request, timeout=PATIENCE)
        self.last_id = last_id

    def close(self) -> None:
        """Break the connection."""
        self._answer.close()

    def next(self, kind: str) -> Any:
        """The value of the next event of a kind."""
        found = ""
        while True:
            line = self._answer.readline().decode()
            if not line:
                raise EOFError
            name, _, value = line.rstrip("\n").partition(": ")
            if name == "id":
                self.last_id = value
            elif name == "event":
                found = value
            elif name == "data" and found == kind:
                return json.loads(value)


def send(server: RunningServer, subject: str) -> None:
    """A mail by SMTP."""
    text = f"From: a@far.example\r\nTo: {LIN}\r\nSubject: {subject}\r\n\r\nwords\r\n"
    with smtplib.SMTP("127.0.0.1", server.ports["smtp"], timeout=PATIENCE) as client:
        client.sendmail("a@far.example", [LIN], text)


def test_unread_counts_by_smtp_over_workers_and_over_a_killed_one(server: RunningServer) -> None:
    form = urlencode({"grant_type": "password", "username": LIN, "password": PASSWORD}).encode()
    with urllib.request.urlopen(f"{server.web}/api/v1/token", form, timeout=PATIENCE) as answer:
        token = json.loads(answer.read())["access_token"]
    assert token not in server.log() and PASSWORD not in server.log()
    # Connections are spread over the workers: several streams see the same, wherever the mail came in.
    streams = [Stream(server, token) for _ in range(4)]
    for stream in streams:
        stream.next("hello")
    for number in range(1, 4):
        send(server, f"m {number}")
        for stream in streams:
            assert stream.next("message")["subject"] == f"m {number}"
            assert stream.next("folder")["unread"] == number
    last_id = streams[0].last_id
    for stream in streams:
        stream.close()
    # Nobody follows; a worker is killed; mail comes in all the same, and is told afterwards.
    before = server.workers()
    os.kill(before[0], signal.SIGKILL)
    wait_until(lambda: len(server.workers()) == 2 and server.workers() != before, 60, "no new worker")
    server.wait_ready()
    for number in range(4, 7):
        send(server, f"m {number}")
    with closing(Stream(server, token, last_id)) as stream:
        assert [stream.next("message")["subject"] for _ in range(3)] == ["m 4", "m 5", "m 6"]
        assert stream.next("folder")["unread"] == 6


def test_a_server_that_ends_ends_its_streams(server: RunningServer) -> None:
    made = server.command("token", "add", LIN, "IM", "--scope", "mail:read")
    with closing(Stream(server, made["token"]["token"])) as stream:
        stream.next("hello")
        assert server.stop() == 0
        with pytest.raises(EOFError):
            stream.next("nothing")
