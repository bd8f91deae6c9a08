"""The smart host's password goes to a host that has proved its name, or nowhere."""

from __future__ import annotations

import base64
import itertools
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from postroad.message.address import Address
from postroad.protocols.smtp.client import TlsUse
from postroad.protocols.smtp.envelope import Envelope
from postroad.transport.delivery.security import RelayTls, Security, relay_security
from tests.certificates import Authority
from tests.sink import Sink, running
from tests.transport.conftest import House, mail, recipients

ANNA = Address.parse("anna@here.example")
PASSWORD = "correct horse"
SIGNED_IN = {"relay_username": "user", "relay_password": PASSWORD}


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loopback interface stands for a host elsewhere."""
    for module in ("security", "connector"):
        monkeypatch.setattr(f"postroad.transport.delivery.{module}.is_near", lambda _address: False)


async def send(house: House, sink: Sink, delivery: dict[str, Any]) -> str | None:
    """Send one mail; None when it arrived, else what it waits for."""
    await house.domain()
    waiting = len(await house.queued())
    async with house.worker(
        sink, smtp={"relay_networks": ["127.0.0.0/8"]}, delivery=delivery, backoff_seconds=60
    ) as worker:
        await worker.acceptance.accept(
            Envelope(ANNA, recipients("to@there.example")), mail(), house.session(client="127.0.0.1")
        )

        async def is_over() -> bool:
            return all(row["last_text"] is not None for row in await house.queued())

        await house.until(is_over)
    rows = await house.queued()
    return rows[-1]["last_text"] if len(rows) > waiting else None


def saw_password(sink: Sink) -> bool:
    words = (PASSWORD, base64.b64encode(f"\0user\0{PASSWORD}".encode()).decode())
    return any(word in line for line in sink.lines for word in words)


async def test_with_a_password_the_certificate_must_be_good(house: House, far: None, tmp_path: Path) -> None:
    ours, theirs = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs")
    delivery = {**SIGNED_IN, "relay_ca": ours.file}
    async with running(Sink(credentials=("user", PASSWORD))) as sink:
        for bad in (
            theirs.server("127.0.0.1"),  # signed by nobody we know
            ours.server("other.example"),  # for another name
            ours.server("127.0.0.1", age=timedelta(days=30)),  # out of date
        ):
            sink.tls = bad
            reason = await send(house, sink, delivery)
            assert reason is not None and "certificate verify failed" in reason
        assert not saw_password(sink) and not sink.mails
        assert not any(line.startswith(("AUTH", "MAIL")) for line in sink.lines)

        sink.tls = ours.server("127.0.0.1")
        assert await send(house, sink, delivery) is None
        assert saw_password(sink) and sink.mails[0].is_tls


async def test_a_self_made_certificate_is_refused_by_the_systems_authorities(
    house: House, far: None, tmp_path: Path
) -> None:
    tls = Authority(tmp_path / "ours").server("127.0.0.1")
    async with running(Sink(credentials=("user", PASSWORD), tls=tls)) as sink:
        reason = await send(house, sink, SIGNED_IN)
        assert reason is not None and "certificate verify failed" in reason
        assert not saw_password(sink)


async def test_nobody_on_the_way_can_take_the_tls_away(house: House, far: None) -> None:
    async with running(Sink(credentials=("user", PASSWORD))) as sink:  # STARTTLS is not offered
        reason = await send(house, sink, SIGNED_IN)
        assert reason is not None and "does not offer TLS" in reason
        assert not saw_password(sink) and not sink.mails
        sink.breaks_tls = True
        assert await send(house, sink, SIGNED_IN)
        assert not saw_password(sink) and not sink.mails


async def test_tls_from_the_first_byte_is_verified_too(
    house: House, far: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs")
    for authority, arrives in ((theirs, False), (ours, True)):
        sink = Sink(credentials=("user", PASSWORD), tls=authority.server("127.0.0.1"), is_tls_at_once=True)
        async with running(sink):
            monkeypatch.setattr("postroad.transport.delivery.connector.SUBMISSIONS_PORT", sink.port)
            reason = await send(house, sink, {**SIGNED_IN, "relay_ca": ours.file})
            assert (reason is None) is arrives, reason
            assert saw_password(sink) is arrives


async def test_the_exception_is_named_in_the_settings(house: House, far: None, tmp_path: Path) -> None:
    tls = Authority(tmp_path / "theirs").server("other.example")
    async with running(Sink(credentials=("user", PASSWORD), tls=tls)) as sink:
        assert await send(house, sink, {**SIGNED_IN, "relay_tls": "required"}) is None
        assert sink.mails[0].is_tls


async def test_verified_holds_without_a_password_and_on_this_machine(house: House, tmp_path: Path) -> None:
    ours = Authority(tmp_path / "ours")
    delivery = {"relay_tls": "verified", "relay_ca": ours.file}
    async with running(Sink(tls=ours.server("other.example"))) as sink:
        reason = await send(house, sink, delivery)
        assert reason is not None and "certificate verify failed" in reason
        assert not sink.mails


async def test_authorities_that_cannot_be_read_keep_the_mail_waiting(
    house: House, far: None, tmp_path: Path
) -> None:
    tls = Authority(tmp_path / "ours").server("127.0.0.1")
    async with running(Sink(credentials=("user", PASSWORD), tls=tls)) as sink:
        reason = await send(house, sink, {**SIGNED_IN, "relay_ca": tmp_path / "missing.pem"})
        assert reason is not None and "cannot be read" in reason
        assert not saw_password(sink)


def test_every_way_to_meet_a_smart_host() -> None:
    usual = TlsUse.OPPORTUNISTIC
    far_away, here = "192.0.2.1", "127.0.0.1"
    proved = Security(TlsUse.REQUIRED, verifies=True)
    assert relay_security("auto", usual, sends_password=True, address=far_away) == proved
    assert relay_security("auto", TlsUse.OFF, sends_password=True, address=far_away) == proved
    assert relay_security("auto", usual, sends_password=True, address=here) == Security(usual)
    assert relay_security("auto", usual, sends_password=False, address=far_away) == Security(usual)
    whatever: dict[RelayTls, Security] = {
        "verified": proved,
        "required": Security(TlsUse.REQUIRED),
        "off": Security(TlsUse.OFF),
    }
    for sends_password, address in itertools.product((True, False), (far_away, here)):
        for chosen, security in whatever.items():
            assert relay_security(chosen, usual, sends_password=sends_password, address=address) == security
