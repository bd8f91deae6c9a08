"""Listen addresses, shared ports, and certificates that are renewed."""

from __future__ import annotations

import asyncio
import os
import ssl
from ipaddress import ip_network
from pathlib import Path

import pytest

from postroad.config import Smtp
from postroad.listeners.limits import Connections, client_key, is_within
from postroad.listeners.smtp import limits_of
from postroad.listeners.sockets import BadListenAddress, bind, parse_listen_address
from postroad.listeners.tls import BadCertificate, ServerTls
from postroad.protocols.smtp.limits import ServerLimits
from tests.listeners.conftest import write_certificate


def test_listen_addresses() -> None:
    assert parse_listen_address("127.0.0.1:25") == ("127.0.0.1", 25)
    assert parse_listen_address("[::1]:25") == ("::1", 25)
    assert parse_listen_address("*:25") == parse_listen_address(":25") == ("", 25)
    for bad in ("", "25", "host:", "host:x", "::1:25", "host:70000"):
        with pytest.raises(BadListenAddress):
            parse_listen_address(bad)


def test_the_settings_set_the_limits() -> None:
    limits = limits_of(Smtp(max_size_bytes=5, max_recipients=100, idle_seconds=7))
    assert (limits.message, limits.recipients, limits.idle_seconds) == (5, 100, 7)
    assert limits.errors == ServerLimits().errors


def test_workers_share_a_port() -> None:
    first = bind("127.0.0.1:0")
    port = first[0].getsockname()[1]
    second = bind(f"127.0.0.1:{port}")
    assert second[0].getsockname()[1] == port
    for listening in (*first, *second):
        listening.close()


def test_every_address_gets_the_same_port() -> None:
    listening = bind("*:0")
    assert len({sock.getsockname()[1] for sock in listening}) == 1
    for sock in listening:
        sock.close()


def test_what_cannot_be_bound_says_why() -> None:
    with pytest.raises(BadListenAddress):
        bind("192.0.2.1:25")


def test_clients_are_counted_by_address_and_by_prefix() -> None:
    assert client_key("::ffff:192.0.2.1") == client_key("192.0.2.1")
    assert client_key("2001:db8::1") == client_key("2001:db8::ffff:1") != client_key("2001:db8:0:1::1")
    assert client_key("fe80::1%eth0") == "fe80::"
    assert is_within("127.0.0.1", (ip_network("::1/128"), ip_network("127.0.0.0/8")))
    connections = Connections(3, 2, (ip_network("198.51.100.0/24"),))
    assert [connections.admit("192.0.2.1") for _ in range(3)] == [True, True, False]
    assert [connections.admit("198.51.100.1") for _ in range(2)] == [True, False]  # the whole is full
    for address in ("192.0.2.1", "192.0.2.1", "198.51.100.1"):
        connections.release(address)
    assert [connections.admit("198.51.100.1") for _ in range(3)] == [True, True, True]


async def test_a_renewed_certificate_is_shown_without_a_restart(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    write_certificate(certificate, key, "old.example.com")
    tls = ServerTls(certificate, key)
    server = await asyncio.start_server(
        lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=tls.context
    )
    port = server.sockets[0].getsockname()[1]

    async def shown() -> bytes:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        der: bytes = writer.get_extra_info("ssl_object").getpeercert(True)
        writer.close()
        return der

    assert b"old.example.com" in await shown()
    write_certificate(certificate, key, "new.example.com")
    tls.reload()
    assert b"new.example.com" in await shown()
    key.write_bytes(b"half written")
    with pytest.raises(BadCertificate):
        tls.reload()
    assert b"new.example.com" in await shown()
    os.unlink(key)
    with pytest.raises(BadCertificate):
        ServerTls(certificate, key)
    server.close()
