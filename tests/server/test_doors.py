"""Ports are found out once and kept: nobody else gets them, and nothing connects before a worker listens."""

from __future__ import annotations

import socket

import pytest

from postroad.config import Listen
from postroad.listeners.sockets import BadListenAddress, bind
from postroad.server import doors
from postroad.server.doors import Doors, PortTaken

OFF = Listen(**dict.fromkeys(Listen.model_fields, ""))


def listen(**addresses: str) -> Listen:
    return OFF.model_copy(update=addresses)


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


def test_port_0_becomes_a_port_that_workers_can_share() -> None:
    reserved = Doors(listen(smtp="127.0.0.1:0", http="localhost:0"))
    assert set(reserved.addresses) == {"smtp", "http"}
    address = reserved.addresses["smtp"]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port_of(address)), timeout=5)
    [first], [second] = bind(address), bind(address)
    with socket.create_connection(("127.0.0.1", port_of(address)), timeout=5):
        pass
    first.close()
    second.close()
    reserved.close()


def test_a_port_in_use_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "PATIENCE_SECONDS", 0.0)
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(PortTaken, match=r"submission: another program listens on .*listen\.submission"):
            Doors(listen(submission=address))


def test_two_doors_on_one_port_are_refused() -> None:
    free = Doors(listen(smtp="127.0.0.1:0"))
    address = free.addresses["smtp"]
    free.close()
    with pytest.raises(PortTaken, match="another door"):
        Doors(listen(smtp=address, http=address))


@pytest.mark.parametrize(
    "text", ["nonsense", "127.0.0.1", "::1:25", "203.0.113.1:0", "no.such.host.invalid:0"]
)
def test_an_address_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(BadListenAddress):
        Doors(listen(smtp=text))
