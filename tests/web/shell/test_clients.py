"""The client's address behind proxies."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from starlette.requests import Request

from postroad.web.shell.clients import client_address, is_secure

TRUSTED = (ip_network("127.0.0.0/8"), ip_network("10.0.0.0/8"))


def asked(peer: str, forwarded: str = "", proto: str = "") -> Request:
    headers = [(b"x-forwarded-for", forwarded.encode()), (b"x-forwarded-proto", proto.encode())]
    return Request(
        {
            "type": "http",
            "client": (peer, 1),
            "headers": headers,
            "scheme": "http",
            "path": "/",
            "server": ("x", 80),
            "query_string": b"",
        }
    )


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("198.51.100.1", "203.0.113.9", "198.51.100.1"),
        ("127.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("127.0.0.1", "1.1.1.1, 203.0.113.9, 10.1.2.3", "203.0.113.9"),
        ("127.0.0.1", "203.0.113.9, nonsense", "127.0.0.1"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", "10.0.0.1, 10.0.0.2", "127.0.0.1"),
        ("127.0.0.1", "2001:db8::1", "2001:db8::1"),
    ],
)
def test_the_last_hop_that_is_not_trusted_is_the_client(peer: str, forwarded: str, expected: str) -> None:
    assert client_address(asked(peer, forwarded), TRUSTED) == expected


def test_only_a_trusted_proxy_says_that_the_connection_is_encrypted() -> None:
    assert is_secure(asked("127.0.0.1", proto="https"), TRUSTED)
    assert not is_secure(asked("198.51.100.1", proto="https"), TRUSTED)
