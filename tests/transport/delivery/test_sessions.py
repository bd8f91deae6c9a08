"""Connections to other servers: TLS where it works, signing in, old servers, reuse, several recipients at
once.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from postroad.message.address import Address
from postroad.protocols.smtp.envelope import (
    Envelope,
    EnvelopeRecipient,
    Notify,
    OriginalRecipient,
    Return,
)
from tests.sink import Sink, running, self_signed
from tests.transport.conftest import House, mail, recipients

ANNA = Address.parse("anna@here.example")
RELAY = {"relay_networks": ["127.0.0.0/8"]}


async def send(house: House, sink: Sink, count: int = 1, **options: object) -> None:
    await house.domain()
    async with house.worker(sink, smtp=RELAY, **options) as worker:  # type: ignore[arg-type]
        for number in range(count):
            await worker.acceptance.accept(
                Envelope(ANNA, recipients(f"to{number}@there.example")),
                mail(),
                house.session(client="127.0.0.1"),
            )
        await sink.wait_for(count)
        await house.until_empty()


async def test_tls_is_used_where_it_is_offered(house: House, sink: Sink, tmp_path: Path) -> None:
    sink.tls = self_signed(tmp_path)
    await send(house, sink, 3)
    assert all(each.is_tls for each in sink.mails)


async def test_broken_tls_is_remembered_and_done_without(house: House, sink: Sink) -> None:
    sink.breaks_tls = True
    await send(house, sink, 3, connections=1)
    assert not any(each.is_tls for each in sink.mails)
    assert sink.connections <= 3, "one broken handshake, not one a mail"


async def test_tls_can_be_switched_off(house: House, sink: Sink, tmp_path: Path) -> None:
    sink.tls = self_signed(tmp_path)
    await send(house, sink, 1, delivery={"tls": "off"})
    assert not sink.mails[0].is_tls


async def test_a_smart_host_with_tls_from_the_first_byte(
    house: House, sink: Sink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(Sink(tls=self_signed(tmp_path), is_tls_at_once=True)) as wrapped:
        monkeypatch.setattr("postroad.transport.delivery.connector.SUBMISSIONS_PORT", wrapped.port)
        await send(house, wrapped, 2)
        assert all(each.is_tls for each in wrapped.mails)


async def test_signing_in_at_the_smart_host(house: House, sink: Sink) -> None:
    sink.credentials = ("user", "secret")
    await send(house, sink, 1, delivery={"relay_username": "user", "relay_password": "secret"})


async def test_a_smart_host_that_refuses_our_password_keeps_the_mail_waiting(
    house: House, sink: Sink
) -> None:
    sink.credentials = ("user", "other")
    await house.domain()
    delivery = {"relay_username": "user", "relay_password": "secret"}
    async with house.worker(sink, smtp=RELAY, delivery=delivery, backoff_seconds=60) as worker:
        await worker.acceptance.accept(
            Envelope(ANNA, recipients("to@there.example")), mail(), house.session(client="127.0.0.1")
        )

        async def was_deferred() -> bool:
            return [row["last_text"] is not None for row in await house.queued()] == [True]

        await house.until(was_deferred)
    (row,) = await house.queued()
    assert "535" in row["last_text"] and row["last_code"] == 451


async def test_a_server_that_knows_only_helo(house: House, sink: Sink) -> None:
    sink.knows_ehlo = False
    await send(house, sink, 3, connections=1)


async def test_connections_are_reused_and_closed_when_there_is_nothing_to_do(
    house: House, sink: Sink
) -> None:
    await send(house, sink, 50, connections=2)
    assert sink.connections <= 2
    assert sink.clients == {"mx.here.example": sink.connections}, "by the name we have"
    assert sink.open_connections == 0


async def test_a_connection_carries_so_many_mails_and_no_more(house: House, sink: Sink) -> None:
    await send(house, sink, 50, connections=1, delivery={"max_messages_per_connection": 20})
    carried = Counter(each.connection for each in sink.mails)
    assert max(carried.values()) == 20
    assert len(carried) == 3


async def test_what_was_sent_is_what_arrives(house: House, sink: Sink) -> None:
    """Lines that begin with dots, lines without end, bytes of all kinds."""
    await house.domain()
    body = b".\r\n..two\r\n.one\r\n" + bytes(range(128, 256)) + b"\r\n" + b"x" * 5000 + b"\r\n.end"
    async with house.worker(sink, smtp=RELAY) as worker:
        envelope = Envelope(ANNA, recipients("to@there.example"))
        await worker.acceptance.accept(envelope, mail() + body, house.session(client="127.0.0.1"))
        await sink.wait_for(1)
        await house.until_empty()
    (arrived,) = sink.mails
    assert arrived.content.endswith(body + b"\r\n")


@pytest.mark.parametrize("pipelining", [True, False])
async def test_many_recipients_travel_with_one_content(house: House, sink: Sink, pipelining: bool) -> None:
    await house.domain()
    if not pipelining:
        sink.extensions.remove("PIPELINING")
    addresses = [f"to{number}@there.example" for number in range(250)]
    async with house.worker(sink, smtp=RELAY) as worker:
        await worker.acceptance.accept(
            Envelope(ANNA, recipients(*addresses)), mail(), house.session(client="127.0.0.1")
        )
        await sink.wait_for(250)
        await house.until_empty()
    assert sorted(sink.recipients) == sorted(addresses)
    assert len(sink.mails) == 3, "at most 100 of them at once"


async def test_delivery_status_requests_travel_on_where_they_are_understood(house: House, sink: Sink) -> None:
    anna = await house.account()
    sink.extensions.append("DSN")
    asked = EnvelopeRecipient(
        Address.parse("to@there.example"),
        Notify.SUCCESS | Notify.FAILURE,
        OriginalRecipient("rfc822", "first+one@here.example"),
    )
    async with house.worker(sink) as worker:
        envelope = Envelope(ANNA, (asked,), ret=Return.HEADERS, envelope_id="id 1")
        await worker.acceptance.accept(envelope, mail(), house.session(anna))
        await sink.wait_for(1)
        await house.until_empty()
    (arrived,) = sink.mails
    assert "RET=HDRS" in arrived.mail_line and "ENVID=id+201" in arrived.mail_line
    assert arrived.recipient_lines == (
        "RCPT TO:<to@there.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;first+2Bone@here.example",
    )
    assert await house.inbox(anna) == []


async def test_mail_in_smtputf8_fails_where_it_is_not_understood(house: House, sink: Sink) -> None:
    anna = await house.account()
    sink.extensions.remove("SMTPUTF8")
    async with house.worker(sink) as worker:
        envelope = Envelope(ANNA, recipients("用户@there.example", "plain@there.example"), smtputf8=True)
        await worker.acceptance.accept(envelope, mail(), house.session(anna))
        await sink.wait_for(1)
        await house.until_empty()
    assert sink.recipients == ["plain@there.example"]
    (notice,) = await house.inbox(anna)
    assert b"Status: 5.6.7" in notice
