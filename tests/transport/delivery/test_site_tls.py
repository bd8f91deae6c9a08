"""TLS as a rule of shaping asks for it: with a certificate for the MX host's name, or with any."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from postroad.config import ShapingRule
from postroad.dns.lookups import Lookups
from postroad.protocols.smtp.client import TlsUse
from postroad.protocols.smtp.envelope import Envelope
from postroad.transport.delivery.connections import CannotConnect, Session, Timeouts
from postroad.transport.delivery.connector import Connector
from postroad.transport.delivery.destinations import Destinations, OwnDoor
from postroad.transport.delivery.security import Security, site_security
from postroad.transport.delivery.shaping import SiteTls
from postroad.transport.service import Transport
from tests.certificates import Authority
from tests.name_server import name_server
from tests.sink import Sink, running
from tests.transport.conftest import House, mail, recipients

ZONE = {("there.example", "MX"): ["10 mx.there.example."], ("mx.there.example", "A"): ["127.0.0.1"]}
OWN = OwnDoor("mx.here.example", "127.0.0.9", 25)


@asynccontextmanager
async def connector(sink: Sink) -> AsyncIterator[Connector]:
    async with running(sink), name_server(ZONE) as server:
        lookups = Lookups(server.address)
        timeouts = Timeouts(connect=5, setup=5, idle=5, longest=5)
        yield Connector(Destinations(lookups, OWN, sink.port), "mx.here.example", timeouts=timeouts)
        await lookups.close()


async def opened(found: Connector, tls: SiteTls | None) -> Session:
    session = await found.open("there.example", tls)
    session.abort()
    return session


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """One that the system trusts."""
    authority = Authority(tmp_path / "trusted")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    return authority


async def test_verified_means_a_certificate_for_the_mx_hosts_name(
    authority: Authority, tmp_path: Path
) -> None:
    sink = Sink()
    async with connector(sink) as found:
        sink.tls = authority.server("mx.there.example")
        assert (await opened(found, "verified")).is_tls
        for bad in (authority.server("there.example"), Authority(tmp_path / "x").server("mx.there.example")):
            sink.tls = bad
            with pytest.raises(CannotConnect, match="certificate verify failed"):
                await opened(found, "verified")
            assert (await opened(found, "required")).is_tls
            assert (await opened(found, None)).is_tls
        assert sink.seen["mail"] == 0


@pytest.mark.parametrize("tls", ["required", "verified"])
async def test_a_host_without_tls_gets_nothing_where_tls_is_asked_for(tls: SiteTls) -> None:
    sink = Sink()
    async with connector(sink) as found:
        with pytest.raises(CannotConnect, match="does not offer TLS"):
            await opened(found, tls)
        assert not (await opened(found, "opportunistic")).is_tls


async def test_tls_found_broken_before_is_not_done_without_where_it_is_asked_for() -> None:
    sink = Sink(breaks_tls=True)
    async with connector(sink) as found:
        assert not (await opened(found, None)).is_tls, "and remembered"
        with pytest.raises(CannotConnect, match="TLS"):
            await opened(found, "required")


async def test_a_rule_can_switch_tls_off(authority: Authority) -> None:
    sink = Sink(tls=authority.server("mx.there.example"))
    async with connector(sink) as found:
        assert not (await opened(found, "off")).is_tls


def test_a_rule_asks_for_more_than_the_smart_host_needs_and_never_for_less() -> None:
    proved = Security(TlsUse.REQUIRED, verifies=True)
    encrypted = Security(TlsUse.REQUIRED)
    for weaker in ("off", "opportunistic", "required", None):
        assert site_security(weaker, proved) == proved
    for weaker in ("off", "opportunistic", None):
        assert site_security(weaker, encrypted) == encrypted  # type: ignore[arg-type]
    assert site_security("verified", encrypted) == proved
    assert site_security("off", Security(TlsUse.OPPORTUNISTIC)) == Security(TlsUse.OFF)
    assert site_security("required", Security(TlsUse.OFF)) == encrypted
    assert site_security(None, Security(TlsUse.OFF)) == Security(TlsUse.OFF)


async def test_mail_waits_where_its_rule_is_not_met_and_shares_no_connection_with_others(
    house: House, authority: Authority
) -> None:
    """Two domains of one MX host: one must have TLS, the other takes what there is."""
    zone = {
        ("bank.example", "MX"): ["10 mx.there.example."],
        ("shop.example", "MX"): ["10 mx.there.example."],
        ("mx.there.example", "A"): ["127.0.0.1"],
    }
    rule = ShapingRule(name="bank", domains=("bank.example",), tls="verified")
    anna = await house.account()

    async def send(worker: Transport, *addresses: str) -> None:
        await worker.acceptance.accept(
            Envelope(anna.address, recipients(*addresses)), mail(), house.session(anna)
        )

    async with running(Sink()) as sink, name_server(zone) as server:
        delivery = {"resolver": server.address, "mx_port": sink.port}
        async with house.worker(delivery=delivery, shaping=[rule], backoff_seconds=60) as worker:
            await send(worker, "a@bank.example", "a@shop.example", "b@bank.example", "b@shop.example")
            await sink.wait_for(2)

            async def are_deferred() -> bool:
                return [row["last_text"] is not None for row in await house.queued()] == [True, True]

            await house.until(are_deferred)
        assert set(sink.recipients) == {"a@shop.example", "b@shop.example"}
        assert not any("bank.example" in line for line in sink.lines)
        assert all("does not offer TLS" in row["last_text"] for row in await house.queued())
        sink.tls = authority.server("mx.there.example")
        async with house.worker(delivery=delivery, shaping=[rule]) as worker:
            await send(worker, "c@bank.example")
            await sink.wait_for(3)
        assert sink.mails[-1].is_tls and sink.recipients[-1] == "c@bank.example"
