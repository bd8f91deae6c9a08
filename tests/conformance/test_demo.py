"""`postroad serve --demo` as a newcomer meets it: it serves, prints how to sign in, and does so again."""

from __future__ import annotations

import json
import re
import smtplib
import ssl
from collections.abc import Callable

import pytest

from tests.running import RunningServer, reachable_directory


@pytest.mark.timeout(120)
def test_the_demo_serves_with_the_printed_passwords_at_every_start(
    record_property: Callable[[str, object], None], capsys: pytest.CaptureFixture[str]
) -> None:
    with reachable_directory("postroad-demo-") as directory:
        server = RunningServer(directory, doors=("smtp", "submission", "submissions", "http"))
        seconds = []
        passwords = []
        for _ in range(2):
            seconds.append(server.start(60, "--demo"))
            try:
                printed = dict(re.findall(r"(\S+@demo\.postroad\.test) +(\S+)\n", server.log()))
                assert len(printed) == 3
                passwords.append(printed)
                for address, password in printed.items():
                    sign_in(server.ports["submissions"], address, password)
            finally:
                assert server.stop() == 0
        assert passwords[0] == passwords[1]
        assert json.loads((directory / "data" / "demo.json").read_text())["complete"]
    record_property("first_start_seconds", seconds[0])
    record_property("second_start_seconds", seconds[1])
    with capsys.disabled():
        print(f"\nserve --demo: first start {seconds[0]:.1f} s, second start {seconds[1]:.1f} s to serving")


def sign_in(port: int, address: str, password: str) -> None:
    """Raises `SMTPAuthenticationError` when the password is not right."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the certificate is the self-made one
    with smtplib.SMTP_SSL("127.0.0.1", port, timeout=30, context=context) as client:
        client.login(address, password)
