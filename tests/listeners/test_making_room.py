"""A full house asks the idlest connection of whoever has most to go; nobody at work is ever asked."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from postroad.listeners.limits import Connections
from tests.listeners.conftest import Opener, until


@dataclass(eq=False)
class Somebody:
    """A connection: waiting since a time, or at work."""

    waiting_since: float | None
    went: bool = False

    def give_way(self) -> None:
        """Note that it was asked."""
        self.went = True


def seated(connections: Connections, address: str, *since: float | None) -> list[Somebody]:
    members = [Somebody(each) for each in since]
    for member in members:
        assert connections.admit(address)
        connections.join(address, member)
    return members


def test_whoever_has_most_gives_up_the_idlest() -> None:
    connections = Connections(5, 10)
    crowd = seated(connections, "192.0.2.1", 3.0, 1.0, None)
    other = seated(connections, "192.0.2.2", 0.5, None)
    assert connections.admit("192.0.2.3")
    assert [each.went for each in crowd] == [False, True, False]
    assert not any(each.went for each in other)
    assert connections.open == 5
    connections.release("192.0.2.1", crowd[1])  # its connection closes: it was counted out before
    assert connections.open == 5
    for address, member in (("192.0.2.1", crowd[0]), ("192.0.2.1", crowd[2]), ("192.0.2.2", other[0])):
        connections.release(address, member)
    connections.release("192.0.2.2", other[1])
    connections.release("192.0.2.3")
    assert connections.open == 0


def test_of_those_that_wait_alike_the_first_to_come_goes() -> None:
    connections = Connections(20, 20)
    crowd = seated(connections, "192.0.2.1", *[1.0] * 20)
    assert connections.admit("192.0.2.2")
    assert [each.went for each in crowd] == [True] + [False] * 19


def test_nobody_at_work_is_asked() -> None:
    connections = Connections(2, 10, replaces_own=True)
    crowd = seated(connections, "192.0.2.1", None, None)
    assert not connections.admit("192.0.2.2")
    assert not any(each.went for each in crowd)


def test_a_client_at_its_limit_gives_up_its_own() -> None:
    connections = Connections(10, 2, replaces_own=True)
    own = seated(connections, "192.0.2.1", 1.0, None)
    other = seated(connections, "192.0.2.2", 0.0)
    assert connections.admit("192.0.2.1")
    assert own[0].went
    assert not other[0].went
    assert not Connections(10, 0).admit("192.0.2.1")


def test_a_client_at_its_limit_is_turned_away_where_it_should_reuse_what_it_has() -> None:
    connections = Connections(10, 1)
    own = seated(connections, "192.0.2.1", 1.0)
    assert not connections.admit("192.0.2.1")
    assert not own[0].went


async def test_a_house_full_of_silence_takes_mail(open_door: Opener) -> None:
    running = await open_door(most=20)
    silent = [await asyncio.open_connection("127.0.0.1", running.port) for _ in range(20)]
    for reader, _ in silent:
        assert (await reader.readline()).startswith(b"220")
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    assert (await reader.readline()).startswith(b"220")
    assert (await silent[0][0].readline()).startswith(b"421 4.7.0")  # the one that waited longest
    writer.write(b"EHLO a\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<li@example.com>\r\nDATA\r\n.\r\nQUIT\r\n")
    assert b"queued as" in await reader.read()
    for _, each in silent:
        each.close()
    await until(lambda: running.connections.open == 0)


def test_a_stranger_goes_before_who_has_signed_in() -> None:
    connections = Connections(4, 10)
    office = seated(connections, "192.0.2.1", 1.0, 2.0, 3.0)
    for member in office:
        assert connections.settle("192.0.2.1", member, "wang")
    (stranger,) = seated(connections, "192.0.2.2", 9.0)  # half open, and the last to come
    assert connections.admit("192.0.2.3")
    assert stranger.went
    assert not any(each.went for each in office)
    assert connections.admit("192.0.2.4")  # nobody else is left to ask
    assert [each.went for each in office] == [True, False, False]
    for member in office:
        connections.release("192.0.2.1", member)
    connections.release("192.0.2.2", stranger)
    connections.release("192.0.2.3")
    connections.release("192.0.2.4")
    assert connections.open == 0


def test_an_account_has_so_many_wherever_they_come_from() -> None:
    connections = Connections(10, 10, most_per_account=2)
    members = [seated(connections, f"192.0.2.{number}", 1.0)[0] for number in range(4)]
    assert connections.settle("192.0.2.0", members[0], 7)
    assert connections.settle("192.0.2.1", members[1], 7)
    assert not connections.settle("192.0.2.2", members[2], 7)
    assert connections.settle("192.0.2.2", members[2], 8)
    connections.release("192.0.2.0", members[0])
    assert connections.settle("192.0.2.3", members[3], 7)
