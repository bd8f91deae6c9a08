"""A mail to a foreign address leaves through a smart host, signed so that an independent verifier agrees.

RFC 6376, RFC 8463. The verifier is dkimpy; its DNS answers from the records that `postroad domain` prints.
"""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from collections.abc import Callable
from typing import Any

import dkim
import pytest

from tests.running import PASSWORD, RunningServer, reachable_directory
from tests.sink import Sink, running

MAIL = (
    "From: 林薇 <anna@example.test>\r\nTo: Buyer <buyer@foreign.test>\r\nSubject: 报价单\r\n"
    "Date: Mon, 2 Mar 2026 09:00:00 +0800\r\nMessage-ID: <offer-1@example.test>\r\nMIME-Version: 1.0\r\n"
    "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n您好，附上报价。\r\n"
).encode()


@pytest.mark.timeout(180)
async def test_a_relayed_mail_carries_two_signatures_that_verify() -> None:
    async with running(Sink()) as sink:
        with reachable_directory("postroad-out-") as directory:
            server = RunningServer(directory, sections={"delivery": {"relay": f"127.0.0.1:{sink.port}"}})
            await asyncio.to_thread(server.add_domain, "example.test", "anna")
            records = await asyncio.to_thread(server.command, "domain", "dns", "example.test")
            await asyncio.to_thread(server.start)
            try:
                await asyncio.to_thread(submit, server)
                await sink.wait_for(1, 30)
            finally:
                await asyncio.to_thread(server.stop)
    taken = sink.mails[0]
    assert taken.sender == "anna@example.test"
    assert taken.recipients == ("buyer@foreign.test",)
    assert "您好，附上报价。".encode() in taken.content
    signatures = taken.content.lower().count(b"\r\ndkim-signature:") + taken.content.lower().startswith(
        b"dkim-signature:"
    )
    assert signatures == 2
    algorithms = set()
    for place in range(2):
        verifier = dkim.DKIM(taken.content)
        assert verifier.verify(place, dnsfunc=answering(records))
        algorithms.add(verifier.signature_fields[b"a"])
    assert algorithms == {b"rsa-sha256", b"ed25519-sha256"}


def submit(server: RunningServer) -> None:
    """Hand the mail in as a mail program does: STARTTLS, sign in, send."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the certificate is the self-made one
    with smtplib.SMTP("127.0.0.1", server.ports["submission"], timeout=30) as client:
        client.starttls(context=context)
        client.login("anna@example.test", PASSWORD)
        client.sendmail("anna@example.test", ["buyer@foreign.test"], MAIL)


def answering(printed: Any) -> Callable[..., bytes | None]:
    """A resolver of TXT records that knows only what the command printed."""
    zone = {
        record["name"].rstrip("."): record["value"].encode()
        for record in printed["records"]
        if record["type"] == "TXT"
    }

    def look_up(name: bytes, timeout: int = 5) -> bytes | None:
        return zone.get(name.decode().rstrip("."))

    return look_up
